//! Messages on their way to a client, with an end that does not wait for the client.
//!
//! The transport polls the reading side only while the client has room for more. So the writing
//! side can take back everything that is not sent yet, and leave an error in its place.

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;
use quiver_catalog::ErrorKind;
use tokio::sync::mpsc;
use tonic::Status;

use crate::status::{Failure, IntoStatus};

/// Messages that wait for the network.
const QUEUED_MESSAGES: usize = 4;

/// Makes both sides of a stream whose reader may pause for `idle_max`.
pub(crate) fn delivery<T>(idle_max: Duration) -> (Outbox<T>, Delivery<T>) {
    let (queue, receiver) = mpsc::channel(QUEUED_MESSAGES);
    let state = Arc::new(Mutex::new(State {
        receiver: Some(receiver),
        failure: None,
        is_finished: false,
        reader: None,
    }));
    let outbox = Outbox {
        queue,
        idle_max,
        state: Arc::downgrade(&state),
    };
    (outbox, Delivery { state })
}

#[derive(Debug)]
struct State<T> {
    /// Taken when the stream is aborted.
    receiver: Option<mpsc::Receiver<T>>,
    /// What an aborted stream ends with.
    failure: Option<Status>,
    /// Whether all messages were sent: a stream that ends otherwise ends with an error.
    is_finished: bool,
    reader: Option<Waker>,
}

/// The writing side. Dropping it without [`Outbox::finish`] ends the stream with an error: a part of
/// a result must never pass for the whole.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    queue: mpsc::Sender<T>,
    idle_max: Duration,
    /// Weak: the reader alone decides how long the queue lives.
    state: Weak<Mutex<State<T>>>,
}

impl<T> Outbox<T> {
    /// Queues a message.
    ///
    /// # Errors
    /// `Deadline` when the client reads nothing for too long, `Cancelled` when it is gone.
    pub(crate) async fn send(&self, message: T) -> Result<(), Failure> {
        self.slot().await?.send(message);
        Ok(())
    }

    /// Waits until the network has taken everything.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn drained(&self) -> Result<(), Failure> {
        let mut free = vec![];
        while free.len() < QUEUED_MESSAGES {
            free.push(self.slot().await?);
        }
        Ok(())
    }

    /// Ends the stream behind what was sent.
    pub(crate) fn finish(self) {
        if let Some(state) = self.state.upgrade() {
            state.lock().is_finished = true;
        }
    }

    /// Completes when the client is gone.
    pub(crate) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Ends the stream with an error, whether or not the client reads: what is queued is dropped.
    pub(crate) fn abort(self, failure: Status) {
        let Some(state) = self.state.upgrade() else {
            return;
        };
        let (queued, reader) = {
            let mut state = state.lock();
            state.failure = Some(failure);
            (state.receiver.take(), state.reader.take())
        };
        drop(queued);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    async fn slot(&self) -> Result<mpsc::Permit<'_, T>, Failure> {
        match tokio::time::timeout(self.idle_max, self.queue.reserve()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) => Err(Failure::new(ErrorKind::Cancelled, "the client is gone")),
            Err(_) => Err(Failure::new(
                ErrorKind::Deadline,
                format!(
                    "nothing of the stream was read for {} ms (session.stream_idle_timeout_ms); \
                     execute the statement again and read on",
                    self.idle_max.as_millis()
                ),
            )),
        }
    }
}

/// The reading side: what the transport sends.
#[derive(Debug)]
pub(crate) struct Delivery<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Stream for Delivery<T> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.state.lock();
        let Some(receiver) = &mut state.receiver else {
            return Poll::Ready(state.failure.take().map(Err));
        };
        let polled = receiver.poll_recv(context);
        match polled {
            Poll::Pending => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            Poll::Ready(None) => {
                state.receiver = None;
                let broken_off = (!state.is_finished).then(broken_off);
                Poll::Ready(broken_off.map(Err))
            }
        }
    }
}

fn broken_off() -> Status {
    Failure::internal("the stream broke off before its end").into_status(None)
}
