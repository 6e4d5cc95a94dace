//! Gives back what the log holds, in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Lsn;
use super::error::WalError;
use super::format::FileHeader;
use super::scan::{FoundFrame, Scan, aligned_copy, read_aligned};
use crate::storage_fs::StorageFs;

/// What was found when the log was opened. Nothing may be released before it has run.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(super) fs: Arc<dyn StorageFs>,
    pub(super) files: Vec<ReplayFile>,
    pub(super) cut_bytes: u64,
    pub(super) dropped_frames: u64,
}

/// The part of a file that belongs to the log.
#[derive(Debug)]
pub(super) struct ReplayFile {
    pub(super) path: PathBuf,
    pub(super) header: FileHeader,
    /// The frame after the last one.
    pub(super) end_lsn: Lsn,
    /// In use, header included.
    pub(super) used_bytes: u64,
}

/// What a replay did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplayStats {
    /// Files read.
    pub(crate) files: u64,
    /// Frames given back.
    pub(crate) frames: u64,
    /// Bytes of their payloads.
    pub(crate) bytes: u64,
    /// Bytes of a torn tail that were cut when the log was opened.
    pub(crate) cut_bytes: u64,
    /// Frames that a repair gave up.
    pub(crate) dropped_frames: u64,
    /// Time taken, the callback's included.
    pub(crate) elapsed: Duration,
}

impl Replay {
    /// Calls `apply` with number, kind and payload of every frame in order. A payload is a slice
    /// of its file's content, 64-byte aligned; keeping one keeps the whole file in memory.
    ///
    /// # Errors
    /// What `apply` returns, or the log's own when a file cannot be read or has changed since the
    /// log was opened.
    pub(crate) fn run<E: From<WalError>>(
        &self,
        mut apply: impl FnMut(Lsn, u8, Bytes) -> Result<(), E>,
    ) -> Result<ReplayStats, E> {
        #[expect(clippy::disallowed_methods, reason = "a duration for the log line")]
        let started = Instant::now();
        let mut stats = ReplayStats {
            cut_bytes: self.cut_bytes,
            dropped_frames: self.dropped_frames,
            ..ReplayStats::default()
        };
        for file in &self.files {
            let content = read_aligned(&*self.fs, &file.path, file.used_bytes)?;
            let mut scan = Scan::new(&content, &file.header);
            for frame in scan.by_ref().filter(|frame| !frame.header.is_mark) {
                stats.frames += 1;
                stats.bytes += frame.payload.len() as u64;
                apply(frame.header.lsn, frame.header.kind, frame.payload)?;
            }
            if scan.lsn != file.end_lsn {
                return Err(changed(file, &scan).into());
            }
            stats.files += 1;
        }
        stats.elapsed = started.elapsed();
        Ok(stats)
    }

    /// Calls `apply` with number and payload of the frames `wanted`, which are in order. A payload
    /// is to be kept: it takes no more than twice its own memory.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) fn read<E: From<WalError>>(
        &self,
        wanted: &[Lsn],
        mut apply: impl FnMut(Lsn, Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        for file in &self.files {
            let from = wanted.partition_point(|lsn| *lsn < file.header.first_lsn);
            let to = wanted.partition_point(|lsn| *lsn < file.end_lsn);
            let Some(last) = wanted[from..to].last() else {
                continue;
            };
            let content = read_aligned(&*self.fs, &file.path, file.used_bytes)?;
            let mut scan = Scan::new(&content, &file.header);
            let is_wanted =
                |frame: &FoundFrame| wanted[from..to].binary_search(&frame.header.lsn).is_ok();
            let before_end = scan.by_ref().take_while(|frame| frame.header.lsn <= *last);
            let found: Vec<_> = before_end.filter(is_wanted).collect();
            if found.len() < to - from {
                return Err(changed(file, &scan).into());
            }
            let bytes: usize = found.iter().map(|frame| frame.payload.len()).sum();
            let keeps_file = bytes >= content.len() / 2;
            for frame in found {
                let payload = match keeps_file {
                    true => frame.payload,
                    false => aligned_copy(&frame.payload),
                };
                apply(frame.header.lsn, payload)?;
            }
        }
        Ok(())
    }
}

/// The file is not what it was when the log was opened.
fn changed(file: &ReplayFile, scan: &Scan<'_>) -> WalError {
    WalError::Corrupt {
        path: file.path.clone(),
        offset: scan.offset as u64,
        lsn: scan.lsn,
    }
}
