//! What waits for the log's writer: in call order, bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Frame;
use super::log::Done;

#[cfg(test)]
mod tests;

/// Room in the queue. Held until the append it is used for is done; dropped unused, it is free
/// again.
#[derive(Debug)]
pub(crate) struct Reservation {
    _permit: OwnedSemaphorePermit,
}

/// Frames on their way to the disk.
pub(super) struct Append {
    pub(super) frames: Vec<Frame>,
    pub(super) sync: bool,
    pub(super) done: Done,
    pub(super) reservation: Reservation,
}

/// What the writer does next.
pub(super) enum Work {
    /// Write these as one group.
    Group(Vec<Append>),
    /// Nobody has written for a while.
    Idle,
    /// The queue is closed and empty.
    Closed,
}

#[derive(Default)]
struct State {
    appends: VecDeque<Append>,
    closed: bool,
}

/// The queue between the callers and the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    space: Arc<Semaphore>,
    space_bytes: u32,
    /// Wakes a test that does the writer's work.
    #[cfg(test)]
    pub(super) pushed: Arc<tokio::sync::Notify>,
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        let space_bytes = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            space: Arc::new(Semaphore::new(space_bytes as usize)),
            space_bytes,
            #[cfg(test)]
            pushed: Arc::default(),
        }
    }

    /// Waits for room, first come first served. More than the whole queue counts as the whole
    /// queue: it goes through alone. `None` once the queue is closed.
    pub(super) async fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let bytes = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .clamp(1, self.space_bytes);
        let permit = Arc::clone(&self.space)
            .acquire_many_owned(bytes)
            .await
            .ok()?;
        Some(Reservation { _permit: permit })
    }

    /// Adds to the end; gives the append back if the queue is closed.
    pub(super) fn push(&self, append: Append) -> Result<(), Append> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(append);
        }
        state.appends.push_back(append);
        drop(state);
        #[cfg(test)]
        self.pushed.notify_one();
        self.changed.notify_one();
        Ok(())
    }

    /// Takes what has queued, up to `group_bytes_max` but at least one append. Reports `Idle` when
    /// nothing came for `idle`.
    pub(super) fn next(&self, group_bytes_max: usize, idle: Option<Duration>) -> Work {
        let mut state = self.state.lock();
        while state.appends.is_empty() {
            if state.closed {
                return Work::Closed;
            }
            match idle {
                Some(idle) => {
                    let waited = self.changed.wait_for(&mut state, idle);
                    if waited.timed_out() && state.appends.is_empty() && !state.closed {
                        return Work::Idle;
                    }
                }
                None => self.changed.wait(&mut state),
            }
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(append) = state.appends.front() {
            bytes += append.frames.iter().map(Frame::payload_bytes).sum::<u64>();
            if !group.is_empty() && bytes > group_bytes_max as u64 {
                break;
            }
            group.extend(state.appends.pop_front());
        }
        Work::Group(group)
    }

    /// Refuses new reservations: whoever waits is woken.
    pub(super) fn refuse(&self) {
        self.space.close();
    }

    /// Takes no more appends; what is queued is still written.
    pub(super) fn close(&self) {
        self.refuse();
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}
