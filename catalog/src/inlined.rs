//! Rows, and deletions, that another writer keeps in the catalog itself, in tables of its own. They move
//! to files before anybody here reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection, TypeInfo, ValueRef};

use crate::column::Column;
use crate::error::{CatalogError, Result, storage};
use crate::expiry::{self, ScheduledFile};
use crate::ids::{SegmentId, SnapshotId, TableId};
use crate::load;
use crate::names::quoted;
use crate::segment::{NewDeleteFile, NewSegment};
use crate::sqlite::{sql_int, unsigned};
use crate::time_text;
use crate::write::insert_file_stats;

/// All that is kept in the catalog.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inlined {
    /// Rows by table, and by the columns that they have.
    pub rows: Vec<InlinedRows>,
    /// Deletions by segment.
    pub deletions: Vec<InlinedDeletions>,
    /// Tables of the database that hold them, or held some.
    tables: Vec<String>,
}

impl Inlined {
    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

/// Rows of one table with one set of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct InlinedRows {
    /// The table.
    pub table_id: TableId,
    /// Its folder, below the data path, with a slash at its end.
    pub folder: String,
    /// The columns that the table had then.
    pub columns: Vec<Column>,
    /// When the table was dropped.
    pub dropped: Option<SnapshotId>,
    /// At least one, in the order of their ids.
    pub rows: Vec<InlinedRow>,
}

/// A row, or what it was before an update.
#[derive(Debug, Clone, PartialEq)]
pub struct InlinedRow {
    /// Its id, which it keeps.
    pub row_id: i64,
    /// The snapshot that added it.
    pub begin: SnapshotId,
    /// The snapshot that removed it.
    pub end: Option<SnapshotId>,
    /// By column.
    pub values: Vec<InlinedValue>,
}

/// A value as the database has it.
#[derive(Debug, Clone, PartialEq)]
pub enum InlinedValue {
    /// No value.
    Null,
    /// A whole number, or a truth value.
    Integer(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Any other value, in DuckDB's notation.
    Text(String),
}

/// Deleted rows of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlinedDeletions {
    /// The table.
    pub table_id: TableId,
    /// Its folder, below the data path, with a slash at its end.
    pub folder: String,
    /// The segment.
    pub segment: SegmentId,
    /// Its path below the folder.
    pub segment_path: String,
    /// Rows of it.
    pub record_count: u64,
    /// The snapshot that removed it.
    pub removed: Option<SnapshotId>,
    /// The list of deleted rows that it has already.
    pub listed: Option<ListedDeletions>,
    /// Positions in it, with the snapshots that deleted them.
    pub rows: BTreeMap<u64, SnapshotId>,
}

/// A list of deleted rows that is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDeletions {
    /// Its id.
    pub id: SegmentId,
    /// Its path below the folder of the table.
    pub path: String,
    /// Since when it counts.
    pub begin_snapshot: SnapshotId,
}

/// What became of [`Inlined`]: files that are written and durable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredInlined {
    /// One for each of the rows.
    pub segments: Vec<StoredRows>,
    /// One for each of the deletions.
    pub deletions: Vec<StoredDeletions>,
}

/// Rows that moved to a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRows {
    /// Their table.
    pub table_id: TableId,
    /// The segment, which has ids and snapshots of its rows.
    pub segment: NewSegment,
    /// The snapshots that added the first and the last of its rows.
    pub range: (SnapshotId, SnapshotId),
    /// The snapshot in which none of its rows was left.
    pub ended: Option<SnapshotId>,
    /// Rows that were deleted before that.
    pub deletes: Option<StoredList>,
}

/// A list of deleted rows that has the snapshot of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredList {
    /// Its file.
    pub file: NewDeleteFile,
    /// The snapshots that deleted the first and the last of its rows.
    pub range: (SnapshotId, SnapshotId),
}

/// Deletions that moved to a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeletions {
    /// What moved.
    pub of: InlinedDeletions,
    /// The snapshot from which on it is not there, or no row of it is left.
    pub ended: Option<SnapshotId>,
    /// Rows that were deleted before that, with those that were listed already.
    pub deletes: Option<StoredList>,
}

/// Everything that is kept in the catalog.
pub(crate) async fn read(connection: &mut SqliteConnection, path: &Path) -> Result<Inlined> {
    let failed = || storage("look for rows in the catalog");
    let registered: Vec<(i64, String, i64)> = sqlx::query_as(
        "SELECT i.table_id, i.table_name, i.schema_version FROM ducklake_inlined_data_tables i \
         JOIN sqlite_master m ON m.type = 'table' AND m.name = i.table_name \
         ORDER BY i.table_id, i.schema_version",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed())?;
    let lists: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' \
         AND name LIKE 'ducklake\\_inlined\\_delete\\_%' ESCAPE '\\'",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed())?;
    let mut inlined = Inlined::default();
    for (table_id, name, schema_version) in registered {
        let table = (TableId(table_id), name.as_str(), schema_version);
        inlined
            .rows
            .extend(read_rows(connection, path, table).await?);
        inlined.tables.push(name);
    }
    for name in lists {
        inlined
            .deletions
            .extend(read_deletions(connection, &name).await?);
        inlined.tables.push(name);
    }
    Ok(inlined)
}

/// The folder of a table, and when it was dropped. `None` when history has forgotten it.
async fn folder(
    connection: &mut SqliteConnection,
    table_id: TableId,
) -> Result<Option<(String, Option<i64>)>> {
    sqlx::query_as(
        "SELECT s.path || t.path, t.end_snapshot FROM ducklake_table t \
         JOIN ducklake_schema s ON s.schema_id = t.schema_id \
         WHERE t.table_id = ? ORDER BY t.begin_snapshot DESC LIMIT 1",
    )
    .bind(table_id.0)
    .fetch_optional(connection)
    .await
    .map_err(storage("find the folder of a table"))
}

async fn read_rows(
    connection: &mut SqliteConnection,
    path: &Path,
    (table_id, name, schema_version): (TableId, &str, i64),
) -> Result<Option<InlinedRows>> {
    let Some((folder, dropped)) = folder(connection, table_id).await? else {
        return Ok(None);
    };
    let query = format!("SELECT * FROM {} ORDER BY 1, 2", quoted(name));
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(&mut *connection)
        .await
        .map_err(storage("read rows of the catalog"))?;
    if rows.is_empty() {
        return Ok(None);
    }
    let since: Option<i64> = sqlx::query_scalar(
        "SELECT coalesce( \
           (SELECT min(begin_snapshot) FROM ducklake_schema_versions \
              WHERE schema_version = ?1 AND (table_id = ?2 OR table_id IS NULL)), \
           (SELECT min(snapshot_id) FROM ducklake_snapshot WHERE schema_version = ?1))",
    )
    .bind(schema_version)
    .bind(table_id.0)
    .fetch_one(&mut *connection)
    .await
    .map_err(storage("find the columns of rows"))?;
    // Where history has forgotten it, the first rows tell when they were added.
    let added = |row: &SqliteRow| row.try_get_unchecked::<i64, _>(1).ok();
    let since = since.or_else(|| rows.iter().filter_map(added).min());
    let unknown = || CatalogError::corruption(format!("nothing says what columns {name} has"));
    let since = SnapshotId(since.ok_or_else(unknown)?);
    let columns = load::columns_of(connection, path, table_id, since).await?;
    let rows = rows.iter().map(|row| read_row(row, columns.len()));
    let rows = rows.collect::<Result<Vec<InlinedRow>>>()?;
    Ok(Some(InlinedRows {
        table_id,
        folder,
        columns,
        dropped: dropped.map(SnapshotId),
        rows,
    }))
}

fn read_row(row: &SqliteRow, column_count: usize) -> Result<InlinedRow> {
    const OWN: usize = 3;
    if row.len() != OWN + column_count {
        let reason = format!(
            "{} columns of rows in the catalog, not {column_count}",
            row.len()
        );
        return Err(CatalogError::corruption(reason));
    }
    let failed = || storage("read a row of the catalog");
    let snapshot = |at: usize| -> Result<Option<SnapshotId>> {
        let id: Option<i64> = row.try_get_unchecked(at).map_err(failed())?;
        Ok(id.map(SnapshotId))
    };
    let begin = snapshot(1)?;
    let begin = begin.ok_or_else(|| CatalogError::corruption("a row that was never added"))?;
    let values = (OWN..row.len()).map(|at| read_value(row, at));
    Ok(InlinedRow {
        row_id: row.try_get_unchecked(0).map_err(failed())?,
        begin,
        end: snapshot(2)?,
        values: values.collect::<Result<_>>()?,
    })
}

fn read_value(row: &SqliteRow, at: usize) -> Result<InlinedValue> {
    let failed = || storage("read a value of the catalog");
    let raw = row.try_get_raw(at).map_err(failed())?;
    if raw.is_null() {
        return Ok(InlinedValue::Null);
    }
    Ok(match raw.type_info().name() {
        "INTEGER" => InlinedValue::Integer(row.try_get_unchecked(at).map_err(failed())?),
        "BLOB" => InlinedValue::Bytes(row.try_get_unchecked(at).map_err(failed())?),
        _ => InlinedValue::Text(row.try_get_unchecked(at).map_err(failed())?),
    })
}

/// Position, snapshot, segment, table, path, rows, last snapshot.
type DeletionColumns = (i64, i64, i64, i64, String, i64, Option<i64>);

async fn read_deletions(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Vec<InlinedDeletions>> {
    let query = format!(
        "SELECT d.row_id, d.begin_snapshot, f.data_file_id, f.table_id, f.path, f.record_count, \
           f.end_snapshot \
         FROM {} d JOIN ducklake_data_file f ON f.data_file_id = d.file_id",
        quoted(name)
    );
    let rows: Vec<DeletionColumns> = sqlx::query_as(AssertSqlSafe(query))
        .fetch_all(&mut *connection)
        .await
        .map_err(storage("read deletions of the catalog"))?;
    let mut by_segment: BTreeMap<i64, InlinedDeletions> = BTreeMap::new();
    for (position, snapshot, segment, table_id, segment_path, record_count, removed) in rows {
        let own = by_segment.entry(segment).or_insert(InlinedDeletions {
            table_id: TableId(table_id),
            folder: String::new(),
            segment: SegmentId(segment),
            segment_path,
            record_count: unsigned(record_count, "record_count")?,
            removed: removed.map(SnapshotId),
            listed: None,
            rows: BTreeMap::new(),
        });
        let position = unsigned(position, "the position of a deleted row")?;
        own.rows.insert(position, SnapshotId(snapshot));
    }
    let mut deletions = vec![];
    for mut own in by_segment.into_values() {
        let Some((folder, _)) = folder(connection, own.table_id).await? else {
            continue;
        };
        own.folder = folder;
        let listed: Option<(i64, String, i64)> = sqlx::query_as(
            "SELECT delete_file_id, path, begin_snapshot FROM ducklake_delete_file \
             WHERE data_file_id = ? AND end_snapshot IS ? ORDER BY begin_snapshot DESC LIMIT 1",
        )
        .bind(own.segment.0)
        .bind(own.removed.map(|removed| removed.0))
        .fetch_optional(&mut *connection)
        .await
        .map_err(storage("read a list of deleted rows"))?;
        own.listed = listed.map(|(id, path, begin)| ListedDeletions {
            id: SegmentId(id),
            path,
            begin_snapshot: SnapshotId(begin),
        });
        deletions.push(own);
    }
    Ok(deletions)
}

/// Puts the files in the place of what was kept in the catalog, in one snapshot in which every table has
/// the rows that it had before, as it has them in all earlier ones.
pub(crate) async fn replace(
    connection: &mut SqliteConnection,
    inlined: &Inlined,
    stored: &StoredInlined,
    now_micros: i64,
) -> Result<()> {
    if !stored.segments.is_empty() || !stored.deletions.is_empty() {
        let mut next_file_id = write_snapshot(connection, stored, now_micros).await?;
        let mut lists = vec![];
        for rows in &stored.segments {
            let id = next_file_id;
            next_file_id += 1;
            write_segment(connection, id, rows).await?;
            lists.extend(
                rows.deletes
                    .as_ref()
                    .map(|list| (rows.table_id, id, rows.ended, list)),
            );
        }
        let mut replaced = vec![];
        for own in &stored.deletions {
            replaced.extend(own.of.listed.as_ref().map(|listed| ScheduledFile {
                id: listed.id,
                path: format!("{}{}", own.of.folder, listed.path),
                is_relative: true,
                since_micros: now_micros,
            }));
            end_segment(connection, own).await?;
            let segment = own.of.segment.0;
            lists.extend(
                own.deletes
                    .as_ref()
                    .map(|list| (own.of.table_id, segment, own.ended, list)),
            );
        }
        forget_lists(connection, &replaced).await?;
        for (table_id, segment, ended, list) in lists {
            write_list(connection, next_file_id, (table_id, segment, ended), list).await?;
            next_file_id += 1;
        }
    }
    for table in &inlined.tables {
        let statement = format!("DROP TABLE {}", quoted(table));
        sqlx::query(AssertSqlSafe(statement))
            .persistent(false)
            .execute(&mut *connection)
            .await
            .map_err(storage("drop a table of rows in the catalog"))?;
    }
    sqlx::query("DELETE FROM ducklake_inlined_data_tables")
        .execute(connection)
        .await
        .map_err(storage("forget the tables of rows in the catalog"))?;
    Ok(())
}

/// Returns the id of the first new file.
async fn write_snapshot(
    connection: &mut SqliteConnection,
    stored: &StoredInlined,
    now_micros: i64,
) -> Result<i64> {
    let lists = |deletes: &Option<StoredList>| usize::from(deletes.is_some());
    let count = stored.segments.iter().map(|rows| 1 + lists(&rows.deletes));
    let listed = stored.deletions.iter().map(|own| lists(&own.deletes));
    let files = sql_int(count.chain(listed).sum::<usize>() as u64);
    let (last, schema_version, next_catalog_id, next_file_id, time): (i64, i64, i64, i64, String) =
        sqlx::query_as(
            "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id, snapshot_time \
             FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(storage("read the last snapshot"))?;
    let before = time_text::from_text(&time).unwrap_or(0);
    sqlx::query(
        "INSERT INTO ducklake_snapshot \
         (snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(last + 1)
    .bind(time_text::to_text(now_micros.max(before + 1)))
    .bind(schema_version)
    .bind(next_catalog_id)
    .bind(next_file_id + files)
    .execute(&mut *connection)
    .await
    .map_err(storage("write the snapshot"))?;
    let with_rows = stored.segments.iter().map(|rows| rows.table_id);
    let with_deletions = stored.deletions.iter().map(|own| own.of.table_id);
    let tables: BTreeSet<TableId> = with_rows.chain(with_deletions).collect();
    let changes: Vec<String> = tables
        .iter()
        .map(|id| format!("inline_flush:{id}"))
        .collect();
    sqlx::query(
        "INSERT INTO ducklake_snapshot_changes \
         (snapshot_id, changes_made, author, commit_message, commit_extra_info) \
         VALUES (?, ?, NULL, NULL, NULL)",
    )
    .bind(last + 1)
    .bind(changes.join(","))
    .execute(connection)
    .await
    .map_err(storage("write the snapshot's changes"))?;
    Ok(next_file_id)
}

async fn write_segment(
    connection: &mut SqliteConnection,
    id: i64,
    rows: &StoredRows,
) -> Result<()> {
    let segment = &rows.segment;
    sqlx::query(
        "INSERT INTO ducklake_data_file (data_file_id, table_id, begin_snapshot, end_snapshot, path, \
         path_is_relative, file_format, record_count, file_size_bytes, footer_size, row_id_start, \
         partial_max) VALUES (?, ?, ?, ?, ?, 1, 'parquet', ?, ?, ?, NULL, ?)",
    )
    .bind(id)
    .bind(rows.table_id.0)
    .bind(rows.range.0.0)
    .bind(rows.ended.map(|ended| ended.0))
    .bind(segment.path.as_str())
    .bind(sql_int(segment.record_count))
    .bind(sql_int(segment.file_size_bytes))
    .bind(sql_int(segment.footer_size))
    .bind(rows.range.1.0)
    .execute(&mut *connection)
    .await
    .map_err(storage("write a segment"))?;
    let stats = segment.column_stats.iter();
    let stats: Vec<_> = stats
        .map(|stats| (rows.table_id, SegmentId(id), stats))
        .collect();
    insert_file_stats(connection, &stats).await?;
    if rows.ended.is_some() {
        return Ok(());
    }
    // The rows count already; their bytes do not.
    sqlx::query(
        "UPDATE ducklake_table_stats SET file_size_bytes = file_size_bytes + ? WHERE table_id = ?",
    )
    .bind(sql_int(segment.file_size_bytes))
    .bind(rows.table_id.0)
    .execute(connection)
    .await
    .map_err(storage("write the table statistics"))?;
    Ok(())
}

/// A segment that no row is left of.
async fn end_segment(connection: &mut SqliteConnection, own: &StoredDeletions) -> Result<()> {
    let Some(ended) = own.ended else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE ducklake_data_file SET end_snapshot = ?1 WHERE data_file_id = ?2 \
         AND (end_snapshot IS NULL OR end_snapshot > ?1)",
    )
    .bind(ended.0)
    .bind(own.of.segment.0)
    .execute(connection)
    .await
    .map_err(storage("end a segment"))?;
    Ok(())
}

/// Lists that are in others from now on.
async fn forget_lists(connection: &mut SqliteConnection, lists: &[ScheduledFile]) -> Result<()> {
    expiry::schedule(connection, lists).await?;
    for list in lists {
        sqlx::query("DELETE FROM ducklake_delete_file WHERE delete_file_id = ?")
            .bind(list.id.0)
            .execute(&mut *connection)
            .await
            .map_err(storage("forget a list of deleted rows"))?;
    }
    Ok(())
}

async fn write_list(
    connection: &mut SqliteConnection,
    id: i64,
    (table_id, segment, ended): (TableId, i64, Option<SnapshotId>),
    list: &StoredList,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO ducklake_delete_file (delete_file_id, table_id, begin_snapshot, end_snapshot, \
         data_file_id, path, path_is_relative, format, delete_count, file_size_bytes, footer_size, \
         partial_max) VALUES (?, ?, ?, ?, ?, ?, 1, 'parquet', ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(table_id.0)
    .bind(list.range.0.0)
    .bind(ended.map(|ended| ended.0))
    .bind(segment)
    .bind(list.file.path.as_str())
    .bind(sql_int(list.file.delete_count))
    .bind(sql_int(list.file.file_size_bytes))
    .bind(sql_int(list.file.footer_size))
    .bind(list.range.1.0)
    .execute(connection)
    .await
    .map_err(storage("write a list of deleted rows"))?;
    Ok(())
}
