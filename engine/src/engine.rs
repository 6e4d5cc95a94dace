//! The facade: open, ingest, query, flush, close.

use std::sync::Arc;

use parking_lot::Mutex;
use quiver_catalog::{Clock, UserId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::compaction::run_compactor;
use crate::error::{EngineError, Result};
use crate::flush::{FlushOutcome, flush, run_scheduler};
use crate::ingest::{Ingest, IngestRequest};
use crate::node::Node;
use crate::query_memory::QueryMemory;
use crate::query_runtime::QueryRuntime;
use crate::recovery::{LogContents, LoggedRows, RecoveryReport};
use crate::scan::ScanOptions;
use crate::settings::EngineSettings;
use crate::sql::{ParseError, ParsedStatement, QueryTemplate, StatementCache};
use crate::storage_fs::{CrashPoint, LocalFs, StorageFs};
use crate::task::spawn;
use crate::tenant::Tenant;
use crate::tenants::{Opening, TenantPlace, Tenants};
use crate::transaction::Transaction;
use crate::wal::{Replay, Wal, WalSettings};

/// The storage and query engine of one node. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: Arc<Node>,
    tenants: Arc<Tenants>,
    template: QueryTemplate,
    statements: StatementCache,
    query_runtime: QueryRuntime,
    stop: CancellationToken,
    scheduler: Mutex<Option<JoinHandle<()>>>,
    compactor: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Opens the log, recovers what is not in segments yet, and starts the background work.
    /// `tenants` are all that exist, `dropped` all that ever existed beside them: the log may hold
    /// rows of those, and a crash may have left their folders, which are removed.
    ///
    /// # Errors
    /// `Corruption` when the log or a catalog is not what was written, or the log holds rows of a
    /// tenant that is neither there nor dropped.
    pub async fn open(
        settings: EngineSettings,
        clock: Arc<dyn Clock>,
        tenants: &[TenantPlace],
        dropped: &[TenantPlace],
    ) -> Result<Self> {
        let (wal_settings, repair) = (wal_settings(&settings), settings.wal_repair);
        let log = crate::task::blocking(move || {
            let seed = crate::ids::new_id().as_u64_pair().0;
            Ok(Wal::open(wal_settings, Arc::new(LocalFs), seed, repair)?)
        });
        let (log, fs) = (log.await?, Arc::new(LocalFs));
        let engine = Self::recover(settings, clock, fs, log, (tenants, dropped)).await?;
        let scheduler = spawn(run_scheduler(engine.clone(), engine.inner.stop.clone()));
        *engine.inner.scheduler.lock() = Some(scheduler);
        let compactor = spawn(run_compactor(engine.clone(), engine.inner.stop.clone()));
        *engine.inner.compactor.lock() = Some(compactor);
        Ok(engine)
    }

    /// Recovers on a log that was opened. Nothing is done in the background yet.
    pub(crate) async fn recover(
        settings: EngineSettings,
        clock: Arc<dyn Clock>,
        fs: Arc<dyn StorageFs>,
        (wal, replay): (Wal, Replay),
        (tenants, dropped): (&[TenantPlace], &[TenantPlace]),
    ) -> Result<Self> {
        let mut report = RecoveryReport::start();
        let mut contents = LogContents::default();
        let statistics = replay.run(|lsn, kind, payload| contents.add(lsn, kind, payload))?;
        let memory = QueryMemory::new(&settings);
        let template = QueryTemplate::new(&settings);
        let node = Arc::new(Node::new(settings, clock, fs, wal));
        node.reached(CrashPoint::LogOpened).await?;
        let tenants_open = Tenants::new(&node, memory, ScanOptions::default());
        let engine = Self {
            inner: Arc::new(Inner {
                node,
                tenants: Arc::new(tenants_open),
                template,
                statements: StatementCache::new(),
                query_runtime: QueryRuntime::start()?,
                stop: CancellationToken::new(),
                scheduler: Mutex::default(),
                compactor: Mutex::default(),
            }),
        };
        let gives_up_unknown = engine.settings().wal_repair;
        let wrote = contents.tenants_among(tenants, dropped, gives_up_unknown)?;
        let (mut logged, mut missing) = (vec![], vec![]);
        for place in wrote {
            let tenants = &engine.inner.tenants;
            let tenant = tenants.get(&place, Opening::MustExist).await?;
            let commits = contents.commits_of(engine.node(), &tenant).await?;
            missing.append(&mut contents.missing_frames(&tenant, &commits)?);
            logged.push((tenant, commits));
        }
        missing.sort_unstable();
        let mut rows = LoggedRows::default();
        replay.read(&missing, |lsn, payload| rows.add(lsn, &payload))?;
        for (tenant, commits) in logged {
            report.add(rows.apply(engine.node(), &tenant, commits)?);
        }
        engine.remove_leftovers(dropped).await;
        report.log(
            statistics.files,
            statistics.frames,
            statistics.bytes,
            statistics.cut_bytes,
        );
        engine.node().reached(CrashPoint::LogApplied).await?;
        engine.release_log();
        Ok(engine)
    }

    /// Removes the folders of dropped tenants that were not removed when they were dropped.
    async fn remove_leftovers(&self, dropped: &[TenantPlace]) {
        for place in dropped {
            if let Err(error) = self.inner.tenants.remove_folder(place).await {
                tracing::warn!(tenant_id = place.id.0, %error, "a dropped tenant left a folder");
            }
        }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }

    /// Parses SQL text; what was sent before is known already.
    ///
    /// # Errors
    /// `ParseError` names the place and what to write instead.
    pub fn parse(&self, sql: &str) -> Result<Arc<ParsedStatement>, ParseError> {
        self.inner.statements.parse(sql)
    }

    pub(crate) fn statements(&self) -> &StatementCache {
        &self.inner.statements
    }

    pub(crate) fn template(&self) -> &QueryTemplate {
        &self.inner.template
    }

    pub(crate) fn query_runtime(&self) -> &QueryRuntime {
        &self.inner.query_runtime
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &EngineSettings {
        &self.inner.node.settings
    }

    /// An open tenant; its catalog is opened, or made, at the first call.
    ///
    /// # Errors
    /// What opening its catalog answers; `NotFound` once it is dropped.
    pub async fn tenant(&self, place: &TenantPlace) -> Result<Arc<Tenant>> {
        self.inner.tenants.get(place, Opening::MayCreate).await
    }

    /// Tenants that are open now.
    pub fn open_tenants(&self) -> Vec<Arc<Tenant>> {
        self.inner.tenants.all()
    }

    #[cfg(test)]
    pub(crate) fn connections(&self) -> quiver_catalog::Connections {
        self.inner.tenants.connections().clone()
    }

    /// Connections to catalog files that are open now.
    pub fn open_catalogs(&self) -> usize {
        self.inner.tenants.open_catalogs()
    }

    /// Ends a dropped tenant and removes its folder. What is on its way fails with `NotFound` or is
    /// committed and gone; nothing of it is written afterwards. Goes on if the caller goes away.
    ///
    /// # Errors
    /// `Io` when the folder cannot be removed: the next start tries again.
    pub async fn remove_tenant(&self, place: &TenantPlace) -> Result<()> {
        let (tenants, place) = (Arc::clone(&self.inner.tenants), place.clone());
        let job = spawn(async move { tenants.remove(&place).await });
        let removed = job.await.map_err(|error| {
            EngineError::internal(format!("dropping the tenant failed half way: {error}"))
        })?;
        self.release_log();
        removed
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
        let transaction = Transaction::begin(self.node(), tenant, user_id, session_id)?;
        // After it was entered: whoever drops the tenant now ends it, or is seen here.
        if tenant.is_dropped() {
            tenant.transactions().lock().remove(&transaction.id());
            return Err(Tenant::gone());
        }
        Ok(transaction)
    }

    /// Flushes everything that is committed, to the end even if the caller goes away.
    ///
    /// # Errors
    /// What the file system or the catalog answered; rows stay in the log.
    pub async fn flush(&self, tenant: &Arc<Tenant>) -> Result<FlushOutcome> {
        let outcome = flush(self.node(), tenant).await?;
        self.release_log();
        Ok(outcome)
    }

    pub(crate) async fn expire_transactions(&self) {
        for tenant in self.open_tenants() {
            let open: Vec<_> = tenant
                .transactions()
                .lock()
                .values()
                .map(Arc::clone)
                .collect();
            for transaction in open {
                transaction.expire().await;
            }
        }
    }

    /// Forgets idempotency keys beyond their age and number.
    pub(crate) async fn prune_keys(&self) {
        let now_micros = self.node().now_micros();
        for tenant in self.open_tenants() {
            tenant.prune_keys(now_micros).await;
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

    /// Whether flushes should make room in the log before writers have to wait.
    pub(crate) fn is_log_filling(&self) -> bool {
        self.node().wal.bytes() > self.settings().wal_bytes_max / 4 * 3
    }

    /// When flushes cannot make room in the log because a stream holds its old part, that stream is
    /// given up: it alone, instead of everybody's writes.
    pub(crate) fn give_up_old_streams(&self) {
        if !self.is_log_filling() {
            return;
        }
        let files = self.node().wal.status().files;
        let mut bytes = 0;
        let young = files.iter().rev().take_while(|file| {
            bytes += file.bytes;
            bytes <= self.settings().wal_bytes_max / 2
        });
        let Some(keep_from) = young.last().map(|file| file.first_lsn) else {
            return;
        };
        for tenant in self.open_tenants() {
            let streams = tenant.pins().give_up_below(keep_from);
            if streams > 0 {
                tracing::warn!(
                    tenant_id = tenant.id().0,
                    streams,
                    "gave up streams that held the full write-ahead log"
                );
            }
        }
    }

    /// Bytes of the log, of uncommitted rows, and of committed rows that are not in segments.
    pub fn usage_bytes(&self) -> (u64, u64, u64) {
        let (uncommitted, committed) = self.node().budget.used_bytes();
        (self.node().wal.bytes(), uncommitted, committed)
    }

    /// How many transactions are open, of all tenants.
    pub fn open_transactions(&self) -> usize {
        let tenants = self.open_tenants();
        let open = tenants
            .iter()
            .map(|tenant| tenant.transactions().lock().len());
        open.sum()
    }

    /// Whether the log has failed, or nothing is flushed any more: the process must stop.
    pub fn is_poisoned(&self) -> bool {
        let scheduler = self.inner.scheduler.lock();
        let ended = scheduler.as_ref().is_some_and(JoinHandle::is_finished);
        self.node().wal.status().poisoned || (ended && !self.inner.stop.is_cancelled())
    }

    /// Stops without flushing, as a crash would: the next start recovers from the log.
    pub async fn abandon(&self) {
        self.stop_scheduler().await;
        self.node().wal.close();
    }

    async fn stop_scheduler(&self) {
        self.inner.stop.cancel();
        let scheduler = self.inner.scheduler.lock().take();
        let compactor = self.inner.compactor.lock().take();
        for task in scheduler.into_iter().chain(compactor) {
            // They end by themselves; a panic in one of them was logged already.
            let _ended = task.await;
        }
    }

    /// Flushes every tenant, stops the background work and closes every file. Rows that could not
    /// be flushed stay in the log.
    ///
    /// # Errors
    /// The first flush that failed.
    pub async fn close(&self) -> Result<()> {
        self.stop_scheduler().await;
        let mut result = Ok(());
        for tenant in self.open_tenants() {
            let flushed = flush(self.node(), &tenant).await;
            result = result.and(flushed.map(|_| ()));
        }
        self.release_log();
        for tenant in self.open_tenants() {
            tenant.close().await;
        }
        self.node().wal.close();
        result
    }
}

/// How the log of an engine is kept.
pub(crate) fn wal_settings(settings: &EngineSettings) -> WalSettings {
    WalSettings {
        file_bytes: settings.wal_file_bytes,
        queue_bytes_max: settings.wal_queue_bytes_max,
        ..WalSettings::new(settings.data_dir.join("wal"))
    }
}
