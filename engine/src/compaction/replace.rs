//! Segments that take the place of others.

use std::collections::HashMap;
use std::sync::Arc;

use quiver_catalog::{Change, Commit, Replacement, TableVersion};

use crate::error::{EngineError, Result};
use crate::node::Node;
use crate::segment::UnregisteredSegments;
use crate::storage_fs::CrashPoint;
use crate::task::{blocking, spawn};
use crate::tenant::Tenant;

/// Puts `written` in the place of all segments of `table`, in a snapshot in which every table has the
/// rows that it had before. To its end, even if whoever asked for it goes away.
///
/// # Errors
/// `Conflict` when one of the segments is gone, or rows of it were deleted, since `table` was read.
pub(super) async fn replace(
    node: &Arc<Node>,
    tenant: &Arc<Tenant>,
    table: &Arc<TableVersion>,
    written: UnregisteredSegments,
    form: Replacement,
) -> Result<()> {
    let registering = {
        let (node, tenant, table) = (Arc::clone(node), Arc::clone(tenant), Arc::clone(table));
        spawn(async move { register(&node, &tenant, &table, written, form).await })
    };
    registering.await.map_err(|error| {
        tenant.mark_in_doubt();
        EngineError::internal(format!("replacing segments failed half way: {error}"))
    })?
}

async fn register(
    node: &Node,
    tenant: &Tenant,
    table: &TableVersion,
    mut written: UnregisteredSegments,
    form: Replacement,
) -> Result<()> {
    let _committer = tenant.committer().lock().await;
    tenant.check_writable()?;
    check_unchanged(tenant, table)?;
    let named = blocking(move || written.name_files().map(|()| written)).await;
    let written = named.map_err(EngineError::not_stored)?;
    let sources = table.segments.iter();
    let change = Change::ReplaceSegments {
        table_id: table.id,
        sources: sources.map(|segment| segment.path.clone()).collect(),
        segments: written.segments().to_vec(),
        form,
    };
    let offered = written.offer();
    let version = tenant.commit_catalog(Commit {
        changes: vec![change],
        ..Commit::default()
    });
    let version = version.await;
    if version.is_err() && !tenant.is_in_doubt() {
        offered.withdraw();
    }
    tenant.publish_flush(version?, &[]);
    node.reached(CrashPoint::SegmentsReplaced).await
}

/// The segments are still there, and the same rows of them are deleted.
fn check_unchanged(tenant: &Tenant, table: &TableVersion) -> Result<()> {
    let lost = || EngineError::Conflict {
        message: "segments were changed by a concurrent statement while they were compacted"
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
        .map(|segment| (segment.path.as_str(), &segment.deletes))
        .collect();
    let mut sources = table.segments.iter();
    match sources.all(|source| by_path.get(source.path.as_str()) == Some(&&source.deletes)) {
        true => Ok(()),
        false => Err(lost()),
    }
}
