//! The write-ahead log: frames of (kind, payload) in numbered files, durable in order.
//!
//! Guarantees: what was reported durable is replayed, wholly and in order, after any crash; nothing
//! is replayed that was not appended; a torn tail is cut; damage that can be told from a torn tail
//! is refused. Knows nothing of tenants, tables or Arrow.
//!
//! # Format, version 1 (little endian)
//!
//! A file `<number>.wal` is a file header and frames, each a multiple of 64 bytes.
//!
//! | file header | bytes | |
//! |---|---|---|
//! | magic | 0..8 | `QUIVRWAL` |
//! | version | 8..12 | 1 |
//! | crc | 12..16 | CRC32C of the other 60 bytes |
//! | number | 16..24 | counts up with every file |
//! | salt | 24..32 | random, new with each use of a recycled file |
//! | first LSN | 32..40 | of the first frame |
//! | predecessor's number, salt, bytes | 40..64 | the file before this one; 0 in the first |
//!
//! | frame | bytes | |
//! |---|---|---|
//! | salt | 0..8 | the file's |
//! | payload crc | 8..12 | CRC32C of the payload |
//! | header crc | 12..16 | CRC32C of the other 60 bytes of this block |
//! | payload bytes | 16..20 | |
//! | kind | 20 | the caller's |
//! | flags | 21 | 1: a durability mark of the log's own, not replayed |
//! | – | 22..24 | 0 |
//! | LSN | 24..32 | gapless over files and restarts; marks have one too |
//! | durable LSN | 32..40 | highest frame known to be durable when this was written |
//! | – | 40..64 | 0 |
//! | payload | 64.. | zero-padded to 64 bytes |
//!
//! Salt, length, LSN, kind and the payload's checksum lie under the header's checksum, so a stale
//! frame of a recycled file fails, as does a fresh header over a stale payload.
//!
//! # Why a torn tail can be told from damage
//!
//! * A file header names its predecessor and how far that one counts, and is written only when
//!   every frame before it is durable: a bad frame in a file that has a successor is damage.
//! * In the last file, frames after the bad one may have survived (un-synced writes persist in any
//!   order). If one of them carries a durable LSN at or above the bad frame's, that one was durable
//!   once: damage. If not, it was never reported durable: the log is cut there. An idle log writes
//!   a mark, so that its last frames are covered as well.
//! * A recovered file is never appended to. Its tail is written again and synced (after a failed
//!   sync the page cache may show what the disk does not have), then a new file is opened.
//!
//! # Why recycling cannot confuse
//!
//! A released file loses its name durably before its bytes may change: rename to `.spare`, sync
//! the folder, one file after the other from the oldest on, so that the files present are always
//! one unbroken chain. A spare gets its new header, is synced, and only then is renamed to
//! `.wal` and the folder synced. After a crash in between it is a spare, whose content nobody
//! reads; and a `.wal` file without a valid header is damage.
//!
//! # Parts
//!
//! [`core`] holds all logic of writing and is driven by one thread at a time; [`recovery`] opens
//! what is there; [`housekeeping`] releases and prepares files; [`log`] runs these on threads.

use std::path::PathBuf;

use bytes::Bytes;

mod chain;
mod core;
mod error;
mod files;
mod format;
mod housekeeping;
mod log;
mod queue;
mod recovery;
mod replay;
mod scan;

#[cfg(test)]
mod tests;

pub use error::WalError;
pub(crate) use log::Wal;
#[cfg(test)]
pub(crate) use log::WalSteps;
pub(crate) use replay::Replay;

/// Number of a frame: counts up by one from 1, over files and restarts. The log's own marks have
/// numbers too, so a caller sees gaps.
pub(crate) type Lsn = u64;

/// What goes into the log: a kind the caller chose, and a payload in pieces.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The caller's; given back by replay.
    pub(crate) kind: u8,
    /// Written one after the other without being copied together.
    pub(crate) parts: Vec<Bytes>,
}

impl Frame {
    /// Bytes of the payload.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

/// Settings of a log.
#[derive(Debug, Clone)]
pub(crate) struct WalSettings {
    /// Folder of the log's files; created if it is not there.
    pub(crate) dir: PathBuf,
    /// Size of one file; also bounds a frame.
    pub(crate) file_bytes: u64,
    /// Released files kept for reuse; one is kept ready in any case.
    pub(crate) recycled_files_max: usize,
    /// Bytes that may queue before the writer; more wait in [`Wal::reserve`].
    pub(crate) queue_bytes_max: usize,
    /// Bytes after which a group is written although more is queued.
    pub(crate) group_bytes_max: usize,
}

impl WalSettings {
    /// Defaults for a log in `dir`.
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            file_bytes: 128 << 20,
            recycled_files_max: 8,
            queue_bytes_max: 64 << 20,
            group_bytes_max: 4 << 20,
        }
    }

    fn validate(&self) -> Result<(), WalError> {
        let at_least = |setting, value: u64, minimum| {
            if value < minimum {
                return Err(WalError::Settings {
                    setting,
                    value,
                    minimum,
                });
            }
            Ok(())
        };
        at_least("file_bytes", self.file_bytes, 4096)?;
        at_least("queue_bytes_max", self.queue_bytes_max as u64, 1)?;
        at_least("group_bytes_max", self.group_bytes_max as u64, 1)
    }
}

/// State of a log at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct WalStatus {
    /// Files from the oldest to the one being written.
    pub(crate) files: Vec<WalFileStatus>,
    /// Bytes in use in these files together.
    pub(crate) bytes: u64,
    /// Files ready to be used next.
    pub(crate) recycled_files: usize,
    /// The last frame written.
    pub(crate) written_lsn: Lsn,
    /// The last frame known to be durable.
    pub(crate) durable_lsn: Lsn,
    /// Whether a write or sync failed.
    pub(crate) poisoned: bool,
}

/// One file in a [`WalStatus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalFileStatus {
    /// Name in the log's folder.
    pub(crate) name: String,
    /// First frame.
    pub(crate) first_lsn: Lsn,
    /// Last frame; below `first_lsn` in a file without frames.
    pub(crate) last_lsn: Lsn,
    /// Bytes in use, headers and padding included.
    pub(crate) bytes: u64,
}
