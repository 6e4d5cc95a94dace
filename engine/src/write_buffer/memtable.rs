//! One generation of one table's unflushed rows.
//!
//! Rows are appended in commit order, each batch with the sequence of its commit, so a read view
//! sees a prefix: every batch whose sequence it has reached. A frozen memtable takes no more rows.

use arrow::record_batch::RecordBatch;
use parking_lot::RwLock;
use quiver_catalog::TableId;

use super::budget::CommittedBytes;
use crate::wal::Lsn;

#[derive(Debug)]
struct Entry {
    sequence: u64,
    batch: RecordBatch,
}

#[derive(Debug, Default)]
struct Rows {
    entries: Vec<Entry>,
    row_count: u64,
    bytes: Vec<CommittedBytes>,
    frozen: bool,
    first_lsn: Option<Lsn>,
    first_at_micros: Option<i64>,
}

/// Unflushed rows of one table, in commit order.
#[derive(Debug)]
pub(crate) struct Memtable {
    table_id: TableId,
    rows: RwLock<Rows>,
}

/// Counts of a memtable, for `system.wal`, metrics and the flush scheduler.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MemtableStatus {
    pub(crate) row_count: u64,
    pub(crate) bytes: u64,
    pub(crate) first_lsn: Option<Lsn>,
    pub(crate) first_at_micros: Option<i64>,
}

impl Memtable {
    pub(crate) fn new(table_id: TableId) -> Self {
        Self {
            table_id,
            rows: RwLock::default(),
        }
    }

    pub(crate) fn table_id(&self) -> TableId {
        self.table_id
    }

    /// Appends the rows of one commit. Sequences never go down and a frozen memtable never grows:
    /// both would show rows to read views that were taken before.
    pub(crate) fn insert(
        &self,
        sequence: u64,
        batches: Vec<RecordBatch>,
        bytes: CommittedBytes,
        first_lsn: Lsn,
        now_micros: i64,
    ) {
        let mut rows = self.rows.write();
        assert!(
            !rows.frozen,
            "insert into a frozen memtable of table {}",
            self.table_id
        );
        let last = rows.entries.last().map_or(0, |entry| entry.sequence);
        assert!(
            last <= sequence,
            "commit {sequence} published after commit {last}"
        );
        rows.bytes.push(bytes);
        rows.first_lsn = Some(rows.first_lsn.map_or(first_lsn, |lsn| lsn.min(first_lsn)));
        rows.first_at_micros.get_or_insert(now_micros);
        for batch in batches {
            rows.row_count += batch.num_rows() as u64;
            rows.entries.push(Entry { sequence, batch });
        }
    }

    /// No more inserts from here on.
    pub(crate) fn freeze(&self) {
        self.rows.write().frozen = true;
    }

    /// The batches of all commits up to and including `sequence`.
    pub(crate) fn batches(&self, sequence: u64) -> Vec<RecordBatch> {
        self.batches_between(0, sequence)
    }

    /// The batches of all commits after one sequence, up to and including another.
    pub(crate) fn batches_between(&self, after: u64, up_to: u64) -> Vec<RecordBatch> {
        let rows = self.rows.read();
        let place = |sequence| rows.entries.partition_point(|e| e.sequence <= sequence);
        rows.entries[place(after)..place(up_to)]
            .iter()
            .map(|entry| entry.batch.clone())
            .collect()
    }

    pub(crate) fn status(&self) -> MemtableStatus {
        let rows = self.rows.read();
        MemtableStatus {
            row_count: rows.row_count,
            bytes: rows.bytes.iter().map(CommittedBytes::bytes).sum(),
            first_lsn: rows.first_lsn,
            first_at_micros: rows.first_at_micros,
        }
    }
}
