//! The byte budget of rows that are not in segments yet.
//!
//! Two kinds of bytes count against one limit: *uncommitted* rows of open streams and transactions,
//! and *committed* rows in memtables. A flush frees committed bytes; a stream that holds much frees
//! its own by writing segments (`ingest/stream.rs`). An append waits for either, for a time, and is
//! then refused: many that each hold a little must not wait for each other forever.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::{EngineError, Result};

#[derive(Debug, Default)]
struct Used {
    uncommitted_bytes: u64,
    committed_bytes: u64,
}

/// A limit on bytes, shared by the appends it holds back.
#[derive(Debug)]
pub(crate) struct Budget {
    name: &'static str,
    bytes_max: u64,
    used: Mutex<Used>,
    freed: Notify,
    wanted: Notify,
}

impl Budget {
    pub(crate) fn new(name: &'static str, bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            name,
            bytes_max,
            used: Mutex::default(),
            freed: Notify::new(),
            wanted: Notify::new(),
        })
    }

    /// Completes when an append waits for a flush.
    pub(crate) async fn flush_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Bytes in use: (uncommitted, committed).
    pub(crate) fn used_bytes(&self) -> (u64, u64) {
        let used = self.used.lock();
        (used.uncommitted_bytes, used.committed_bytes)
    }

    fn add_committed(&self, bytes: u64) {
        self.used.lock().committed_bytes += bytes;
    }

    fn free_committed(&self, bytes: u64) {
        let mut used = self.used.lock();
        assert!(
            used.committed_bytes >= bytes,
            "freed more committed bytes than were counted"
        );
        used.committed_bytes -= bytes;
        drop(used);
        self.freed.notify_waiters();
    }

    /// Takes `bytes` if there is room, waiting up to `wait` for a flush to make some.
    async fn take(&self, bytes: u64, wait: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let freed = self.freed.notified();
            if self.try_take(bytes)? {
                return Ok(());
            }
            self.wanted.notify_one();
            if wait.is_zero() || tokio::time::timeout_at(deadline, freed).await.is_err() {
                return Err(self.overloaded(bytes));
            }
        }
    }

    /// Takes `bytes` when they fit; fails at once when they never could.
    fn try_take(&self, bytes: u64) -> Result<bool> {
        if bytes > self.bytes_max {
            return Err(self.overloaded(bytes));
        }
        let mut used = self.used.lock();
        let fits = used.uncommitted_bytes + used.committed_bytes + bytes <= self.bytes_max;
        if fits {
            used.uncommitted_bytes += bytes;
        }
        Ok(fits)
    }

    fn overloaded(&self, bytes: u64) -> EngineError {
        EngineError::Overloaded {
            message: format!(
                "{bytes} more bytes of rows do not fit into the {} of {} bytes; \
                 send smaller streams or raise the limit",
                self.name, self.bytes_max
            ),
            retry_after_ms: 1000,
        }
    }

    fn free_uncommitted(&self, bytes: u64) {
        let mut used = self.used.lock();
        assert!(
            used.uncommitted_bytes >= bytes,
            "freed more bytes than were reserved"
        );
        used.uncommitted_bytes -= bytes;
        drop(used);
        self.freed.notify_waiters();
    }

    fn commit(&self, bytes: u64) {
        let mut used = self.used.lock();
        assert!(
            used.uncommitted_bytes >= bytes,
            "committed more bytes than were reserved"
        );
        used.uncommitted_bytes -= bytes;
        used.committed_bytes += bytes;
    }
}

/// Uncommitted bytes held in the node's and the tenant's budget; freed when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budgets: [Arc<Budget>; 2],
    bytes: u64,
}

impl Reservation {
    /// Nothing yet.
    pub(crate) fn new(node: &Arc<Budget>, tenant: &Arc<Budget>) -> Self {
        Self {
            budgets: [Arc::clone(node), Arc::clone(tenant)],
            bytes: 0,
        }
    }

    /// Takes `bytes` more, waiting up to `wait` for a flush.
    ///
    /// # Errors
    /// `Overloaded` when the rows do not fit.
    pub(crate) async fn grow(&mut self, bytes: u64, wait: Duration) -> Result<()> {
        let [node, tenant] = &self.budgets;
        tenant.take(bytes, wait).await?;
        // Whoever waits for the node's budget may give up at any time.
        let mut taken = Taken {
            budget: tenant,
            bytes,
        };
        node.take(bytes, wait).await?;
        taken.bytes = 0;
        self.bytes += bytes;
        Ok(())
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives everything back: the rows are in segments.
    pub(crate) fn free(&mut self) {
        for budget in &self.budgets {
            budget.free_uncommitted(self.bytes);
        }
        self.bytes = 0;
    }

    /// The rows are in a memtable now: their bytes are freed when it and all its views are gone.
    pub(crate) fn commit(mut self) -> CommittedBytes {
        let bytes = std::mem::take(&mut self.bytes);
        for budget in &self.budgets {
            budget.commit(bytes);
        }
        CommittedBytes {
            budgets: [Arc::clone(&self.budgets[0]), Arc::clone(&self.budgets[1])],
            bytes,
        }
    }
}

/// Bytes of one budget that go back unless all budgets gave theirs.
struct Taken<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.budget.free_uncommitted(self.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for budget in &self.budgets {
            budget.free_uncommitted(self.bytes);
        }
    }
}

/// Bytes of committed rows, counted until dropped.
#[derive(Debug)]
pub(crate) struct CommittedBytes {
    budgets: [Arc<Budget>; 2],
    bytes: u64,
}

impl CommittedBytes {
    /// Counts rows that recovery found in the log; these are never refused.
    pub(crate) fn recovered(node: &Arc<Budget>, tenant: &Arc<Budget>, bytes: u64) -> Self {
        node.add_committed(bytes);
        tenant.add_committed(bytes);
        Self {
            budgets: [Arc::clone(node), Arc::clone(tenant)],
            bytes,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for CommittedBytes {
    fn drop(&mut self) {
        for budget in &self.budgets {
            budget.free_committed(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
