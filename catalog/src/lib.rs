//! What exists and where: the catalog of each tenant and the control catalog of the node.
//!
//! A tenant's catalog is a DuckLake 1.0 database in one `SQLite` file: schemas, tables, segments
//! with their statistics, and the snapshots that DuckDB reads too. [`TenantCatalog`] commits to it;
//! [`CatalogVersion`] is one immutable state of it in memory. [`ControlCatalog`] knows tenants,
//! users and settings. Nothing here knows of rows, the write-ahead log, queries or the network.

mod change;
mod clock;
mod column;
mod commit;
mod connections;
mod control;
mod ddl;
mod diff;
mod dropped;
mod error;
mod error_kind;
mod expiry;
mod ids;
mod inlined;
mod leaf_index;
mod load;
mod names;
mod open;
mod private;
mod prune;
mod segment;
mod segment_check;
mod snapshots;
mod sqlite;
mod stats;
mod table;
mod table_changes;
mod tenant_catalog;
mod time_text;
mod types;
mod version;
mod write;

pub use change::{
    Alteration, Change, Commit, Deletion, IdempotencyRecord, ProducerRecord, Replacement,
    RestoredTable, SegmentCopy,
};
pub use clock::{Clock, SystemClock};
pub use column::{Column, ColumnDefault, assign_columns, columns_to_schema};
pub use connections::Connections;
pub use control::{BegunBy, ControlCatalog, NewUser, SessionMark, Tenant, User};
pub use dropped::DroppedTable;
pub use error::{CatalogError, Result};
pub use error_kind::ErrorKind;
pub use expiry::{ExpiryLimits, ScheduledFile};
pub use ids::{ColumnId, SchemaId, SegmentId, SnapshotId, TableId, TenantId, UserId};
pub use inlined::{
    Inlined, InlinedDeletions, InlinedRow, InlinedRows, InlinedValue, ListedDeletions,
    StoredDeletions, StoredInlined, StoredList, StoredRows,
};
pub use prune::{ColumnPredicate, ColumnTest};
pub use segment::{
    ColumnStats, DeleteFile, NewDeleteFile, NewSegment, ROW_ID_COLUMN, ROW_ID_FIELD, RowIds,
    SNAPSHOT_COLUMN, SNAPSHOT_FIELD, Segment,
};
pub use snapshots::{SnapshotInfo, SnapshotName};
pub use stats::{Bound, TableColumnStats};
pub use table::{NewTable, SchemaVersion, SortColumn, TableVersion};
pub use table_changes::{SegmentChanges, TableChanges};
pub use tenant_catalog::{CatalogOptions, TenantCatalog};
pub use types::ducklake_type;
pub use version::{CatalogVersion, Stamp};
