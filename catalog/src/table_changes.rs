//! What happened to the rows of a table between two snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::SqliteConnection;

use crate::error::{CatalogError, Result, storage};
use crate::ids::{SegmentId, SnapshotId, TableId};
use crate::segment::{DeleteFile, Segment};
use crate::sqlite::unsigned;

/// The segments that gained or lost rows of a table in a range of snapshots, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableChanges {
    /// In the order of their ids.
    pub segments: Vec<SegmentChanges>,
    /// Snapshots of the range that moved rows and changed none.
    pub rewrites: BTreeSet<SnapshotId>,
}

/// One segment and what became of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentChanges {
    /// The segment, without statistics and without a list of deleted rows.
    pub segment: Segment,
    /// The snapshot of the range that removed it.
    pub ended: Option<SnapshotId>,
    /// Its lists of deleted rows, from the one before the range to the last of it.
    pub deletes: Vec<Arc<DeleteFile>>,
}

type FileColumns = (
    i64,
    i64,
    Option<i64>,
    String,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);
type DeleteColumns = (i64, i64, i64, String, i64, i64, Option<i64>, Option<i64>);

pub(crate) async fn read(
    connection: &mut SqliteConnection,
    table_id: TableId,
    (from, to): (SnapshotId, SnapshotId),
) -> Result<TableChanges> {
    check_range(connection, table_id, (from, to)).await?;
    let mut deletes = read_deletes(connection, table_id, (from, to)).await?;
    let rows: Vec<FileColumns> = sqlx::query_as(
        // Lists that DuckDB made of deletions in the catalog do not say how late they go.
        "SELECT data_file_id, begin_snapshot, end_snapshot, path, record_count, file_size_bytes, \
           footer_size, row_id_start, partial_max \
         FROM ducklake_data_file f \
         WHERE table_id = ?1 AND begin_snapshot <= ?3 AND (end_snapshot IS NULL OR end_snapshot >= ?2) \
           AND (begin_snapshot >= ?2 OR partial_max >= ?2 OR end_snapshot <= ?3 OR EXISTS \
             (SELECT 1 FROM ducklake_delete_file d WHERE d.data_file_id = f.data_file_id \
                AND d.begin_snapshot <= ?3 AND (d.begin_snapshot >= ?2 OR d.partial_max >= ?2 \
                  OR d.partial_max IS NULL AND f.partial_max IS NOT NULL))) \
         ORDER BY data_file_id",
    )
    .bind(table_id.0)
    .bind(from.0)
    .bind(to.0)
    .fetch_all(&mut *connection)
    .await
    .map_err(storage("read the changed segments"))?;
    let mut changes = TableChanges {
        rewrites: read_rewrites(connection, table_id, (from, to)).await?,
        segments: vec![],
    };
    for (id, begin, end, path, count, size, footer, row_id_start, last) in rows {
        let footer = footer
            .ok_or_else(|| CatalogError::corruption(format!("segment {id} has no footer_size")))?;
        changes.segments.push(SegmentChanges {
            segment: Segment {
                id: SegmentId(id),
                begin_snapshot: SnapshotId(begin),
                row_id_start,
                partial_max: last.map(SnapshotId),
                path,
                record_count: unsigned(count, "record_count")?,
                file_size_bytes: unsigned(size, "file_size_bytes")?,
                footer_size: unsigned(footer, "footer_size")?,
                deletes: None,
                column_stats: vec![],
            },
            ended: end.map(SnapshotId).filter(|end| *end <= to),
            deletes: deletes.remove(&id).unwrap_or_default(),
        });
    }
    Ok(changes)
}

/// Whatever the range needs is there: its snapshots and the one before, of those since the table was
/// made.
async fn check_range(
    connection: &mut SqliteConnection,
    table_id: TableId,
    (from, to): (SnapshotId, SnapshotId),
) -> Result<()> {
    let first: Option<i64> =
        sqlx::query_scalar("SELECT min(begin_snapshot) FROM ducklake_table WHERE table_id = ?")
            .bind(table_id.0)
            .fetch_one(&mut *connection)
            .await
            .map_err(storage("read when the table was made"))?;
    let first = first.unwrap_or(0).max(from.0.saturating_sub(1));
    let known: Vec<i64> = sqlx::query_scalar(
        "SELECT snapshot_id FROM ducklake_snapshot WHERE snapshot_id BETWEEN ? AND ? ORDER BY 1",
    )
    .bind(first)
    .bind(to.0)
    .fetch_all(connection)
    .await
    .map_err(storage("list the snapshots of a range"))?;
    let missing = (first..=to.0).zip(known.iter().map(Some).chain(std::iter::repeat(None)));
    let missing = missing
        .into_iter()
        .find(|(wanted, known)| known.is_none_or(|known| known != wanted));
    match missing {
        Some((missing, _)) => Err(CatalogError::not_found("snapshot", &missing)),
        None => Ok(()),
    }
}

async fn read_deletes(
    connection: &mut SqliteConnection,
    table_id: TableId,
    (from, to): (SnapshotId, SnapshotId),
) -> Result<BTreeMap<i64, Vec<Arc<DeleteFile>>>> {
    let rows: Vec<DeleteColumns> = sqlx::query_as(
        "SELECT delete_file_id, data_file_id, begin_snapshot, path, delete_count, \
           file_size_bytes, footer_size, partial_max \
         FROM ducklake_delete_file \
         WHERE table_id = ?1 AND begin_snapshot <= ?3 AND (end_snapshot IS NULL OR end_snapshot >= ?2) \
         ORDER BY begin_snapshot, delete_file_id",
    )
    .bind(table_id.0)
    .bind(from.0)
    .bind(to.0)
    .fetch_all(connection)
    .await
    .map_err(storage("read the lists of deleted rows"))?;
    let mut deletes: BTreeMap<i64, Vec<Arc<DeleteFile>>> = BTreeMap::new();
    for (id, segment, begin, path, count, size, footer, last) in rows {
        let list = DeleteFile {
            id: SegmentId(id),
            begin_snapshot: SnapshotId(begin),
            path,
            delete_count: unsigned(count, "delete_count")?,
            file_size_bytes: unsigned(size, "file_size_bytes")?,
            footer_size: unsigned(footer.unwrap_or(0), "footer_size")?,
            partial_max: last.map(SnapshotId),
        };
        deletes.entry(segment).or_default().push(Arc::new(list));
    }
    Ok(deletes)
}

async fn read_rewrites(
    connection: &mut SqliteConnection,
    table_id: TableId,
    (from, to): (SnapshotId, SnapshotId),
) -> Result<BTreeSet<SnapshotId>> {
    let rows: Vec<(i64, Option<String>)> = sqlx::query_as(
        "SELECT snapshot_id, changes_made FROM ducklake_snapshot_changes \
         WHERE snapshot_id BETWEEN ? AND ?",
    )
    .bind(from.0)
    .bind(to.0)
    .fetch_all(connection)
    .await
    .map_err(storage("read what snapshots changed"))?;
    // The last one is what earlier versions of DuckLake wrote.
    let wanted = ["rewrite_delete", "merge_adjacent", "compacted_table"]
        .map(|word| format!("{word}:{table_id}"));
    let moves = |changes: &str| {
        let mut words = changes.split(',');
        words.any(|word| wanted.iter().any(|wanted| wanted == word.trim()))
    };
    let rewrites = rows
        .into_iter()
        .filter(|(_, changes)| changes.as_deref().is_some_and(moves));
    Ok(rewrites.map(|(id, _)| SnapshotId(id)).collect())
}
