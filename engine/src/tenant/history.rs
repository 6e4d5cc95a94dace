//! Earlier versions of a tenant's catalog, for those who look back.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quiver_catalog::{CatalogVersion, SnapshotId, SnapshotInfo};

use super::Tenant;
use crate::error::{EngineError, Result};

/// Versions that are kept in memory.
const VERSIONS_MAX: usize = 16;

/// Versions that were looked at lately. The rows of a snapshot never change, but the segments that
/// hold them may: after that, versions that were read before it are not given to anybody new.
#[derive(Debug)]
pub(crate) struct History {
    versions: Cache<SnapshotId, Arc<CatalogVersion>>,
    /// How often all were forgotten. Held while one is added.
    forgotten: Mutex<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            versions: Cache::new(VERSIONS_MAX),
            forgotten: Mutex::default(),
        }
    }
}

impl History {
    /// The catalog at a snapshot. Boxed: the compiler cannot prove a future of sqlx to be `Send`
    /// from inside a spawned one.
    ///
    /// # Errors
    /// `NotFound` if there was none, or it has expired.
    pub(crate) fn at<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: SnapshotId,
    ) -> BoxFuture<'a, Result<Arc<CatalogVersion>>> {
        async move {
            if let Some(known) = self.versions.get(&id) {
                return Ok(known);
            }
            let forgotten = *self.forgotten.lock();
            let version = Arc::new(tenant.catalog().at_snapshot(id).await?);
            let now = self.forgotten.lock();
            if *now == forgotten {
                self.versions.insert(id, Arc::clone(&version));
            }
            Ok(version)
        }
        .boxed()
    }

    /// Forgets all versions: their segments may be others now.
    pub(crate) fn forget(&self) {
        let mut forgotten = self.forgotten.lock();
        *forgotten += 1;
        self.versions.clear();
    }

    /// The catalog at the snapshot with a name.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub(crate) fn named<'a>(
        &'a self,
        tenant: &'a Tenant,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Arc<CatalogVersion>>> {
        async move {
            let names = tenant.catalog().snapshot_names().await?;
            let named = names.into_iter().find(|known| known.name == name);
            let named = named.ok_or_else(|| EngineError::NotFound {
                what: format!("a snapshot named '{name}'"),
            })?;
            self.at(tenant, named.id).await
        }
        .boxed()
    }

    /// The first snapshot since a time, in microseconds since 1970.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub(crate) fn first_since<'a>(
        &'a self,
        tenant: &'a Tenant,
        micros: i64,
    ) -> BoxFuture<'a, Result<SnapshotId>> {
        async move {
            let snapshots = tenant.catalog().snapshots().await?;
            let first = snapshots.partition_point(|snapshot| snapshot.time_micros < micros);
            let first = snapshots.get(first).map(|snapshot| snapshot.id);
            first.ok_or_else(|| EngineError::NotFound {
                what: "a snapshot at or after this time".to_owned(),
            })
        }
        .boxed()
    }

    /// The catalog at the last snapshot up to a time, in microseconds since 1970.
    ///
    /// # Errors
    /// `NotFound` if the first one that is left is later.
    pub(crate) fn at_time<'a>(
        &'a self,
        tenant: &'a Tenant,
        micros: i64,
    ) -> BoxFuture<'a, Result<Arc<CatalogVersion>>> {
        async move {
            let snapshots = tenant.catalog().snapshots().await?;
            let later = snapshots.partition_point(|snapshot| snapshot.time_micros <= micros);
            let last = later.checked_sub(1).map(|at| &snapshots[at]);
            // Between one that was kept for its name and the next one, others may have expired.
            let follows = |last: &&SnapshotInfo| {
                let next = snapshots.get(later);
                next.is_none_or(|next| next.id.0 == last.id.0 + 1)
            };
            let Some(last) = last.filter(follows) else {
                return Err(EngineError::NotFound {
                    what: "a snapshot at or before this time".to_owned(),
                });
            };
            self.at(tenant, last.id).await
        }
        .boxed()
    }
}
