//! Tells a finished upload from a broken one.
//!
//! When a client cancels or its deadline passes, tonic ends the request stream as if it had been
//! complete, and a handler would commit half of an upload. This layer looks at the HTTP body below
//! tonic and notes whether it really came to its end. (A client that ends its stream properly after
//! dropping a part of it cannot be told from a complete one.)

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

/// Whether the body of a request came to its end; in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestEnd(Arc<AtomicBool>);

impl RequestEnd {
    /// The client closed its side of the stream properly.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Adds a [`RequestEnd`] to every request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestEndLayer;

/// The service of [`RequestEndLayer`].
#[derive(Debug, Clone)]
pub(crate) struct RequestEndService<S> {
    inner: S,
}

impl<S> Layer<S> for RequestEndLayer {
    type Service = RequestEndService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestEndService { inner }
    }
}

impl<S, B> Service<Request<B>> for RequestEndService<S>
where
    S: Service<Request<tonic::body::Body>>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let end = RequestEnd::default();
        parts.extensions.insert(end.clone());
        let body = tonic::body::Body::new(EndNotingBody { inner: body, end });
        self.inner.call(Request::from_parts(parts, body))
    }
}

struct EndNotingBody<B> {
    inner: B,
    end: RequestEnd,
}

impl<B> Body for EndNotingBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let ended = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => self.inner.is_end_stream(),
            _ => false,
        };
        if ended {
            self.end.0.store(true, Ordering::Release);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
