//! Watches the body of a request below gRPC: whether it ended properly, how long it keeps one
//! waiting, how large it is.
//!
//! When a client cancels or its deadline passes, tonic ends the request stream as if it had been
//! complete, and a handler would commit half of an upload. This layer looks at the HTTP body below
//! tonic and notes whether it really came to its end. (A client that ends its stream properly after
//! dropping a part of it cannot be told from a complete one.)
//!
//! It also fails a body of which nothing came for too long while somebody waited for it, whatever
//! call it belongs to: logins and single messages can be held back as well as uploads. Time in
//! which nobody reads does not count, so that an upload which the server slows down is not idle.
//!
//! Calls other than uploads have one small message; what is larger fails before it is all in memory,
//! and that of a login, which anybody may send, much earlier.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use quiver_catalog::ErrorKind;
use tokio::time::{Instant, Sleep};
use tower_layer::Layer;
use tower_service::Service;

use crate::method::Method;
use crate::status::{Failure, IntoStatus};

/// Most bytes that somebody may send who has not logged in.
const HANDSHAKE_BYTES_MAX: u64 = 64 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether the body of a request came to its end; in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestEnd(Arc<AtomicBool>);

impl RequestEnd {
    /// The client closed its side of the stream properly.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a request body may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Longest time in which nothing comes.
    pub(crate) idle_max: Duration,
    /// Most bytes of a call that is no upload.
    pub(crate) request_bytes_max: u64,
}

impl BodyLimits {
    fn bytes_max(&self, method: Method) -> u64 {
        match method {
            Method::Handshake => HANDSHAKE_BYTES_MAX,
            Method::Upload(_) => u64::MAX,
            Method::Request(_) | Method::Unknown => self.request_bytes_max,
        }
    }
}

/// Adds a [`RequestEnd`] to every request, and fails those that go beyond the limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestBodyLayer {
    limits: BodyLimits,
}

impl RequestBodyLayer {
    pub(crate) fn new(limits: BodyLimits) -> Self {
        Self { limits }
    }
}

/// The service of [`RequestBodyLayer`].
#[derive(Debug, Clone)]
pub(crate) struct RequestBodyService<S> {
    inner: S,
    limits: BodyLimits,
}

impl<S> Layer<S> for RequestBodyLayer {
    type Service = RequestBodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestBodyService {
            inner,
            limits: self.limits,
        }
    }
}

impl<S, B> Service<Request<B>> for RequestBodyService<S>
where
    S: Service<Request<tonic::body::Body>>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
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
        let bytes_max = self.limits.bytes_max(Method::of(parts.uri.path()));
        let body = WatchedBody::new(body, end, self.limits.idle_max, bytes_max);
        let body = tonic::body::Body::new(body);
        self.inner.call(Request::from_parts(parts, body))
    }
}

struct WatchedBody<B> {
    inner: B,
    end: RequestEnd,
    idle_max: Duration,
    bytes_max: u64,
    bytes: u64,
    /// Made at the first wait and used again.
    idle: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<B> WatchedBody<B> {
    fn new(inner: B, end: RequestEnd, idle_max: Duration, bytes_max: u64) -> Self {
        Self {
            inner,
            end,
            idle_max,
            bytes_max,
            bytes: 0,
            idle: None,
            waiting: false,
        }
    }

    /// Counts a frame in; an error when the body has become too large.
    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), BoxError> {
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        let message = format!(
            "the request has more than {} bytes: rows are uploaded by DoPut, everything else is \
             small",
            self.bytes_max
        );
        Err(Box::new(Failure::invalid(message).into_status(None)))
    }

    /// Ready when this wait has taken too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<BoxError> {
        let until = Instant::now() + self.idle_max;
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !self.waiting {
            self.waiting = true;
            idle.as_mut().reset(until);
        }
        ready!(idle.as_mut().poll(context));
        let message = format!(
            "nothing came from the client for {} ms (session.stream_idle_timeout_ms): nothing of \
             the call was committed",
            self.idle_max.as_millis()
        );
        let status = Failure::new(ErrorKind::Deadline, message).into_status(None);
        Poll::Ready(Box::new(status))
    }
}

impl<B> Body for WatchedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            return self.poll_idle(context).map(|error| Some(Err(error)));
        };
        self.waiting = false;
        let ended = match &frame {
            // Also after the last frame: a stream that the client has reset ends like a whole one.
            None | Some(Ok(_)) => self.inner.is_end_stream(),
            Some(Err(_)) => false,
        };
        if ended {
            self.end.0.store(true, Ordering::Release);
        }
        let counted = |frame: Frame<Bytes>| self.count(&frame).map(|()| frame);
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into).and_then(counted)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
