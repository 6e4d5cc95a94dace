//! What all tenants of a node share.

use std::sync::Arc;
use std::time::Duration;

use quiver_catalog::Clock;
use tokio::sync::{Notify, Semaphore};

use crate::error::{EngineError, Result};
use crate::settings::EngineSettings;
use crate::storage_fs::{CrashPoint, Folders, StorageFs};
use crate::task::others_turn;
use crate::tenant::Tenant;
use crate::wal::{Frame, Lsn, Wal};
use crate::write_buffer::{Budget, Reservation};

/// Streams that write segments at the same time.
pub(crate) const SPILLS_MAX: usize = 2;

/// The parts of an engine that do not belong to one tenant.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) settings: EngineSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fs: Arc<dyn StorageFs>,
    pub(crate) folders: Arc<Folders>,
    pub(crate) wal: Wal,
    pub(crate) budget: Arc<Budget>,
    /// Places for streams that write segments: each holds an encoded row group in memory.
    pub(crate) spills: Semaphore,
    /// Places for compactions.
    pub(crate) compactions: Semaphore,
    log_room_wanted: Notify,
    log_room_made: Notify,
}

impl Node {
    pub(crate) fn new(
        settings: EngineSettings,
        clock: Arc<dyn Clock>,
        fs: Arc<dyn StorageFs>,
        wal: Wal,
    ) -> Self {
        let budget = Budget::new("node's write buffer", settings.buffer_bytes_max);
        let folders = Folders::new(Arc::clone(&fs), &settings.data_dir);
        Self {
            compactions: Semaphore::new(settings.compactions_max.max(1)),
            settings,
            clock,
            fs,
            folders: Arc::new(folders),
            wal,
            budget,
            spills: Semaphore::new(SPILLS_MAX),
            log_room_wanted: Notify::new(),
            log_room_made: Notify::new(),
        }
    }

    /// Waits while the log is over its cap, for a flush to release some of it.
    ///
    /// # Errors
    /// `Overloaded` when none did in time.
    pub(crate) async fn wait_for_log_room(&self) -> Result<()> {
        let wait = self.append_wait();
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let made = self.log_room_made.notified();
            if self.wal.bytes() <= self.settings.wal_bytes_max {
                return Ok(());
            }
            self.log_room_wanted.notify_one();
            if wait.is_zero() || tokio::time::timeout_at(deadline, made).await.is_err() {
                return Err(EngineError::Overloaded {
                    message: format!(
                        "the write-ahead log is at its limit of {} bytes",
                        self.settings.wal_bytes_max
                    ),
                    retry_after_ms: 1000,
                });
            }
        }
    }

    /// Completes when an ingest waits for room in the log.
    pub(crate) async fn log_room_wanted(&self) {
        self.log_room_wanted.notified().await;
    }

    /// Gives back the log below `keep_from`.
    pub(crate) fn release_log(&self, keep_from: Lsn) {
        self.wal.release(keep_from);
        // Whoever is told of a crash here has nothing to do any more.
        let _crashed = self.fs.reached(CrashPoint::LogReleased);
        self.log_room_made.notify_waiters();
    }

    /// # Errors
    /// `Unavailable` when the log has failed: a row commit may have taken a sequence that was never
    /// published, and nothing may be committed with that one again.
    pub(crate) fn check_log(&self) -> Result<()> {
        match self.wal.status().poisoned {
            false => Ok(()),
            true => Err(EngineError::Unavailable {
                message: "the write-ahead log has failed; restart the server".to_owned(),
            }),
        }
    }

    /// The caller has come to `point`, where tests crash, or let others go first.
    ///
    /// # Errors
    /// Leave at once, without a further change.
    pub(crate) async fn reached(&self, point: CrashPoint) -> Result<()> {
        self.fs.reached(point).map_err(|source| EngineError::Io {
            action: point.name(),
            path: self.settings.data_dir.clone(),
            source,
        })?;
        others_turn().await;
        Ok(())
    }

    pub(crate) fn now_micros(&self) -> i64 {
        self.clock.now_micros()
    }

    pub(crate) fn append_wait(&self) -> Duration {
        Duration::from_millis(self.settings.append_wait_ms)
    }

    pub(crate) fn reservation(&self, tenant: &Tenant) -> Reservation {
        Reservation::new(&self.budget, tenant.budget())
    }

    /// Queues frames and waits until they are written, or synced if `sync`.
    pub(crate) async fn append(&self, frames: Vec<Frame>, sync: bool) -> Result<Lsn> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let reservation = self.wal.reserve(frame_bytes(&frames)).await?;
        let done = Box::new(move |result| {
            // A caller that went away does not need the answer.
            let _gone = sender.send(result);
        });
        self.wal.append(reservation, frames, sync, done)?;
        match receiver.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(EngineError::Unavailable {
                message: "the write-ahead log stopped; restart the server".to_owned(),
            }),
        }
    }
}

/// Payload bytes of frames, for back-pressure.
pub(crate) fn frame_bytes(frames: &[Frame]) -> usize {
    frames
        .iter()
        .map(|frame| frame.payload_bytes() as usize)
        .sum()
}
