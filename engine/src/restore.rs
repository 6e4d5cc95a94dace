//! Tables that are made what they were: `rollback_to` and `undrop`.
//!
//! Segments never change, so no row is read or moved for this. A segment with rows that the table has
//! lost since then gets a second name, under which these rows are there from now on, with their ids;
//! a list of deleted rows says which others of it are not. Older snapshots keep what they have.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use quiver_catalog::{
    CatalogVersion, Change, Deletion, DroppedTable, NewDeleteFile, RestoredTable, Segment,
    SegmentCopy, SnapshotId, TableId, TableVersion,
};
use roaring::RoaringTreemap;

use crate::commit::{CommitRequest, commit_prepared};
use crate::error::{EngineError, Result};
use crate::flush::flush;
use crate::ids::new_id;
use crate::node::Node;
use crate::scan::{DeletedRows, all_rows};
use crate::segment::{OfferedFiles, write_delete_file};
use crate::storage_fs::{CrashPoint, Folders};
use crate::task::{blocking, spawn};
use crate::tenant::Tenant;

/// What is to be restored.
#[derive(Debug, Clone)]
pub(crate) enum Restoration {
    /// A table that is there.
    Rollback { table_id: TableId, at: SnapshotId },
    /// The table that was dropped last of those that had a name.
    Undrop {
        schema: String,
        table: String,
        /// The name that it gets, if not the one that it had.
        name: Option<String>,
    },
}

/// What that means, when nobody else changes tables any more.
struct Target {
    table_id: TableId,
    at: SnapshotId,
    name: Option<String>,
    /// None of its rows ever had this row id, or a higher one.
    next_row_id: i64,
}

/// Makes a table what it was, in one commit, and returns it. Rows that were committed before go to
/// segments first, so that history has them. Goes on if the caller goes away.
///
/// # Errors
/// `NotFound` when the snapshot, or the table in it, is not there (any more), `AlreadyExists` when
/// another table has its name, `Precondition` when its schema is gone.
pub(crate) async fn restore(
    node: &Arc<Node>,
    tenant: &Arc<Tenant>,
    restoration: Restoration,
) -> Result<(Arc<CatalogVersion>, Arc<TableVersion>)> {
    let restoring = {
        let (node, tenant) = (Arc::clone(node), Arc::clone(tenant));
        spawn(async move { make(&node, &tenant, restoration).await })
    };
    restoring.await.map_err(|error| {
        tenant.mark_in_doubt();
        EngineError::internal(format!("restoring a table failed half way: {error}"))
    })?
}

async fn make(
    node: &Arc<Node>,
    tenant: &Arc<Tenant>,
    restoration: Restoration,
) -> Result<(Arc<CatalogVersion>, Arc<TableVersion>)> {
    if matches!(restoration, Restoration::Rollback { .. }) {
        let flushed = flush(node, tenant).await;
        flushed.map_err(EngineError::not_stored)?;
    }
    let _committer = tenant.committer().lock().await;
    tenant.check_writable()?;
    node.check_log()?;
    tenant.wait_for_catalog().await?;
    // Nobody else changes tables, and no snapshot expires, from here on.
    let current = tenant.catalog_version();
    let target = target(tenant, &current, restoration).await?;
    let then = tenant.catalog().at_snapshot(target.at).boxed().await?;
    let table = then.table_by_id(target.table_id);
    let table = table.ok_or_else(|| EngineError::NotFound {
        what: format!("the table in snapshot {}", target.at),
    })?;
    let mut restored = definition(&current, table, &target)?;
    let now = current.table_by_id(table.id).map(Arc::as_ref);
    let (kept, plan) = compare(tenant, now, table, target.at).await?;
    restored.kept = kept;
    let files = make_files(node, tenant, plan, &mut restored).await;
    let files = files.map_err(EngineError::not_stored)?;
    let request = CommitRequest::of_changes(vec![Change::RestoreTable(restored)]);
    let outcome = commit_prepared(node, tenant, request, vec![]).await;
    if outcome.is_err() && !tenant.is_in_doubt() {
        files.withdraw();
    }
    outcome?;
    let catalog = tenant.catalog_version();
    let table = catalog.table_by_id(target.table_id).map(Arc::clone);
    let table = table.ok_or_else(|| EngineError::internal("a restored table is there"))?;
    Ok((catalog, table))
}

async fn target(
    tenant: &Tenant,
    current: &CatalogVersion,
    restoration: Restoration,
) -> Result<Target> {
    match restoration {
        Restoration::Rollback { table_id, at } => {
            let table = current.table_by_id(table_id);
            let table = table.ok_or_else(|| EngineError::NotFound {
                what: "the table, which was dropped meanwhile,".to_owned(),
            })?;
            Ok(Target {
                table_id,
                at,
                name: None,
                next_row_id: table.next_row_id,
            })
        }
        Restoration::Undrop {
            schema,
            table,
            name,
        } => {
            let found = dropped(tenant, &schema, &table).await?;
            assert!(
                current.table_by_id(found.id).is_none(),
                "a dropped table is not there"
            );
            Ok(Target {
                table_id: found.id,
                at: found.last_snapshot,
                name,
                next_row_id: found.next_row_id,
            })
        }
    }
}

/// The table of then, without its segments.
fn definition(
    current: &CatalogVersion,
    table: &TableVersion,
    target: &Target,
) -> Result<RestoredTable> {
    if current.schema_by_id(table.schema_id).is_none() {
        let TableVersion {
            schema_name, name, ..
        } = table;
        return Err(EngineError::Precondition {
            message: format!(
                "schema {schema_name} was dropped as well: copy the table with CREATE TABLE … AS \
                 SELECT * FROM {schema_name}.{name} AT (VERSION => {})",
                target.at
            ),
        });
    }
    let now = current.table_by_id(table.id);
    let name = match now {
        Some(now) => now.name.clone(),
        None => target.name.clone().unwrap_or_else(|| table.name.clone()),
    };
    let taken = current.table(&table.schema_name, &name);
    if taken.is_some_and(|other| other.id != table.id) {
        return Err(EngineError::AlreadyExists {
            what: format!(
                "table {}.{name} (the old one can have another name: CALL \
                 system.undrop('{name}', 'new_name'))",
                table.schema_name
            ),
        });
    }
    let was_altered = [Some(table), now.map(Arc::as_ref)]
        .into_iter()
        .flatten()
        .any(|version| version.altered_snapshot.is_some() || version.columns != table.columns);
    Ok(RestoredTable {
        table_id: table.id,
        uuid: table.uuid,
        schema_id: table.schema_id,
        name,
        path: table.path.clone(),
        columns: table.columns.clone(),
        last_column_id: now.map_or(table.last_column_id, |now| now.last_column_id),
        was_altered,
        sort_key: table.sort_key.clone(),
        next_row_id: target.next_row_id,
        deletions: vec![],
        kept: vec![],
        copies: vec![],
    })
}

/// What files are needed for.
#[derive(Default)]
struct Plan {
    /// By segment, all rows of it that are not there then.
    deletions: Vec<(String, u64, RoaringTreemap)>,
    /// Segments that get a second name, with the rows of them that do not come back.
    copies: Vec<(Arc<Segment>, RoaringTreemap)>,
}

/// Finds out which rows the table has had and not now, or now and not then, segment by segment.
async fn compare(
    tenant: &Tenant,
    now: Option<&TableVersion>,
    then: &TableVersion,
    at: SnapshotId,
) -> Result<(Vec<String>, Plan)> {
    let reading = tenant.reading();
    let store = reading.runtime.object_store(&reading.store_url)?;
    let store = (&reading.store_url, &store);
    let lists = &reading.scan_options.delete_files;
    let places: Vec<u64> = (0..then.segments.len() as u64).collect();
    let own = DeletedRows::new();
    let gone_then = lists.of_table(store, then, &own, &places, Some(at)).await?;
    let (mut kept, mut plan) = (vec![], Plan::default());
    for (place, segment) in then.segments.iter().enumerate() {
        let gone_then = gone_then.get(&place).map(Arc::as_ref);
        let gone_then = gone_then.cloned().unwrap_or_default();
        let is_there = match now {
            None => None,
            Some(table) => table.segment(&segment.path).zip(Some(table)),
        };
        let Some((segment_now, table)) = is_there else {
            if gone_then.len() < segment.record_count {
                plan.copies.push((Arc::clone(segment), gone_then));
            }
            continue;
        };
        let gone_now = lists.of_segment(store, table, segment_now, None).await?;
        let gone_now = gone_now.as_deref().cloned().unwrap_or_default();
        let all_gone = &gone_now | &gone_then;
        if all_gone.len() < segment.record_count {
            kept.push(segment.path.clone());
        }
        if all_gone.len() > gone_now.len() {
            let path = segment.path.clone();
            plan.deletions.push((path, segment.record_count, all_gone));
        }
        let missing = gone_now - gone_then;
        if !missing.is_empty() {
            let others = all_rows(segment) - missing;
            plan.copies.push((Arc::clone(segment), others));
        }
    }
    Ok((kept, plan))
}

/// Makes the files that are needed, which are durable when this returns.
async fn make_files(
    node: &Arc<Node>,
    tenant: &Tenant,
    plan: Plan,
    restored: &mut RestoredTable,
) -> Result<OfferedFiles> {
    let mut writing = Writing {
        folders: Arc::clone(&node.folders),
        directory: tenant.data_directory().join(&restored.path),
        folder: restored.path.clone(),
        files: OfferedFiles::new(&node.fs, vec![]),
        deletions: vec![],
        copies: vec![],
    };
    let written = blocking(move || match writing.write(&plan) {
        Ok(()) => Ok(writing),
        Err(error) => {
            writing.files.withdraw();
            Err(error)
        }
    });
    let written = written.await?;
    (restored.deletions, restored.copies) = (written.deletions, written.copies);
    match node.reached(CrashPoint::SegmentsRestored).await {
        Ok(()) => Ok(written.files),
        Err(error) => {
            written.files.withdraw();
            Err(error)
        }
    }
}

/// Files on their way. All calls block.
struct Writing {
    folders: Arc<Folders>,
    directory: PathBuf,
    /// The same below the data path.
    folder: String,
    files: OfferedFiles,
    deletions: Vec<Deletion>,
    copies: Vec<SegmentCopy>,
}

impl Writing {
    fn write(&mut self, plan: &Plan) -> Result<()> {
        for (path, record_count, deleted) in &plan.deletions {
            let is_whole = deleted.len() == *record_count;
            let file = match is_whole {
                true => None,
                false => Some(self.list(path, deleted)?),
            };
            self.deletions.push(Deletion {
                segment: path.clone(),
                file,
            });
        }
        for (segment, deleted) in &plan.copies {
            let path = format!("{}.parquet", new_id());
            self.link(&segment.path, &path)?;
            let deletes = match deleted.is_empty() {
                true => None,
                false => Some(self.list(&path, deleted)?),
            };
            self.copies.push(SegmentCopy {
                of: segment.as_ref().clone(),
                path,
                deletes,
            });
        }
        if plan.copies.is_empty() {
            return Ok(());
        }
        let synced = self.folders.fs().sync_dir(&self.directory);
        synced.map_err(|source| EngineError::Io {
            action: "sync",
            path: self.directory.clone(),
            source,
        })
    }

    /// A list of deleted rows.
    fn list(&mut self, segment: &str, deleted: &RoaringTreemap) -> Result<NewDeleteFile> {
        let segment = format!("{}{segment}", self.folder);
        let list = write_delete_file(&self.folders, &self.directory, &segment, deleted)?;
        self.files.extend(vec![self.directory.join(&list.path)]);
        Ok(list)
    }

    fn link(&mut self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.directory.join(from), self.directory.join(to));
        let linked = self.folders.fs().link(&from, &to);
        linked.map_err(|source| EngineError::Io {
            action: "link",
            path: from,
            source,
        })?;
        self.files.extend(vec![to]);
        Ok(())
    }
}

/// The table that was dropped last of those that had a name.
async fn dropped(tenant: &Tenant, schema: &str, table: &str) -> Result<DroppedTable> {
    let dropped = tenant.catalog().dropped_tables().boxed().await?;
    let is_it = |dropped: &DroppedTable| {
        let names = [(&dropped.schema_name, schema), (&dropped.name, table)];
        names
            .iter()
            .all(|(own, other)| own.to_lowercase() == other.to_lowercase())
    };
    let found = dropped.into_iter().find(is_it);
    found.ok_or_else(|| EngineError::NotFound {
        what: format!("table {schema}.{table} in system.dropped_tables"),
    })
}
