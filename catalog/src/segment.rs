//! Segments as the catalog knows them: immutable Parquet files with counts and bounds.

use std::sync::Arc;

use crate::ids::{ColumnId, SegmentId, SnapshotId};

/// What is known about the values of one leaf column in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnStats {
    /// The leaf column.
    pub column_id: ColumnId,
    /// Compressed size in the file.
    pub column_size_bytes: u64,
    /// Values that are not null; with lists it counts elements, not rows.
    pub value_count: u64,
    /// Nulls, at whatever level of nesting they stand. Where other writers know nothing, both
    /// counts are 0 although there are rows.
    pub null_count: u64,
    /// A lower bound in DuckLake's text form; `None` if unknown or if there are no values.
    pub min: Option<String>,
    /// An upper bound, likewise.
    pub max: Option<String>,
    /// For floating point: whether a NaN is among the values (bounds leave NaN out).
    pub contains_nan: Option<bool>,
}

/// The column of a segment that holds the row ids of its rows, where these do not follow each other.
/// Not a column of the table.
pub const ROW_ID_COLUMN: &str = "_ducklake_internal_row_id";
/// Its field id.
pub const ROW_ID_FIELD: i64 = 2_147_483_540;
/// The column of a merged segment that holds the snapshot in which each of its rows was added.
pub const SNAPSHOT_COLUMN: &str = "_ducklake_internal_snapshot_id";
/// Its field id.
pub const SNAPSHOT_FIELD: i64 = 2_147_483_539;

/// Where the row ids of a segment come from. A row keeps its id for life, wherever it is moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowIds {
    /// The rows are new: they get the next ids of their table.
    New,
    /// They are in the file, in [`ROW_ID_COLUMN`].
    InFile,
}

/// A written and synced file that a commit is to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSegment {
    /// File name, relative to the directory of its table.
    pub path: String,
    /// Rows; at least one.
    pub record_count: u64,
    /// Size of the file.
    pub file_size_bytes: u64,
    /// Size of the Parquet footer's metadata, without its length field and magic.
    pub footer_size: u64,
    /// Where the ids of its rows come from.
    pub row_ids: RowIds,
    /// One entry for every leaf column.
    pub column_stats: Vec<ColumnStats>,
}

/// A written and synced list of deleted rows that a commit is to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeleteFile {
    /// File name, relative to the directory of its table.
    pub path: String,
    /// Rows of its segment that are deleted, with those of the file that it replaces.
    pub delete_count: u64,
    /// Size of the file.
    pub file_size_bytes: u64,
    /// Size of the Parquet footer's metadata, without its length field and magic.
    pub footer_size: u64,
}

impl NewDeleteFile {
    /// The same, registered.
    pub(crate) fn registered(&self, id: SegmentId, begin_snapshot: SnapshotId) -> DeleteFile {
        DeleteFile {
            id,
            begin_snapshot,
            path: self.path.clone(),
            delete_count: self.delete_count,
            file_size_bytes: self.file_size_bytes,
            footer_size: self.footer_size,
            partial_max: None,
        }
    }
}

/// A registered list of the deleted rows of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteFile {
    /// Unique among segments and delete files of its catalog.
    pub id: SegmentId,
    /// The first snapshot it belongs to.
    pub begin_snapshot: SnapshotId,
    /// Path relative to the directory of its table.
    pub path: String,
    /// Rows that it lists.
    pub delete_count: u64,
    /// Size of the file.
    pub file_size_bytes: u64,
    /// Size of the Parquet footer's metadata, without its length field and magic.
    pub footer_size: u64,
    /// Set when each deletion has a snapshot of its own in [`SNAPSHOT_COLUMN`]: the last of them.
    pub partial_max: Option<SnapshotId>,
}

/// A registered segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Unique in its catalog; later segments have higher ids.
    pub id: SegmentId,
    /// The first snapshot it belongs to.
    pub begin_snapshot: SnapshotId,
    /// Row id of its first row, which the others follow without gaps; `None` when the ids are in the
    /// file.
    pub row_id_start: Option<i64>,
    /// Set when the rows were added in several snapshots, which are in [`SNAPSHOT_COLUMN`]: the last
    /// of them.
    pub partial_max: Option<SnapshotId>,
    /// File name, relative to the directory of its table.
    pub path: String,
    /// Rows of the file.
    pub record_count: u64,
    /// Size of the file.
    pub file_size_bytes: u64,
    /// Size of the Parquet footer's metadata, without its length field and magic.
    pub footer_size: u64,
    /// Which of its rows are deleted, if any are.
    pub deletes: Option<Arc<DeleteFile>>,
    /// One entry for every leaf column the file holds, by column id. Of all its rows: those that are
    /// deleted count.
    pub column_stats: Vec<ColumnStats>,
}

impl Segment {
    /// Rows of the file that are deleted.
    pub fn delete_count(&self) -> u64 {
        self.deletes
            .as_ref()
            .map_or(0, |deletes| deletes.delete_count)
    }

    /// The last snapshot that added rows to it.
    pub fn last_snapshot(&self) -> SnapshotId {
        self.partial_max.unwrap_or(self.begin_snapshot)
    }

    /// Rows that are there.
    pub fn live_count(&self) -> u64 {
        self.record_count.saturating_sub(self.delete_count())
    }

    /// The statistics of a leaf column, if the file holds it.
    pub fn stats(&self, column_id: ColumnId) -> Option<&ColumnStats> {
        let position = self
            .column_stats
            .binary_search_by_key(&column_id, |stats| stats.column_id);
        position.ok().map(|position| &self.column_stats[position])
    }
}
