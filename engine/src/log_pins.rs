//! What keeps WAL files that hold rows of streams which are not committed yet.
//!
//! A stream may stay open for long, and the log is shared: when it is full, the streams that hold
//! its oldest part are given up, so that one slow writer does not stop all others. A stream that has
//! begun to commit is never given up, and one that was given up can never commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::error::{EngineError, Result};
use crate::wal::Lsn;

#[cfg(test)]
mod tests;

/// The pins of one tenant.
#[derive(Debug, Default)]
pub(crate) struct LogPins {
    streams: Arc<Mutex<BTreeMap<Uuid, Pinned>>>,
}

#[derive(Debug)]
struct Pinned {
    lsn: Lsn,
    is_committing: bool,
}

impl LogPins {
    /// Keeps the log from `lsn` on until the pin is dropped or given up.
    pub(crate) fn pin(&self, stream_id: Uuid, lsn: Lsn) -> LogPin {
        let pinned = Pinned {
            lsn,
            is_committing: false,
        };
        self.streams.lock().insert(stream_id, pinned);
        LogPin {
            streams: Arc::clone(&self.streams),
            stream_id,
            lsn,
        }
    }

    /// The lowest LSN that a stream needs.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        self.streams.lock().values().map(|pinned| pinned.lsn).min()
    }

    /// Gives up the streams that began below `lsn` and returns how many.
    pub(crate) fn give_up_below(&self, lsn: Lsn) -> usize {
        let mut streams = self.streams.lock();
        let before = streams.len();
        streams.retain(|_, pinned| pinned.lsn >= lsn || pinned.is_committing);
        before - streams.len()
    }
}

/// Keeps WAL files that a stream has written to; released when dropped.
#[derive(Debug)]
pub(crate) struct LogPin {
    streams: Arc<Mutex<BTreeMap<Uuid, Pinned>>>,
    stream_id: Uuid,
    lsn: Lsn,
}

impl LogPin {
    pub(crate) fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// # Errors
    /// `Conflict` when the stream was given up.
    pub(crate) fn check(&self) -> Result<()> {
        match self.streams.lock().contains_key(&self.stream_id) {
            true => Ok(()),
            false => Err(given_up()),
        }
    }

    /// From here on the stream is not given up.
    ///
    /// # Errors
    /// `Conflict` when it was.
    pub(crate) fn begin_commit(&self) -> Result<()> {
        match self.streams.lock().get_mut(&self.stream_id) {
            Some(pinned) => {
                pinned.is_committing = true;
                Ok(())
            }
            None => Err(given_up()),
        }
    }
}

impl Drop for LogPin {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.stream_id);
    }
}

fn given_up() -> EngineError {
    EngineError::Conflict {
        message:
            "the stream was open for so long that the write-ahead log ran full, and was given \
                  up: send it again, or raise wal.bytes_max"
                .to_owned(),
    }
}
