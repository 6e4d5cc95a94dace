#![expect(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;

use http::HeaderValue;
use tower::service_fn;

use super::*;
use crate::auth::TenantContext;
use crate::auth::fixture::{Fixture, basic};

type Served = Result<Response<Body>, Infallible>;

/// The layer before a service that says who called it, or waits for ever when `stuck`.
fn login(
    fixture: &Fixture,
    metrics: &Arc<Metrics>,
    stuck: bool,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = BoxFuture<'static, Served>,
> + Clone {
    let service = service_fn(move |request: Request<Body>| async move {
        if stuck {
            std::future::pending::<()>().await;
        }
        let caller: Option<&TenantContext> = request.extensions().get();
        let name = caller.map_or("nobody".to_owned(), |caller| caller.user.name.clone());
        let mut answer = Response::new(Body::empty());
        let name = HeaderValue::from_str(&name).unwrap();
        answer.headers_mut().insert("caller", name);
        Served::Ok(answer)
    });
    let auth = Arc::clone(&fixture.authenticator);
    LoginLayer::new(auth, Arc::clone(metrics)).layer(service)
}

fn request(method: &str, headers: &[(&'static str, &str)]) -> Request<Body> {
    let path = format!("/arrow.flight.protocol.FlightService/{method}");
    let mut request = Request::post(path).body(Body::empty()).unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().insert(*name, value);
    }
    request
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn nothing_but_a_handshake_goes_on_without_a_login() {
    let fixture = Fixture::new().await;
    let metrics = Arc::new(Metrics::new());
    let mut service = login(&fixture, &metrics, false);
    let answer = service.call(request("Handshake", &[])).await.unwrap();
    assert_eq!(header(&answer, "caller"), Some("nobody"));
    for method in ["DoGet", "DoPut", "DoExchange", "ListActions", "Other"] {
        let answer = service.call(request(method, &[])).await.unwrap();
        assert_eq!(header(&answer, "grpc-status"), Some("16"), "{method}");
        let known = [("authorization", basic("bob@acme:pw"))];
        let known = known
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let answer = service.call(request(method, &known)).await.unwrap();
        assert_eq!(header(&answer, "caller"), Some("bob"), "{method}");
    }
    let counted = "quiver_requests_total{method=\"DoGet\",code=\"";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[tokio::test]
async fn handshakes_have_few_places() {
    let fixture = Fixture::new().await;
    let metrics = Arc::new(Metrics::new());
    let mut service = login(&fixture, &metrics, true);
    let mut waiting = vec![];
    for _ in 0..HANDSHAKES_MAX / 2 {
        let mut call = service.call(request("Handshake", &[]));
        assert!(futures::poll!(&mut call).is_pending());
        waiting.push(call);
    }
    // All of them come from one address, which may take no more than half of the places.
    let refused = service.call(request("Handshake", &[])).await.unwrap();
    assert_eq!(header(&refused, "grpc-status"), Some("8"));
    // Whoever has logged in does not need one.
    let known = basic("bob@acme:pw");
    let mut call = service.call(request("DoGet", &[("authorization", &known)]));
    assert!(futures::poll!(&mut call).is_pending());
    waiting.pop();
    let mut call = service.call(request("Handshake", &[]));
    assert!(futures::poll!(&mut call).is_pending());
}

#[tokio::test]
async fn a_client_that_waits_no_longer_is_answered() {
    let fixture = Fixture::new().await;
    let metrics = Arc::new(Metrics::new());
    let mut service = login(&fixture, &metrics, true);
    let answer = service.call(request("Handshake", &[("grpc-timeout", "100m")]));
    assert_eq!(header(&answer.await.unwrap(), "grpc-status"), Some("4"));
}
