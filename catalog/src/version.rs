//! A tenant's catalog at one snapshot, as an immutable value.
//!
//! Versions share what did not change. [`CatalogVersion::apply`] is the only way in which one
//! version becomes another in memory: for the committer, and for open transactions that look at
//! their own uncommitted changes. It knows nothing of SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::change::Change;
use crate::error::Result;
use crate::ids::{SchemaId, SegmentId, SnapshotId, TableId};
use crate::names::fold;
use crate::segment::Segment;
use crate::table::{SchemaVersion, TableVersion};

mod apply;

/// The snapshot that new objects are marked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The snapshot that the changes will be part of.
    pub snapshot_id: SnapshotId,
    /// Its time.
    pub snapshot_time_micros: i64,
}

impl Stamp {
    /// For changes that are not committed yet: they look as if they were part of their base.
    pub fn overlay(base: &CatalogVersion) -> Self {
        let CatalogVersion {
            snapshot_id,
            snapshot_time_micros,
            ..
        } = *base;
        Self {
            snapshot_id,
            snapshot_time_micros,
        }
    }
}

/// Schemas, tables and segments of a tenant at one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogVersion {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// When it was committed, in microseconds since 1970; increases from snapshot to snapshot.
    pub snapshot_time_micros: i64,
    /// Increases with every snapshot that changes more than rows.
    pub schema_version: i64,
    pub(crate) catalog_uuid: Uuid,
    pub(crate) next_file_id: i64,
    /// By folded name.
    pub(crate) schemas: Arc<BTreeMap<String, Arc<SchemaVersion>>>,
    pub(crate) tables: BTreeMap<TableId, Arc<TableVersion>>,
}

impl CatalogVersion {
    /// A schema by name; case does not count.
    pub fn schema(&self, name: &str) -> Option<&Arc<SchemaVersion>> {
        self.schemas.get(&fold(name))
    }

    /// A schema by id.
    pub fn schema_by_id(&self, id: SchemaId) -> Option<&Arc<SchemaVersion>> {
        self.schemas.values().find(|schema| schema.id == id)
    }

    /// All schemas, by name.
    pub fn schemas(&self) -> impl ExactSizeIterator<Item = &Arc<SchemaVersion>> + '_ {
        self.schemas.values()
    }

    /// A table by the names of its schema and itself; case does not count.
    pub fn table(&self, schema: &str, name: &str) -> Option<&Arc<TableVersion>> {
        self.tables.get(&self.schema(schema)?.table_id(name)?)
    }

    /// A table by id.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableVersion>> {
        self.tables.get(&id)
    }

    /// All tables, by id.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = &Arc<TableVersion>> + '_ {
        self.tables.values()
    }

    /// The tables of a schema, by name.
    pub fn tables_in<'a>(
        &'a self,
        schema: &'a SchemaVersion,
    ) -> impl Iterator<Item = &'a Arc<TableVersion>> + 'a {
        schema.table_ids().filter_map(|id| self.tables.get(&id))
    }

    /// The version after some changes. The receiver stays as it is.
    ///
    /// # Errors
    /// The first change that is not possible: bad, taken or missing names and ids, a schema that is
    /// not empty, a segment that contradicts its table.
    pub fn apply(&self, changes: &[Change], stamp: Stamp) -> Result<Self> {
        apply::apply(self, changes, stamp)
    }

    /// The same version with other segments of a table, which belong to it all the same.
    #[must_use]
    pub fn with_segments(&self, id: TableId, segments: Vec<Arc<Segment>>) -> Self {
        let mut version = self.clone();
        if let Some(table) = version.table_mut(id) {
            table.set_segments(segments);
        }
        version
    }

    pub(crate) fn table_mut(&mut self, id: TableId) -> Option<&mut TableVersion> {
        self.tables.get_mut(&id).map(Arc::make_mut)
    }

    pub(crate) fn next_segment_id(&mut self) -> SegmentId {
        let id = SegmentId(self.next_file_id);
        self.next_file_id += 1;
        id
    }
}
