//! One open tenant: its catalog, its memtables, and what of both is published.
//!
//! Order of locks: flushing, committer, commit gate, sequencing, published.

mod changing;
mod history;
mod live_views;
mod retired_files;
#[cfg(test)]
mod tests;
mod view_pins;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use quiver_catalog::{CatalogVersion, Commit, TableId, TenantCatalog, TenantId};
use tokio::sync::{Mutex as AsyncMutex, RwLock as AsyncRwLock, watch};
use uuid::Uuid;

use crate::compaction::Compactions;
use crate::error::{EngineError, Result};
use crate::idempotency::IdempotencyKeys;
use crate::ingest::StagedStream;
use crate::log_pins::LogPins;
use crate::node::Node;
use crate::producers::Producers;
use crate::read_view::ReadView;
use crate::scan::{ScanOptions, TenantRegistry};
use crate::storage_fs::{CrashPoint, StorageFs};
use crate::task::others_turn;
use crate::transaction::Transaction;
use crate::wal::Lsn;
use crate::write_buffer::{Budget, CommittedBytes, Memtable, MemtableSet};

pub(crate) use changing::Changing;
use changing::ChangingTables;
use history::History;
pub(crate) use live_views::LiveView;
use live_views::LiveViews;
pub(crate) use retired_files::RetiredFiles;
pub(crate) use view_pins::ViewPin;
use view_pins::ViewPins;

/// How often, and how long apart, a catalog is asked what became of a commit.
const SETTLE_ATTEMPTS: usize = 30;
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// The state that read views are taken from; replaced piece by piece under one lock.
#[derive(Debug)]
struct Published {
    catalog: Arc<CatalogVersion>,
    memtables: Arc<MemtableSet>,
    sequence: u64,
}

/// Ended transactions that are remembered, of each kind.
const REMEMBERED_MAX: usize = 10_000;

/// An open tenant.
#[derive(Debug)]
pub struct Tenant {
    id: TenantId,
    directory: PathBuf,
    fs: Arc<dyn StorageFs>,
    catalog: TenantCatalog,
    published: RwLock<Published>,
    /// One flush at a time, from its cut to its registration. Writing segments takes long and holds
    /// up no commit.
    flushing: AsyncMutex<()>,
    /// One catalog transaction at a time; held until its outcome is published. Taken before the
    /// gate, so that rows are not kept waiting for another transaction.
    committer: AsyncMutex<()>,
    /// One compaction at a time.
    compacting: AsyncMutex<()>,
    /// Row commits hold it shared from sequencing to publishing; commits that touch the catalog
    /// hold it alone, so that their rows are published in sequence order as well.
    gate: Arc<AsyncRwLock<()>>,
    /// Set once, when the tenant is dropped, while nothing commits or flushes.
    is_dropped: AtomicBool,
    /// Set when nobody can say whether the last catalog transaction happened.
    is_in_doubt: AtomicBool,
    /// The next sequence. Held over assigning one and queueing its frame, so that the log has them
    /// in order.
    sequencing: Mutex<u64>,
    budget: Arc<Budget>,
    keys: IdempotencyKeys,
    producers: Producers,
    transactions: Mutex<BTreeMap<Uuid, Arc<Transaction>>>,
    /// Transactions that expired, by id, with their session: until their client has ended them, it
    /// must not write on as if it had none.
    expired: Mutex<BTreeMap<Uuid, Uuid>>,
    /// Transactions that committed lately, for clients that did not get the answer.
    committed: Mutex<VecDeque<Uuid>>,
    /// Those on their way.
    committing: Mutex<BTreeMap<Uuid, watch::Receiver<()>>>,
    /// Lowest LSN that each open stream may have written at.
    pins: LogPins,
    /// The views of open transactions.
    views: Arc<ViewPins>,
    history: History,
    /// All views, of whomever.
    live_views: Arc<LiveViews>,
    retired: RetiredFiles,
    changing: Arc<ChangingTables>,
    compactions: Compactions,
    reading: Reading,
}

/// What the tenant's queries run with.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) store_url: ObjectStoreUrl,
    pub(crate) scan_options: ScanOptions,
}

impl Reading {
    fn new(
        fs: &Arc<dyn StorageFs>,
        tenant_id: TenantId,
        data_directory: &Path,
        memory_pool: Arc<dyn MemoryPool>,
        scan_options: ScanOptions,
    ) -> Result<Self> {
        let registry = TenantRegistry::new(Arc::clone(fs), tenant_id, data_directory)?;
        let store_url = registry.url();
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(memory_pool)
            .with_object_store_registry(Arc::new(registry))
            .build_arc()?;
        Ok(Self {
            runtime,
            store_url,
            scan_options,
        })
    }
}

impl Tenant {
    pub(crate) fn new(
        id: TenantId,
        directory: PathBuf,
        catalog: TenantCatalog,
        (keys, producers): (IdempotencyKeys, Producers),
        node: &Node,
        memory_pool: Arc<dyn MemoryPool>,
        scan_options: ScanOptions,
    ) -> Result<Self> {
        let sequence = catalog.last_sequence();
        let version = catalog.current();
        let data = directory.join("data");
        let reading = Reading::new(&node.fs, id, &data, memory_pool, scan_options)?;
        let bytes_max = node.settings.buffer_tenant_bytes_max;
        Ok(Self {
            id,
            directory,
            fs: Arc::clone(&node.fs),
            catalog,
            published: RwLock::new(Published {
                catalog: version,
                memtables: Arc::default(),
                sequence,
            }),
            flushing: AsyncMutex::default(),
            committer: AsyncMutex::default(),
            compacting: AsyncMutex::default(),
            gate: Arc::default(),
            is_dropped: AtomicBool::new(false),
            is_in_doubt: AtomicBool::new(false),
            sequencing: Mutex::new(sequence + 1),
            budget: Budget::new("tenant's write buffer", bytes_max),
            keys,
            producers,
            transactions: Mutex::default(),
            expired: Mutex::default(),
            committed: Mutex::default(),
            committing: Mutex::default(),
            pins: LogPins::default(),
            views: Arc::default(),
            history: History::default(),
            live_views: Arc::default(),
            retired: RetiredFiles::default(),
            changing: Arc::default(),
            compactions: Compactions::default(),
            reading,
        })
    }

    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The tenant's id: what WAL records and handles carry.
    pub fn id(&self) -> TenantId {
        self.id
    }

    /// `<data>/tenants/<tenant>`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where COPY may read and write.
    pub fn files_directory(&self) -> PathBuf {
        self.directory.join("files")
    }

    pub(crate) fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn catalog(&self) -> &TenantCatalog {
        &self.catalog
    }

    /// One catalog transaction, under the committer's lock. An error means that it did not happen,
    /// unless [`Self::is_in_doubt`] says that nobody knows. Boxed: the compiler cannot prove a
    /// future of sqlx to be `Send` from inside a spawned one.
    pub(crate) fn commit_catalog(
        &self,
        commit: Commit,
    ) -> BoxFuture<'_, Result<Arc<CatalogVersion>>> {
        async move {
            self.reached(CrashPoint::CatalogReady).await?;
            let error = match self.catalog.commit(commit).await {
                Ok(version) => {
                    self.reached(CrashPoint::CatalogCommitted).await?;
                    return Ok(version);
                }
                Err(error) => error,
            };
            for _ in 0..SETTLE_ATTEMPTS {
                match self.catalog.settle().await {
                    Ok(true) => return Ok(self.catalog.current()),
                    Ok(false) => return Err(error.into()),
                    Err(unsettled) => {
                        tracing::warn!(error = %unsettled, "the outcome of a commit is unknown");
                        tokio::time::sleep(SETTLE_PAUSE).await;
                    }
                }
            }
            // Whatever was committed is found at the next start; until then nothing may build on a
            // guess.
            self.is_in_doubt.store(true, Ordering::Relaxed);
            Err(error.into())
        }
        .boxed()
    }

    async fn reached(&self, point: CrashPoint) -> Result<()> {
        self.fs.reached(point).map_err(|source| {
            self.mark_in_doubt();
            EngineError::Io {
                action: point.name(),
                path: self.directory.clone(),
                source,
            }
        })?;
        others_turn().await;
        Ok(())
    }

    /// Waits, before the gate is closed for a catalog transaction, for other programs that write to
    /// the catalog.
    pub(crate) fn wait_for_catalog(&self) -> BoxFuture<'_, Result<()>> {
        async move { Ok(self.catalog.wait_until_writable().await?) }.boxed()
    }

    /// Whether the outcome of a catalog transaction is unknown.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt.load(Ordering::Relaxed)
    }

    /// Nobody knows how far a commit came: nothing is committed any more before a restart.
    pub(crate) fn mark_in_doubt(&self) {
        self.is_in_doubt.store(true, Ordering::Relaxed);
    }

    /// Whether the tenant is dropped.
    pub(crate) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Relaxed)
    }

    /// Whether the tenant takes changes; asked under the gate or the committer's lock, the answer
    /// holds until that is given back.
    ///
    /// # Errors
    /// `NotFound` when it is dropped, `Unavailable` when its catalog is in doubt.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.is_dropped() {
            return Err(Self::gone());
        }
        if self.is_in_doubt() {
            return Err(EngineError::Unavailable {
                message: "the catalog cannot be read or written: free or repair the disk, then \
                          restart the server"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// What is said of a tenant that was dropped.
    pub(crate) fn gone() -> EngineError {
        EngineError::NotFound {
            what: "the tenant".to_owned(),
        }
    }

    /// Waits for running flushes and commits, refuses later ones, and closes the catalog. Queries
    /// that run see what they began with for as long as the files are there.
    pub(crate) async fn retire(&self) {
        {
            let _flushing = self.flushing.lock().await;
            let _committer = self.committer.lock().await;
            let _gate = self.gate.write().await;
            self.is_dropped.store(true, Ordering::Relaxed);
        }
        let open: Vec<_> = self.transactions.lock().values().map(Arc::clone).collect();
        for transaction in open {
            transaction.rollback().await;
        }
        self.close().await;
    }

    /// Closes the catalog's file; what is committed is durable whether that succeeds or not.
    pub(crate) fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            if let Err(error) = self.catalog.close().await {
                tracing::warn!(tenant_id = self.id.0, %error, "a catalog was not closed cleanly");
            }
        }
        .boxed()
    }

    /// Forgets idempotency keys beyond their age and number, in the catalog as well now and then,
    /// and producers of tables that are gone.
    pub(crate) fn prune_keys(&self, now_micros: i64) -> BoxFuture<'_, ()> {
        async move {
            // Nobody waits here: a tenant whose catalog is busy must not hold up the others.
            let committer = self.committer.try_lock();
            if committer.is_ok() {
                // Else a commit may have noted a producer of a table that it is about to publish.
                let catalog = self.catalog_version();
                // One that was dropped may be restored.
                self.producers.retain_tables(|table_id| {
                    let dropped = self.catalog.dropped_sequence(table_id);
                    catalog.table_by_id(table_id).is_some() || dropped.is_some()
                });
            }
            let Some(limits) = self.keys.prune(now_micros) else {
                return;
            };
            if committer.is_err() || self.check_writable().is_err() {
                self.keys.prune_failed();
                return;
            }
            let oldest_micros = limits.oldest_micros(now_micros);
            let pruned = self
                .catalog
                .prune_idempotency(oldest_micros, limits.count_max)
                .await;
            if let Err(error) = pruned {
                tracing::warn!(tenant_id = self.id.0, %error, "cannot prune idempotency keys");
                self.keys.prune_failed();
            }
        }
        .boxed()
    }

    pub(crate) fn flushing(&self) -> &AsyncMutex<()> {
        &self.flushing
    }

    pub(crate) fn compacting(&self) -> &AsyncMutex<()> {
        &self.compacting
    }

    pub(crate) fn gate(&self) -> &Arc<AsyncRwLock<()>> {
        &self.gate
    }

    pub(crate) fn committer(&self) -> &AsyncMutex<()> {
        &self.committer
    }

    pub(crate) fn sequencing(&self) -> &Mutex<u64> {
        &self.sequencing
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn keys(&self) -> &IdempotencyKeys {
        &self.keys
    }

    pub(crate) fn producers(&self) -> &Producers {
        &self.producers
    }

    pub(crate) fn transactions(&self) -> &Mutex<BTreeMap<Uuid, Arc<Transaction>>> {
        &self.transactions
    }

    /// An open transaction.
    pub fn transaction(&self, id: Uuid) -> Option<Arc<Transaction>> {
        self.transactions.lock().get(&id).map(Arc::clone)
    }

    /// Whether a transaction committed lately. Waits for one that is about to.
    pub async fn has_committed(&self, id: Uuid) -> bool {
        let committing = self.committing.lock().get(&id).cloned();
        if let Some(mut ended) = committing {
            // An error is the end of it as well.
            let _ended = ended.changed().await;
        }
        self.committed.lock().contains(&id)
    }

    /// Notes a transaction as about to commit, until what this returns ends.
    pub(crate) fn note_committing(self: &Arc<Self>, id: Uuid) -> Committing {
        let (sender, ended) = watch::channel(());
        self.committing.lock().insert(id, ended);
        Committing {
            tenant: Arc::clone(self),
            id,
            _ended: sender,
        }
    }

    /// Notes a transaction as expired; a bounded number is remembered.
    pub(crate) fn note_expired(&self, transaction: &Transaction) {
        let mut expired = self.expired.lock();
        if expired.len() >= REMEMBERED_MAX {
            expired.pop_first();
        }
        expired.insert(transaction.id(), transaction.session_id());
    }

    /// Whether a transaction of the session expired and was not ended by its client since.
    pub fn has_expired_transaction(&self, session_id: Uuid) -> bool {
        self.expired
            .lock()
            .values()
            .any(|session| *session == session_id)
    }

    /// The client has ended an expired transaction.
    pub fn forget_expired(&self, id: Uuid) {
        self.expired.lock().remove(&id);
    }

    /// The session is over.
    pub fn forget_session(&self, session_id: Uuid) {
        self.expired
            .lock()
            .retain(|_, session| *session != session_id);
    }

    /// The open transactions of a session.
    pub fn session_transactions(&self, session_id: Uuid) -> Vec<Arc<Transaction>> {
        let open = self.transactions.lock();
        let own = open
            .values()
            .filter(|transaction| transaction.session_id() == session_id);
        own.map(Arc::clone).collect()
    }

    /// A consistent view of everything published.
    pub(crate) fn read_view(&self) -> ReadView {
        let live = self.live_views.begin();
        let published = self.published.read();
        ReadView::new(
            Arc::clone(&published.catalog),
            Arc::clone(&published.memtables),
            published.sequence,
            live,
        )
    }

    /// The same for a transaction: its rows stay apart from later ones when they are flushed.
    pub(crate) fn pinned_view(&self) -> ReadView {
        let live = self.live_views.begin();
        let published = self.published.read();
        let pin = self.views.pin(published.sequence);
        let view = ReadView::new(
            Arc::clone(&published.catalog),
            Arc::clone(&published.memtables),
            published.sequence,
            live,
        );
        view.pinned(pin)
    }

    pub(crate) fn live_views(&self) -> &LiveViews {
        &self.live_views
    }

    /// Notes that rows of a table are about to be changed, until what this returns is dropped.
    pub(crate) fn begin_change(&self, table_id: TableId) -> Changing {
        self.changing.begin(table_id)
    }

    /// Whether somebody is about to change rows of a table.
    pub(crate) fn is_changing(&self, table_id: TableId) -> bool {
        self.changing.contains(table_id)
    }

    /// Files that wait to be deleted.
    pub(crate) fn retired(&self) -> &RetiredFiles {
        &self.retired
    }

    pub(crate) fn compactions(&self) -> &Compactions {
        &self.compactions
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn views(&self) -> &ViewPins {
        &self.views
    }

    /// The catalog as of the last published commit.
    pub fn catalog_version(&self) -> Arc<CatalogVersion> {
        Arc::clone(&self.published.read().catalog)
    }

    /// The sequence of the last published commit.
    pub(crate) fn published_sequence(&self) -> u64 {
        self.published.read().sequence
    }

    pub(crate) fn memtables(&self) -> Arc<MemtableSet> {
        Arc::clone(&self.published.read().memtables)
    }

    /// Makes the rows of commit `sequence` visible, with the catalog version that belongs to it if
    /// it changed the catalog, and without the rows of tables that it truncated. All at once: no read
    /// view sees a part.
    pub(crate) fn publish(
        &self,
        sequence: u64,
        catalog: Option<(Arc<CatalogVersion>, Vec<TableId>)>,
        streams: Vec<StagedStream>,
        now_micros: i64,
    ) {
        let mut published = self.published.write();
        assert_eq!(
            published.sequence + 1,
            sequence,
            "commits are published without a gap"
        );
        if let Some((catalog, truncated)) = catalog {
            self.replace_catalog(&mut published, catalog);
            for table_id in truncated {
                published.memtables = Arc::new(published.memtables.without_table(table_id));
            }
        }
        for stream in streams {
            let table_id = stream.table_id();
            if published.memtables.active(table_id).is_none() {
                published.memtables = Arc::new(published.memtables.with_active(table_id));
            }
            let committed = stream.commit();
            if let Some(memtable) = published.memtables.active(table_id) {
                memtable.insert(
                    sequence,
                    committed.batches,
                    committed.bytes,
                    committed.first_lsn,
                    now_micros,
                );
            }
        }
        published.sequence = sequence;
    }

    /// Puts rows that the log held back into the active memtable; before the tenant serves anyone.
    pub(crate) fn recover_rows(
        &self,
        table_id: TableId,
        sequence: u64,
        batches: Vec<RecordBatch>,
        bytes: CommittedBytes,
        first_lsn: Lsn,
        now_micros: i64,
    ) {
        let mut published = self.published.write();
        if published.memtables.active(table_id).is_none() {
            published.memtables = Arc::new(published.memtables.with_active(table_id));
        }
        if let Some(memtable) = published.memtables.active(table_id) {
            memtable.insert(sequence, batches, bytes, first_lsn, now_micros);
        }
    }

    /// Continues the tenant's sequence after a commit that the log held.
    pub(crate) fn recover_sequence(&self, sequence: u64) {
        let mut published = self.published.write();
        published.sequence = published.sequence.max(sequence);
        let mut next = self.sequencing.lock();
        *next = (*next).max(sequence + 1);
    }

    /// Moves to a catalog version in which `flushed` memtables are segments.
    pub(crate) fn publish_flush(&self, catalog: Arc<CatalogVersion>, flushed: &[Arc<Memtable>]) {
        let mut published = self.published.write();
        published.memtables = Arc::new(published.memtables.without(flushed));
        self.replace_catalog(&mut published, catalog);
    }

    /// Rows of a dropped table go with it; views taken before still hold them.
    fn replace_catalog(&self, published: &mut Published, catalog: Arc<CatalogVersion>) {
        assert!(
            catalog.snapshot_id >= published.catalog.snapshot_id,
            "the published catalog never goes back"
        );
        for table in published.catalog.tables() {
            if catalog.table_by_id(table.id).is_none() {
                published.memtables = Arc::new(published.memtables.without_table(table.id));
            }
        }
        published.catalog = catalog;
    }

    /// Freezes every active memtable at one cut in the sequence and returns all frozen ones, with the
    /// sequences after which their rows go to segments of their own. The last of these is the cut.
    pub(crate) fn freeze(&self) -> (Vec<Arc<Memtable>>, Vec<u64>) {
        let mut published = self.published.write();
        published.memtables = Arc::new(published.memtables.frozen());
        let cuts = self.views.cuts(published.sequence);
        (published.memtables.all_frozen(), cuts)
    }

    pub(crate) fn pins(&self) -> &LogPins {
        &self.pins
    }

    /// The lowest LSN whose rows are not in segments yet.
    pub(crate) fn oldest_lsn(&self) -> Option<Lsn> {
        // Before the memtables: rows that are published meanwhile are in one of both.
        let pinned = self.pins.oldest();
        let statuses = self.memtables().statuses();
        statuses
            .iter()
            .filter_map(|(_, _, status)| status.first_lsn)
            .chain(pinned)
            .min()
    }

    pub(crate) fn table_name(&self, table_id: TableId) -> String {
        let catalog = self.catalog_version();
        catalog.table_by_id(table_id).map_or_else(
            || format!("table {table_id}"),
            |t| format!("{}.{}", t.schema_name, t.name),
        )
    }
}

/// A transaction that is about to commit, for those who ask for its outcome.
#[derive(Debug)]
pub(crate) struct Committing {
    tenant: Arc<Tenant>,
    id: Uuid,
    _ended: watch::Sender<()>,
}

impl Committing {
    /// Notes how it ended; a bounded number of commits is remembered.
    pub(crate) fn end(self, is_committed: bool) {
        if !is_committed {
            return;
        }
        let mut committed = self.tenant.committed.lock();
        if committed.len() >= REMEMBERED_MAX {
            committed.pop_front();
        }
        committed.push_back(self.id);
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        self.tenant.committing.lock().remove(&self.id);
    }
}
