//! The one way to start a task: the caller's span goes along, so its log lines keep the tenant.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::error::{EngineError, Result};

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
    tokio::spawn(future.in_current_span())
}

/// Runs blocking `work` on the blocking pool and waits for it.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(result) => result,
        Err(error) => Err(EngineError::internal(format!(
            "a background job failed: {error}"
        ))),
    }
}
