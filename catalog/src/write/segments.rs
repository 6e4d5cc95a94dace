//! New segments, their statistics, and the totals of their tables.

use std::sync::Arc;

use sqlx::SqliteConnection;

use crate::error::{Result, storage};
use crate::ids::TableId;
use crate::segment::{ColumnStats, Segment};
use crate::sqlite::{insert_rows, sql_int};
use crate::stats::TableColumnStats;
use crate::table::TableVersion;

type Appended<'a> = (&'a TableVersion, &'a [Arc<Segment>]);

pub(super) async fn write(
    connection: &mut SqliteConnection,
    appended: &[Appended<'_>],
) -> Result<()> {
    write_files(connection, appended).await?;
    write_file_stats(connection, appended).await?;
    write_table_stats(connection, appended).await?;
    write_table_column_stats(connection, appended).await
}

async fn write_files(connection: &mut SqliteConnection, appended: &[Appended<'_>]) -> Result<()> {
    let rows: Vec<(TableId, &Segment)> = appended
        .iter()
        .flat_map(|(table, segments)| segments.iter().map(|segment| (table.id, segment.as_ref())))
        .collect();
    insert_rows!(
        connection,
        "INSERT INTO ducklake_data_file (data_file_id, table_id, begin_snapshot, path, \
         path_is_relative, file_format, record_count, file_size_bytes, footer_size, row_id_start) ",
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
                .push_bind(segment.row_id_start);
        }
    )
}

async fn write_file_stats(
    connection: &mut SqliteConnection,
    appended: &[Appended<'_>],
) -> Result<()> {
    let mut rows: Vec<(TableId, &Segment, &ColumnStats)> = vec![];
    for (table, segments) in appended {
        for segment in *segments {
            let stats = segment.column_stats.iter();
            rows.extend(stats.map(|stats| (table.id, segment.as_ref(), stats)));
        }
    }
    insert_rows!(
        connection,
        "INSERT INTO ducklake_file_column_stats (data_file_id, table_id, column_id, \
         column_size_bytes, value_count, null_count, min_value, max_value, contains_nan) ",
        rows,
        |binder, row| {
            let (table_id, segment, stats) = row;
            binder
                .push_bind(segment.id.0)
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

/// Totals are replaced, not added to: the version in memory has the right ones.
async fn write_table_stats(
    connection: &mut SqliteConnection,
    appended: &[Appended<'_>],
) -> Result<()> {
    for (table, _) in appended {
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
        appended,
        |binder, row| {
            let (table, _) = row;
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
    appended: &[Appended<'_>],
) -> Result<()> {
    let rows: Vec<(TableId, &TableColumnStats)> = appended
        .iter()
        .flat_map(|(table, _)| table.column_stats.iter().map(|stats| (table.id, stats)))
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
