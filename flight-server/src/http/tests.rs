#![expect(clippy::unwrap_used, reason = "tests")]

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::*;
use crate::connections::ConnectionLimits;

fn state() -> (watch::Sender<Readiness>, HttpState) {
    let (sender, ready) = watch::channel(Readiness::Starting);
    (
        sender,
        HttpState {
            ready,
            metrics: Arc::new(Metrics::new()),
        },
    )
}

async fn fetch(state: &HttpState, path: &str) -> (u16, String, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router(state.clone()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn ready_follows_the_servers_life_and_health_does_not() {
    let (sender, state) = state();
    for (readiness, code, word) in [
        (Readiness::Starting, 503, "starting\n"),
        (Readiness::Ready, 200, "ready\n"),
        (Readiness::Draining, 503, "draining\n"),
    ] {
        sender.send_replace(readiness);
        let (status, _, body) = fetch(&state, "/ready").await;
        assert_eq!((status, body.as_str()), (code, word));
        assert_eq!(fetch(&state, "/health").await.0, 200);
    }
    drop(sender);
    assert_eq!(fetch(&state, "/ready").await.0, 503);
}

#[tokio::test]
async fn metrics_and_the_page_have_their_media_types() {
    let (_sender, state) = state();
    let (status, kind, body) = fetch(&state, "/metrics").await;
    assert_eq!((status, kind.as_str()), (200, METRICS_TYPE));
    assert!(body.ends_with("# EOF\n"));
    let (status, kind, body) = fetch(&state, "/").await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    assert!(body.contains("/metrics"));
}

#[tokio::test]
async fn it_stops_when_told_to() {
    let (_sender, state) = state();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let metrics = Arc::clone(&state.metrics);
    let acceptor = Acceptor::new(listener, ConnectionLimits::of_http(), metrics);
    serve_http(acceptor, state, shutdown).await.unwrap();
}
