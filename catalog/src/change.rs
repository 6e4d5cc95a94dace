//! What a commit does to a tenant's catalog.

use arrow::datatypes::{DataType, Field};
use uuid::Uuid;

use crate::column::{Column, ColumnDefault};
use crate::ids::{ColumnId, SchemaId, TableId, UserId};
use crate::segment::{NewDeleteFile, NewSegment, Segment};
use crate::table::{NewTable, SortColumn};

/// One step of a commit. Steps see the effect of those before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds an empty schema.
    CreateSchema {
        /// Reserved by `TenantCatalog::reserve_ids`.
        schema_id: SchemaId,
        /// Its name.
        name: String,
    },
    /// Removes an empty schema.
    DropSchema {
        /// The schema.
        schema_id: SchemaId,
    },
    /// Adds an empty table.
    CreateTable(NewTable),
    /// Removes a table with all its segments; older snapshots keep them.
    DropTable {
        /// The table.
        table_id: TableId,
        /// The drop's commit sequence: rows of the table up to it are gone on replay.
        sequence: u64,
    },
    /// Changes what a table is like; its segments stay as they are.
    AlterTable {
        /// The table.
        table_id: TableId,
        /// What changes.
        alteration: Alteration,
    },
    /// Adds segments, which are on disk and synced.
    AppendSegments {
        /// The table.
        table_id: TableId,
        /// Its new segments, in the order of their rows.
        segments: Vec<NewSegment>,
    },
    /// Removes rows of segments; older snapshots keep them.
    DeleteRows {
        /// The table.
        table_id: TableId,
        /// What is left of each segment.
        deletions: Vec<Deletion>,
    },
    /// Puts segments in the place of others with the same rows. No other change comes with it.
    ReplaceSegments {
        /// The table.
        table_id: TableId,
        /// Paths of the segments that go.
        sources: Vec<String>,
        /// Those that come, with the id of each row.
        segments: Vec<NewSegment>,
        /// What older snapshots see.
        form: Replacement,
    },
    /// Makes a table what it was in an older snapshot; one that was dropped is there again.
    RestoreTable(RestoredTable),
    /// Removes all rows of a table, in whatever segment; older snapshots keep them. Rows that are not
    /// in segments yet are gone on replay if the commit says that they are flushed.
    Truncate {
        /// The table.
        table_id: TableId,
    },
}

/// The rows that a commit removes from one segment. Segments are named by their path: in a commit
/// that adds one, it has no id yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Path of the segment.
    pub segment: String,
    /// The new list of its deleted rows; `None` when no row is left.
    pub file: Option<NewDeleteFile>,
}

/// A table as it was: its columns, its sort key and its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredTable {
    /// The table.
    pub table_id: TableId,
    /// Its identity for other readers of the catalog.
    pub uuid: Uuid,
    /// The schema it is in.
    pub schema_id: SchemaId,
    /// Its name: the one that it has, if it is there.
    pub name: String,
    /// Directory of its segments, as [`TableVersion`](crate::TableVersion) has it.
    pub path: String,
    /// Its columns of then.
    pub columns: Vec<Column>,
    /// The highest id that one of its columns ever had.
    pub last_column_id: i64,
    /// Whether its columns were ever other ones.
    pub was_altered: bool,
    /// Its sort key of then.
    pub sort_key: Vec<SortColumn>,
    /// Row id that its next row gets; none of its rows ever had it, or a higher one.
    pub next_row_id: i64,
    /// Rows that it has, and had not then, of segments that it had.
    pub deletions: Vec<Deletion>,
    /// Paths of the segments that it has, and had then.
    pub kept: Vec<String>,
    /// The rows that it had, and has not.
    pub copies: Vec<SegmentCopy>,
}

/// A segment that is there again. Only the name of its file is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentCopy {
    /// As it was.
    pub of: Segment,
    /// File name, relative to the directory of its table.
    pub path: String,
    /// The rows of it that are not there.
    pub deletes: Option<NewDeleteFile>,
}

impl Change {
    /// Whether it changes what exists rather than which rows there are.
    pub fn is_ddl(&self) -> bool {
        match self {
            Self::CreateSchema { .. }
            | Self::DropSchema { .. }
            | Self::CreateTable(_)
            | Self::AlterTable { .. }
            | Self::RestoreTable(_)
            | Self::DropTable { .. } => true,
            Self::AppendSegments { .. }
            | Self::DeleteRows { .. }
            | Self::ReplaceSegments { .. }
            | Self::Truncate { .. } => false,
        }
    }
}

/// A change of what a table is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// Adds a column at the end: of the table, or of a struct.
    AddColumn {
        /// The struct.
        parent: Option<ColumnId>,
        /// Name, type and whether values may be missing.
        field: Field,
        /// What rows have that were there before, and those that name no value.
        default: ColumnDefault,
    },
    /// Removes a column with everything below it; older snapshots keep it.
    DropColumn {
        /// The column.
        column_id: ColumnId,
    },
    /// Gives a column, or a field of a struct, another name.
    RenameColumn {
        /// The column.
        column_id: ColumnId,
        /// The new name.
        name: String,
    },
    /// Gives a column a type that holds all values of the one that it has.
    WidenColumn {
        /// The column.
        column_id: ColumnId,
        /// The new type.
        data_type: DataType,
    },
    /// Says whether values may be missing.
    SetNullable {
        /// The column.
        column_id: ColumnId,
        /// Whether they may.
        nullable: bool,
    },
    /// Says what rows have from now on that name no value.
    SetDefault {
        /// The column.
        column_id: ColumnId,
        /// The value as DuckLake writes it; `None` for NULL.
        value: Option<String>,
    },
    /// Gives the table another name.
    Rename {
        /// The new name.
        name: String,
    },
    /// Says in which order the rows of new segments are.
    SetSortKey {
        /// Empty for none.
        sort_key: Vec<SortColumn>,
    },
}

/// How segments take the place of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// From now on, without the rows that are deleted; older snapshots keep the old segments.
    Rewrite,
    /// In every snapshot: the old ones are forgotten. None of their rows is deleted, and the new ones
    /// have the snapshot of each row.
    Merge,
}

/// The outcome of an ingest that had an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Who ingested.
    pub user_id: UserId,
    /// Into which table.
    pub table_id: TableId,
    /// The key the client chose.
    pub key: String,
    /// How it ingested, for example `append`.
    pub mode: String,
    /// Rows that were ingested.
    pub record_count: u64,
    /// Digest of the content, independent of how it was cut into batches.
    pub digest: Vec<u8>,
    /// The commit's sequence.
    pub sequence: u64,
    /// When, in microseconds since 1970.
    pub created_micros: i64,
}

/// How far a producer of a table has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerRecord {
    /// Into which table it ingests.
    pub table_id: TableId,
    /// Its name.
    pub producer: String,
    /// Its newest instance.
    pub epoch: u64,
    /// Number of its last committed ingest.
    pub producer_sequence: u64,
    /// The sequence of that commit.
    pub sequence: u64,
    /// When, in microseconds since 1970.
    pub updated_micros: i64,
}

/// Everything that one catalog transaction makes true at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Changes, in order. Without any, no snapshot is made.
    pub changes: Vec<Change>,
    /// Tables whose rows up to a sequence are now in segments.
    pub flushed: Vec<(TableId, u64)>,
    /// The highest sequence of the tenant that is covered by this commit.
    pub last_sequence: Option<u64>,
    /// Remembered, with its sequence, to decide whether prepared rows count.
    pub commit_id: Option<(Uuid, u64)>,
    /// Keys to remember.
    pub idempotency: Vec<IdempotencyRecord>,
    /// How far producers have come, in order.
    pub producers: Vec<ProducerRecord>,
    /// Who made the change, for the list of snapshots.
    pub author: Option<String>,
    /// Why, for the list of snapshots.
    pub message: Option<String>,
}

impl Commit {
    /// How its segments take the place of others, if that is what it does.
    pub(crate) fn replacement(&self) -> Option<Replacement> {
        self.changes.iter().find_map(|change| match change {
            Change::ReplaceSegments { form, .. } => Some(*form),
            _ => None,
        })
    }
}
