//! Segments and their statistics as rows.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::{by_table, failed};
use crate::error::{CatalogError, Result};
use crate::ids::{ColumnId, SegmentId, SnapshotId, TableId};
use crate::segment::{ColumnStats, DeleteFile, Segment};
use crate::sqlite::unsigned;

/// File id, table, first snapshot, path, rows, size, footer size, first row id, last snapshot; and
/// whether something is set that only other writers use.
type FileColumns = (
    i64,
    i64,
    i64,
    String,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i64,
);
/// File id, segment, first snapshot, path, deleted rows, size, footer size, last snapshot; and
/// whether something is set that only other writers use.
type DeleteColumns = (
    i64,
    i64,
    i64,
    String,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    i64,
);
/// File id, column, size, values, nulls, min, max, NaN.
type StatsColumns = (
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<i64>,
);

pub(super) async fn read(
    connection: &mut SqliteConnection,
    path: &Path,
    at: SnapshotId,
) -> Result<HashMap<TableId, Vec<Arc<Segment>>>> {
    let mut stats = read_stats(connection, at).await?;
    let mut deletes = read_deletes(connection, path, at).await?;
    let files: Vec<FileColumns> = sqlx::query_as(
        "SELECT data_file_id, table_id, begin_snapshot, path, record_count, file_size_bytes, \
           footer_size, row_id_start, partial_max, \
           path_is_relative IS NOT 1 OR file_format IS NOT 'parquet' \
           OR encryption_key IS NOT NULL OR mapping_id IS NOT NULL AS is_foreign \
         FROM ducklake_data_file \
         WHERE begin_snapshot <= ?1 AND (end_snapshot IS NULL OR ?1 < end_snapshot) \
         ORDER BY table_id, data_file_id",
    )
    .bind(at.0)
    .fetch_all(connection)
    .await
    .map_err(failed("read the segments"))?;
    let mut segments = Vec::with_capacity(files.len());
    for file in files {
        let column_stats = stats.remove(&file.0).unwrap_or_default();
        let deletes = deletes.remove(&file.0);
        segments.push((
            file.1,
            Arc::new(segment(path, file, deletes, column_stats)?),
        ));
    }
    // Those that are left are of segments that no row is left of: other writers do not end them.
    Ok(by_table(segments.into_iter()))
}

fn segment(
    path: &Path,
    file: FileColumns,
    deletes: Option<Arc<DeleteFile>>,
    column_stats: Vec<ColumnStats>,
) -> Result<Segment> {
    let (id, _, begin_snapshot, file_path, rows, size, footer, row_id_start, last, is_foreign) =
        file;
    let (0, Some(footer_size)) = (is_foreign, footer) else {
        return Err(foreign(path, "segment", id));
    };
    let record_count = unsigned(rows, "record_count")?;
    if let Some(deletes) = &deletes
        && deletes.delete_count > record_count
    {
        let reason = format!("segment {id} has {record_count} rows, and more are deleted");
        return Err(CatalogError::corruption(reason));
    }
    Ok(Segment {
        id: SegmentId(id),
        begin_snapshot: SnapshotId(begin_snapshot),
        row_id_start,
        partial_max: last.map(SnapshotId),
        path: file_path,
        record_count,
        file_size_bytes: unsigned(size, "file_size_bytes")?,
        footer_size: unsigned(footer_size, "footer_size")?,
        deletes,
        column_stats,
    })
}

fn foreign(path: &Path, what: &str, id: i64) -> CatalogError {
    let reason = format!("another program wrote {what} {id} in a form that is not supported");
    CatalogError::UnsupportedCatalog {
        path: path.to_owned(),
        reason,
    }
}

/// The lists of deleted rows that are in force, by segment.
async fn read_deletes(
    connection: &mut SqliteConnection,
    path: &Path,
    at: SnapshotId,
) -> Result<HashMap<i64, Arc<DeleteFile>>> {
    let rows: Vec<DeleteColumns> = sqlx::query_as(
        "SELECT delete_file_id, data_file_id, begin_snapshot, path, delete_count, \
           file_size_bytes, footer_size, partial_max, \
           path_is_relative IS NOT 1 OR format IS NOT 'parquet' OR encryption_key IS NOT NULL \
           AS is_foreign \
         FROM ducklake_delete_file \
         WHERE begin_snapshot <= ?1 AND (end_snapshot IS NULL OR ?1 < end_snapshot) \
         ORDER BY delete_file_id",
    )
    .bind(at.0)
    .fetch_all(connection)
    .await
    .map_err(failed("read the lists of deleted rows"))?;
    let mut deletes = HashMap::with_capacity(rows.len());
    for (id, segment, begin_snapshot, file_path, count, size, footer, last, is_foreign) in rows {
        let (0, Some(footer_size)) = (is_foreign, footer) else {
            return Err(foreign(path, "a list of deleted rows,", id));
        };
        let file = DeleteFile {
            id: SegmentId(id),
            begin_snapshot: SnapshotId(begin_snapshot),
            path: file_path,
            delete_count: unsigned(count, "delete_count")?,
            file_size_bytes: unsigned(size, "file_size_bytes")?,
            footer_size: unsigned(footer_size, "footer_size")?,
            partial_max: last.map(SnapshotId),
        };
        if deletes.insert(segment, Arc::new(file)).is_some() {
            let reason = format!("segment {segment} has two lists of deleted rows");
            return Err(CatalogError::corruption(reason));
        }
    }
    Ok(deletes)
}

/// Statistics of the visible segments by segment, ordered by column.
async fn read_stats(
    connection: &mut SqliteConnection,
    at: SnapshotId,
) -> Result<HashMap<i64, Vec<ColumnStats>>> {
    let rows: Vec<StatsColumns> = sqlx::query_as(
        "SELECT s.data_file_id, s.column_id, s.column_size_bytes, s.value_count, s.null_count, \
           s.min_value, s.max_value, s.contains_nan \
         FROM ducklake_file_column_stats s \
         JOIN ducklake_data_file f ON f.data_file_id = s.data_file_id \
         WHERE f.begin_snapshot <= ?1 AND (f.end_snapshot IS NULL OR ?1 < f.end_snapshot) \
         ORDER BY s.data_file_id, s.column_id",
    )
    .bind(at.0)
    .fetch_all(connection)
    .await
    .map_err(failed("read the statistics of the segments"))?;
    let mut stats: HashMap<i64, Vec<ColumnStats>> = HashMap::new();
    for (file_id, column_id, size, values, nulls, min, max, contains_nan) in rows {
        // Without counts nothing is known about the values, so the entry would be of no use.
        let (Some(values), Some(nulls)) = (values, nulls) else {
            continue;
        };
        stats.entry(file_id).or_default().push(ColumnStats {
            column_id: ColumnId(column_id),
            column_size_bytes: unsigned(size.unwrap_or(0), "column_size_bytes")?,
            value_count: unsigned(values, "value_count")?,
            null_count: unsigned(nulls, "null_count")?,
            min,
            max,
            contains_nan: contains_nan.map(|flag| flag != 0),
        });
    }
    Ok(stats)
}
