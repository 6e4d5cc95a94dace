//! Ids of streams, commits and segments: never used twice, also across restarts.

use uuid::Uuid;

/// A new random id.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the engine that makes ids"
)]
pub(crate) fn new_id() -> Uuid {
    Uuid::new_v4()
}
