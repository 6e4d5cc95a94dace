//! Open transactions: staged changes and rows of one client, one commit in the end.
//!
//! A transaction reads the state of its first statement plus what it staged itself. Its rows live
//! in its own buffers, never in shared memtables, so no flush can register them.
//!
//! A statement that changes something runs in a transaction of its own, inside the client's if
//! there is one: whoever gives the statement up before [`Transaction::commit`] knows that nothing
//! of it takes effect, wherever its tasks have got to.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use quiver_catalog::{
    IdempotencyRecord, ProducerRecord, Segment, Stamp, TableId, TableVersion, UserId,
};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::commit::{CommitRequest, SettledStep, as_conflict, commit};
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::flush::flush;
use crate::idempotency::KeyScope;
use crate::ids::new_id;
use crate::node::Node;
use crate::producers::ProducerScope;
use crate::read_view::ReadView;
use crate::row_changes::unite;
use crate::segment::{SegmentSink, UnregisteredSegments};
use crate::task;
use crate::tenant::{Changing, Tenant};

mod staged;

pub use staged::Savepoint;
use staged::Staged;

/// How long a transaction that wrote nothing keeps its read view while idle.
pub(crate) const IDLE_VIEW_MICROS: i64 = 60_000_000;

/// An open transaction.
#[derive(Debug)]
pub struct Transaction {
    id: Uuid,
    user_id: UserId,
    session_id: Uuid,
    node: Arc<Node>,
    tenant: Arc<Tenant>,
    scope: Scope,
    last_used_micros: AtomicI64,
    /// Statements and uploads that are on their way.
    uses: AtomicUsize,
    /// `None` once committed, rolled back or expired.
    staged: Mutex<Option<Staged>>,
    /// One statement at a time brings rows to segments.
    moving: Mutex<()>,
    /// The tables whose rows it changes.
    changing: parking_lot::Mutex<BTreeMap<TableId, Changing>>,
}

/// What a transaction spans.
#[derive(Debug)]
enum Scope {
    /// What a client does until it ends the transaction.
    Client,
    /// One statement, inside a client's transaction if there is one.
    Statement(Option<Arc<Transaction>>),
}

impl Transaction {
    pub(crate) fn begin(
        node: &Arc<Node>,
        tenant: &Arc<Tenant>,
        user_id: UserId,
        session_id: Uuid,
    ) -> Result<Arc<Self>> {
        let transaction = Self::new(node, tenant, user_id, session_id, Scope::Client);
        let open_max = node.settings.tenant_transactions_max;
        let mut open = tenant.transactions().lock();
        if open.len() >= open_max && !end_idle_reader(tenant, &mut open) {
            return Err(EngineError::Overloaded {
                message: format!(
                    "{open_max} transactions are open (session.tenant_transactions_max): end some"
                ),
                retry_after_ms: 1000,
            });
        }
        open.insert(transaction.id, Arc::clone(&transaction));
        Ok(transaction)
    }

    /// The transaction of one statement, inside `outer` if there is one. It is in no list of open
    /// transactions and does not count as one; dropping it forgets what the statement staged.
    pub fn of_statement(
        engine: &Engine,
        tenant: &Arc<Tenant>,
        user_id: UserId,
        outer: Option<Arc<Self>>,
    ) -> Arc<Self> {
        let scope = Scope::Statement(outer);
        Self::new(engine.node(), tenant, user_id, Uuid::nil(), scope)
    }

    fn new(
        node: &Arc<Node>,
        tenant: &Arc<Tenant>,
        user_id: UserId,
        session_id: Uuid,
        scope: Scope,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: new_id(),
            user_id,
            session_id,
            node: Arc::clone(node),
            tenant: Arc::clone(tenant),
            scope,
            last_used_micros: AtomicI64::new(node.now_micros()),
            uses: AtomicUsize::new(0),
            staged: Mutex::new(Some(Staged::default())),
            moving: Mutex::default(),
            changing: parking_lot::Mutex::default(),
        })
    }

    /// The transaction's id; handles carry it signed.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Who began it.
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// The session it belongs to.
    pub fn session_id(&self) -> Uuid {
        self.session_id
    }

    /// What the next statement of the transaction sees.
    ///
    /// # Errors
    /// `Conflict` when the transaction is over.
    pub(crate) async fn read_view(self: &Arc<Self>) -> Result<ReadView> {
        let reader = match &self.scope {
            Scope::Statement(Some(outer)) => outer,
            _ => self,
        };
        Ok(reader.own_view().await?.used_by(reader))
    }

    /// What an ingest of this transaction with the same key has staged already.
    pub(crate) async fn staged_key(&self, scope: &KeyScope) -> Option<IdempotencyRecord> {
        let guard = self.staged.lock().await;
        let mut keys = guard.as_ref()?.keys.iter();
        let same = keys.find(|key| key.reservation.scope() == scope)?;
        Some(same.record.clone())
    }

    /// How far this transaction has brought a producer.
    pub(crate) async fn staged_step(&self, scope: &ProducerScope) -> Option<ProducerRecord> {
        let guard = self.staged.lock().await;
        let steps = &guard.as_ref()?.steps;
        // The first one of each producer holds its reservation.
        let holds = |step: &&SettledStep| {
            let reservation = step.reservation.as_ref();
            reservation.is_some_and(|reservation| reservation.scope() == scope)
        };
        let table_id = steps.iter().find(holds)?.record.table_id;
        let of_producer = |step: &&SettledStep| {
            step.record.table_id == table_id && step.record.producer == scope.producer
        };
        steps
            .iter()
            .rfind(of_producer)
            .map(|step| step.record.clone())
    }

    /// Whether rows that it staged are in segments, which live no longer than it unless it commits.
    pub(crate) async fn has_own_segments(&self) -> bool {
        let staged = self.staged.lock().await;
        staged
            .as_ref()
            .is_some_and(|staged| staged.segments().next().is_some() || staged.deletes_rows())
    }

    /// What comes before a change of a table's columns: committed rows that the transaction sees are
    /// in segments, because those in memory have the columns from before.
    ///
    /// # Errors
    /// `Precondition` when the transaction has changed rows of the table.
    pub(crate) async fn begin_alter(self: &Arc<Self>, table: &TableVersion) -> Result<()> {
        if self.has_rows_of(table.id).await {
            return Err(EngineError::Precondition {
                message: format!(
                    "the transaction has changed rows of {}.{}: alter the table before, or after it",
                    table.schema_name, table.name
                ),
            });
        }
        let reader = self.reader();
        let _moving = reader.moving.lock().await;
        reader.flush_view(table.id).await
    }

    /// Whether it has staged rows of a table, or deleted some.
    async fn has_rows_of(self: &Arc<Self>, table_id: TableId) -> bool {
        let staged = self.reader().staged.lock().await;
        staged.as_ref().is_some_and(|staged| {
            let added = staged.streams().any(|stream| stream.table_id() == table_id)
                || staged.segments().any(|own| own.table_id() == table_id);
            let deleted = staged.row_changes();
            added || deleted.iter().any(|change| change.table_id == table_id)
        })
    }

    async fn own_view(&self) -> Result<ReadView> {
        let mut guard = self.staged.lock().await;
        let staged = guard.as_mut().ok_or_else(Self::over)?;
        let base = staged
            .view
            .get_or_insert_with(|| self.tenant.pinned_view())
            .clone();
        if !staged.wrote() {
            return Ok(base);
        }
        let mut changes = staged.changes();
        changes.extend(staged.segments().map(UnregisteredSegments::unnumbered));
        let catalog = base
            .catalog()
            .apply(&changes, Stamp::overlay(base.catalog()))?;
        let mut rows: BTreeMap<TableId, Vec<_>> = BTreeMap::new();
        for stream in staged.streams() {
            rows.entry(stream.table_id())
                .or_default()
                .extend(stream.batches().iter().cloned());
        }
        let deleted = unite(&staged.row_changes())?;
        let deleted = deleted.into_iter().map(|(id, rows)| (id, Arc::new(rows)));
        Ok(base.with_staged(Arc::new(catalog), rows, deleted.collect()))
    }

    /// What a statement sees that changes rows of a table: the same as any other, with all rows of
    /// the table in segments, by which they can be told apart.
    ///
    /// # Errors
    /// `Conflict` when the transaction is over, or rows of its view cannot be told from later ones
    /// any more.
    pub(crate) async fn change_view(self: &Arc<Self>, table_id: TableId) -> Result<ReadView> {
        let reader = self.reader();
        let begin = || reader.tenant.begin_change(table_id);
        reader.changing.lock().entry(table_id).or_insert_with(begin);
        {
            let _moving = reader.moving.lock().await;
            reader.flush_view(table_id).await?;
            reader.move_staged_rows(table_id).await?;
        }
        Ok(reader.own_view().await?.used_by(reader))
    }

    /// Whether other statements come with it.
    pub(crate) fn is_of_client(&self) -> bool {
        !matches!(self.scope, Scope::Statement(None))
    }

    /// Whose view its statements have.
    fn reader(self: &Arc<Self>) -> &Arc<Self> {
        match &self.scope {
            Scope::Statement(Some(outer)) => outer,
            _ => self,
        }
    }

    /// Brings the committed rows that the view has of a table to segments.
    async fn flush_view(&self, table_id: TableId) -> Result<()> {
        let view = {
            let mut guard = self.staged.lock().await;
            let staged = guard.as_mut().ok_or_else(Self::over)?;
            let view = staged.view.get_or_insert_with(|| self.tenant.pinned_view());
            view.clone()
        };
        let rows = view.committed(table_id);
        let row_count: u64 = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let Some(seen) = view
            .catalog()
            .table_by_id(table_id)
            .filter(|_| row_count > 0)
        else {
            return Ok(());
        };
        let flushed = flush(&self.node, &self.tenant).await;
        flushed.map_err(EngineError::not_stored)?;
        let now = self.tenant.catalog_version();
        let now = now.table_by_id(table_id).ok_or_else(Self::changed)?;
        let known: HashSet<&str> = seen.segments.iter().map(|s| s.path.as_str()).collect();
        let flushed = now.segments.iter().filter(|segment| {
            let belongs = self.tenant.views().belongs(&segment.path, view.sequence());
            belongs && !known.contains(segment.path.as_str())
        });
        // What others have deleted of them since is found out when this commits.
        let flushed = flushed.map(|segment| Segment {
            deletes: None,
            ..segment.as_ref().clone()
        });
        let flushed: Vec<_> = flushed.map(Arc::new).collect();
        let found: u64 = flushed.iter().map(|segment| segment.record_count).sum();
        if found != row_count {
            return Err(Self::changed());
        }
        let segments = seen.segments.iter().map(Arc::clone).chain(flushed);
        let catalog = view.catalog().with_segments(table_id, segments.collect());
        self.with_staged(|staged| {
            staged.view = Some(view.with_segments(Arc::new(catalog), table_id));
            Ok(())
        })
        .await
    }

    /// Brings the rows that the transaction has staged for a table to segments of its own.
    async fn move_staged_rows(&self, table_id: TableId) -> Result<()> {
        let (taken, rows) = self
            .with_staged(|staged| Ok(staged.stream_rows(table_id)))
            .await?;
        if rows.is_empty() {
            return Ok(());
        }
        let view = self.own_view().await?;
        let table = view.catalog().table_by_id(table_id);
        let table = table.ok_or_else(Self::changed)?;
        let mut sink = SegmentSink::new(&self.node, &self.tenant, table, false);
        for batch in rows {
            sink.push(batch).await?;
        }
        let segments = sink.finish().await?;
        self.with_staged(|staged| staged.move_to_segments(&taken, segments))
            .await
    }

    fn changed() -> EngineError {
        EngineError::Conflict {
            message: "the rows that the transaction sees were moved by others: begin it again"
                .to_owned(),
        }
    }

    /// Adds what a statement wants to commit.
    pub(crate) async fn stage(&self, request: CommitRequest) -> Result<()> {
        self.with_staged(|staged| staged.add(request)).await
    }

    /// Makes everything staged visible at once; of a statement inside a client's transaction, to
    /// that transaction.
    ///
    /// # Errors
    /// `Conflict` when a concurrent commit won or the transaction is over already.
    pub async fn commit(&self) -> Result<()> {
        match &self.scope {
            Scope::Client => self.commit_for_client().await,
            Scope::Statement(outer) => {
                let staged = self.end().await.ok_or_else(Self::over)?;
                let request = staged.into_request(self.id);
                match outer {
                    None => commit(&self.node, &self.tenant, request).await,
                    Some(outer) => outer.stage(request).await,
                }
            }
        }
    }

    /// The outcome is noted whether or not the client still waits for it: it may ask again.
    async fn commit_for_client(&self) -> Result<()> {
        let (staged, committing) = {
            let mut guard = self.staged.lock().await;
            let staged = guard.take().ok_or_else(Self::over)?;
            (staged, self.tenant.note_committing(self.id))
        };
        self.tenant.transactions().lock().remove(&self.id);
        let mut request = staged.into_request(self.id);
        // What a transaction has read is what it replaces.
        request.replaces_table = false;
        let (node, tenant) = (Arc::clone(&self.node), Arc::clone(&self.tenant));
        let commit = task::spawn(async move {
            let outcome = commit(&node, &tenant, request).await;
            committing.end(outcome.is_ok());
            outcome.map_err(as_conflict)
        });
        match commit.await {
            Ok(outcome) => outcome,
            Err(error) => Err(EngineError::internal(format!(
                "the commit failed half way: {error}"
            ))),
        }
    }

    /// Sets a savepoint; returns its number, which the transaction gives to no other.
    ///
    /// # Errors
    /// `Conflict` when the transaction is over, `InvalidArgument` for a name that is too long,
    /// `Overloaded` for one savepoint too many.
    pub async fn set_savepoint(&self, name: &str) -> Result<u64> {
        self.with_staged(|staged| staged.set_savepoint(name)).await
    }

    /// Forgets what was staged after a savepoint, which stays.
    ///
    /// # Errors
    /// `Conflict` when the transaction is over, `NotFound` when it has no such savepoint.
    pub async fn roll_back_to(&self, savepoint: Savepoint<'_>) -> Result<()> {
        self.with_staged(|staged| staged.roll_back_to(savepoint))
            .await
    }

    /// Forgets a savepoint and those after it; what was staged stays.
    ///
    /// # Errors
    /// As [`Self::roll_back_to`].
    pub async fn release_savepoint(&self, savepoint: Savepoint<'_>) -> Result<()> {
        self.with_staged(|staged| staged.release(savepoint)).await
    }

    async fn with_staged<T>(&self, work: impl FnOnce(&mut Staged) -> Result<T>) -> Result<T> {
        self.touch();
        let mut guard = self.staged.lock().await;
        work(guard.as_mut().ok_or_else(Self::over)?)
    }

    /// Forgets everything staged; of no effect when the transaction is over.
    pub async fn rollback(&self) {
        drop(self.end().await);
    }

    async fn end(&self) -> Option<Staged> {
        let staged = self.staged.lock().await.take();
        self.tenant.transactions().lock().remove(&self.id);
        staged
    }

    fn over() -> EngineError {
        EngineError::Conflict {
            message: "the transaction is over or has expired".to_owned(),
        }
    }

    /// How long nothing of it has been on its way.
    fn idle_micros(&self) -> i64 {
        if self.uses.load(Ordering::Relaxed) > 0 {
            return 0;
        }
        self.node.now_micros() - self.last_used_micros.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        self.last_used_micros
            .store(self.node.now_micros(), Ordering::Relaxed);
    }

    /// Ends the transaction if it was idle too long. One that wrote nothing soon gives its read view
    /// back, and may be held open for as long as a login lasts.
    pub(crate) async fn expire(&self) {
        let settings = &self.node.settings;
        let (wrote, idle) = {
            let Ok(mut guard) = self.staged.try_lock() else {
                return;
            };
            let Some(staged) = guard.as_mut() else { return };
            let idle = self.idle_micros();
            if idle > IDLE_VIEW_MICROS && !staged.wrote() {
                staged.view = None;
            }
            (staged.wrote(), idle)
        };
        let timeout_ms = match wrote {
            true => settings.transaction_timeout_ms,
            false => settings.reading_transaction_timeout_ms,
        };
        if idle > timeout_ms as i64 * 1000 {
            tracing::info!(tenant_id = self.tenant.id().0, transaction_id = %self.id, "transaction expired");
            self.tenant.note_expired(self);
            self.rollback().await;
        }
    }
}

/// Something on its way in a transaction, which is not idle until this is dropped.
#[derive(Debug)]
pub(crate) struct TransactionUse(Arc<Transaction>);

impl TransactionUse {
    pub(crate) fn new(transaction: &Arc<Transaction>) -> Self {
        transaction.uses.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(transaction))
    }
}

impl Drop for TransactionUse {
    fn drop(&mut self) {
        // In this order: between the two it must not look idle since its begin.
        self.0.touch();
        self.0.uses.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends the transaction that wrote nothing and is idle longest: clients that went away without a
/// word must not keep those from working who are there.
fn end_idle_reader(tenant: &Tenant, open: &mut BTreeMap<Uuid, Arc<Transaction>>) -> bool {
    let mut by_age: Vec<_> = open.values().map(Arc::clone).collect();
    by_age.sort_unstable_by_key(|transaction| transaction.last_used_micros.load(Ordering::Relaxed));
    let ended = by_age.into_iter().find(|transaction| {
        if transaction.idle_micros() <= IDLE_VIEW_MICROS {
            return false;
        }
        let Ok(mut guard) = transaction.staged.try_lock() else {
            return false;
        };
        let reads_only = guard.as_ref().is_none_or(|staged| !staged.wrote());
        if reads_only {
            *guard = None;
        }
        reads_only
    });
    let Some(ended) = ended else { return false };
    tracing::info!(tenant_id = tenant.id().0, transaction_id = %ended.id, "ended an idle transaction");
    tenant.note_expired(&ended);
    open.remove(&ended.id);
    true
}
