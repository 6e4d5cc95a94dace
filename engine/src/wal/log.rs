//! The log on threads: one writes, one reports in order, one keeps house.
//!
//! Guarantees that `done` callbacks run in the order of the appends, each after its frames are as
//! durable as was asked, and that after a failed write or sync every waiter and every later append
//! is told so. All logic of what is written lies in `core`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::core::{WalCore, payload_bytes_max};
use super::error::WalError;
use super::files::LogFiles;
use super::housekeeping::Housekeeper;
use super::queue::{Append, Queue, Reservation, Work};
use super::recovery::open;
use super::{Frame, Lsn, Replay, WalSettings, WalStatus};
use crate::storage_fs::StorageFs;

#[cfg(test)]
mod tests;

/// An idle log writes its durability mark after this time.
const IDLE_MARK_AFTER: Duration = Duration::from_millis(100);

/// Larger groups are reported by the sequencer while the next group is written.
const OWN_REPORTS_MAX: usize = 8;

/// Told the number of an append's first frame, or why it may not be durable. Must be quick and
/// must not panic: a panic poisons the log, for nobody knows what it left undone.
pub(crate) type Done = Box<dyn FnOnce(Result<Lsn, WalError>) + Send>;

/// A write-ahead log that is open for appending.
pub(crate) struct Wal {
    shared: Arc<Shared>,
    payload_bytes_max: u64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queue: Queue,
    files: Arc<LogFiles>,
    failure: OnceLock<WalError>,
    /// Groups that the sequencer has not reported to the end.
    reports: AtomicUsize,
}

impl Wal {
    /// Opens the log in `settings.dir` with a new file, and gives back what it holds. `seed` must
    /// differ between starts. With `repair`, a damaged log is cut at the damage.
    ///
    /// # Errors
    /// `Corrupt` for damage, `Version` for another format, `Settings`, and `Io` or `Poisoned` for a
    /// failing disk.
    pub(crate) fn open(
        settings: WalSettings,
        fs: Arc<dyn StorageFs>,
        seed: u64,
        repair: bool,
    ) -> Result<(Self, Replay), WalError> {
        let group_bytes_max = settings.group_bytes_max;
        let queue = Queue::new(settings.queue_bytes_max);
        let payload_bytes_max = payload_bytes_max(&settings);
        let opened = open(settings, fs, seed, repair)?;
        let shared = Arc::new(Shared {
            queue,
            files: opened.files,
            failure: OnceLock::new(),
            reports: AtomicUsize::new(0),
        });
        let wal = Self {
            shared: Arc::clone(&shared),
            payload_bytes_max,
            threads: Mutex::default(),
        };
        let (reports, to_report) = channel();
        let (for_writer, for_sequencer) = (Arc::clone(&shared), Arc::clone(&shared));
        let (core, housekeeper) = (opened.core, opened.housekeeper);
        // If one cannot be started, dropping `wal` ends those that were.
        wal.start("wal-writer", move || {
            write(core, &for_writer, group_bytes_max, &reports)
        })?;
        wal.start("wal-sequencer", move || report(&for_sequencer, &to_report))?;
        wal.start("wal-files", move || keep_house(&housekeeper, &shared))?;
        let WalStatus {
            files,
            bytes,
            recycled_files,
            written_lsn,
            durable_lsn,
            poisoned: _,
        } = wal.status();
        let files = files.len();
        tracing::info!(
            files,
            bytes,
            recycled_files,
            written_lsn,
            durable_lsn,
            "WAL opened"
        );
        Ok((wal, opened.replay))
    }

    /// As [`Self::open`], but without threads: whoever holds the [`WalSteps`] does their work.
    ///
    /// # Errors
    /// As [`Self::open`].
    #[cfg(test)]
    pub(crate) fn open_stepped(
        settings: WalSettings,
        fs: Arc<dyn StorageFs>,
        seed: u64,
    ) -> Result<(Self, Replay, WalSteps), WalError> {
        let group_bytes_max = settings.group_bytes_max;
        let queue = Queue::new(settings.queue_bytes_max);
        let payload_bytes_max = payload_bytes_max(&settings);
        let opened = open(settings, fs, seed, false)?;
        let shared = Arc::new(Shared {
            queue,
            files: opened.files,
            failure: OnceLock::new(),
            reports: AtomicUsize::new(0),
        });
        let steps = WalSteps {
            core: opened.core,
            housekeeper: opened.housekeeper,
            shared: Arc::clone(&shared),
            group_bytes_max,
        };
        let wal = Self {
            shared,
            payload_bytes_max,
            threads: Mutex::default(),
        };
        Ok((wal, opened.replay, steps))
    }

    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), WalError> {
        let thread = thread::Builder::new().name(name.into()).spawn(run);
        let thread = thread.map_err(|error| WalError::io("start a thread for", name, error))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Waits for room in the queue.
    ///
    /// # Errors
    /// `Poisoned` or `Closed`.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reservation, WalError> {
        let reservation = self.shared.queue.reserve(bytes).await;
        reservation.ok_or_else(|| self.shared.refusal())
    }

    /// Queues frames behind all earlier ones; never blocks. `done` runs on one of the log's threads
    /// once they are written, and durable if `sync` is set; in the order of the calls. Few frames
    /// without `sync` are written when something that needs one follows, or when the log closes.
    ///
    /// # Errors
    /// `Poisoned`, `Closed` or `FrameTooLarge`; `done` is then dropped without being called.
    pub(crate) fn append(
        &self,
        reservation: Reservation,
        frames: Vec<Frame>,
        sync: bool,
        done: Done,
    ) -> Result<(), WalError> {
        if let Some(failure) = self.shared.failure.get() {
            return Err(failure.clone());
        }
        // Checked here too, so that a frame too large fails alone and does not stop the log.
        let bytes_max = self.payload_bytes_max;
        if let Some(bytes) = frames
            .iter()
            .map(Frame::payload_bytes)
            .find(|b| *b > bytes_max)
        {
            return Err(WalError::FrameTooLarge { bytes, bytes_max });
        }
        let pushed = self.shared.queue.push(Append {
            frames,
            sync,
            done,
            reservation,
        });
        pushed.map_err(|_| self.shared.refusal())
    }

    /// Frames below `keep_from` are not wanted any more: files wholly below it are recycled or
    /// removed in the background. Call it only after replay has run.
    pub(crate) fn release(&self, keep_from: Lsn) {
        self.shared.files.ask_release(keep_from);
    }

    /// The state of the log. Once it is poisoned the process must stop: only a new start can tell
    /// what is on disk.
    pub(crate) fn status(&self) -> WalStatus {
        self.shared
            .files
            .status(self.shared.failure.get().is_some())
    }

    /// Bytes in use in all files, as in [`Wal::status`] but cheaper.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.files.bytes()
    }

    /// The last frame written, as in [`Wal::status`] but cheaper.
    pub(crate) fn written_lsn(&self) -> Lsn {
        self.shared.files.written_lsn()
    }

    /// The largest payload a frame can have.
    pub(crate) fn payload_bytes_max(&self) -> u64 {
        self.payload_bytes_max
    }

    /// Writes what is queued, makes everything durable, and ends the threads. Blocks; does nothing
    /// the second time.
    pub(crate) fn close(&self) {
        self.shared.queue.close();
        self.shared.files.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        let own = thread::current().id();
        // A callback may hold the last reference to the log: its thread cannot wait for itself,
        // nor for those that end after it.
        if threads.iter().any(|thread| thread.thread().id() == own) {
            return;
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the WAL panicked");
            }
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Stops the log for good; the first reason stays.
    fn poison(&self, error: WalError) {
        if self.failure.set(error.clone()).is_ok() {
            tracing::error!(error = %WithSource(&error), "the WAL is poisoned");
            self.queue.refuse();
        }
    }

    fn refusal(&self) -> WalError {
        self.failure.get().cloned().unwrap_or(WalError::Closed)
    }
}

/// The work of the log's threads, done step by step by a test.
#[cfg(test)]
pub(crate) struct WalSteps {
    core: WalCore,
    housekeeper: Housekeeper,
    shared: Arc<Shared>,
    group_bytes_max: usize,
}

#[cfg(test)]
impl WalSteps {
    /// Writes and reports one group; whether there was any.
    pub(crate) fn write(&mut self) -> bool {
        // The shortest wait there is: nobody else is there to be waited for.
        let no_wait = Some(Duration::ZERO);
        let Work::Group(group) = self.shared.queue.next(self.group_bytes_max, no_wait) else {
            return false;
        };
        let (reports, to_report) = channel();
        self.shared.reports.fetch_add(1, Ordering::Release);
        let _received = reports.send(write_group(&mut self.core, &self.shared, group));
        drop(reports);
        report(&self.shared, &to_report);
        true
    }

    /// Notified of every append.
    pub(crate) fn pushed(&self) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.shared.queue.pushed)
    }

    /// Does what the writer does when nobody has written for a while.
    pub(crate) fn idle(&mut self) {
        if self.core.mark_due() {
            poison_on_error(&self.shared, self.core.write_mark());
        }
    }

    /// Releases and prepares files.
    pub(crate) fn keep_house(&self) {
        poison_on_error(&self.shared, self.housekeeper.release());
        self.housekeeper.prepare();
    }
}

struct WithSource<'a>(&'a WalError);

impl fmt::Display for WithSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match std::error::Error::source(self.0) {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

/// What the sequencer tells the callers of one group.
type Report = Vec<(Done, Result<Lsn, WalError>, Reservation)>;

/// The writer thread: a group forms while the one before it is being synced.
fn write(mut core: WalCore, shared: &Shared, group_bytes_max: usize, reports: &Sender<Report>) {
    loop {
        let idle = core.mark_due().then_some(IDLE_MARK_AFTER);
        match shared.queue.next(group_bytes_max, idle) {
            Work::Group(group) => {
                let report = write_group(&mut core, shared, group);
                // Waking the sequencer takes longer than reporting few appends, in their order, here.
                if report.len() <= OWN_REPORTS_MAX && shared.reports.load(Ordering::Acquire) == 0 {
                    report_group(shared, report);
                    continue;
                }
                shared.reports.fetch_add(1, Ordering::Relaxed);
                // The sequencer ends only after this thread.
                let _ = reports.send(report);
            }
            Work::Idle => poison_on_error(shared, core.write_mark()),
            Work::Closed => {
                if core.mark_due() {
                    poison_on_error(shared, core.write_mark());
                }
                return;
            }
        }
    }
}

fn write_group(core: &mut WalCore, shared: &Shared, group: Vec<Append>) -> Report {
    // A panic or a failed folder sync elsewhere stops the writer as well.
    let usable = shared.failure.get().cloned().map_or(Ok(()), Err);
    let written = usable.and_then(|()| {
        let frames: Vec<&Frame> = group.iter().flat_map(|append| &append.frames).collect();
        let first = core.write(&frames)?;
        if group.iter().any(|append| append.sync) {
            core.sync()?;
        }
        Ok(first)
    });
    if let Err(error) = &written {
        shared.poison(error.clone());
    }
    let mut before = 0;
    group
        .into_iter()
        .map(|append| {
            let first = written.clone().map(|lsn| lsn + before);
            before += append.frames.len() as Lsn;
            (append.done, first, append.reservation)
        })
        .collect()
}

fn poison_on_error(shared: &Shared, result: Result<(), WalError>) {
    if let Err(error) = result {
        shared.poison(error);
    }
}

/// The sequencer thread.
fn report(shared: &Shared, reports: &Receiver<Report>) {
    for report in reports {
        report_group(shared, report);
        shared.reports.fetch_sub(1, Ordering::Release);
    }
}

fn report_group(shared: &Shared, report: Report) {
    for (done, result, reservation) in report {
        if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
            let panicked = std::io::Error::other("a callback of the log panicked");
            shared.poison(WalError::poisoned("publish", panicked));
        }
        drop(reservation);
    }
}

/// The thread that releases and prepares files.
fn keep_house(housekeeper: &Housekeeper, shared: &Shared) {
    poison_on_error(shared, housekeeper.run());
}
