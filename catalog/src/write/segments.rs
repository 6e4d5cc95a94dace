//! New segments, their statistics, and the totals of their tables.

use sqlx::SqliteConnection;

use super::end_rows;
use crate::change::Replacement;
use crate::diff::ChangedSegments;
use crate::error::{Result, storage};
use crate::expiry::{self, ScheduledFile};
use crate::ids::{SegmentId, SnapshotId, TableId};
use crate::segment::{ColumnStats, DeleteFile, Segment};
use crate::sqlite::{insert_rows, sql_int};
use crate::stats::TableColumnStats;
use crate::version::CatalogVersion;

pub(super) async fn write(
    connection: &mut SqliteConnection,
    changed: &[ChangedSegments<'_>],
    after: &CatalogVersion,
    replacement: Option<Replacement>,
) -> Result<()> {
    match replacement {
        Some(Replacement::Merge) => forget(connection, changed, after.snapshot_time_micros).await?,
        None | Some(Replacement::Rewrite) => end(connection, changed, after.snapshot_id).await?,
    }
    write_files(connection, changed).await?;
    write_delete_files(connection, changed).await?;
    write_file_stats(connection, changed).await?;
    write_table_stats(connection, changed).await?;
    write_table_column_stats(connection, changed).await
}

/// What is removed or replaced stays visible to older snapshots.
async fn end(
    connection: &mut SqliteConnection,
    changed: &[ChangedSegments<'_>],
    at: SnapshotId,
) -> Result<()> {
    let ended = changed.iter().flat_map(|changed| &changed.ended);
    let segments: Vec<i64> = ended.map(|segment| segment.id.0).collect();
    let ended = changed.iter().flat_map(|changed| &changed.ended_deletes);
    let deletes: Vec<i64> = ended.map(|deletes| deletes.id.0).collect();
    end_rows(
        connection,
        "ducklake_data_file",
        "data_file_id",
        &segments,
        at,
    )
    .await?;
    end_rows(
        connection,
        "ducklake_delete_file",
        "delete_file_id",
        &deletes,
        at,
    )
    .await
}

/// What is merged is in other segments for older snapshots as well. Readers may still be at its files,
/// so these go later.
async fn forget(
    connection: &mut SqliteConnection,
    changed: &[ChangedSegments<'_>],
    now_micros: i64,
) -> Result<()> {
    let mut files = vec![];
    for changed in changed {
        let folder = &changed.table.path;
        files.extend(changed.ended.iter().map(|segment| ScheduledFile {
            id: segment.id,
            path: format!("{folder}{}", segment.path),
            is_relative: true,
            since_micros: now_micros,
        }));
    }
    expiry::schedule(connection, &files).await?;
    let ids: Vec<i64> = files.iter().map(|file| file.id.0).collect();
    expiry::forget_segments(connection, &ids).await
}

async fn write_files(
    connection: &mut SqliteConnection,
    changed: &[ChangedSegments<'_>],
) -> Result<()> {
    let rows = added(changed);
    insert_rows!(
        connection,
        "INSERT INTO ducklake_data_file (data_file_id, table_id, begin_snapshot, path, \
         path_is_relative, file_format, record_count, file_size_bytes, footer_size, row_id_start, \
         partial_max) ",
        rows,
        |binder, row| {
            let (table_id, segment) = row;
            binder
                .push_bind(segment.id.0)
                .push_bind(table_id.0)
                .push_bind(segment.begin_snapshot.0)
                .push_bind(segment.path.as_str())
                .push_bind(1_i64)
                .push_bind("parquet")
                .push_bind(sql_int(segment.record_count))
                .push_bind(sql_int(segment.file_size_bytes))
                .push_bind(sql_int(segment.footer_size))
                .push_bind(segment.row_id_start)
                .push_bind(segment.partial_max.map(|last| last.0));
        }
    )
}

async fn write_file_stats(
    connection: &mut SqliteConnection,
    changed: &[ChangedSegments<'_>],
) -> Result<()> {
    let mut rows = vec![];
    for (table_id, segment) in added(changed) {
        let stats = segment.column_stats.iter();
        rows.extend(stats.map(|stats| (table_id, segment.id, stats)));
    }
    insert_file_stats(connection, &rows).await
}

/// Statistics of segments, with the segments and their tables.
pub(crate) async fn insert_file_stats(
    connection: &mut SqliteConnection,
    rows: &[(TableId, SegmentId, &ColumnStats)],
) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT INTO ducklake_file_column_stats (data_file_id, table_id, column_id, \
         column_size_bytes, value_count, null_count, min_value, max_value, contains_nan) ",
        rows,
        |binder, row| {
            let (table_id, segment, stats) = row;
            binder
                .push_bind(segment.0)
                .push_bind(table_id.0)
                .push_bind(stats.column_id.0)
                .push_bind(sql_int(stats.column_size_bytes))
                .push_bind(sql_int(stats.value_count))
                .push_bind(sql_int(stats.null_count))
                .push_bind(stats.min.as_deref())
                .push_bind(stats.max.as_deref())
                .push_bind(stats.contains_nan.map(i64::from));
        }
    )
}

async fn write_delete_files(
    connection: &mut SqliteConnection,
    changed: &[ChangedSegments<'_>],
) -> Result<()> {
    let mut rows: Vec<(TableId, &Segment, &DeleteFile)> = vec![];
    for changed in changed {
        let lists = changed.deleted_from.iter();
        rows.extend(lists.map(|(segment, deletes)| (changed.table.id, *segment, *deletes)));
    }
    insert_rows!(
        connection,
        "INSERT INTO ducklake_delete_file (delete_file_id, table_id, begin_snapshot, data_file_id, \
         path, path_is_relative, format, delete_count, file_size_bytes, footer_size) ",
        rows,
        |binder, row| {
            let (table_id, segment, deletes) = row;
            binder
                .push_bind(deletes.id.0)
                .push_bind(table_id.0)
                .push_bind(deletes.begin_snapshot.0)
                .push_bind(segment.id.0)
                .push_bind(deletes.path.as_str())
                .push_bind(1_i64)
                .push_bind("parquet")
                .push_bind(sql_int(deletes.delete_count))
                .push_bind(sql_int(deletes.file_size_bytes))
                .push_bind(sql_int(deletes.footer_size));
        }
    )
}

/// All new segments, with their tables.
fn added<'a>(changed: &[ChangedSegments<'a>]) -> Vec<(TableId, &'a Segment)> {
    let mut added = vec![];
    for changed in changed {
        let segments = changed.added.iter();
        added.extend(segments.map(|segment| (changed.table.id, *segment)));
    }
    added
}

/// Totals are replaced, not added to: the version in memory has the right ones.
async fn write_table_stats(
    connection: &mut SqliteConnection,
    changed: &[ChangedSegments<'_>],
) -> Result<()> {
    for table in changed.iter().map(|changed| changed.table) {
        for statement in [
            "DELETE FROM ducklake_table_stats WHERE table_id = ?",
            "DELETE FROM ducklake_table_column_stats WHERE table_id = ?",
        ] {
            sqlx::query(statement)
                .bind(table.id.0)
                .execute(&mut *connection)
                .await
                .map_err(storage("replace the table statistics"))?;
        }
    }
    insert_rows!(
        connection,
        "INSERT INTO ducklake_table_stats (table_id, record_count, next_row_id, \
         file_size_bytes) ",
        changed,
        |binder, row| {
            let table = row.table;
            binder
                .push_bind(table.id.0)
                .push_bind(sql_int(table.record_count))
                .push_bind(table.next_row_id)
                .push_bind(sql_int(table.file_size_bytes));
        }
    )
}

async fn write_table_column_stats(
    connection: &mut SqliteConnection,
    changed: &[ChangedSegments<'_>],
) -> Result<()> {
    let tables = changed.iter().map(|changed| changed.table);
    let rows: Vec<(TableId, &TableColumnStats)> = tables
        .flat_map(|table| table.column_stats.iter().map(|stats| (table.id, stats)))
        .collect();
    insert_rows!(
        connection,
        "INSERT INTO ducklake_table_column_stats (table_id, column_id, contains_null, \
         contains_nan, min_value, max_value) ",
        rows,
        |binder, row| {
            let (table_id, stats) = row;
            binder
                .push_bind(table_id.0)
                .push_bind(stats.column_id.0)
                .push_bind(i64::from(stats.contains_null))
                .push_bind(stats.contains_nan.map(i64::from))
                .push_bind(stats.min.known())
                .push_bind(stats.max.known());
        }
    )
}
