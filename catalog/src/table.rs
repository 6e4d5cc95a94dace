//! Tables and schemas as one version of the catalog sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use uuid::Uuid;

use crate::column::Column;
use crate::ids::{ColumnId, SchemaId, SnapshotId, TableId};
use crate::names::fold;
use crate::segment::Segment;
use crate::stats::TableColumnStats;

/// One part of the order in which the rows of each segment are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortColumn {
    /// A top-level column.
    pub column_id: ColumnId,
    /// From high to low.
    pub descending: bool,
    /// Nulls before all values.
    pub nulls_first: bool,
}

/// A table that a commit is to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// Reserved by `TenantCatalog::reserve_ids`.
    pub table_id: TableId,
    /// The schema it goes into; may be created by the same commit.
    pub schema_id: SchemaId,
    /// Name, unique in its schema without regard to case.
    pub name: String,
    /// From [`assign_columns`](crate::assign_columns).
    pub columns: Vec<Column>,
    /// Empty if rows are in no order.
    pub sort_key: Vec<SortColumn>,
}

/// A table at one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct TableVersion {
    /// Never used again.
    pub id: TableId,
    /// The table's identity for other readers of the catalog.
    pub uuid: Uuid,
    /// The schema it is in.
    pub schema_id: SchemaId,
    /// That schema's name.
    pub schema_name: String,
    /// Its own name.
    pub name: String,
    /// Directory of its segments relative to the data path, with a slash at its end.
    pub path: String,
    /// Its columns with their ids.
    pub columns: Vec<Column>,
    /// Its columns as a plain Arrow schema.
    pub arrow_schema: SchemaRef,
    /// The order of rows in new segments; empty if there is none.
    pub sort_key: Vec<SortColumn>,
    /// Its segments, by id: oldest first.
    pub segments: Arc<Vec<Arc<Segment>>>,
    /// Rows that are there, of all segments.
    pub record_count: u64,
    /// Size of all segments.
    pub file_size_bytes: u64,
    /// Row id that the next row gets.
    pub next_row_id: i64,
    /// All rows up to this sequence are in segments. 0 in historic versions, which need no replay.
    pub flushed_sequence: u64,
    /// The snapshot that created it.
    pub created_snapshot: SnapshotId,
    /// The last snapshot that changed its columns; segments from before may have other ones. `None` if
    /// it has those with which it was made.
    pub altered_snapshot: Option<SnapshotId>,
    /// The highest id that one of its columns ever had.
    pub last_column_id: i64,
    /// The statistics of all segments merged, one entry per leaf column that any segment holds.
    pub column_stats: Arc<Vec<TableColumnStats>>,
}

impl TableVersion {
    /// A top-level column by its exact name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A column at any level of nesting.
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns
            .iter()
            .flat_map(Column::preorder)
            .find(|column| column.id == id)
    }

    /// Whether a segment was surely written with the columns that the table has. Those that came with
    /// the commit that altered it may have older ones.
    pub fn has_current_columns(&self, segment: &Segment) -> bool {
        self.altered_snapshot
            .is_none_or(|altered| segment.begin_snapshot > altered)
    }

    /// A segment by its path.
    pub fn segment(&self, path: &str) -> Option<&Arc<Segment>> {
        self.segments.iter().find(|segment| segment.path == path)
    }

    /// All columns that hold values, in order.
    pub fn leaves(&self) -> Vec<&Column> {
        self.columns.iter().flat_map(Column::leaves).collect()
    }

    /// Replaces the list of segments, with the totals that go with it.
    pub(crate) fn set_segments(&mut self, segments: Vec<Arc<Segment>>) {
        self.record_count = segments.iter().map(|segment| segment.live_count()).sum();
        self.file_size_bytes = segments.iter().map(|segment| segment.file_size_bytes).sum();
        self.segments = Arc::new(segments);
    }

    pub(crate) fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema_name, self.name)
    }
}

/// A schema at one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaVersion {
    /// Never used again.
    pub id: SchemaId,
    /// The schema's identity for other readers of the catalog.
    pub uuid: Uuid,
    /// Name, unique in the catalog without regard to case.
    pub name: String,
    /// Directory relative to the data path, with a slash at its end.
    pub path: String,
    /// The snapshot that created it.
    pub created_snapshot: SnapshotId,
    /// Its tables by folded name.
    pub(crate) tables: BTreeMap<String, TableId>,
}

impl SchemaVersion {
    /// Its tables, by name.
    pub fn table_ids(&self) -> impl Iterator<Item = TableId> + '_ {
        self.tables.values().copied()
    }

    pub(crate) fn table_id(&self, name: &str) -> Option<TableId> {
        self.tables.get(&fold(name)).copied()
    }
}
