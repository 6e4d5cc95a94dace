//! What waits for the log's writer: in call order, bounded in bytes.
//!
//! Rows are of no use before their commit record, which follows soon: what needs no sync waits for
//! something that does, so that the writer wakes once for both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

impl Append {
    fn payload_bytes(&self) -> u64 {
        self.frames.iter().map(Frame::payload_bytes).sum()
    }
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

/// More than this is written at once, sync or not.
const PATIENT_BYTES_MAX: u64 = 256 << 10;

#[derive(Default)]
struct State {
    appends: VecDeque<Append>,
    /// Of all appends.
    bytes: u64,
    /// Appends that need a sync.
    syncs: usize,
    closed: bool,
}

impl State {
    fn push(&mut self, append: Append) {
        self.bytes += append.payload_bytes();
        self.syncs += usize::from(append.sync);
        self.appends.push_back(append);
    }

    fn pop(&mut self) -> Option<Append> {
        let append = self.appends.pop_front()?;
        self.bytes -= append.payload_bytes();
        self.syncs -= usize::from(append.sync);
        Some(append)
    }

    /// Whether there is something to be written without delay.
    fn is_due(&self) -> bool {
        self.syncs > 0 || self.bytes > PATIENT_BYTES_MAX
    }
}

/// The queue between the callers and the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    space: Arc<Semaphore>,
    space_bytes: u32,
    /// Callers that wait for room.
    waiting: AtomicUsize,
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
            waiting: AtomicUsize::new(0),
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
        if let Ok(permit) = Arc::clone(&self.space).try_acquire_many_owned(bytes) {
            return Some(Reservation { _permit: permit });
        }
        let waiting = Waiting::new(&self.waiting);
        {
            // Patient appends take room as well: from here on there are none. Under the lock, or
            // a writer that has just looked would sleep on.
            let _state = self.state.lock();
            self.changed.notify_one();
        }
        let permit = Arc::clone(&self.space).acquire_many_owned(bytes).await;
        drop(waiting);
        Some(Reservation {
            _permit: permit.ok()?,
        })
    }

    /// Adds to the end; gives the append back if the queue is closed.
    pub(super) fn push(&self, append: Append) -> Result<(), Append> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(append);
        }
        state.push(append);
        let is_due = self.is_due(&state);
        drop(state);
        #[cfg(test)]
        self.pushed.notify_one();
        if is_due {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Takes what has queued, up to `group_bytes_max` but at least one append. Reports `Idle` when
    /// nothing came for `idle`.
    pub(super) fn next(&self, group_bytes_max: usize, idle: Option<Duration>) -> Work {
        let mut state = self.state.lock();
        while !self.is_due(&state) && !state.closed {
            match idle {
                Some(idle) if self.changed.wait_for(&mut state, idle).timed_out() => {
                    if state.appends.is_empty() && !state.closed {
                        return Work::Idle;
                    }
                    break;
                }
                Some(_) => {}
                None => self.changed.wait(&mut state),
            }
        }
        if state.appends.is_empty() {
            return Work::Closed;
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(append) = state.appends.front() {
            bytes += append.payload_bytes();
            if !group.is_empty() && bytes > group_bytes_max as u64 {
                break;
            }
            group.extend(state.pop());
        }
        Work::Group(group)
    }

    fn is_due(&self, state: &State) -> bool {
        let is_wanted = self.waiting.load(Ordering::Relaxed) > 0 && !state.appends.is_empty();
        is_wanted || state.is_due()
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

/// Counts a caller until it is dropped.
struct Waiting<'q>(&'q AtomicUsize);

impl<'q> Waiting<'q> {
    fn new(count: &'q AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
