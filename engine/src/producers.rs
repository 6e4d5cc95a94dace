//! Producers of a tenant's tables: clients that number their ingests.
//!
//! A producer's ingests into one table are numbered from 1 on, without gaps, for as long as the
//! table lives. The number decides: the next one is committed, an earlier one is a repetition and
//! acknowledged as such, a later one is refused. The epoch fences: once an instance of the producer
//! has come with a higher one, whoever still has a lower one is refused. Numbers go on across
//! epochs, so that a new instance may repeat what the one before it left in doubt.
//!
//! A producer's place travels in the commit's WAL record and is checkpointed in the catalog with
//! the segments. It is never forgotten while its table is there; how many there are is bounded.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use quiver_catalog::{ProducerRecord, TableId};
use uuid::Uuid;

use crate::error::{EngineError, Result};
use crate::reservations::{Reservation, Reservations};

/// Producers that a tenant may have, over all its tables.
const COUNT_MAX: usize = 100_000;
/// Longest name of a producer, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// One numbered ingest of a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerStep {
    /// Name of the producer, 1 to 256 bytes.
    pub producer: String,
    /// Instance of the producer: a higher one fences the lower.
    pub epoch: u64,
    /// Number of the ingest, from 1.
    pub sequence: u64,
}

/// A producer of a table; named, because the ingest may make the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProducerScope {
    /// `schema.table`, folded.
    pub(crate) table: String,
    pub(crate) producer: String,
}

/// The right to be a producer, until it is dropped.
pub(crate) type ProducerReservation = Reservation<ProducerScope>;

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is the next one.
    Next,
    /// It was committed before; `raises_epoch` when an instance comes with a higher epoch.
    Repetition { raises_epoch: bool },
}

#[derive(Debug, Default)]
struct Places {
    last: HashMap<(TableId, String), ProducerRecord>,
    /// Committed since the last flush, in order: what the next checkpoint has to write.
    fresh: Vec<ProducerRecord>,
}

/// All producers of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    places: Mutex<Places>,
    reservations: Reservations<ProducerScope>,
}

impl ProducerStep {
    /// # Errors
    /// `InvalidArgument` for a name or a number that no producer has.
    pub(crate) fn check(&self) -> Result<()> {
        if self.producer.is_empty() || self.producer.len() > NAME_BYTES_MAX {
            return Err(EngineError::invalid(format!(
                "a producer's name has 1 to {NAME_BYTES_MAX} bytes"
            )));
        }
        let numbers = [self.epoch, self.sequence];
        if self.sequence == 0 || numbers.iter().any(|number| i64::try_from(*number).is_err()) {
            return Err(EngineError::invalid(
                "a producer's sequence counts from 1, its epoch from 0, to 2^63 - 1",
            ));
        }
        Ok(())
    }

    /// What becomes of the step, given what the producer committed last.
    ///
    /// # Errors
    /// `Precondition` for a gap or an epoch that is over.
    pub(crate) fn admit(&self, last: Option<&ProducerRecord>) -> Result<Admission> {
        let (name, sequence) = (&self.producer, self.sequence);
        let (epoch, last_sequence) =
            last.map_or((0, 0), |last| (last.epoch, last.producer_sequence));
        let refused = |message| Err(EngineError::Precondition { message });
        if self.epoch < epoch {
            return refused(format!(
                "producer '{name}' is in epoch {epoch}, and this is epoch {}: another instance \
                 has taken over; stop, or begin a higher epoch",
                self.epoch
            ));
        }
        if sequence <= last_sequence {
            let raises_epoch = self.epoch > epoch;
            return Ok(Admission::Repetition { raises_epoch });
        }
        if sequence > last_sequence + 1 {
            return refused(format!(
                "producer '{name}' has committed up to sequence {last_sequence} of this table, and \
                 this is {sequence}: send {} next",
                last_sequence + 1
            ));
        }
        Ok(Admission::Next)
    }
}

impl Producers {
    /// The producers that the catalog holds.
    pub(crate) fn new(records: Vec<ProducerRecord>) -> Self {
        let last = records
            .into_iter()
            .map(|record| (identity(&record), record));
        let places = Places {
            last: last.collect(),
            fresh: vec![],
        };
        Self {
            places: Mutex::new(places),
            reservations: Reservations::default(),
        }
    }

    /// Waits until no other ingest of the producer is on its way.
    ///
    /// # Errors
    /// `Conflict` when the other one belongs to the same transaction.
    pub(crate) async fn reserve(
        &self,
        scope: ProducerScope,
        transaction_id: Option<Uuid>,
    ) -> Result<ProducerReservation> {
        let name = scope.producer.clone();
        let reserved = self.reservations.reserve(scope, transaction_id).await;
        reserved.ok_or_else(|| EngineError::Conflict {
            message: format!(
                "another ingest of this transaction is of producer '{name}' and not at its end: \
                 send one after the other"
            ),
        })
    }

    /// What the producer committed last.
    pub(crate) fn last(&self, table_id: TableId, producer: &str) -> Option<ProducerRecord> {
        let places = self.places.lock();
        places.last.get(&(table_id, producer.to_owned())).cloned()
    }

    /// # Errors
    /// `Overloaded` when there are too many producers for another one.
    pub(crate) fn check_room(&self) -> Result<()> {
        if self.places.lock().last.len() < COUNT_MAX {
            return Ok(());
        }
        Err(EngineError::Overloaded {
            message: format!(
                "the tenant has {COUNT_MAX} producers: use fewer names, or drop tables that are \
                 not needed"
            ),
            retry_after_ms: 60_000,
        })
    }

    /// Settles a step whose commit is in the log and maybe not in the catalog.
    pub(crate) fn commit(&self, record: ProducerRecord) {
        let mut places = self.places.lock();
        if places.advance(&record) {
            places.fresh.push(record);
        }
    }

    /// Settles a step whose commit the catalog holds.
    pub(crate) fn commit_checkpointed(&self, record: &ProducerRecord) {
        self.places.lock().advance(record);
    }

    /// Where the producers are that moved up to commit `sequence`, as far as the catalog does not
    /// know: as of that commit, not later, for the rows of later ones are in no segment.
    pub(crate) fn to_checkpoint(&self, sequence: u64) -> Vec<ProducerRecord> {
        let places = self.places.lock();
        let moved = places
            .fresh
            .iter()
            .filter(|record| record.sequence <= sequence);
        let last: BTreeMap<_, _> = moved.map(|record| (identity(record), record)).collect();
        last.into_values().cloned().collect()
    }

    /// The catalog holds every step up to commit `sequence` now.
    pub(crate) fn checkpointed(&self, sequence: u64) {
        let mut places = self.places.lock();
        places.fresh.retain(|record| record.sequence > sequence);
    }

    /// Forgets the producers of tables that are gone.
    pub(crate) fn retain_tables(&self, is_there: impl Fn(TableId) -> bool) {
        let mut places = self.places.lock();
        places.last.retain(|(table_id, _), _| is_there(*table_id));
        places.fresh.retain(|record| is_there(record.table_id));
    }

    /// All of them, by table and name.
    pub(crate) fn all(&self) -> Vec<ProducerRecord> {
        let places = self.places.lock();
        let mut all: Vec<_> = places.last.values().cloned().collect();
        all.sort_by(|a, b| (a.table_id, &a.producer).cmp(&(b.table_id, &b.producer)));
        all
    }
}

impl Places {
    /// Takes a later place in; `false` for one that is not later.
    fn advance(&mut self, record: &ProducerRecord) -> bool {
        let identity = identity(record);
        let earlier = self.last.get(&identity);
        let order = |place: &ProducerRecord| (place.sequence, place.producer_sequence, place.epoch);
        if earlier.is_some_and(|earlier| order(earlier) >= order(record)) {
            return false;
        }
        assert!(
            earlier.is_none_or(|earlier| earlier.epoch <= record.epoch
                && earlier.producer_sequence <= record.producer_sequence),
            "a producer never goes back"
        );
        self.last.insert(identity, record.clone());
        true
    }
}

fn identity(record: &ProducerRecord) -> (TableId, String) {
    (record.table_id, record.producer.clone())
}
