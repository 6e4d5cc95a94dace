//! Idempotency keys of a tenant: at most one ingest per key takes effect.
//!
//! A key is reserved before the first row is logged; a second arrival waits for the first one's
//! outcome. It counts only once committed: a failed ingest leaves its key free. Committed keys
//! travel in the commit's WAL record and are checkpointed in the catalog with the segments.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quiver_catalog::{IdempotencyRecord, TableId, UserId};
use tokio::sync::watch;

use crate::error::{EngineError, Result};

/// Whose key for what: keys of different users or tables never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyScope {
    pub(crate) user_id: UserId,
    /// `schema.table`: the id is not known yet when the ingest creates its table.
    pub(crate) table: String,
    pub(crate) key: String,
}

#[derive(Debug, Default)]
struct Keys {
    committed: HashMap<(UserId, TableId, String), IdempotencyRecord>,
    /// Committed since the last flush: what the next checkpoint has to write.
    fresh: Vec<IdempotencyRecord>,
    running: HashMap<KeyScope, watch::Receiver<()>>,
}

/// All keys of one tenant.
#[derive(Debug, Default, Clone)]
pub(crate) struct IdempotencyKeys {
    keys: Arc<Mutex<Keys>>,
}

/// A key that this ingest alone may use until the reservation is dropped.
#[derive(Debug)]
pub(crate) struct KeyReservation {
    keys: Arc<Mutex<Keys>>,
    scope: KeyScope,
    _outcome: watch::Sender<()>,
}

impl KeyReservation {
    pub(crate) fn scope(&self) -> &KeyScope {
        &self.scope
    }
}

impl Drop for KeyReservation {
    fn drop(&mut self) {
        self.keys.lock().running.remove(&self.scope);
    }
}

impl IdempotencyKeys {
    /// The keys that the catalog holds.
    pub(crate) fn new(records: Vec<IdempotencyRecord>) -> Self {
        let keys = Self::default();
        let mut inner = keys.keys.lock();
        for record in records {
            inner.committed.insert(identity(&record), record);
        }
        drop(inner);
        keys
    }

    /// Waits until no other ingest uses the key, then reserves it.
    pub(crate) async fn reserve(&self, scope: KeyScope) -> KeyReservation {
        loop {
            let mut running = {
                let mut keys = self.keys.lock();
                match keys.running.get(&scope) {
                    Some(running) => running.clone(),
                    None => {
                        let (sender, receiver) = watch::channel(());
                        keys.running.insert(scope.clone(), receiver);
                        let keys = Arc::clone(&self.keys);
                        return KeyReservation {
                            keys,
                            scope,
                            _outcome: sender,
                        };
                    }
                }
            };
            // An error means that the other ingest ended: look again.
            let _ended = running.changed().await;
        }
    }

    /// What the key did before, if it was committed for this table.
    pub(crate) fn committed(
        &self,
        user_id: UserId,
        table_id: TableId,
        key: &str,
    ) -> Option<IdempotencyRecord> {
        self.keys
            .lock()
            .committed
            .get(&(user_id, table_id, key.to_owned()))
            .cloned()
    }

    /// Settles a key whose commit is in the log but not in the catalog.
    pub(crate) fn commit(&self, record: IdempotencyRecord) {
        let mut keys = self.keys.lock();
        keys.committed.insert(identity(&record), record.clone());
        keys.fresh.push(record);
    }

    /// Settles a key whose commit the catalog holds.
    pub(crate) fn commit_checkpointed(&self, record: IdempotencyRecord) {
        self.keys.lock().committed.insert(identity(&record), record);
    }

    /// Keys committed up to `sequence` that the catalog does not hold.
    pub(crate) fn to_checkpoint(&self, sequence: u64) -> Vec<IdempotencyRecord> {
        let keys = self.keys.lock();
        keys.fresh
            .iter()
            .filter(|record| record.sequence <= sequence)
            .cloned()
            .collect()
    }

    /// The catalog holds every key up to `sequence` now.
    pub(crate) fn checkpointed(&self, sequence: u64) {
        self.keys
            .lock()
            .fresh
            .retain(|record| record.sequence > sequence);
    }

    /// Forgets keys that were committed before `older_than_micros`.
    pub(crate) fn prune(&self, older_than_micros: i64) {
        self.keys
            .lock()
            .committed
            .retain(|_, record| record.created_micros >= older_than_micros);
    }
}

/// Whether an ingest repeats a committed one.
///
/// # Errors
/// `AlreadyExists` when the key was used for other rows.
pub(crate) fn check_repetition(
    record: &IdempotencyRecord,
    mode: &str,
    row_count: u64,
    digest: &[u8],
) -> Result<()> {
    if record.mode == mode && record.record_count == row_count && record.digest == digest {
        return Ok(());
    }
    Err(EngineError::AlreadyExists {
        what: format!(
            "an ingest of other rows with idempotency key '{}' (use a new key for new rows); it",
            record.key
        ),
    })
}

fn identity(record: &IdempotencyRecord) -> (UserId, TableId, String) {
    (record.user_id, record.table_id, record.key.clone())
}
