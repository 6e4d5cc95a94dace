//! The one way to start a task: the caller's span goes along, so its log lines keep the tenant.
//!
//! In the simulation, tasks and blocking work take turns on one thread, in an order that its seed
//! draws (`turns.rs`); elsewhere none of that is there.

use std::future::Future;

use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument;

use crate::error::{EngineError, Result};

#[cfg(test)]
pub(crate) mod turns;

/// Runs `future` on the runtime inside the current span.
#[expect(
    clippy::disallowed_methods,
    reason = "the wrapper that the ban points to"
)]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let future = future.in_current_span();
    #[cfg(test)]
    let future = turns::taking_turns(future);
    tokio::spawn(future)
}

/// Runs blocking `work` on the blocking pool and waits for it.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let span = tracing::Span::current();
    match on_blocking_pool(move || span.in_scope(work)).await {
        Ok(result) => result,
        Err(error) => Err(EngineError::internal(format!(
            "a background job failed: {error}"
        ))),
    }
}

/// The same for work whose errors are its own.
///
/// # Errors
/// When the work panicked.
pub(crate) async fn on_blocking_pool<T, F>(work: F) -> std::result::Result<T, JoinError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    #[cfg(test)]
    if turns::are_drawn() {
        others_turn().await;
        let done = work();
        others_turn().await;
        return Ok(done);
    }
    tokio::task::spawn_blocking(work).await
}

/// A moment at which the order of tasks matters: the simulation may let others go first.
pub(crate) async fn others_turn() {
    #[cfg(test)]
    turns::others().await;
}
