//! The end of snapshots and files.
//!
//! Files go last and in two steps. What no snapshot needs is scheduled by the transaction that forgets
//! it; it is deleted after a time of grace, when no read view is left that could still read it. What no
//! transaction ever knew, because a crash came between, is found by looking.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use quiver_catalog::{ExpiryLimits, ScheduledFile, SnapshotId};

use crate::error::{EngineError, Result};
use crate::node::Node;
use crate::storage_fs::{CrashPoint, StorageFs};
use crate::task::blocking;
use crate::tenant::Tenant;

/// Ends the names of segments and lists of deleted rows that are not parts of a stream.
const SEGMENT_SUFFIX: &str = ".parquet";
/// Deleted files that are forgotten before others may commit again.
const FORGET_AT_ONCE: usize = 500;

/// What a clean-up did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CleanedUp {
    /// Files that were deleted because no snapshot needs them.
    pub(crate) deleted: u64,
    /// Files that no snapshot needs and that are kept: they are too young, or somebody reads them.
    pub(crate) waiting: u64,
    /// Files that were deleted because no snapshot ever had them.
    pub(crate) orphans: u64,
}

/// Does what the settings say: forgets old snapshots, then deletes files whose time has come.
pub(crate) async fn keep_limits(node: &Arc<Node>, tenant: &Arc<Tenant>) -> Result<()> {
    let now = node.now_micros();
    let settings = &node.settings;
    if settings.snapshot_max_age_ms > 0 {
        let limits = ExpiryLimits {
            older_than_micros: Some(before(now, settings.snapshot_max_age_ms)),
            keep_min: settings.snapshots_min,
        };
        expire(node, tenant, limits).await?;
    }
    delete_scheduled(node, tenant, before(now, settings.cleanup_grace_ms)).await?;
    Ok(())
}

/// The time some milliseconds ago.
pub(crate) fn before(now_micros: i64, ms: u64) -> i64 {
    let micros = i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000);
    now_micros.saturating_sub(micros)
}

/// Forgets snapshots. Returns them.
///
/// # Errors
/// `Unavailable` when the catalog cannot be written.
pub(crate) fn expire<'a>(
    node: &'a Node,
    tenant: &'a Tenant,
    limits: ExpiryLimits,
) -> BoxFuture<'a, Result<Vec<SnapshotId>>> {
    async move {
        let _committer = tenant.committer().lock().await;
        tenant.check_writable()?;
        let expired = tenant.catalog().expire_snapshots(&limits).await?;
        if !expired.is_empty() {
            tenant.history().forget();
            tracing::info!(
                tenant_id = tenant.id().0,
                snapshots = expired.len(),
                "forgot old snapshots"
            );
        }
        node.reached(CrashPoint::SnapshotsExpired).await?;
        Ok(expired)
    }
    .boxed()
}

/// Deletes scheduled files that nobody can read any more, and those that no snapshot ever had.
///
/// # Errors
/// `Unavailable` when the catalog cannot be read or written, `Io` when the folder cannot be read.
/// Files that cannot be deleted stay scheduled.
pub(crate) async fn clean_up(
    node: &Arc<Node>,
    tenant: &Arc<Tenant>,
    older_than_micros: i64,
) -> Result<CleanedUp> {
    let mut done = delete_scheduled(node, tenant, older_than_micros).await?;
    done.orphans = delete_orphans(node, tenant).await?;
    Ok(done)
}

/// Boxed: the compiler cannot prove a future of sqlx to be `Send` from inside a spawned one.
fn delete_scheduled<'a>(
    node: &'a Arc<Node>,
    tenant: &'a Arc<Tenant>,
    older_than_micros: i64,
) -> BoxFuture<'a, Result<CleanedUp>> {
    async move {
        let scheduled = {
            let _committer = tenant.committer().lock().await;
            tenant.check_writable()?;
            let scheduled = tenant.catalog().scheduled_files().await?;
            if scheduled.is_empty() {
                return Ok(CleanedUp::default());
            }
            // Whoever looks back from now on finds other segments.
            tenant.history().forget();
            tenant.retired().note(&scheduled, tenant.live_views());
            scheduled
        };
        let all = scheduled.len() as u64;
        let is_due = |file: &ScheduledFile| {
            let is_old = file.since_micros <= older_than_micros;
            is_old && tenant.retired().is_free(&file.path, tenant.live_views())
        };
        let due: Vec<_> = scheduled.into_iter().filter(is_due).collect();
        let deleted = delete(&node.fs, tenant.data_directory(), due).await?;
        if !deleted.is_empty() {
            node.reached(CrashPoint::FilesDeleted).await?;
            for some in deleted.chunks(FORGET_AT_ONCE) {
                let _committer = tenant.committer().lock().await;
                tenant.check_writable()?;
                tenant.catalog().forget_files(some).await?;
            }
        }
        Ok(CleanedUp {
            deleted: deleted.len() as u64,
            waiting: all - deleted.len() as u64,
            orphans: 0,
        })
    }
    .boxed()
}

/// Deletes files; returns those that are gone.
async fn delete(
    fs: &Arc<dyn StorageFs>,
    data: PathBuf,
    files: Vec<ScheduledFile>,
) -> Result<Vec<ScheduledFile>> {
    let fs = Arc::clone(fs);
    blocking(move || {
        let is_gone = |file: &ScheduledFile| {
            let Some(path) = path_below(&data, file) else {
                tracing::warn!(path = %file.path, "a file outside of the data folder stays");
                return false;
            };
            match fs.remove(&path) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot delete a file");
                    false
                }
            }
        };
        Ok(files.into_iter().filter(is_gone).collect())
    })
    .await
}

/// Where a scheduled file lies, if that is below `data`: other programs name files as well.
fn path_below(data: &Path, file: &ScheduledFile) -> Option<PathBuf> {
    let path = Path::new(&file.path);
    let path = match file.is_relative {
        true => path,
        false => path.strip_prefix(data).ok()?,
    };
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let below = path.components().next().is_some() && path.components().all(is_plain);
    below.then(|| data.join(path))
}

/// Deletes segments and lists of deleted rows that no snapshot ever had.
pub(crate) fn delete_orphans<'a>(
    node: &'a Arc<Node>,
    tenant: &'a Arc<Tenant>,
) -> BoxFuture<'a, Result<u64>> {
    async move {
        // Whoever has a file that the catalog does not know yet holds one of these.
        let _flushing = tenant.flushing().lock().await;
        let _committer = tenant.committer().lock().await;
        tenant.check_writable()?;
        let known = tenant.catalog().known_files().await?;
        let (fs, data) = (Arc::clone(&node.fs), tenant.data_directory());
        let orphans = blocking(move || {
            if !fs.is_dir(&data) {
                return Ok(0);
            }
            let found = fs
                .find(&data, SEGMENT_SUFFIX)
                .map_err(|source| EngineError::Io {
                    action: "read",
                    path: data.clone(),
                    source,
                })?;
            let mut removed = 0;
            for path in found {
                let name = path.strip_prefix(&data).ok().and_then(Path::to_str);
                if name.is_none_or(|name| known.contains(name))
                    || known.contains(&*path.to_string_lossy())
                {
                    continue;
                }
                tracing::info!(path = %path.display(), "deletes a file that no snapshot has");
                removed += u64::from(fs.remove(&path).is_ok());
            }
            Ok(removed)
        });
        orphans.await
    }
    .boxed()
}
