//! The plain HTTP side: is it alive, is it ready, what does it count.
//!
//! Gives away nothing about tenants and takes no input, so it needs no login. Knows nothing of the
//! engine: readiness and metrics are handed in.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connections::Acceptor;
use crate::metrics::Metrics;

/// Media type of OpenMetrics text.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Quiver</title>\
<h1>Quiver</h1><p>An Arrow Flight SQL data service. Data and SQL are served over Flight.</p>\
<ul><li><a href=\"/health\">/health</a>: the process is alive</li>\
<li><a href=\"/ready\">/ready</a>: recovered and serving</li>\
<li><a href=\"/metrics\">/metrics</a>: numbers for Prometheus</li></ul>";

/// How far the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Recovering; Flight calls are not served yet.
    Starting,
    /// Serving.
    Ready,
    /// Stopping: running calls are finished, new ones refused.
    Draining,
}

/// What the HTTP side shows.
#[derive(Debug, Clone)]
pub(crate) struct HttpState {
    /// Current readiness; the last value stays when the sender is gone.
    pub(crate) ready: watch::Receiver<Readiness>,
    /// Shown at `/metrics`.
    pub(crate) metrics: Arc<Metrics>,
}

/// Serves until `shutdown` is cancelled and open requests are answered.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve_http(
    listener: Acceptor,
    state: HttpState,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(state))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/health", get(async || "alive\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn ready(State(state): State<HttpState>) -> impl IntoResponse {
    let readiness = *state.ready.borrow();
    match readiness {
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Readiness::Ready => (StatusCode::OK, "ready\n"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(state): State<HttpState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], state.metrics.text())
}
