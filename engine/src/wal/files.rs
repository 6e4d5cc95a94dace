//! Which files the log has: the state that writing, housekeeping and status share.
//!
//! Only the writer adds files and only housekeeping takes released ones away, so neither needs
//! the lock while it works on the disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Lsn, WalFileStatus, WalStatus};

#[cfg(test)]
mod tests;

/// How long housekeeping leaves a full disk alone before it tries to prepare a file again.
const PREPARE_PAUSE: Duration = Duration::from_secs(10);

/// Digits of a number in a name: enough for every number, so that names sort as numbers do.
const NAME_DIGITS: usize = 20;

/// What a file in the log's folder is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileRole {
    /// Part of the log.
    Log,
    /// To be used next; its content means nothing.
    Spare,
}

/// Name of a file of the log.
pub(super) fn log_name(number: u64) -> String {
    format!("{number:0NAME_DIGITS$}.wal")
}

/// Name of a file to be used next.
pub(super) fn spare_name(number: u64) -> String {
    format!("{number:0NAME_DIGITS$}.spare")
}

/// Name of a file that a repair took out of the log; kept for the operator, never read.
pub(super) fn dropped_name(number: u64) -> String {
    format!("{number:0NAME_DIGITS$}.wal.dropped")
}

/// Number and role, if the name is one of ours.
pub(super) fn parse_name(name: &str) -> Option<(u64, FileRole)> {
    let (_, suffix) = name.split_once('.')?;
    let number = name_number(name)?;
    match suffix {
        "wal" => Some((number, FileRole::Log)),
        "spare" => Some((number, FileRole::Spare)),
        _ => None,
    }
}

/// The number at the start of any name of ours, dropped files included.
pub(super) fn name_number(name: &str) -> Option<u64> {
    let (digits, _) = name.split_once('.')?;
    let is_ours = digits.len() == NAME_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    is_ours.then(|| digits.parse().ok())?
}

/// A file of the log and how much of it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogFile {
    pub(super) number: u64,
    pub(super) first_lsn: Lsn,
    /// The frame after the last one.
    pub(super) end_lsn: Lsn,
    /// In use, header included.
    pub(super) used_bytes: u64,
}

/// A file that is not part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spare {
    pub(super) number: u64,
    /// Bytes from the start that lie in written blocks, so that a write there needs no metadata.
    pub(super) filled_bytes: u64,
}

/// Something for housekeeping to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chore {
    /// Files may have become releasable.
    Release,
    /// A file should be made ready.
    Prepare,
    /// The log is being closed.
    Stop,
}

#[derive(Debug)]
struct State {
    sealed: VecDeque<LogFile>,
    current: LogFile,
    ready: Vec<Spare>,
    unprepared: Vec<Spare>,
    /// Frames from here on are still wanted.
    keep_from: Lsn,
    release_asked: bool,
    prepare_failed: bool,
    stopping: bool,
}

impl State {
    fn next_chore(&mut self) -> Option<Chore> {
        if self.stopping {
            return Some(Chore::Stop);
        }
        if std::mem::take(&mut self.release_asked) {
            return Some(Chore::Release);
        }
        let wanted = self.ready.is_empty() || !self.unprepared.is_empty();
        (wanted && !self.prepare_failed).then_some(Chore::Prepare)
    }
}

/// The files of one log.
#[derive(Debug)]
pub(super) struct LogFiles {
    state: Mutex<State>,
    chore: Condvar,
    next_number: AtomicU64,
    written_lsn: AtomicU64,
    durable_lsn: AtomicU64,
}

impl LogFiles {
    pub(super) fn new(
        sealed: VecDeque<LogFile>,
        current: LogFile,
        ready: Vec<Spare>,
        next_number: u64,
    ) -> Self {
        let last = current.end_lsn - 1;
        Self {
            state: Mutex::new(State {
                sealed,
                current,
                ready,
                unprepared: Vec::new(),
                keep_from: 0,
                release_asked: false,
                prepare_failed: false,
                stopping: false,
            }),
            chore: Condvar::new(),
            next_number: AtomicU64::new(next_number),
            written_lsn: AtomicU64::new(last),
            durable_lsn: AtomicU64::new(last),
        }
    }

    /// A number no file had before.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn written_lsn(&self) -> Lsn {
        self.written_lsn.load(Ordering::Acquire)
    }

    pub(super) fn durable_lsn(&self) -> Lsn {
        self.durable_lsn.load(Ordering::Acquire)
    }

    pub(super) fn set_durable(&self, lsn: Lsn) {
        self.durable_lsn.store(lsn, Ordering::Release);
    }

    /// Records what was written to the current file.
    pub(super) fn set_written(&self, end_lsn: Lsn, used_bytes: u64) {
        let mut state = self.state.lock();
        state.current.end_lsn = end_lsn;
        state.current.used_bytes = used_bytes;
        self.written_lsn.store(end_lsn - 1, Ordering::Release);
    }

    /// Number of the current file, and bytes in use in it.
    pub(super) fn position(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.current.number, state.current.used_bytes)
    }

    /// Sets the first file of this start; it has no frames yet.
    pub(super) fn set_current(&self, current: LogFile) {
        self.state.lock().current = current;
    }

    /// Seals the current file and goes on with `next`.
    pub(super) fn start_file(&self, next: LogFile) {
        let mut state = self.state.lock();
        let sealed = std::mem::replace(&mut state.current, next);
        state.sealed.push_back(sealed);
        state.release_asked = true;
        self.chore.notify_all();
    }

    /// A file to be used next, if one is ready; housekeeping then prepares another.
    pub(super) fn take_ready(&self) -> Option<Spare> {
        let mut state = self.state.lock();
        let spare = state.ready.pop();
        state.prepare_failed = false;
        self.chore.notify_all();
        spare
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.state.lock().ready.is_empty()
    }

    /// Gives a file back that was taken, or adds one that was prepared.
    pub(super) fn add_ready(&self, spare: Spare) {
        self.state.lock().ready.push(spare);
    }

    /// Allows files wholly below `keep_from` to be released. Never goes back.
    pub(super) fn ask_release(&self, keep_from: Lsn) {
        let mut state = self.state.lock();
        if keep_from > state.keep_from {
            state.keep_from = keep_from;
            state.release_asked = true;
            state.prepare_failed = false;
            self.chore.notify_all();
        }
    }

    /// The oldest file, if nothing in it is wanted any more, and whether to keep it for reuse.
    pub(super) fn releasable(&self, recycled_files_max: usize) -> Option<(LogFile, bool)> {
        let state = self.state.lock();
        let oldest = state
            .sealed
            .front()
            .filter(|file| file.end_lsn <= state.keep_from)?;
        let spares = state.ready.len() + state.unprepared.len();
        Some((*oldest, spares < recycled_files_max.max(1)))
    }

    /// Takes the oldest file out of the list once it has lost its name durably.
    pub(super) fn released(&self, reuse: Option<Spare>) {
        let mut state = self.state.lock();
        state.sealed.pop_front();
        state.unprepared.extend(reuse);
    }

    /// A file to prepare: a released one, or `None` inside if a new one has to be made.
    pub(super) fn to_prepare(&self) -> Option<Option<Spare>> {
        let mut state = self.state.lock();
        match state.unprepared.pop() {
            Some(spare) => Some(Some(spare)),
            None => state.ready.is_empty().then_some(None),
        }
    }

    /// Leaves a file that is prepared in part, and preparing, alone for a while.
    pub(super) fn prepare_later(&self, spare: Spare) {
        let mut state = self.state.lock();
        state.unprepared.push(spare);
        state.prepare_failed = true;
    }

    /// Leaves preparing alone for a while, or until a file is taken or released.
    pub(super) fn prepare_failed(&self) {
        self.state.lock().prepare_failed = true;
    }

    /// Blocks until there is something to do.
    pub(super) fn wait_for_chore(&self) -> Chore {
        let mut state = self.state.lock();
        loop {
            if let Some(chore) = state.next_chore() {
                return chore;
            }
            if state.prepare_failed {
                let timeout = self.chore.wait_for(&mut state, PREPARE_PAUSE);
                state.prepare_failed &= !timeout.timed_out();
            } else {
                self.chore.wait(&mut state);
            }
        }
    }

    /// What there is to do now.
    #[cfg(test)]
    pub(super) fn next_chore(&self) -> Option<Chore> {
        self.state.lock().next_chore()
    }

    /// Ends housekeeping.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.chore.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Bytes in use in all files.
    pub(super) fn bytes(&self) -> u64 {
        let state = self.state.lock();
        state.sealed.iter().map(|file| file.used_bytes).sum::<u64>() + state.current.used_bytes
    }

    pub(super) fn status(&self, poisoned: bool) -> WalStatus {
        let state = self.state.lock();
        let files: Vec<_> = state
            .sealed
            .iter()
            .chain([&state.current])
            .map(file_status)
            .collect();
        WalStatus {
            bytes: files.iter().map(|file| file.bytes).sum(),
            files,
            recycled_files: state.ready.len() + state.unprepared.len(),
            written_lsn: self.written_lsn(),
            durable_lsn: self.durable_lsn(),
            poisoned,
        }
    }
}

fn file_status(file: &LogFile) -> WalFileStatus {
    WalFileStatus {
        name: log_name(file.number),
        first_lsn: file.first_lsn,
        last_lsn: file.end_lsn - 1,
        bytes: file.used_bytes,
    }
}
