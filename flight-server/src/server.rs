//! Wiring of the server and its life from start to drained stop.

use tokio_util::sync::CancellationToken;

use crate::config::Settings;

/// Why the server could not start or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Placeholder of the first hour.
    #[error("not yet")]
    NotYet,
}

/// Runs the server until `shutdown` is cancelled and everything is drained and flushed.
pub(crate) async fn serve(_settings: Settings, _shutdown: CancellationToken) -> Result<(), ServeError> {
    Err(ServeError::NotYet)
}
