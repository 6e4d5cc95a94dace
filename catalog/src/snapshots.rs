//! The list of snapshots.

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
