#![expect(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;

use http::HeaderValue;
use quiver_proto::headers;
use tower::service_fn;

use super::*;

type Served = Result<Response<Body>, Infallible>;

/// `calls_max` slots in front of a service that never answers unless told to.
fn admission(
    calls_max: usize,
    metrics: &Arc<Metrics>,
    answers: bool,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = BoxFuture<'static, Served>,
> {
    let service = service_fn(move |_request: Request<Body>| async move {
        if !answers {
            std::future::pending::<()>().await;
        }
        let rows = http_body_util::Full::new(Bytes::from_static(b"rows"));
        Served::Ok(Response::new(Body::new(rows)))
    });
    AdmissionLayer::new(calls_max, Arc::clone(metrics)).layer(service)
}

fn code(response: &Response<Body>) -> Option<&HeaderValue> {
    response.headers().get("grpc-status")
}

#[tokio::test]
async fn a_call_too_many_is_refused_and_counted() {
    let metrics = Arc::new(Metrics::new());
    let mut service = admission(1, &metrics, true);
    let answer = service.call(Request::new(Body::empty())).await.unwrap();
    assert_eq!(code(&answer), None);
    let refused = service.call(Request::new(Body::empty())).await.unwrap();
    assert_eq!(code(&refused).unwrap(), "8");
    assert!(refused.headers().contains_key(headers::RETRY_AFTER_MS));
    assert!(
        metrics
            .text()
            .contains("quiver_rejected_total{reason=\"calls\"} 1")
    );
    assert!(metrics.text().contains("quiver_active_calls 1"));
    // The slot is held until the answer was sent.
    drop(answer);
    let again = service.call(Request::new(Body::empty())).await.unwrap();
    assert_eq!(code(&again), None);
}

#[tokio::test]
async fn a_call_that_is_dropped_gives_its_slot_back() {
    let metrics = Arc::new(Metrics::new());
    let mut service = admission(1, &metrics, false);
    let call = service.call(Request::new(Body::empty()));
    assert!(metrics.text().contains("quiver_active_calls 1"));
    drop(call);
    assert!(metrics.text().contains("quiver_active_calls 0"));
}

#[tokio::test]
async fn a_client_that_waits_no_longer_is_answered() {
    let metrics = Arc::new(Metrics::new());
    let mut service = admission(1, &metrics, false);
    let mut request = Request::new(Body::empty());
    let timeout = HeaderValue::from_static("100m");
    request.headers_mut().insert("grpc-timeout", timeout);
    let answer = service.call(request).await.unwrap();
    assert_eq!(code(&answer).unwrap(), "4");
    drop(answer);
    assert!(metrics.text().contains("quiver_active_calls 0"));
}

#[test]
fn a_slot_can_be_freed_early() {
    let slots = Arc::new(Semaphore::new(1));
    let permit = Arc::clone(&slots).try_acquire_owned().unwrap();
    let slot = CallSlot(Arc::new(Mutex::new(Some(permit))));
    let held = slot.clone();
    slot.free();
    assert_eq!(slots.available_permits(), 1);
    drop(held);
    assert_eq!(slots.available_permits(), 1);
}
