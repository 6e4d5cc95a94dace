//! Snapshots, schemas and tables as rows, and the features that nothing here can read.

use std::collections::HashMap;
use std::path::Path;

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{failed, parse_uuid};
use crate::error::{CatalogError, Result};
use crate::ids::{SnapshotId, TableId};

#[derive(Debug)]
pub(super) struct SnapshotRow {
    pub(super) snapshot_id: i64,
    pub(super) snapshot_time: String,
    pub(super) schema_version: i64,
    pub(super) next_catalog_id: i64,
    pub(super) next_file_id: i64,
}

type SnapshotColumns = (i64, String, i64, i64, i64);

impl From<SnapshotColumns> for SnapshotRow {
    fn from(columns: SnapshotColumns) -> Self {
        let (snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id) = columns;
        Self {
            snapshot_id,
            snapshot_time,
            schema_version,
            next_catalog_id,
            next_file_id,
        }
    }
}

pub(super) struct SchemaRow {
    pub(super) schema_id: i64,
    pub(super) schema_uuid: String,
    pub(super) begin_snapshot: i64,
    pub(super) schema_name: String,
    pub(super) path: String,
}

pub(super) struct TableRow {
    pub(super) table_id: i64,
    pub(super) table_uuid: String,
    pub(super) begin_snapshot: i64,
    pub(super) schema_id: i64,
    pub(super) table_name: String,
    pub(super) path: String,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TableStatsRow {
    pub(super) next_row_id: i64,
}

pub(super) async fn last_snapshot(
    connection: &mut SqliteConnection,
) -> Result<Option<SnapshotRow>> {
    let row: Option<SnapshotColumns> = sqlx::query_as(
        "SELECT snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id \
         FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed("read the last snapshot"))?;
    Ok(row.map(SnapshotRow::from))
}

pub(super) async fn snapshot(
    connection: &mut SqliteConnection,
    id: SnapshotId,
) -> Result<Option<SnapshotRow>> {
    let row: Option<SnapshotColumns> = sqlx::query_as(
        "SELECT snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id \
         FROM ducklake_snapshot WHERE snapshot_id = ?",
    )
    .bind(id.0)
    .fetch_optional(connection)
    .await
    .map_err(failed("read a snapshot"))?;
    Ok(row.map(SnapshotRow::from))
}

/// The identity that those of new objects are derived from: that of the first schema.
pub(super) async fn catalog_uuid(connection: &mut SqliteConnection) -> Result<Uuid> {
    let text: String = sqlx::query_scalar(
        "SELECT schema_uuid FROM ducklake_schema ORDER BY schema_id, begin_snapshot LIMIT 1",
    )
    .fetch_one(connection)
    .await
    .map_err(failed("read the catalog's identity"))?;
    parse_uuid(&text)
}

pub(super) async fn schemas(
    connection: &mut SqliteConnection,
    at: SnapshotId,
) -> Result<Vec<SchemaRow>> {
    let rows: Vec<(i64, String, i64, String, String)> = sqlx::query_as(
        "SELECT schema_id, schema_uuid, begin_snapshot, schema_name, path FROM ducklake_schema \
         WHERE begin_snapshot <= ?1 AND (end_snapshot IS NULL OR ?1 < end_snapshot)",
    )
    .bind(at.0)
    .fetch_all(connection)
    .await
    .map_err(failed("read the schemas"))?;
    let row = |(schema_id, schema_uuid, begin_snapshot, schema_name, path)| SchemaRow {
        schema_id,
        schema_uuid,
        begin_snapshot,
        schema_name,
        path,
    };
    Ok(rows.into_iter().map(row).collect())
}

pub(super) async fn tables(
    connection: &mut SqliteConnection,
    at: SnapshotId,
) -> Result<Vec<TableRow>> {
    let rows: Vec<(i64, String, i64, i64, String, String)> = sqlx::query_as(
        "SELECT table_id, table_uuid, begin_snapshot, schema_id, table_name, path \
         FROM ducklake_table \
         WHERE begin_snapshot <= ?1 AND (end_snapshot IS NULL OR ?1 < end_snapshot)",
    )
    .bind(at.0)
    .fetch_all(connection)
    .await
    .map_err(failed("read the tables"))?;
    let row = |(table_id, table_uuid, begin_snapshot, schema_id, table_name, path)| TableRow {
        table_id,
        table_uuid,
        begin_snapshot,
        schema_id,
        table_name,
        path,
    };
    Ok(rows.into_iter().map(row).collect())
}

pub(super) async fn table_stats(
    connection: &mut SqliteConnection,
) -> Result<HashMap<TableId, TableStatsRow>> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT table_id, next_row_id FROM ducklake_table_stats")
            .fetch_all(connection)
            .await
            .map_err(failed("read the table statistics"))?;
    let entry = |(table_id, next_row_id)| (TableId(table_id), TableStatsRow { next_row_id });
    Ok(rows.into_iter().map(entry).collect())
}

/// Whatever another writer may have used and what would be read wrongly is refused as a whole.
pub(super) async fn refuse_unknown_features(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<()> {
    let features: Vec<(String, i64)> = sqlx::query_as(
        "SELECT 'absolute schema paths' AS name, count(*) AS uses FROM ducklake_schema \
           WHERE path_is_relative IS NOT 1 \
         UNION ALL SELECT 'absolute table paths', count(*) FROM ducklake_table \
           WHERE path_is_relative IS NOT 1",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed("look for unknown features"))?;
    match features.into_iter().find(|(_, uses)| *uses > 0) {
        None => Ok(()),
        Some((feature, _)) => {
            let reason = format!("another program wrote {feature}, which is not supported");
            Err(CatalogError::UnsupportedCatalog {
                path: path.to_owned(),
                reason,
            })
        }
    }
}
