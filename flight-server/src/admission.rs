//! How many calls are served at the same time.
//!
//! A call that was let in takes a slot before anything of it is read, and keeps it until its answer
//! was sent or its client is gone. Without a free slot it is refused at once, so that overload costs
//! next to nothing. Knows nothing of what calls do.

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use quiver_catalog::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::auth::{TenantContext, random};
use crate::metrics::Metrics;
use crate::status::{Failure, IntoStatus};

/// The slot of one call, in the extensions of its request; free when every clone is dropped, or
/// before that by [`CallSlot::free`].
#[derive(Debug, Clone)]
pub(crate) struct CallSlot(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl CallSlot {
    /// Gives the slot back although the answer was not sent: nobody reads it.
    pub(crate) fn free(&self) {
        drop(self.0.lock().take());
    }
}

/// Gives slots to calls.
#[derive(Debug, Clone)]
pub(crate) struct AdmissionLayer {
    slots: Arc<Semaphore>,
    calls_max: usize,
    metrics: Arc<Metrics>,
}

impl AdmissionLayer {
    /// At most `calls_max` calls at the same time.
    pub(crate) fn new(calls_max: usize, metrics: Arc<Metrics>) -> Self {
        let slots = Arc::new(Semaphore::new(calls_max.min(Semaphore::MAX_PERMITS)));
        let free = Arc::clone(&slots);
        metrics.gauge("active_calls", "Flight calls served now", move || {
            calls_max.saturating_sub(free.available_permits()) as i64
        });
        Self {
            slots,
            calls_max,
            metrics,
        }
    }

    fn refusal(&self) -> Response<Body> {
        self.metrics.reject("calls");
        let message = format!(
            "{} calls are served already (server.calls_max); try again later",
            self.calls_max
        );
        Failure::new(ErrorKind::Overloaded, message)
            .into_status(Some(random::uuid()))
            .into_http()
    }
}

/// The service of [`AdmissionLayer`].
#[derive(Debug, Clone)]
pub(crate) struct Admission<S> {
    inner: S,
    layer: AdmissionLayer,
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Admission<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if request.extensions().get::<TenantContext>().is_none() {
            // A login; [`crate::login`] has places of its own for them.
            return Box::pin(self.inner.call(request));
        }
        let Ok(permit) = Arc::clone(&self.layer.slots).try_acquire_owned() else {
            let refusal = self.layer.refusal();
            return Box::pin(async move { Ok(refusal) });
        };
        let slot = CallSlot(Arc::new(Mutex::new(Some(permit))));
        request.extensions_mut().insert(slot.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|inner| Body::new(SlotBody { inner, _slot: slot })))
        })
    }
}

/// An answer on its way, which holds the call's slot.
struct SlotBody {
    inner: Body,
    _slot: CallSlot,
}

impl HttpBody for SlotBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
