//! Tests of the statement layer.
#![expect(clippy::unwrap_used, reason = "tests")]

mod limits;
