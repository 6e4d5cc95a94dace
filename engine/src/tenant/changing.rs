//! Which tables have rows that somebody is about to change.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quiver_catalog::TableId;

/// How many transactions change rows of each table.
#[derive(Debug, Default)]
pub(crate) struct ChangingTables {
    counts: Mutex<BTreeMap<TableId, usize>>,
}

/// Somebody changes rows of a table until this is dropped.
#[derive(Debug)]
pub(crate) struct Changing {
    tables: Arc<ChangingTables>,
    table_id: TableId,
}

impl ChangingTables {
    pub(crate) fn begin(self: &Arc<Self>, table_id: TableId) -> Changing {
        *self.counts.lock().entry(table_id).or_default() += 1;
        Changing {
            tables: Arc::clone(self),
            table_id,
        }
    }

    pub(crate) fn contains(&self, table_id: TableId) -> bool {
        self.counts.lock().contains_key(&table_id)
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        let mut counts = self.tables.counts.lock();
        if let Some(count) = counts.get_mut(&self.table_id) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.table_id);
            }
        }
    }
}
