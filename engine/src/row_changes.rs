//! Deleted rows on their way to the catalog.
//!
//! A statement finds rows by segment and position in the view it reads. When it commits, these are
//! united with what others have deleted since: the same row twice is a lost race, anything else is
//! not. Nothing else moves rows between: the committer's lock is held from the union to the commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quiver_catalog::{CatalogVersion, Change, Deletion, Segment, TableId, TableVersion};
use roaring::RoaringTreemap;

use crate::error::{EngineError, Result};
use crate::node::Node;
use crate::scan::DeletedRows;
use crate::segment::{OfferedFiles, UnregisteredSegments, segment_name, write_delete_file};
use crate::storage_fs::CrashPoint;
use crate::task::blocking;
use crate::tenant::Tenant;

/// Rows of one table that one statement has deleted.
#[derive(Debug, Clone)]
pub(crate) struct RowChange {
    pub(crate) table_id: TableId,
    pub(crate) deleted: DeletedRows,
}

/// The rows of each table, and whether a row was named twice.
pub(crate) fn unite(
    changes: &[RowChange],
) -> std::result::Result<BTreeMap<TableId, DeletedRows>, EngineError> {
    let mut united: BTreeMap<TableId, DeletedRows> = BTreeMap::new();
    for change in changes {
        let table = united.entry(change.table_id).or_default();
        for (path, deleted) in &change.deleted {
            let known = table.entry(path.clone()).or_default();
            if !known.is_disjoint(deleted) {
                return Err(lost());
            }
            *known |= deleted;
        }
    }
    Ok(united)
}

/// What a commit registers of deleted rows.
#[derive(Debug)]
pub(crate) struct PreparedDeletions {
    pub(crate) changes: Vec<Change>,
    /// The files that the changes name.
    pub(crate) files: OfferedFiles,
}

/// Unites the deleted rows with what `catalog` knows, and writes the delete files, which are durable
/// when this returns. Segments of `own` that no row is left of are forgotten. Under the committer's
/// lock.
///
/// # Errors
/// `Conflict` when a row was deleted, or moved, or its table dropped, by somebody else.
pub(crate) async fn prepare(
    node: &Node,
    tenant: &Tenant,
    catalog: &CatalogVersion,
    changes: &[RowChange],
    own: &mut [UnregisteredSegments],
) -> Result<PreparedDeletions> {
    let mut prepared = PreparedDeletions {
        changes: vec![],
        files: OfferedFiles::new(&node.fs, vec![]),
    };
    match prepare_files(node, tenant, catalog, changes, own, &mut prepared).await {
        Ok(()) => Ok(prepared),
        Err(error) => {
            prepared.files.withdraw();
            Err(error)
        }
    }
}

async fn prepare_files(
    node: &Node,
    tenant: &Tenant,
    catalog: &CatalogVersion,
    changes: &[RowChange],
    own: &mut [UnregisteredSegments],
    prepared: &mut PreparedDeletions,
) -> Result<()> {
    for (table_id, deleted) in unite(changes)? {
        let Some(table) = catalog.table_by_id(table_id) else {
            return Err(lost());
        };
        let directory = directory(tenant, table);
        let (mut deletions, mut wanted) = (vec![], vec![]);
        for (path, deleted) in deleted {
            let path = segment_name(&path).to_owned();
            if let Some(own) = own_segments(own, table_id, &path) {
                let rows = own.row_count_of(&path);
                if deleted.len() == rows {
                    own.discard(&path);
                    continue;
                }
                wanted.push((path, deleted, rows));
                continue;
            }
            let segment = table.segment(&path).ok_or_else(lost)?;
            let deleted = with_known(tenant, table, segment, deleted).await?;
            wanted.push((path, deleted, segment.record_count));
        }
        // Whatever may be refused has been.
        for (path, deleted, rows) in wanted {
            let deletion = write(node, &directory, table, path, deleted, rows).await?;
            let file = deletion.file.iter();
            prepared
                .files
                .extend(file.map(|file| directory.join(&file.path)).collect());
            deletions.push(deletion);
        }
        if !deletions.is_empty() {
            prepared.changes.push(Change::DeleteRows {
                table_id,
                deletions,
            });
        }
    }
    node.reached(CrashPoint::DeleteFilesDurable).await
}

fn own_segments<'a>(
    own: &'a mut [UnregisteredSegments],
    table_id: TableId,
    path: &str,
) -> Option<&'a mut UnregisteredSegments> {
    own.iter_mut()
        .filter(|segments| segments.table_id() == table_id)
        .find(|segments| {
            segments
                .segments()
                .iter()
                .any(|segment| segment.path == path)
        })
}

/// The rows with those that were deleted before.
async fn with_known(
    tenant: &Tenant,
    table: &TableVersion,
    segment: &Segment,
    deleted: RoaringTreemap,
) -> Result<RoaringTreemap> {
    let reading = tenant.reading();
    let store = reading.runtime.object_store(&reading.store_url)?;
    let known = reading.scan_options.delete_files.of_segment(
        (&reading.store_url, &store),
        table,
        segment,
        None,
    );
    match known.await? {
        None => Ok(deleted),
        Some(known) if known.is_disjoint(&deleted) => Ok(deleted | known.as_ref()),
        Some(_) => Err(lost()),
    }
}

async fn write(
    node: &Node,
    directory: &Path,
    table: &TableVersion,
    segment: String,
    deleted: RoaringTreemap,
    row_count: u64,
) -> Result<Deletion> {
    if deleted.len() == row_count {
        return Ok(Deletion {
            segment,
            file: None,
        });
    }
    if deleted.max().is_some_and(|last| last >= row_count) {
        return Err(EngineError::internal(
            "a row behind the last one was deleted",
        ));
    }
    let folders = Arc::clone(&node.folders);
    let (directory, path) = (directory.to_path_buf(), format!("{}{segment}", table.path));
    let file = blocking(move || write_delete_file(&folders, &directory, &path, &deleted)).await;
    Ok(Deletion {
        segment,
        file: Some(file.map_err(EngineError::not_stored)?),
    })
}

fn directory(tenant: &Tenant, table: &TableVersion) -> PathBuf {
    tenant.data_directory().join(&table.path)
}

fn lost() -> EngineError {
    EngineError::Conflict {
        message: "a row was changed by a concurrent statement: try again".to_owned(),
    }
}
