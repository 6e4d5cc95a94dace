//! The catalog from outside: what was committed is there after reopening, and nothing else is.

#![expect(clippy::unwrap_used, reason = "tests")]

mod commits;
mod history;
mod interrupted;
mod model;
mod opening;
mod pruning;
mod refusals;
mod sharing;
mod support;
