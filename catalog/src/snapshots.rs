//! The list of snapshots, and the names that some of them have.

use sqlx::SqliteConnection;

use crate::error::{CatalogError, Result, storage};
use crate::ids::SnapshotId;
use crate::time_text;

/// A snapshot as history shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The snapshot.
    pub id: SnapshotId,
    /// When it was committed, in microseconds since 1970.
    pub time_micros: i64,
    /// Increases with every snapshot that changes more than rows.
    pub schema_version: i64,
    /// What it changed, in DuckLake's form, for example `inserted_into_table:3`.
    pub changes: String,
    /// Who made the change.
    pub author: Option<String>,
    /// Why.
    pub message: Option<String>,
}

type SnapshotColumns = (
    i64,
    String,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
);

pub(crate) async fn list(connection: &mut SqliteConnection) -> Result<Vec<SnapshotInfo>> {
    let rows: Vec<SnapshotColumns> = sqlx::query_as(
        "SELECT s.snapshot_id, s.snapshot_time, s.schema_version, c.changes_made, c.author, \
           c.commit_message \
         FROM ducklake_snapshot s LEFT JOIN ducklake_snapshot_changes c USING (snapshot_id) \
         ORDER BY s.snapshot_id",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("list the snapshots"))?;
    let info = |(id, time, schema_version, changes, author, message): SnapshotColumns| {
        let time_micros = time_text::from_text(&time)
            .ok_or_else(|| CatalogError::corruption(format!("snapshot_time is {time:?}")))?;
        let changes = changes.unwrap_or_default();
        let id = SnapshotId(id);
        Ok(SnapshotInfo {
            id,
            time_micros,
            schema_version,
            changes,
            author,
            message,
        })
    };
    rows.into_iter().map(info).collect()
}

/// A name that somebody gave a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotName {
    /// Unique in its catalog.
    pub name: String,
    /// The snapshot.
    pub id: SnapshotId,
    /// When it got the name, in microseconds since 1970.
    pub created_micros: i64,
}

pub(crate) async fn names(connection: &mut SqliteConnection) -> Result<Vec<SnapshotName>> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT name, snapshot_id, created_micros FROM quiver_snapshot_name \
         ORDER BY snapshot_id, name",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("list the names of snapshots"))?;
    let name = |(name, id, created_micros)| SnapshotName {
        name,
        id: SnapshotId(id),
        created_micros,
    };
    Ok(rows.into_iter().map(name).collect())
}

pub(crate) async fn name(
    connection: &mut SqliteConnection,
    name: &str,
    id: SnapshotId,
    now_micros: i64,
) -> Result<()> {
    let named = sqlx::query(
        "INSERT OR REPLACE INTO quiver_snapshot_name (name, snapshot_id, created_micros) \
         SELECT ?1, snapshot_id, ?2 FROM ducklake_snapshot WHERE snapshot_id = ?3",
    )
    .bind(name)
    .bind(now_micros)
    .bind(id.0)
    .execute(connection)
    .await
    .map_err(storage("name a snapshot"))?;
    match named.rows_affected() {
        0 => Err(CatalogError::not_found("snapshot", &id)),
        _ => Ok(()),
    }
}

pub(crate) async fn forget_name(connection: &mut SqliteConnection, name: &str) -> Result<()> {
    let forgotten = sqlx::query("DELETE FROM quiver_snapshot_name WHERE name = ?")
        .bind(name)
        .execute(connection)
        .await
        .map_err(storage("forget the name of a snapshot"))?;
    match forgotten.rows_affected() {
        0 => Err(CatalogError::not_found("named snapshot", &name)),
        _ => Ok(()),
    }
}
