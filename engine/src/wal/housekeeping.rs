//! Releases files that nobody wants and keeps one ready to be used next.
//!
//! Guarantees that files lose their names from the oldest on, each durably before the next and
//! before its bytes change, and that a file called ready has only written blocks. Works beside the
//! writer; one caller at a time.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::WalSettings;
use super::error::WalError;
use super::files::{Chore, LogFile, LogFiles, Spare, log_name, spare_name};
use crate::storage_fs::StorageFs;

/// Zeros written and synced in one go; small, so that the writer's own syncs wait little.
const FILL_BYTES: u64 = 4 << 20;
/// Zeros in memory.
const ZEROS_BYTES: usize = 64 << 10;
static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];

/// How far a spare has come.
enum Filled {
    Whole(Spare),
    /// The writer needs the disk.
    Part(Spare),
    /// The log is being closed.
    Closed,
}

/// The part of a log that looks after its files.
#[derive(Debug)]
pub(super) struct Housekeeper {
    pub(super) fs: Arc<dyn StorageFs>,
    pub(super) settings: WalSettings,
    pub(super) files: Arc<LogFiles>,
}

impl Housekeeper {
    /// Works until the log is closed or the folder cannot be made durable.
    pub(super) fn run(&self) -> Result<(), WalError> {
        loop {
            match self.files.wait_for_chore() {
                Chore::Release => self.release()?,
                Chore::Prepare => self.prepare(),
                Chore::Stop => return Ok(()),
            }
        }
    }

    /// Releases the files below the LSN that was asked for.
    ///
    /// # Errors
    /// `Poisoned` if the folder cannot be synced: what is on disk is then unknown. A file that
    /// cannot be renamed stays and is tried again with the next release.
    pub(super) fn release(&self) -> Result<(), WalError> {
        let recycled_files_max = self.settings.recycled_files_max;
        while let Some((file, reuse)) = self.files.releasable(recycled_files_max) {
            let spare = match self.unname(&file, reuse) {
                Ok(spare) => spare,
                Err(error) => {
                    tracing::warn!(
                        file = log_name(file.number),
                        %error,
                        "a released WAL file could not be taken away"
                    );
                    return Ok(());
                }
            };
            let synced = self.fs.sync_dir(&self.settings.dir);
            synced.map_err(|error| WalError::poisoned("sync the folder", error))?;
            self.files.released(spare);
        }
        Ok(())
    }

    fn unname(&self, file: &LogFile, reuse: bool) -> io::Result<Option<Spare>> {
        let dir = &self.settings.dir;
        let path = dir.join(log_name(file.number));
        if !reuse || self.fs.open(&path)?.len()? > self.settings.file_bytes {
            self.fs.remove(&path)?;
            return Ok(None);
        }
        self.fs.rename(&path, &dir.join(spare_name(file.number)))?;
        Ok(Some(Spare {
            number: file.number,
            filled_bytes: file.used_bytes,
        }))
    }

    /// Makes one file ready: fills the unused end of a released one, or a new one, with zeros.
    pub(super) fn prepare(&self) {
        let Some(job) = self.files.to_prepare() else {
            return;
        };
        let number = job.map_or_else(|| self.files.next_number(), |spare| spare.number);
        let name = spare_name(number);
        let path = self.settings.dir.join(&name);
        let filled_bytes = job.map_or(0, |spare| spare.filled_bytes);
        let result = self.fill(number, job.is_none(), filled_bytes);
        match result {
            Ok(Filled::Whole(spare)) => self.files.add_ready(spare),
            Ok(Filled::Part(spare)) => self.files.prepare_later(spare),
            Ok(Filled::Closed) => {}
            Err(error) => {
                // Not fatal: without a spare the writer makes a file of its own.
                tracing::warn!(file = name, %error, "a WAL file could not be prepared");
                if let Err(error) = self.fs.remove(&path) {
                    tracing::warn!(file = name, %error, "an unusable WAL file could not be removed");
                }
                self.files.prepare_failed();
            }
        }
    }

    /// Whether much was written since the last look. A bulk load fills files faster than they can be
    /// prepared, and its few large syncs gain nothing from that: the disk is better left to it.
    pub(super) fn writer_is_busy(&self, seen: &mut (u64, u64)) -> bool {
        let (number, used_bytes) = self.files.position();
        let is_busy = number != seen.0 || used_bytes > seen.1 + FILL_BYTES;
        *seen = (number, used_bytes);
        is_busy
    }

    /// Zeros a spare from `from` to the end.
    fn fill(&self, number: u64, create: bool, from: u64) -> io::Result<Filled> {
        let path = self.settings.dir.join(spare_name(number));
        let file = if create {
            self.fs.create(&path)?
        } else {
            self.fs.open(&path)?
        };
        let mut at = from;
        let mut seen = self.files.position();
        while at < self.settings.file_bytes {
            if self.files.is_stopping() {
                return Ok(Filled::Closed);
            }
            let is_long = self.settings.file_bytes - at > FILL_BYTES;
            if is_long && self.writer_is_busy(&mut seen) {
                let filled_bytes = at;
                return Ok(Filled::Part(Spare {
                    number,
                    filled_bytes,
                }));
            }
            let step = FILL_BYTES.min(self.settings.file_bytes - at);
            let mut slices = Vec::new();
            let mut left = step as usize;
            while left > 0 {
                let piece = left.min(ZEROS_BYTES);
                slices.push(IoSlice::new(&ZEROS[..piece]));
                left -= piece;
            }
            file.write_at(at, &mut slices)?;
            file.sync_data()?;
            at += step;
        }
        Ok(Filled::Whole(Spare {
            number,
            filled_bytes: self.settings.file_bytes,
        }))
    }
}
