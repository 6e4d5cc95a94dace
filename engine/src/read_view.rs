//! What one statement or transaction sees.
//!
//! Taken before planning, from one published version of the tenant, so that a flush that commits in
//! between neither hides nor doubles a row and a join never sees half of a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use quiver_catalog::{CatalogVersion, TableId};

use crate::scan::DeletedRows;
use crate::tenant::{LiveView, ViewPin};
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
    /// Rows of segments that the reader's transaction has deleted.
    deleted: BTreeMap<TableId, Arc<DeletedRows>>,
    /// Tables whose rows are all in segments of `catalog`.
    without_memtables: BTreeSet<TableId>,
    /// The table that the statement changes.
    target: Option<TableId>,
    /// Set in the views of transactions, for as long as one of them is there.
    _pin: Option<Arc<ViewPin>>,
    /// Of the transaction whose view it is.
    in_use: Option<Arc<TransactionUse>>,
    live: Arc<LiveView>,
}

impl ReadView {
    pub(crate) fn new(
        catalog: Arc<CatalogVersion>,
        memtables: Arc<MemtableSet>,
        sequence: u64,
        live: Arc<LiveView>,
    ) -> Self {
        Self {
            catalog,
            memtables,
            sequence,
            staged: BTreeMap::new(),
            deleted: BTreeMap::new(),
            without_memtables: BTreeSet::new(),
            target: None,
            _pin: None,
            in_use: None,
            live,
        }
    }

    /// What keeps its files; for whoever reads them after the view itself is gone.
    pub(crate) fn live(&self) -> &Arc<LiveView> {
        &self.live
    }

    /// The same view, kept apart from what comes later.
    pub(crate) fn pinned(self, pin: ViewPin) -> Self {
        Self {
            _pin: Some(Arc::new(pin)),
            ..self
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

    /// The view of a statement that changes rows of a table, all of which are in segments.
    pub(crate) fn with_target(self, table_id: TableId) -> Self {
        Self {
            target: Some(table_id),
            ..self
        }
    }

    /// Whether the statement changes rows of the table.
    pub(crate) fn is_target(&self, table_id: TableId) -> bool {
        self.target == Some(table_id)
    }

    /// The sequence of the last commit that it sees.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Committed rows of a table that are in no segment of this view, oldest first.
    pub(crate) fn committed(&self, table_id: TableId) -> Vec<RecordBatch> {
        match self.without_memtables.contains(&table_id) {
            true => vec![],
            false => self.memtables.batches(table_id, self.sequence),
        }
    }

    /// Rows of segments that the reader's transaction has deleted.
    pub(crate) fn deleted(&self, table_id: TableId) -> Arc<DeletedRows> {
        self.deleted
            .get(&table_id)
            .map(Arc::clone)
            .unwrap_or_default()
    }

    /// Rows of a table that are in no segment of this view, oldest first.
    pub(crate) fn buffered(&self, table_id: TableId) -> Vec<RecordBatch> {
        let mut batches = self.committed(table_id);
        if let Some(staged) = self.staged.get(&table_id) {
            batches.extend(staged.iter().cloned());
        }
        batches
    }

    /// The same view with the committed rows of a table in segments of `catalog`.
    pub(crate) fn with_segments(&self, catalog: Arc<CatalogVersion>, table_id: TableId) -> Self {
        let mut view = self.clone();
        view.catalog = catalog;
        view.without_memtables.insert(table_id);
        view
    }

    /// The same view with a transaction's own changes on top.
    pub(crate) fn with_staged(
        &self,
        catalog: Arc<CatalogVersion>,
        staged: BTreeMap<TableId, Vec<RecordBatch>>,
        deleted: BTreeMap<TableId, Arc<DeletedRows>>,
    ) -> Self {
        Self {
            catalog,
            staged,
            deleted,
            in_use: None,
            ..self.clone()
        }
    }
}
