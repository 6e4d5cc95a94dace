//! What can go wrong in the write-ahead log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use quiver_catalog::ErrorKind;

use super::Lsn;

/// Why a call on the write-ahead log failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalError {
    /// Stored bytes are not what was written.
    #[error(
        "the write-ahead log file {} is damaged at byte {offset}, frame {lsn}; restore it, or \
         start once with --repair to cut the log there and lose what follows",
        path.display()
    )]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where the damaged frame starts in it.
        offset: u64,
        /// The frame's number; 0 if unknown.
        lsn: Lsn,
    },
    /// The file was written by another version of the format.
    #[error(
        "the write-ahead log file {} has format version {version}; start the version of Quiver \
         that wrote it and stop it cleanly first",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// A file system call failed while the log was opened or read.
    #[error("cannot {action} {}; check the disk and its permissions", path.display())]
    Io {
        /// Verb, for example `open`.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: Arc<io::Error>,
    },
    /// A write or sync failed; whatever was not acknowledged may or may not be on disk.
    #[error(
        "the write-ahead log stopped because it could not {action}; restart after checking the disk"
    )]
    Poisoned {
        /// Verb, for example `sync a file`.
        action: &'static str,
        /// The system's answer.
        #[source]
        source: Arc<io::Error>,
    },
    /// The log was closed.
    #[error("the write-ahead log is closed; the server is stopping")]
    Closed,
    /// A frame does not fit in a file.
    #[error(
        "a frame of {bytes} bytes is over the log's limit of {bytes_max}; send smaller batches"
    )]
    FrameTooLarge {
        /// Size of the refused frame's payload.
        bytes: u64,
        /// The largest payload.
        bytes_max: u64,
    },
    /// Settings that cannot work.
    #[error("the write-ahead log's {setting} is {value}, it must be at least {minimum}")]
    Settings {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: u64,
        /// The smallest value that works.
        minimum: u64,
    },
}

impl WalError {
    /// The kind that decides what a client should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } => ErrorKind::Corruption,
            Self::Version { .. } => ErrorKind::Precondition,
            Self::Io { .. } => ErrorKind::Internal,
            Self::Poisoned { .. } | Self::Closed => ErrorKind::Unavailable,
            Self::FrameTooLarge { .. } | Self::Settings { .. } => ErrorKind::InvalidArgument,
        }
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn poisoned(action: &'static str, source: io::Error) -> Self {
        Self::Poisoned {
            action,
            source: Arc::new(source),
        }
    }
}
