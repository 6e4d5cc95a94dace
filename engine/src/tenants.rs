//! The tenants of a node: opened at their first call, gone once and for all when they are dropped.
//!
//! An open tenant keeps what it knows in memory; the connections to the catalogs' files are bounded
//! over all tenants. Guarantees: a tenant is opened once; a dropped one is never opened again, and
//! nothing of it is written after its folder is gone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use quiver_catalog::{CatalogOptions, Connections, TenantCatalog, TenantId};
use tokio::sync::OnceCell;

use crate::error::{EngineError, Result};
use crate::idempotency::{IdempotencyKeys, KeyLimits};
use crate::inlined;
use crate::node::Node;
use crate::producers::Producers;
use crate::query_memory::QueryMemory;
use crate::scan::ScanOptions;
use crate::segment::remove_parts;
use crate::storage_fs::Folders;
use crate::task::blocking;
use crate::tenant::Tenant;

/// Where a tenant lies: fixed when it is created, never used again.
#[derive(Debug, Clone)]
pub struct TenantPlace {
    /// The tenant's id.
    pub id: TenantId,
    /// Its folder below `<data>/tenants/`.
    pub directory: String,
}

/// Whether a tenant may be there for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Make its catalog if it never had one.
    MayCreate,
    /// It wrote to the log, so it has a catalog.
    MustExist,
}

type TenantCell = Arc<OnceCell<Arc<Tenant>>>;

#[derive(Debug, Default)]
struct Known {
    open: HashMap<TenantId, TenantCell>,
    /// Dropped while this process runs: calls that began before may still ask for them.
    dropped: HashSet<TenantId>,
}

/// All tenants that were used since the start.
#[derive(Debug)]
pub(crate) struct Tenants {
    node: Arc<Node>,
    memory: QueryMemory,
    scan_options: ScanOptions,
    connections: Connections,
    known: Mutex<Known>,
}

impl Tenants {
    pub(crate) fn new(node: &Arc<Node>, memory: QueryMemory, scan_options: ScanOptions) -> Self {
        Self {
            node: Arc::clone(node),
            memory,
            scan_options,
            connections: Connections::new(node.settings.catalogs_open_max),
            known: Mutex::default(),
        }
    }

    /// The tenant, opened at the first call.
    pub(crate) async fn get(&self, place: &TenantPlace, opening: Opening) -> Result<Arc<Tenant>> {
        let cell = {
            let mut known = self.known.lock();
            if known.dropped.contains(&place.id) {
                return Err(Tenant::gone());
            }
            Arc::clone(known.open.entry(place.id).or_default())
        };
        let tenant = cell.get_or_try_init(|| self.open(place, opening)).await?;
        Ok(Arc::clone(tenant))
    }

    /// Tenants that are open now.
    pub(crate) fn all(&self) -> Vec<Arc<Tenant>> {
        let known = self.known.lock();
        let open = known.open.values().filter_map(|cell| cell.get());
        open.map(Arc::clone).collect()
    }

    /// Connections to catalog files that are open now.
    pub(crate) fn open_catalogs(&self) -> usize {
        self.connections.open_count()
    }

    /// The connections to catalog files.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Ends a dropped tenant: refuses what is still on its way, then removes its folder.
    pub(crate) async fn remove(&self, place: &TenantPlace) -> Result<()> {
        let cell = {
            let mut known = self.known.lock();
            known.dropped.insert(place.id);
            known.open.remove(&place.id)
        };
        if let Some(cell) = cell {
            // Someone may be opening it right now: that is waited for.
            let opened = cell.get_or_try_init(|| async { Err(Tenant::gone()) }).await;
            if let Ok(tenant) = opened {
                tenant.retire().await;
            }
        }
        self.remove_folder(place).await
    }

    /// Removes the folder of a dropped tenant, if there is one.
    pub(crate) async fn remove_folder(&self, place: &TenantPlace) -> Result<()> {
        let parent = self.directory();
        let folder = parent.join(&place.directory);
        // Names of tenants do not begin like this.
        let aside = parent.join(format!(".dropped-{}", place.id));
        blocking(move || {
            // What an earlier attempt left.
            remove_all(&aside)?;
            match std::fs::rename(&folder, &aside) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(source) => Err(io_error("remove the folder", folder, source)),
                Ok(()) => remove_all(&aside),
            }
        })
        .await
    }

    fn directory(&self) -> PathBuf {
        self.node.settings.data_dir.join("tenants")
    }

    /// Boxed: the compiler cannot prove a future of sqlx to be `Send` from inside a spawned one.
    fn open<'a>(
        &'a self,
        place: &'a TenantPlace,
        opening: Opening,
    ) -> BoxFuture<'a, Result<Arc<Tenant>>> {
        async move {
            if self.known.lock().dropped.contains(&place.id) {
                return Err(Tenant::gone());
            }
            let directory = self.directory().join(&place.directory);
            let path = directory.join("catalog.sqlite");
            let (folder, catalog) = (directory.clone(), path.clone());
            let folders = Arc::clone(&self.node.folders);
            blocking(move || prepare_folder(&folders, &folder, &catalog, opening)).await?;
            let options = CatalogOptions {
                path,
                data_path: absolute(directory.join("data"))?,
                create: true,
            };
            let clock = Arc::clone(&self.node.clock);
            let data = options.data_path.clone();
            let catalog = TenantCatalog::open_in(options, clock, &self.connections).await?;
            inlined::store(&self.node.folders, &data, &catalog).await?;
            let settings = &self.node.settings;
            let limits = KeyLimits::new(settings);
            let keys = IdempotencyKeys::new(catalog.idempotency().await?, limits);
            let producers = Producers::new(catalog.producers().await?);
            let tenant = Tenant::new(
                place.id,
                directory,
                catalog,
                (keys, producers),
                &self.node,
                self.memory.of_tenant(),
                self.scan_options.clone(),
            )?;
            Ok(Arc::new(tenant))
        }
        .boxed()
    }
}

/// Makes what a tenant's folder has to hold, and refuses to make a new catalog in the place of one
/// that was lost.
fn prepare_folder(
    folders: &Folders,
    directory: &Path,
    catalog: &Path,
    opening: Opening,
) -> Result<()> {
    let data = directory.join("data");
    if !catalog.exists() && (opening == Opening::MustExist || !is_empty(&data)?) {
        return Err(EngineError::Corruption {
            message: format!(
                "{} is missing although the tenant has rows: put it back, with the segments beside \
                 it, from a backup",
                catalog.display()
            ),
        });
    }
    folders
        .create(&data)
        .map_err(|source| io_error("create", data.clone(), source))?;
    remove_parts(&**folders.fs(), &data)?;
    // On the local disk, whatever segments are on: `SQLite` and COPY know no other.
    let files = directory.join("files");
    std::fs::create_dir_all(&files).map_err(|source| io_error("create", files, source))
}

fn is_empty(directory: &Path) -> Result<bool> {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(io_error("read", directory.to_path_buf(), source)),
    }
}

fn remove_all(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(
            "remove the folder",
            directory.to_path_buf(),
            source,
        )),
        _ => Ok(()),
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).map_err(|source| io_error("find the absolute path of", path, source))
}

fn io_error(action: &'static str, path: PathBuf, source: io::Error) -> EngineError {
    EngineError::Io {
        action,
        path,
        source,
    }
}
