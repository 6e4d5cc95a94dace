//! Idempotency keys of a tenant: at most one ingest per key takes effect.
//!
//! A key is reserved before the first row is logged; a second arrival waits for the first one's
//! outcome. It counts only once committed: a failed ingest leaves its key free. Committed keys
//! travel in the commit's WAL record and are checkpointed in the catalog with the segments.
//!
//! A tenant keeps its newest keys up to a number, and each for a time; a key beyond either limit is
//! as good as never used. Both are decided by what the keys themselves say, so a restart changes
//! nothing. The catalog may hold more for a while: it is pruned now and then.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use quiver_catalog::{IdempotencyRecord, TableId, UserId};
use uuid::Uuid;

use crate::error::{EngineError, Result};
use crate::reservations::{Reservation, Reservations};
use crate::settings::EngineSettings;

#[cfg(test)]
mod tests;

/// The catalog is pruned when it holds this part of the keys too many, or
const STALE_PART: u64 = 10;
/// when it holds any for this long.
const STALE_MICROS: i64 = 60_000_000;

/// Whose key for what: keys of different users or tables never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyScope {
    pub(crate) user_id: UserId,
    /// `schema.table`: the id is not known yet when the ingest creates its table.
    pub(crate) table: String,
    pub(crate) key: String,
}

/// How long and how many keys are kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyLimits {
    /// A key that is older counts no more.
    pub(crate) kept_micros: i64,
    /// The oldest keys beyond this number count no more.
    pub(crate) count_max: u64,
}

impl KeyLimits {
    pub(crate) fn new(settings: &EngineSettings) -> Self {
        let kept_ms = i64::try_from(settings.idempotency_ttl_ms).unwrap_or(i64::MAX);
        Self {
            kept_micros: kept_ms.saturating_mul(1000),
            count_max: settings.idempotency_keys_max,
        }
    }

    /// Keys from before this moment count no more.
    pub(crate) fn oldest_micros(&self, now_micros: i64) -> i64 {
        now_micros.saturating_sub(self.kept_micros)
    }
}

type Identity = (UserId, TableId, String);

#[derive(Debug, Default)]
struct Keys {
    limits: KeyLimits,
    committed: HashMap<Identity, IdempotencyRecord>,
    /// Time and sequence of every committed key, oldest first.
    by_age: BTreeSet<(i64, u64, Identity)>,
    /// Committed since the last flush: what the next checkpoint has to write.
    fresh: Vec<IdempotencyRecord>,
    /// Keys forgotten here that the catalog may hold.
    stale: u64,
    pruned_micros: i64,
}

impl Keys {
    /// Takes a key in; `false` if a later commit used it again.
    fn insert(&mut self, record: IdempotencyRecord) -> bool {
        let identity = identity(&record);
        if let Some(earlier) = self.committed.get(&identity) {
            if earlier.sequence > record.sequence {
                return false;
            }
            let age = (earlier.created_micros, earlier.sequence, identity.clone());
            self.by_age.remove(&age);
        }
        let age = (record.created_micros, record.sequence, identity.clone());
        self.by_age.insert(age);
        self.committed.insert(identity, record);
        while self.committed.len() as u64 > self.limits.count_max {
            self.forget_oldest();
        }
        true
    }

    fn forget_oldest(&mut self) {
        if let Some((_, _, identity)) = self.by_age.pop_first() {
            self.committed.remove(&identity);
            self.stale += 1;
        }
    }
}

/// All keys of one tenant.
#[derive(Debug, Default)]
pub(crate) struct IdempotencyKeys {
    keys: Mutex<Keys>,
    reservations: Reservations<KeyScope>,
}

/// A key that this ingest alone may use until the reservation is dropped.
pub(crate) type KeyReservation = Reservation<KeyScope>;

impl IdempotencyKeys {
    /// The keys that the catalog holds.
    pub(crate) fn new(records: Vec<IdempotencyRecord>, limits: KeyLimits) -> Self {
        let mut keys = Keys {
            limits,
            ..Keys::default()
        };
        for record in records {
            keys.insert(record);
        }
        Self {
            keys: Mutex::new(keys),
            reservations: Reservations::default(),
        }
    }

    /// Waits until no other ingest uses the key, then reserves it.
    ///
    /// # Errors
    /// `Conflict` when the other one belongs to the same transaction: its key is free only after
    /// the transaction's end, for which nobody would wait in vain but the transaction itself.
    pub(crate) async fn reserve(
        &self,
        scope: KeyScope,
        transaction_id: Option<Uuid>,
    ) -> Result<KeyReservation> {
        let key = scope.key.clone();
        let reserved = self.reservations.reserve(scope, transaction_id).await;
        reserved.ok_or_else(|| used_in_transaction(&key))
    }

    /// What the key did before, if it was committed for this table and still counts.
    pub(crate) fn committed(
        &self,
        user_id: UserId,
        table_id: TableId,
        key: &str,
        now_micros: i64,
    ) -> Option<IdempotencyRecord> {
        let keys = self.keys.lock();
        let record = keys.committed.get(&(user_id, table_id, key.to_owned()))?;
        let counts = record.created_micros >= keys.limits.oldest_micros(now_micros);
        counts.then(|| record.clone())
    }

    /// Settles a key whose commit is in the log and maybe not in the catalog.
    pub(crate) fn commit(&self, record: IdempotencyRecord) {
        let mut keys = self.keys.lock();
        if keys.insert(record.clone()) {
            keys.fresh.push(record);
        }
    }

    /// Settles a key whose commit the catalog holds.
    pub(crate) fn commit_checkpointed(&self, record: IdempotencyRecord) {
        self.keys.lock().insert(record);
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

    /// Forgets keys that are too old. Returns the limits to prune the catalog by, when that is due.
    pub(crate) fn prune(&self, now_micros: i64) -> Option<KeyLimits> {
        let mut keys = self.keys.lock();
        let oldest = keys.limits.oldest_micros(now_micros);
        while keys.by_age.first().is_some_and(|(age, ..)| *age < oldest) {
            keys.forget_oldest();
        }
        let many = keys.stale > keys.limits.count_max / STALE_PART;
        let long = keys.stale > 0 && now_micros - keys.pruned_micros >= STALE_MICROS;
        if !many && !long {
            return None;
        }
        keys.stale = 0;
        keys.pruned_micros = now_micros;
        Some(keys.limits)
    }

    /// The catalog could not be pruned: it is to be tried again.
    pub(crate) fn prune_failed(&self) {
        self.keys.lock().stale += 1;
    }
}

/// Whether an ingest repeats a committed one: the same rows, whatever was said about a missing or an
/// existing table.
///
/// # Errors
/// `AlreadyExists` when the key was used for other rows.
pub(crate) fn check_repetition(
    record: &IdempotencyRecord,
    row_count: u64,
    digest: &[u8],
) -> Result<()> {
    if record.record_count == row_count && record.digest == digest {
        return Ok(());
    }
    Err(EngineError::AlreadyExists {
        what: format!(
            "an ingest of other rows with idempotency key '{}' (use a new key for new rows); it",
            record.key
        ),
    })
}

fn used_in_transaction(key: &str) -> EngineError {
    EngineError::Conflict {
        message: format!(
            "another ingest of this transaction uses idempotency key '{key}' now: give each its own"
        ),
    }
}

fn identity(record: &IdempotencyRecord) -> Identity {
    (record.user_id, record.table_id, record.key.clone())
}
