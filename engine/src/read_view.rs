//! What one statement or transaction sees.
//!
//! Taken before planning, from one published version of the tenant, so that a flush that commits in
//! between neither hides nor doubles a row and a join never sees half of a commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use quiver_catalog::{CatalogVersion, TableId};

use crate::transaction::{Transaction, TransactionUse};
use crate::write_buffer::MemtableSet;

/// A consistent state of one tenant: segments, memtables up to a sequence, and the rows that the
/// reader's own transaction has staged.
#[derive(Debug, Clone)]
pub(crate) struct ReadView {
    catalog: Arc<CatalogVersion>,
    memtables: Arc<MemtableSet>,
    sequence: u64,
    staged: BTreeMap<TableId, Vec<RecordBatch>>,
    /// Of the transaction whose view it is.
    in_use: Option<Arc<TransactionUse>>,
}

impl ReadView {
    pub(crate) fn new(
        catalog: Arc<CatalogVersion>,
        memtables: Arc<MemtableSet>,
        sequence: u64,
    ) -> Self {
        Self {
            catalog,
            memtables,
            sequence,
            staged: BTreeMap::new(),
            in_use: None,
        }
    }

    /// The same view for somebody whose transaction is in use for as long as he holds it.
    pub(crate) fn used_by(self, transaction: &Arc<Transaction>) -> Self {
        Self {
            in_use: Some(Arc::new(TransactionUse::new(transaction))),
            ..self
        }
    }

    /// What keeps the transaction in use, if it is one's view.
    pub(crate) fn into_use(self) -> Option<Arc<TransactionUse>> {
        self.in_use
    }

    pub(crate) fn catalog(&self) -> &Arc<CatalogVersion> {
        &self.catalog
    }

    /// Rows of a table that are in no segment of this view, oldest first.
    pub(crate) fn buffered(&self, table_id: TableId) -> Vec<RecordBatch> {
        let mut batches = self.memtables.batches(table_id, self.sequence);
        if let Some(staged) = self.staged.get(&table_id) {
            batches.extend(staged.iter().cloned());
        }
        batches
    }

    /// The same view with a transaction's own changes on top.
    pub(crate) fn with_staged(
        &self,
        catalog: Arc<CatalogVersion>,
        staged: BTreeMap<TableId, Vec<RecordBatch>>,
    ) -> Self {
        Self {
            catalog,
            memtables: Arc::clone(&self.memtables),
            sequence: self.sequence,
            staged,
            in_use: None,
        }
    }
}
