#![expect(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;

use http::HeaderValue;
use quiver_catalog::{Tenant, TenantId, User, UserId};
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

/// A call of somebody who was let in.
fn request() -> Request<Body> {
    let mut request = Request::new(Body::empty());
    let tenant = Tenant {
        id: TenantId(1),
        name: "acme".to_owned(),
        directory: "acme".to_owned(),
        created_micros: 0,
    };
    let user = User {
        id: UserId(1),
        tenant_id: tenant.id,
        name: "bob".to_owned(),
        node_admin: false,
        password_version: 1,
        created_micros: 0,
    };
    request.extensions_mut().insert(TenantContext {
        tenant,
        user,
        session_id: random::uuid(),
        session_is_new: true,
        token_expires_at_micros: 0,
        new_token: None,
    });
    request
}

fn code(response: &Response<Body>) -> Option<&HeaderValue> {
    response.headers().get("grpc-status")
}

#[tokio::test]
async fn a_call_too_many_is_refused_and_counted() {
    let metrics = Arc::new(Metrics::new());
    let mut service = admission(1, &metrics, true);
    let answer = service.call(request()).await.unwrap();
    assert_eq!(code(&answer), None);
    let refused = service.call(request()).await.unwrap();
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
    let again = service.call(request()).await.unwrap();
    assert_eq!(code(&again), None);
}

#[tokio::test]
async fn a_call_that_is_dropped_gives_its_slot_back() {
    let metrics = Arc::new(Metrics::new());
    let mut service = admission(1, &metrics, false);
    let call = service.call(request());
    assert!(metrics.text().contains("quiver_active_calls 1"));
    drop(call);
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

#[tokio::test]
async fn a_login_takes_no_slot() {
    let metrics = Arc::new(Metrics::new());
    let mut service = admission(1, &metrics, false);
    let mut login = service.call(Request::new(Body::empty()));
    assert!(futures::poll!(&mut login).is_pending());
    assert!(metrics.text().contains("quiver_active_calls 0"));
}
