//! Lets callers in before anything of their calls is read.
//!
//! A call is authenticated by its headers alone, below gRPC: until then its message is neither
//! received nor decoded, and it has no slot of [`crate::admission`]. Calls of `Handshake`, which
//! anybody may make, have few places of their own. Also ends every call whose client said how long
//! it will wait, with the code that gRPC has for that.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::auth::{AuthError, Authenticator, Place, Places, random};
use crate::connections::Peer;
use crate::method::Method;
use crate::metrics::Metrics;
use crate::status::{IntoStatus, code_name};
use crate::stop::{Deadline, passed};

/// How many calls of `Handshake` there may be at once.
const HANDSHAKES_MAX: usize = 128;
/// When a call that found no place is worth repeating.
const RETRY_MS: u64 = 500;

/// Authenticates calls; what it lets in has a [`crate::auth::TenantContext`] in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct LoginLayer {
    auth: Arc<Authenticator>,
    metrics: Arc<Metrics>,
    handshakes: Arc<Places>,
}

impl LoginLayer {
    pub(crate) fn new(auth: Arc<Authenticator>, metrics: Arc<Metrics>) -> Self {
        Self {
            auth,
            metrics,
            handshakes: Places::new(HANDSHAKES_MAX),
        }
    }

    /// Looks at the headers of `request` and notes in its extensions whose call it is.
    async fn let_in(&self, request: &mut Request<Body>) -> Result<Admitted, AuthError> {
        let peer = Peer::of(request.extensions()).cloned();
        let address = peer.as_ref().map(Peer::address);
        if Method::of(request.uri().path()) == Method::Handshake {
            let place = Places::take(&self.handshakes, address);
            let busy = AuthError::Busy {
                retry_after_ms: RETRY_MS,
            };
            return Ok(Admitted::ToLogin(place.ok_or(busy)?));
        }
        let caller = self.auth.authenticate(request.headers(), address).await?;
        if let Some(peer) = peer {
            peer.set_known();
        }
        request.extensions_mut().insert(caller);
        Ok(Admitted::Known)
    }

    fn refusal(&self, method: Method, error: AuthError) -> Response<Body> {
        let status = error.into_status(Some(random::uuid()));
        let (method, code) = (method.name(), code_name(status.code()));
        tracing::info!(method, code, "call refused");
        self.metrics.request(method, code);
        status.into_http()
    }
}

enum Admitted {
    Known,
    /// Keeps its place to the end of the call.
    ToLogin(Place),
}

/// The service of [`LoginLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Login<S> {
    inner: S,
    layer: LoginLayer,
}

impl<S> Layer<S> for LoginLayer {
    type Service = Login<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Login {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Login<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone that was polled to be ready is the one that is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        let method = Method::of(request.uri().path());
        let deadline = Deadline::of_client(request.headers());
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let answer = async move {
            match layer.let_in(&mut request).await {
                Ok(Admitted::Known) => inner.call(request).await,
                Ok(Admitted::ToLogin(_place)) => inner.call(request).await,
                Err(error) => Ok(layer.refusal(method, error)),
            }
        };
        Box::pin(async move {
            tokio::select! {
                biased;
                answer = answer => answer,
                failure = passed(deadline) => {
                    Ok(failure.into_status(Some(random::uuid())).into_http())
                }
            }
        })
    }
}
