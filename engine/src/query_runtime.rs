//! The threads that plan and execute queries, apart from those of the network.
//!
//! A query that computes for long without yielding delays other queries; logins, health, acknowledgements
//! and cancelling go on. Dropping what is returned here cancels the work at its next yield.

use std::future::Future;
use std::num::NonZero;
use std::pin::Pin;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::error::{EngineError, Result};
use crate::task::spawn;
#[cfg(test)]
use crate::task::turns;

/// Deeply nested SQL is planned by recursion.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// Some for each core: the operating system shares the cores out among queries that do not yield.
const THREADS_PER_CORE: usize = 2;
/// Beyond those: other statements are planned while a few wait for an operator to yield.
const SPARE_THREADS: usize = 4;
/// Whoever waits longer for a result wants to know that it is on its way.
const FIRST_ITEM_WAIT: Duration = Duration::from_millis(20);
/// More than these make no small result.
const ITEMS_AT_ONCE: usize = 4;
/// Batches between an executing query and the one who reads it.
const BATCHES_AHEAD: usize = 2;

/// Items that a task of its own prepares.
pub(crate) type Pumped<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// A runtime that can be dropped anywhere.
#[derive(Debug)]
pub(crate) struct QueryRuntime {
    /// Taken when dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl QueryRuntime {
    /// Starts the threads.
    ///
    /// # Errors
    /// `Unavailable` when the operating system gives none.
    pub(crate) fn start() -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores * THREADS_PER_CORE + SPARE_THREADS)
            .thread_name("quiver-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| EngineError::Unavailable {
                message: format!("cannot start the threads of queries: {error}"),
            })?;
        let handle = runtime.handle().clone();
        Ok(Self {
            runtime: Some(runtime),
            handle,
        })
    }

    /// Does `work` on these threads, in the caller's span.
    ///
    /// # Errors
    /// Those of `work`; `Internal` when it panicked.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        #[cfg(test)]
        if turns::are_drawn() {
            let task = AbortOnDropHandle::new(spawn(work));
            return task.await.expect("no query panics");
        }
        let task = AbortOnDropHandle::new(self.handle.spawn(work.in_current_span()));
        match task.await {
            Ok(result) => result,
            Err(error) => Err(EngineError::internal(format!("a query failed: {error}"))),
        }
    }
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed where this may be dropped, and nothing that runs here needs an end.
            runtime.shutdown_background();
        }
    }
}

/// Items that are there already, or come one after the other.
pub(crate) enum Begun<T> {
    /// All of them.
    Whole(Vec<T>),
    /// The first ones are waited for no more.
    Pumped(Pumped<T>),
}

/// Waits a little for the first item, and moves a stream that does not end soon into a task of its
/// own: small results need none.
///
/// # Errors
/// Those of the items that were waited for.
pub(crate) async fn begin<S, T>(mut source: S) -> Result<Begun<T>>
where
    S: Stream<Item = Result<T>> + Send + Unpin + 'static,
    T: Send + 'static,
{
    let mut first = vec![];
    let wait = FIRST_ITEM_WAIT;
    #[cfg(test)]
    let wait = turns::patience(wait);
    let Ok(mut next) = tokio::time::timeout(wait, source.next()).await else {
        return Ok(Begun::Pumped(pump(source)));
    };
    while let Some(item) = next {
        first.push(item?);
        next = match source.next().now_or_never() {
            Some(next) if first.len() < ITEMS_AT_ONCE => next,
            Some(Some(item)) => {
                let known = first.into_iter().map(Ok).chain([item]);
                return Ok(Begun::Pumped(pump(
                    futures::stream::iter(known).chain(source),
                )));
            }
            Some(None) => None,
            None => {
                let known = futures::stream::iter(first.into_iter().map(Ok));
                return Ok(Begun::Pumped(pump(known.chain(source))));
            }
        };
    }
    Ok(Begun::Whole(first))
}

/// Moves a stream into a task on the current runtime, which runs a few items ahead of the reader.
fn pump<S, T>(mut source: S) -> Pumped<T>
where
    S: Stream<Item = Result<T>> + Send + Unpin + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let task = AbortOnDropHandle::new(spawn(async move {
        while let Some(item) = source.next().await {
            if sender.send(item).await.is_err() {
                return;
            }
        }
    }));
    let state = (receiver, Some(task));
    futures::stream::unfold(state, |(mut receiver, mut task)| async move {
        if let Some(item) = receiver.recv().await {
            return Some((item, (receiver, task)));
        }
        // The end of the channel is the end of the rows only if the task came to its own.
        let error = task.take()?.await.err()?;
        let error = EngineError::internal(format!("a query failed: {error}"));
        Some((Err(error), (receiver, None)))
    })
    .boxed()
}

#[cfg(test)]
mod tests;
