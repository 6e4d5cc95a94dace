//! Which connections are accepted, and how long one may stay that nobody has logged in on.
//!
//! Every connection takes a place until it is closed; without a free one it is closed at once. A
//! connection on which no login has succeeded takes a place among the strangers as well, of which
//! there are fewer, and is closed when none succeeds in time: whoever cannot log in cannot keep out
//! those who can, nor use up the file descriptors that the log needs. Knows nothing of gRPC.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TlsConnectInfo};

use crate::metrics::Metrics;

/// How long a connection may stay without a login.
const STRANGER_MAX: Duration = Duration::from_secs(60);
/// Connections of the plain HTTP side, which has no logins.
const HTTP_CONNECTIONS_MAX: usize = 64;
/// How long accepting rests after an error, most likely too many open files.
const REST: Duration = Duration::from_millis(100);

/// How many connections there may be, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// Those among them on which nobody has logged in.
    pub(crate) strangers_max: usize,
    /// How long one may stay without a login.
    pub(crate) stranger_max: Duration,
}

impl ConnectionLimits {
    /// The setting, but at most half of the files that the process may open, after raising their
    /// number as far as it goes: the other half is for the log, the catalogs and the segments.
    pub(crate) fn of_flight(connections_max: usize) -> Self {
        let half = (open_files_max() / 2).max(2) as usize;
        if half < connections_max {
            tracing::warn!(
                connections_max,
                served = half,
                "the limit of open files (ulimit -n) allows fewer connections than \
                 server.connections_max"
            );
        }
        let connections_max = connections_max.min(half);
        Self {
            connections_max,
            strangers_max: connections_max / 2,
            stranger_max: STRANGER_MAX,
        }
    }

    /// For connections on which nobody ever logs in.
    pub(crate) fn of_http() -> Self {
        Self {
            connections_max: HTTP_CONNECTIONS_MAX,
            strangers_max: HTTP_CONNECTIONS_MAX,
            stranger_max: STRANGER_MAX,
        }
    }
}

/// Raises the number of files that the process may open as far as it is allowed; the new limit.
fn open_files_max() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of open files");
        rlimit::Resource::NOFILE.get_soft().unwrap_or(1_024)
    })
}

/// Who is at the other end of a connection; in the extensions of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: IpAddr,
    known: Arc<AtomicBool>,
}

impl Peer {
    /// The peer that sent a request, over TLS or not.
    pub(crate) fn of(extensions: &http::Extensions) -> Option<&Self> {
        let over_tls = || Some(extensions.get::<TlsConnectInfo<Self>>()?.get_ref());
        extensions.get::<Self>().or_else(over_tls)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// A login on this connection has succeeded: it may stay.
    pub(crate) fn set_known(&self) {
        self.known.store(true, Ordering::Release);
    }
}

/// Accepts connections within limits.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
}

impl Acceptor {
    pub(crate) fn new(
        listener: TcpListener,
        limits: ConnectionLimits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            listener,
            places: places(limits.connections_max),
            strangers: places(limits.strangers_max),
            limits,
            metrics,
        }
    }

    /// The next connection that there is a place for. The others are closed at once.
    pub(crate) async fn accept(&self) -> (Connection, SocketAddr) {
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let place = Arc::clone(&self.places).try_acquire_owned();
            let stranger = Arc::clone(&self.strangers).try_acquire_owned();
            let (Ok(place), Ok(stranger)) = (place, stranger) else {
                self.metrics.reject("connections");
                continue;
            };
            // Without it small answers wait for the client's acknowledgement.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection was gone at once");
                continue;
            }
            let connection = Connection {
                stream,
                peer: Peer {
                    address: address.ip(),
                    known: Arc::default(),
                },
                stranger: Some(Stranger {
                    leaves: Box::pin(tokio::time::sleep(self.limits.stranger_max)),
                    _place: stranger,
                }),
                _place: place,
            };
            return (connection, address);
        }
    }

    /// All of them, one after the other, without an end.
    pub(crate) fn incoming(self) -> impl Stream<Item = io::Result<Connection>> {
        futures::stream::unfold(self, async |acceptor| {
            let (connection, _) = acceptor.accept().await;
            Some((Ok(connection), acceptor))
        })
    }

    /// A reading of how many connections there are.
    pub(crate) fn count(&self) -> impl Fn() -> i64 + Send + Sync + 'static {
        let (max, places) = (self.limits.connections_max, Arc::clone(&self.places));
        move || max.saturating_sub(places.available_permits()) as i64
    }
}

impl axum::serve::Listener for Acceptor {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        Self::accept(self).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// Until a login has succeeded.
    stranger: Option<Stranger>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Stranger {
    leaves: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Whether its time without a login is over.
    fn must_leave(&mut self, context: &mut Context<'_>) -> bool {
        if self.peer.known.load(Ordering::Acquire) {
            self.stranger = None;
        }
        self.stranger
            .as_mut()
            .is_some_and(|stranger| stranger.leaves.as_mut().poll(context).is_ready())
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    /// HTTP/2 always reads, so that this is where the time is noticed.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.must_leave(context) {
            let error = io::Error::new(io::ErrorKind::TimedOut, "nobody logged in");
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
