//! Tables that are dropped and still in history.

use sqlx::SqliteConnection;

use crate::error::{CatalogError, Result, storage};
use crate::ids::{SnapshotId, TableId};
use crate::time_text;

/// A dropped table, in the last snapshot that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTable {
    /// The table.
    pub id: TableId,
    /// The schema it was in.
    pub schema_name: String,
    /// Its last name.
    pub name: String,
    /// The last snapshot that has it.
    pub last_snapshot: SnapshotId,
    /// When it was dropped, in microseconds since 1970, if the snapshot of the drop has not expired.
    pub dropped_micros: Option<i64>,
    /// None of its rows ever had this row id, or a higher one.
    pub next_row_id: i64,
}

type DroppedColumns = (i64, String, String, i64, Option<String>, i64);

/// Those whose last snapshot has not expired; the last one that was dropped comes first.
pub(crate) async fn list(connection: &mut SqliteConnection) -> Result<Vec<DroppedTable>> {
    let rows: Vec<DroppedColumns> = sqlx::query_as(
        "SELECT t.table_id, s.schema_name, t.table_name, t.end_snapshot - 1, \
           drop_snapshot.snapshot_time, coalesce(stats.next_row_id, 0) \
         FROM ducklake_table t \
         JOIN ducklake_schema s ON s.schema_id = t.schema_id \
         JOIN ducklake_snapshot last ON last.snapshot_id = t.end_snapshot - 1 \
         LEFT JOIN ducklake_snapshot drop_snapshot ON drop_snapshot.snapshot_id = t.end_snapshot \
         LEFT JOIN ducklake_table_stats stats ON stats.table_id = t.table_id \
         WHERE NOT EXISTS (SELECT 1 FROM ducklake_table later WHERE later.table_id = t.table_id \
           AND (later.end_snapshot IS NULL OR later.end_snapshot > t.end_snapshot)) \
         ORDER BY t.end_snapshot DESC, t.table_id DESC",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("list the dropped tables"))?;
    let dropped = |(id, schema_name, name, last, time, next_row_id): DroppedColumns| {
        let micros = |time: String| {
            let micros = time_text::from_text(&time);
            micros.ok_or_else(|| CatalogError::corruption(format!("snapshot_time is {time:?}")))
        };
        let dropped_micros = time.map(micros).transpose()?;
        Ok(DroppedTable {
            id: TableId(id),
            schema_name,
            name,
            last_snapshot: SnapshotId(last),
            dropped_micros,
            next_row_id,
        })
    };
    rows.into_iter().map(dropped).collect()
}
