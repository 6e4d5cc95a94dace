//! The facade: open, ingest, query, flush, close.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use parking_lot::Mutex;
use quiver_catalog::{CatalogOptions, Clock, TenantCatalog, TenantId, UserId};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::{EngineError, Result};
use crate::flush::{FlushOutcome, flush_tenant, run_scheduler};
use crate::idempotency::IdempotencyKeys;
use crate::ingest::{Ingest, IngestRequest};
use crate::node::Node;
use crate::recovery::{LogContents, RecoveryReport};
use crate::scan::ScanOptions;
use crate::settings::EngineSettings;
use crate::sql::QueryTemplate;
use crate::storage_fs::LocalFs;
use crate::task::spawn;
use crate::tenant::Tenant;
use crate::transaction::Transaction;
use crate::wal::{Wal, WalSettings};

/// Consumers named in an error about query memory.
const TOP_CONSUMERS: usize = 3;

/// Where a tenant lies: fixed when it is created, never used again.
#[derive(Debug, Clone)]
pub struct TenantPlace {
    /// The tenant's id.
    pub id: TenantId,
    /// Its folder below `<data>/tenants/`.
    pub directory: String,
}

type TenantCell = Arc<OnceCell<Arc<Tenant>>>;

/// The storage and query engine of one node. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: Arc<Node>,
    tenants: Mutex<HashMap<TenantId, TenantCell>>,
    template: QueryTemplate,
    memory_pool: Arc<dyn MemoryPool>,
    scan_options: ScanOptions,
    stop: CancellationToken,
    scheduler: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Opens the log, recovers what is not in segments yet, and starts the background work.
    /// `tenants` are all that exist: what the log holds for others is dropped.
    ///
    /// # Errors
    /// `Corruption` when the log or a catalog is not what was written.
    pub async fn open(
        settings: EngineSettings,
        clock: Arc<dyn Clock>,
        tenants: &[TenantPlace],
    ) -> Result<Self> {
        let mut report = RecoveryReport::start();
        let (wal, replay) = open_wal(&settings).await?;
        let mut contents = LogContents::default();
        let statistics = replay.run(|lsn, kind, payload| contents.add(lsn, kind, payload))?;
        let memory_pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
            GreedyMemoryPool::new(settings.query_memory_bytes_max),
            std::num::NonZeroUsize::new(TOP_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN),
        ));
        let template = QueryTemplate::new(&settings);
        let engine = Self {
            inner: Arc::new(Inner {
                node: Arc::new(Node::new(settings, clock, wal)),
                tenants: Mutex::default(),
                template,
                memory_pool,
                scan_options: ScanOptions::default(),
                stop: CancellationToken::new(),
                scheduler: Mutex::default(),
            }),
        };
        for id in contents.tenant_ids() {
            let Some(place) = tenants.iter().find(|place| place.id == id) else {
                tracing::warn!(
                    tenant_id = id.0,
                    "the log holds rows of a tenant that is gone"
                );
                continue;
            };
            let tenant = engine.tenant(place).await?;
            report.add(contents.apply(engine.node(), &tenant).await?);
        }
        report.log(
            statistics.files,
            statistics.frames,
            statistics.bytes,
            statistics.cut_bytes,
        );
        engine.release_log();
        let scheduler = spawn(run_scheduler(engine.clone(), engine.inner.stop.clone()));
        *engine.inner.scheduler.lock() = Some(scheduler);
        Ok(engine)
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }

    pub(crate) fn template(&self) -> &QueryTemplate {
        &self.inner.template
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &EngineSettings {
        &self.inner.node.settings
    }

    /// An open tenant; its catalog is opened, or made, at the first call.
    ///
    /// # Errors
    /// What opening its catalog answers.
    pub async fn tenant(&self, place: &TenantPlace) -> Result<Arc<Tenant>> {
        let cell = Arc::clone(self.inner.tenants.lock().entry(place.id).or_default());
        let tenant = cell.get_or_try_init(|| self.open_tenant(place)).await?;
        Ok(Arc::clone(tenant))
    }

    async fn open_tenant(&self, place: &TenantPlace) -> Result<Arc<Tenant>> {
        let settings = &self.inner.node.settings;
        let directory = settings.data_dir.join("tenants").join(&place.directory);
        for folder in [directory.join("data"), directory.join("files")] {
            std::fs::create_dir_all(&folder).map_err(|source| EngineError::Io {
                action: "create the folder",
                path: folder,
                source,
            })?;
        }
        let options = CatalogOptions {
            path: directory.join("catalog.sqlite"),
            data_path: absolute(directory.join("data"))?,
            create: true,
        };
        let catalog = TenantCatalog::open(options, Arc::clone(&self.inner.node.clock)).await?;
        let keys = IdempotencyKeys::new(catalog.idempotency().await?);
        let tenant = Tenant::new(
            place.id,
            directory,
            catalog,
            keys,
            settings,
            Arc::clone(&self.inner.memory_pool),
            self.inner.scan_options.clone(),
        )?;
        Ok(Arc::new(tenant))
    }

    /// Tenants that are open now.
    pub fn open_tenants(&self) -> Vec<Arc<Tenant>> {
        let tenants = self.inner.tenants.lock();
        tenants
            .values()
            .filter_map(|cell| cell.get().map(Arc::clone))
            .collect()
    }

    /// Forgets a dropped tenant and removes its folder.
    ///
    /// # Errors
    /// `Io` when the folder cannot be removed.
    pub async fn remove_tenant(&self, place: &TenantPlace) -> Result<()> {
        self.inner.tenants.lock().remove(&place.id);
        let directory = self
            .settings()
            .data_dir
            .join("tenants")
            .join(&place.directory);
        match tokio::fs::remove_dir_all(&directory).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(EngineError::Io {
                action: "remove the folder",
                path: directory,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Begins an ingest stream.
    ///
    /// # Errors
    /// `NotFound` or `AlreadyExists` for the table, `InvalidArgument` for a schema it cannot hold,
    /// `Overloaded` while the log is full.
    pub async fn begin_ingest(
        &self,
        tenant: &Arc<Tenant>,
        request: IngestRequest,
    ) -> Result<Ingest> {
        Ingest::begin(Arc::clone(self.node()), Arc::clone(tenant), request).await
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// `Overloaded` when too many are open.
    pub fn begin_transaction(
        &self,
        tenant: &Arc<Tenant>,
        user_id: UserId,
        session_id: Uuid,
    ) -> Result<Arc<Transaction>> {
        Transaction::begin(self.node(), tenant, user_id, session_id)
    }

    /// Flushes everything that is committed.
    ///
    /// # Errors
    /// What the file system or the catalog answered; rows stay in the log.
    pub async fn flush(&self, tenant: &Arc<Tenant>) -> Result<FlushOutcome> {
        let outcome = flush_tenant(self.node(), tenant).await?;
        self.release_log();
        Ok(outcome)
    }

    pub(crate) async fn expire_transactions(&self) {
        let timeout_micros = self.settings().transaction_timeout_ms as i64 * 1000;
        for tenant in self.open_tenants() {
            let open: Vec<_> = tenant
                .transactions()
                .lock()
                .values()
                .map(Arc::clone)
                .collect();
            for transaction in open {
                transaction.expire(timeout_micros).await;
            }
        }
    }

    /// Forgets idempotency keys that are older than they are kept.
    pub(crate) fn prune_keys(&self) {
        let kept_micros = self.settings().idempotency_ttl_ms as i64 * 1000;
        let oldest = self.node().now_micros() - kept_micros;
        for tenant in self.open_tenants() {
            tenant.keys().prune(oldest);
        }
    }

    /// Gives back the log below the oldest row that is in no segment.
    pub(crate) fn release_log(&self) {
        // Read first: a stream that begins meanwhile pins the log at this position or later.
        let written = self.node().wal.written_lsn();
        let oldest = self
            .open_tenants()
            .iter()
            .filter_map(|tenant| tenant.oldest_lsn())
            .min();
        self.node()
            .release_log(oldest.map_or(written, |lsn| lsn.min(written)));
    }

    /// Bytes of the log, of uncommitted rows, and of committed rows that are not in segments.
    pub fn usage_bytes(&self) -> (u64, u64, u64) {
        let (uncommitted, committed) = self.node().budget.used_bytes();
        (self.node().wal.bytes(), uncommitted, committed)
    }

    /// Whether the log has failed: the process must stop.
    pub fn is_poisoned(&self) -> bool {
        self.node().wal.status().poisoned
    }

    /// Stops without flushing, as a crash would: the next start recovers from the log.
    pub async fn abandon(&self) {
        self.stop_scheduler().await;
        self.node().wal.close();
    }

    async fn stop_scheduler(&self) {
        self.inner.stop.cancel();
        let scheduler = self.inner.scheduler.lock().take();
        if let Some(scheduler) = scheduler {
            // The scheduler ends by itself; a panic in it was logged already.
            let _ended = scheduler.await;
        }
    }

    /// Flushes every tenant and stops the background work. Rows that could not be flushed stay in
    /// the log.
    ///
    /// # Errors
    /// The first flush that failed.
    pub async fn close(&self) -> Result<()> {
        self.stop_scheduler().await;
        let mut result = Ok(());
        for tenant in self.open_tenants() {
            let flushed = flush_tenant(self.node(), &tenant).await;
            result = result.and(flushed.map(|_| ()));
        }
        self.release_log();
        self.node().wal.close();
        result
    }
}

async fn open_wal(settings: &EngineSettings) -> Result<(Wal, crate::wal::Replay)> {
    let wal_settings = WalSettings {
        file_bytes: settings.wal_file_bytes,
        queue_bytes_max: settings.wal_queue_bytes_max,
        ..WalSettings::new(settings.data_dir.join("wal"))
    };
    let repair = settings.wal_repair;
    crate::task::blocking(move || {
        let seed = crate::ids::new_id().as_u64_pair().0;
        Ok(Wal::open(wal_settings, Arc::new(LocalFs), seed, repair)?)
    })
    .await
}

fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).map_err(|source| EngineError::Io {
        action: "find the absolute path of",
        path,
        source,
    })
}
