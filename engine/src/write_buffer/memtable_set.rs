//! All memtables of a tenant: an immutable value that read views share.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use quiver_catalog::TableId;

use super::memtable::{Memtable, MemtableStatus};

/// Memtables of one table, oldest first; the last one is active unless it is frozen.
type Generations = Arc<[Arc<Memtable>]>;

/// The unflushed generations of every table of a tenant. Changed by making a new value.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemtableSet {
    frozen: BTreeMap<TableId, Generations>,
    active: BTreeMap<TableId, Arc<Memtable>>,
}

impl MemtableSet {
    pub(crate) fn active(&self, table_id: TableId) -> Option<&Arc<Memtable>> {
        self.active.get(&table_id)
    }

    /// A set in which `table_id` has an active memtable.
    pub(crate) fn with_active(&self, table_id: TableId) -> Self {
        let mut set = self.clone();
        set.active
            .entry(table_id)
            .or_insert_with(|| Arc::new(Memtable::new(table_id)));
        set
    }

    /// A set in which every active memtable became the youngest frozen one of its table.
    pub(crate) fn frozen(&self) -> Self {
        let mut set = self.clone();
        for (table_id, memtable) in std::mem::take(&mut set.active) {
            memtable.freeze();
            let mut generations = set.frozen.get(&table_id).map_or(vec![], |g| g.to_vec());
            generations.push(memtable);
            set.frozen.insert(table_id, generations.into());
        }
        set
    }

    /// All frozen memtables, by table, oldest first.
    pub(crate) fn all_frozen(&self) -> Vec<Arc<Memtable>> {
        self.frozen
            .values()
            .flat_map(|generations| generations.iter().map(Arc::clone))
            .collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        let frozen = self
            .frozen
            .values()
            .flat_map(|generations| generations.iter());
        frozen.chain(self.active.values())
    }

    /// A set without `flushed` memtables.
    pub(crate) fn without(&self, flushed: &[Arc<Memtable>]) -> Self {
        let gone = |memtable: &Arc<Memtable>| flushed.iter().any(|f| Arc::ptr_eq(f, memtable));
        let mut set = self.clone();
        set.frozen.clear();
        for (table_id, generations) in &self.frozen {
            let kept: Vec<_> = generations
                .iter()
                .filter(|memtable| !gone(memtable))
                .map(Arc::clone)
                .collect();
            if !kept.is_empty() {
                set.frozen.insert(*table_id, kept.into());
            }
        }
        set
    }

    /// A set without any memtable of `table_id`.
    pub(crate) fn without_table(&self, table_id: TableId) -> Self {
        let mut set = self.clone();
        set.frozen.remove(&table_id);
        set.active.remove(&table_id);
        set
    }

    /// Rows of `table_id` that a view at `sequence` sees, oldest first.
    pub(crate) fn batches(&self, table_id: TableId, sequence: u64) -> Vec<RecordBatch> {
        self.of_table(table_id)
            .flat_map(|memtable| memtable.batches(sequence))
            .collect()
    }

    /// Status of every memtable.
    pub(crate) fn statuses(&self) -> Vec<(TableId, bool, MemtableStatus)> {
        let frozen = self
            .frozen
            .values()
            .flat_map(|g| g.iter())
            .map(|m| (m, true));
        let active = self.active.values().map(|m| (m, false));
        frozen
            .chain(active)
            .map(|(m, frozen)| (m.table_id(), frozen, m.status()))
            .collect()
    }

    fn of_table(&self, table_id: TableId) -> impl Iterator<Item = &Arc<Memtable>> {
        let frozen = self
            .frozen
            .get(&table_id)
            .into_iter()
            .flat_map(|g| g.iter());
        frozen.chain(self.active.get(&table_id))
    }
}
