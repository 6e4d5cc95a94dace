//! The end of things: snapshots that expire, files that no snapshot needs any more.
//!
//! Nothing here deletes a file. What is not needed is scheduled in the same transaction in which it is
//! forgotten; whoever deletes it later says so, and only then it is forgotten for good.

use std::collections::HashSet;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::error::{CatalogError, Result, storage};
use crate::ids::{SegmentId, SnapshotId};
use crate::snapshots::{self, SnapshotInfo};
use crate::sqlite::{INSERT_ROWS, insert_rows};
use crate::time_text;

/// Which snapshots may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpiryLimits {
    /// Those from before this time, in microseconds since 1970; `None` for those of any age.
    pub older_than_micros: Option<i64>,
    /// This many of the newest stay; at least one does.
    pub keep_min: u64,
}

/// A file that no snapshot needs any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledFile {
    /// The id that the segment or delete file had.
    pub id: SegmentId,
    /// Where it lies.
    pub path: String,
    /// Whether that is below the data path; other writers may name files that lie elsewhere.
    pub is_relative: bool,
    /// Since when it is not needed, in microseconds since 1970.
    pub since_micros: i64,
}

/// The path of a file below the data path, for rows `f` of a table of files.
const FULL_PATH: &str = "CASE WHEN f.path_is_relative IS NOT 1 THEN f.path ELSE \
   (SELECT s.path || t.path FROM ducklake_table t JOIN ducklake_schema s \
      ON s.schema_id = t.schema_id WHERE t.table_id = f.table_id LIMIT 1) || f.path END";

/// True for rows `f` that no snapshot sees.
const UNSEEN: &str = "f.end_snapshot IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ducklake_snapshot p \
   WHERE p.snapshot_id >= f.begin_snapshot AND p.snapshot_id < f.end_snapshot)";

pub(crate) async fn expire(
    connection: &mut SqliteConnection,
    limits: &ExpiryLimits,
    now_micros: i64,
) -> Result<Vec<SnapshotId>> {
    let all = snapshots::list(connection).await?;
    let names = snapshots::names(connection).await?;
    let named: HashSet<SnapshotId> = names.iter().map(|name| name.id).collect();
    let expired = choose(&all, &named, limits);
    if expired.is_empty() {
        return Ok(expired);
    }
    let ids: Vec<i64> = expired.iter().map(|id| id.0).collect();
    delete_by_id(connection, "ducklake_snapshot", "snapshot_id", &ids).await?;
    delete_by_id(connection, "ducklake_snapshot_changes", "snapshot_id", &ids).await?;
    let segments =
        unseen_files(connection, "ducklake_data_file", "data_file_id", now_micros).await?;
    let segment_ids: Vec<i64> = segments.iter().map(|file| file.id.0).collect();
    // Lists of deleted rows go with their segments: other writers do not end them.
    end_deletes(connection, &segment_ids).await?;
    let deletes = unseen_files(
        connection,
        "ducklake_delete_file",
        "delete_file_id",
        now_micros,
    )
    .await?;
    schedule(connection, &segments).await?;
    schedule(connection, &deletes).await?;
    forget_segments(connection, &segment_ids).await?;
    let delete_ids: Vec<i64> = deletes.iter().map(|file| file.id.0).collect();
    delete_by_id(
        connection,
        "ducklake_delete_file",
        "delete_file_id",
        &delete_ids,
    )
    .await?;
    forget_tables(connection).await?;
    Ok(expired)
}

/// Of snapshots in order, those that may go and need not stay.
fn choose(
    all: &[SnapshotInfo],
    named: &HashSet<SnapshotId>,
    limits: &ExpiryLimits,
) -> Vec<SnapshotId> {
    let keep = usize::try_from(limits.keep_min.max(1)).unwrap_or(usize::MAX);
    let old = |snapshot: &&SnapshotInfo| match limits.older_than_micros {
        None => true,
        Some(limit) => snapshot.time_micros < limit,
    };
    all[..all.len().saturating_sub(keep)]
        .iter()
        .filter(old)
        .map(|snapshot| snapshot.id)
        .filter(|id| !named.contains(id))
        .collect()
}

async fn end_deletes(connection: &mut SqliteConnection, segments: &[i64]) -> Result<()> {
    for chunk in segments.chunks(INSERT_ROWS) {
        let mut builder = QueryBuilder::<Sqlite>::new(
            "UPDATE ducklake_delete_file SET end_snapshot = begin_snapshot WHERE data_file_id IN (",
        );
        push_ids(&mut builder, chunk);
        run(connection, builder, "end the lists of deleted rows").await?;
    }
    Ok(())
}

async fn unseen_files(
    connection: &mut SqliteConnection,
    table: &'static str,
    key: &'static str,
    now_micros: i64,
) -> Result<Vec<ScheduledFile>> {
    let query = format!(
        "SELECT f.{key}, {FULL_PATH}, f.path_is_relative IS 1 FROM {table} f WHERE {UNSEEN} \
         ORDER BY 1"
    );
    let rows: Vec<(i64, Option<String>, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .fetch_all(connection)
        .await
        .map_err(storage("look for files that no snapshot sees"))?;
    let file = |(id, path, is_relative): (i64, Option<String>, i64)| {
        let path =
            path.ok_or_else(|| CatalogError::corruption(format!("file {id} of no table")))?;
        Ok(ScheduledFile {
            id: SegmentId(id),
            path,
            is_relative: is_relative != 0,
            since_micros: now_micros,
        })
    };
    rows.into_iter().map(file).collect()
}

/// What belongs to tables that no snapshot sees.
async fn forget_tables(connection: &mut SqliteConnection) -> Result<()> {
    let query = format!(
        "SELECT DISTINCT table_id FROM ducklake_table EXCEPT \
         SELECT f.table_id FROM ducklake_table f WHERE NOT ({UNSEEN})"
    );
    let tables: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_all(&mut *connection)
        .await
        .map_err(storage("look for tables that no snapshot sees"))?;
    for table in [
        "ducklake_sort_expression",
        "ducklake_sort_info",
        "ducklake_partition_column",
        "ducklake_partition_info",
        "ducklake_column",
        "ducklake_column_tag",
        "ducklake_table_stats",
        "ducklake_table_column_stats",
        "quiver_column",
        // A table that is restored knows its producers.
        "quiver_producer",
        "ducklake_table",
    ] {
        delete_by_id(connection, table, "table_id", &tables).await?;
    }
    delete_by_id(connection, "ducklake_tag", "object_id", &tables).await
}

/// Removes segments with what is known about them.
pub(crate) async fn forget_segments(connection: &mut SqliteConnection, ids: &[i64]) -> Result<()> {
    for table in [
        "ducklake_file_column_stats",
        "ducklake_file_variant_stats",
        "ducklake_file_partition_value",
        "ducklake_data_file",
    ] {
        delete_by_id(connection, table, "data_file_id", ids).await?;
    }
    Ok(())
}

/// Notes files to be deleted.
pub(crate) async fn schedule(
    connection: &mut SqliteConnection,
    files: &[ScheduledFile],
) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT INTO ducklake_files_scheduled_for_deletion (data_file_id, path, \
         path_is_relative, schedule_start) ",
        files,
        |binder, file| {
            binder
                .push_bind(file.id.0)
                .push_bind(file.path.as_str())
                .push_bind(i64::from(file.is_relative))
                .push_bind(time_text::to_text(file.since_micros));
        }
    )
}

pub(crate) async fn scheduled(connection: &mut SqliteConnection) -> Result<Vec<ScheduledFile>> {
    let rows: Vec<(i64, String, i64, String)> = sqlx::query_as(
        "SELECT data_file_id, path, path_is_relative IS 1, schedule_start \
         FROM ducklake_files_scheduled_for_deletion",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("list the files to be deleted"))?;
    let file = |(id, path, is_relative, since): (i64, String, i64, String)| {
        let since_micros = time_text::from_text(&since)
            .ok_or_else(|| CatalogError::corruption(format!("schedule_start is {since:?}")))?;
        Ok(ScheduledFile {
            id: SegmentId(id),
            path,
            is_relative: is_relative != 0,
            since_micros,
        })
    };
    let mut files = rows.into_iter().map(file).collect::<Result<Vec<_>>>()?;
    files.sort_by_key(|file| (file.since_micros, file.id));
    Ok(files)
}

pub(crate) async fn forget_scheduled(
    connection: &mut SqliteConnection,
    files: &[ScheduledFile],
) -> Result<()> {
    for file in files {
        sqlx::query(
            "DELETE FROM ducklake_files_scheduled_for_deletion WHERE data_file_id = ? AND path = ?",
        )
        .bind(file.id.0)
        .bind(file.path.as_str())
        .execute(&mut *connection)
        .await
        .map_err(storage("forget deleted files"))?;
    }
    Ok(())
}

pub(crate) async fn known_files(connection: &mut SqliteConnection) -> Result<HashSet<String>> {
    let query = format!(
        "SELECT {FULL_PATH} FROM ducklake_data_file f \
         UNION SELECT {FULL_PATH} FROM ducklake_delete_file f \
         UNION SELECT path FROM ducklake_files_scheduled_for_deletion"
    );
    let paths: Vec<Option<String>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_all(connection)
        .await
        .map_err(storage("list the files of all snapshots"))?;
    Ok(paths.into_iter().flatten().collect())
}

async fn delete_by_id(
    connection: &mut SqliteConnection,
    table: &'static str,
    key: &'static str,
    ids: &[i64],
) -> Result<()> {
    for chunk in ids.chunks(INSERT_ROWS) {
        let mut builder = QueryBuilder::<Sqlite>::new("DELETE FROM ");
        builder.push(table).push(" WHERE ").push(key).push(" IN (");
        push_ids(&mut builder, chunk);
        run(connection, builder, "delete what no snapshot sees").await?;
    }
    Ok(())
}

fn push_ids(builder: &mut QueryBuilder<Sqlite>, ids: &[i64]) {
    let mut list = builder.separated(", ");
    for id in ids {
        list.push_bind(*id);
    }
    builder.push(")");
}

async fn run(
    connection: &mut SqliteConnection,
    mut builder: QueryBuilder<Sqlite>,
    what: &'static str,
) -> Result<()> {
    builder
        .build()
        .persistent(false)
        .execute(connection)
        .await
        .map_err(storage(what))?;
    Ok(())
}
