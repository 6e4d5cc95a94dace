//! Segments that take the place of others in every snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use quiver_catalog::{Change, Commit, Rewriting, TableVersion};

use super::progress::Job;
use super::rows::{Made, write};
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::node::Node;
use crate::segment::{OfferedFiles, UnregisteredSegments};
use crate::storage_fs::CrashPoint;
use crate::task::{blocking, spawn};
use crate::tenant::Tenant;

/// Merges all segments of `table`, none of whose rows is deleted.
pub(super) async fn merge(
    engine: &Engine,
    tenant: &Arc<Tenant>,
    table: &Arc<TableVersion>,
    job: &Job,
) -> Result<Made> {
    let (merged, _) = write(engine, tenant, table, job).await?;
    let made = Made::of(&merged);
    let registering = {
        let (node, tenant, table) = (
            Arc::clone(engine.node()),
            Arc::clone(tenant),
            Arc::clone(table),
        );
        // To its end, even if whoever asked for it goes away.
        spawn(async move { register(&node, &tenant, &table, merged).await })
    };
    registering.await.map_err(|error| {
        tenant.mark_in_doubt();
        EngineError::internal(format!("merging segments failed half way: {error}"))
    })??;
    Ok(made)
}

/// In a snapshot in which every table has the rows that it had before.
async fn register(
    node: &Node,
    tenant: &Tenant,
    table: &TableVersion,
    mut merged: UnregisteredSegments,
) -> Result<()> {
    let _committer = tenant.committer().lock().await;
    tenant.check_writable()?;
    check_unchanged(tenant, table)?;
    let named = blocking(move || merged.name_files().map(|()| merged)).await;
    let merged = named.map_err(EngineError::not_stored)?;
    let sources = table.segments.iter();
    let change = Change::MergeSegments {
        table_id: table.id,
        sources: sources.map(|segment| segment.path.clone()).collect(),
        merged: merged.segments().to_vec(),
    };
    let offered = merged.offer();
    let commit = Commit {
        changes: vec![change],
        rewriting: Rewriting::Merge,
        ..Commit::default()
    };
    let version = tenant.commit_catalog(commit).await;
    if version.is_err() && !tenant.is_in_doubt() {
        OfferedFiles::withdraw(offered);
    }
    tenant.publish_flush(version?, &[]);
    node.reached(CrashPoint::SegmentsMerged).await
}

/// The segments are still there, and no row of them is deleted.
fn check_unchanged(tenant: &Tenant, table: &TableVersion) -> Result<()> {
    let lost = || EngineError::Conflict {
        message: "segments were changed by a concurrent statement while they were merged"
            .to_owned(),
    };
    let current = tenant.catalog_version();
    let current = current.table_by_id(table.id).ok_or_else(lost)?;
    if current.columns != table.columns || current.sort_key != table.sort_key {
        return Err(lost());
    }
    let by_path: HashMap<&str, _> = current
        .segments
        .iter()
        .map(|segment| (segment.path.as_str(), segment))
        .collect();
    let is_same = |path: &str| {
        let segment = by_path.get(path);
        segment.is_some_and(|segment| segment.deletes.is_none())
    };
    match table.segments.iter().all(|segment| is_same(&segment.path)) {
        true => Ok(()),
        false => Err(lost()),
    }
}
