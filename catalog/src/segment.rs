//! Segments as the catalog knows them: immutable Parquet files with counts and bounds.

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
    /// One entry for every leaf column.
    pub column_stats: Vec<ColumnStats>,
}

/// A registered segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Unique in its catalog; later segments have higher ids.
    pub id: SegmentId,
    /// The first snapshot it belongs to.
    pub begin_snapshot: SnapshotId,
    /// Row id of its first row; the others follow without gaps.
    pub row_id_start: i64,
    /// File name, relative to the directory of its table.
    pub path: String,
    /// Rows.
    pub record_count: u64,
    /// Size of the file.
    pub file_size_bytes: u64,
    /// Size of the Parquet footer's metadata, without its length field and magic.
    pub footer_size: u64,
    /// One entry for every leaf column the file holds, by column id.
    pub column_stats: Vec<ColumnStats>,
}

impl Segment {
    /// The statistics of a leaf column, if the file holds it.
    pub fn stats(&self, column_id: ColumnId) -> Option<&ColumnStats> {
        let position = self
            .column_stats
            .binary_search_by_key(&column_id, |stats| stats.column_id);
        position.ok().map(|position| &self.column_stats[position])
    }
}
