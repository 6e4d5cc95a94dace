//! A tenant's catalog: the database file, the current version in memory, and the one committer.
//!
//! Its database connections are lent by [`Connections`], which closes those that nobody uses when
//! there are too many; whatever needs the database opens it again.
//!
//! Guarantees: a commit is durable before it is visible; commits happen one after the other; after
//! an unknown outcome (a failed or cancelled COMMIT) the next call finds out what happened before
//! it does anything else. Reads of the current version never touch the database.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::RwLock;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::Mutex;
use tracing::instrument;
use uuid::Uuid;

use crate::change::{Commit, IdempotencyRecord, ProducerRecord};
use crate::clock::Clock;
use crate::commit::Doubt;
use crate::connections::{Connections, Lent, Owner, Role};
use crate::dropped::{self, DroppedTable};
use crate::error::{CatalogError, Result, storage};
use crate::expiry::{ExpiryLimits, ScheduledFile};
use crate::ids::{SegmentId, SnapshotId, TableId};
use crate::inlined::{self, Inlined, StoredInlined};
use crate::prune::ColumnPredicate;
use crate::snapshots::{SnapshotInfo, SnapshotName};
use crate::table_changes::{self, TableChanges};
use crate::version::CatalogVersion;
use crate::{commit, expiry, load, open, private, prune, snapshots, sqlite, write};

/// Where a tenant's catalog lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogOptions {
    /// The database file.
    pub path: PathBuf,
    /// The absolute directory that holds the segments of all tables.
    pub data_path: PathBuf,
    /// Whether to make a new catalog if there is none.
    pub create: bool,
}

/// An open catalog of one tenant.
#[derive(Debug)]
pub struct TenantCatalog {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    connections: Connections,
    /// Under which `connections` knows this catalog.
    number: u64,
    /// Set by [`TenantCatalog::close`], under both of the locks below.
    is_closed: AtomicBool,
    epoch: u64,
    next_catalog_id: AtomicI64,
    state: RwLock<State>,
    committer: Mutex<Committer>,
    reader: Mutex<()>,
}

/// What is true as of the last commit.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) version: Arc<CatalogVersion>,
    pub(crate) last_sequence: u64,
    /// Dropped tables with the sequence of their drop.
    pub(crate) dropped: Arc<HashMap<TableId, u64>>,
}

/// The right to write.
#[derive(Debug, Default)]
pub(crate) struct Committer {
    pub(crate) doubt: Option<Doubt>,
}

impl TenantCatalog {
    /// Opens a catalog by itself, with connections of its own. See [`Self::open_in`].
    ///
    /// # Errors
    /// As [`Self::open_in`].
    pub async fn open(options: CatalogOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_in(options, clock, &Connections::new(2)).await
    }

    /// Opens a catalog, or makes one, and counts up its epoch.
    ///
    /// # Errors
    /// `NotFound` if there is none and none is to be made; `Unsupported` and `Corruption` if it
    /// cannot be used; `Unavailable` if the file system refuses.
    #[instrument(name = "catalog.open", skip_all, fields(path = %options.path.display()))]
    pub async fn open_in(
        options: CatalogOptions,
        clock: Arc<dyn Clock>,
        connections: &Connections,
    ) -> Result<Self> {
        let number = connections.register();
        let opened = open::open(&options, clock.as_ref(), connections, number).await?;
        Ok(Self {
            path: options.path,
            clock,
            epoch: opened.epoch,
            next_catalog_id: AtomicI64::new(opened.next_catalog_id),
            state: RwLock::new(opened.state),
            connections: connections.clone(),
            number,
            is_closed: AtomicBool::new(false),
            committer: Mutex::default(),
            reader: Mutex::default(),
        })
    }

    /// The version as of the last commit.
    pub fn current(&self) -> Arc<CatalogVersion> {
        Arc::clone(&self.state.read().version)
    }

    /// Takes ids for new schemas and tables; returns the first of `count`. Ids that never reach a
    /// commit may be handed out again after a restart.
    pub fn reserve_ids(&self, count: i64) -> i64 {
        self.next_catalog_id
            .fetch_add(count.max(0), Ordering::Relaxed)
    }

    /// The highest sequence that a commit covered.
    pub fn last_sequence(&self) -> u64 {
        self.state.read().last_sequence
    }

    /// How often this catalog has been opened.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The sequence at which a table was dropped; `None` if it was not, or the drop is forgotten.
    pub fn dropped_sequence(&self, table_id: TableId) -> Option<u64> {
        self.state.read().dropped.get(&table_id).copied()
    }

    /// Makes all parts of a commit true at once, durably. A commit without changes writes no
    /// snapshot.
    ///
    /// May be cancelled at any point: then it happened as a whole or not at all, and the next call
    /// knows which.
    ///
    /// # Errors
    /// Those of [`CatalogVersion::apply`], and `Internal` for sequences that go down: nothing was
    /// committed. `Unavailable`: nothing was committed, or [`Self::committed_sequence`] tells.
    #[instrument(name = "catalog.commit", skip_all, fields(changes = commit.changes.len()))]
    pub async fn commit(&self, commit: Commit) -> Result<Arc<CatalogVersion>> {
        commit::commit(self, commit).await
    }

    /// The sequence of a commit by its id; `None` if it was not committed.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn committed_sequence(&self, commit_id: Uuid) -> Result<Option<u64>> {
        // The writer's connection: a commit whose outcome is unknown may still be on its way.
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        let found = private::committed_sequence(lent.get()?, commit_id).await?;
        lent.keep();
        Ok(found)
    }

    /// All remembered ingests, oldest first.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn idempotency(&self) -> Result<Vec<IdempotencyRecord>> {
        // The writer's connection: whoever opens a catalog asks this first, and needs no other.
        let _committer = self.committer.lock().await;
        let mut lent = self.lend(Role::Write).await?;
        let records = private::idempotency(lent.get()?).await?;
        lent.keep();
        Ok(records)
    }

    /// How far all producers have come.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn producers(&self) -> Result<Vec<ProducerRecord>> {
        let _committer = self.committer.lock().await;
        let mut lent = self.lend(Role::Write).await?;
        let records = private::producers(lent.get()?).await?;
        lent.keep();
        Ok(records)
    }

    /// Forgets ingests that are older than a time, and the oldest beyond a number. Returns how
    /// many.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be written.
    pub async fn prune_idempotency(&self, older_than_micros: i64, keep_max: u64) -> Result<u64> {
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        let connection = lent.get()?;
        let pruned = private::prune_idempotency(connection, older_than_micros, keep_max).await?;
        lent.keep();
        Ok(pruned)
    }

    /// Forgets drops and commit ids up to a sequence: no log holds older rows any more.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be written.
    pub async fn forget_up_to(&self, sequence: u64) -> Result<()> {
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        private::forget_up_to(lent.get()?, sequence).await?;
        lent.keep();
        let mut state = self.state.write();
        Arc::make_mut(&mut state.dropped).retain(|_, dropped| *dropped > sequence);
        Ok(())
    }

    /// Dropped tables that history still has; the last one that was dropped comes first.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn dropped_tables(&self) -> Result<Vec<DroppedTable>> {
        let _reader = self.reader.lock().await;
        let mut lent = self.lend(Role::Read).await?;
        let tables = dropped::list(lent.get()?).await?;
        lent.keep();
        Ok(tables)
    }

    /// Rows and deletions that another writer keeps in the catalog itself. No version has them: whoever
    /// opens a catalog moves them to files first.
    ///
    /// # Errors
    /// `Unsupported` and `Corruption` if they cannot be read.
    pub async fn inlined(&self) -> Result<Inlined> {
        let _committer = self.committer.lock().await;
        let mut lent = self.lend(Role::Write).await?;
        let inlined = inlined::read(lent.get()?, &self.path).await?;
        lent.keep();
        Ok(inlined)
    }

    /// Puts files in the place of what [`Self::inlined`] found, in a snapshot of its own.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be written: open the catalog anew, to see what is there.
    pub async fn store_inlined(&self, inlined: &Inlined, stored: &StoredInlined) -> Result<()> {
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        let connection = lent.get()?;
        let mut transaction = sqlite::begin(connection).await?;
        let last = self.current().snapshot_id;
        write::check_no_foreign_commit(&mut transaction, last).await?;
        inlined::replace(&mut transaction, inlined, stored, self.now_micros()).await?;
        let failed = storage("commit rows of the catalog to files");
        transaction.commit().await.map_err(failed)?;
        let loaded = load::current(connection, &self.path).await?;
        lent.keep();
        self.state.write().version = Arc::new(loaded.version);
        Ok(())
    }

    /// What happened to the rows of a table from a snapshot on up to another one.
    ///
    /// # Errors
    /// `NotFound` if one of the snapshots, or the one before them, has expired.
    pub async fn table_changes(
        &self,
        table_id: TableId,
        range: (SnapshotId, SnapshotId),
    ) -> Result<TableChanges> {
        let _reader = self.reader.lock().await;
        let mut lent = self.lend(Role::Read).await?;
        // One state of the database: else an expiry could come between two of its tables.
        let failed = || storage("read the changes of a table");
        let mut state = lent.get()?.begin().await.map_err(failed())?;
        let changes = table_changes::read(&mut state, table_id, range).await?;
        state.rollback().await.map_err(failed())?;
        lent.keep();
        Ok(changes)
    }

    /// All snapshots, oldest first.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        let _reader = self.reader.lock().await;
        let mut lent = self.lend(Role::Read).await?;
        let snapshots = snapshots::list(lent.get()?).await?;
        lent.keep();
        Ok(snapshots)
    }

    /// The catalog as it was at a snapshot.
    ///
    /// # Errors
    /// `NotFound` if the snapshot never existed or has expired.
    pub async fn at_snapshot(&self, snapshot_id: SnapshotId) -> Result<CatalogVersion> {
        let _reader = self.reader.lock().await;
        let mut lent = self.lend(Role::Read).await?;
        // One state of the database: else an expiry could come between two of its tables.
        let failed = || storage("read a version of the catalog");
        let mut state = lent.get()?.begin().await.map_err(failed())?;
        let version = load::at_snapshot(&mut state, &self.path, snapshot_id).await?;
        state.rollback().await.map_err(failed())?;
        lent.keep();
        Ok(version)
    }

    /// Gives a snapshot a name, by which it is kept and found; one that has the name loses it.
    ///
    /// # Errors
    /// `NotFound` if the snapshot never existed or has expired.
    pub async fn name_snapshot(&self, name: &str, id: SnapshotId) -> Result<()> {
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        snapshots::name(lent.get()?, name, id, self.now_micros()).await?;
        lent.keep();
        Ok(())
    }

    /// Takes a name away.
    ///
    /// # Errors
    /// `NotFound` if no snapshot has it.
    pub async fn forget_snapshot_name(&self, name: &str) -> Result<()> {
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        snapshots::forget_name(lent.get()?, name).await?;
        lent.keep();
        Ok(())
    }

    /// All names of snapshots, by snapshot.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn snapshot_names(&self) -> Result<Vec<SnapshotName>> {
        let _reader = self.reader.lock().await;
        let mut lent = self.lend(Role::Read).await?;
        let names = snapshots::names(lent.get()?).await?;
        lent.keep();
        Ok(names)
    }

    /// Forgets snapshots, and schedules the files that no other one needs for deletion. The last
    /// snapshot stays, and so do those with names. Returns what was forgotten, oldest first.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be written: nothing is forgotten, or all.
    #[instrument(name = "catalog.expire", skip_all)]
    pub async fn expire_snapshots(&self, limits: &ExpiryLimits) -> Result<Vec<SnapshotId>> {
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        let mut transaction = sqlite::begin(lent.get()?).await?;
        self.check_no_foreign_commit(&mut transaction).await?;
        let expired = expiry::expire(&mut transaction, limits, self.now_micros()).await?;
        transaction
            .commit()
            .await
            .map_err(storage("commit the expiry of snapshots"))?;
        lent.keep();
        Ok(expired)
    }

    /// The files that nothing refers to any more, those that have waited longest first.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn scheduled_files(&self) -> Result<Vec<ScheduledFile>> {
        // The writer's connection: whoever asks holds up commits, and must not wait for readers.
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        self.check_no_foreign_commit(lent.get()?).await?;
        let files = expiry::scheduled(lent.get()?).await?;
        lent.keep();
        Ok(files)
    }

    /// Forgets scheduled files: they are deleted.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be written.
    pub async fn forget_files(&self, files: &[ScheduledFile]) -> Result<()> {
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        let mut transaction = sqlite::begin(lent.get()?).await?;
        expiry::forget_scheduled(&mut transaction, files).await?;
        transaction
            .commit()
            .await
            .map_err(storage("forget deleted files"))?;
        lent.keep();
        Ok(())
    }

    /// Paths below the data path of all files that the catalog knows, in whatever snapshot, or
    /// scheduled for deletion.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn known_files(&self) -> Result<HashSet<String>> {
        // The writer's connection: a commit whose outcome is unknown may still be on its way.
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await?;
        let mut lent = self.lend(Role::Write).await?;
        self.check_no_foreign_commit(lent.get()?).await?;
        let files = expiry::known_files(lent.get()?).await?;
        lent.keep();
        Ok(files)
    }

    /// The segments of a table at a snapshot that may hold rows for which all predicates are true,
    /// decided by the database. Never leaves out a segment that does.
    ///
    /// # Errors
    /// `NotFound` for unknown tables, `InvalidArgument` for values that are not of their column's
    /// type.
    pub async fn prune_segments(
        &self,
        table_id: TableId,
        snapshot_id: SnapshotId,
        predicates: &[ColumnPredicate],
    ) -> Result<Vec<SegmentId>> {
        let version = self.at_snapshot(snapshot_id).await?;
        let _reader = self.reader.lock().await;
        let mut lent = self.lend(Role::Read).await?;
        let kept = prune::prune_segments(lent.get()?, &version, table_id, predicates).await?;
        lent.keep();
        Ok(kept)
    }

    /// Finds out what became of a commit whose outcome is unknown; returns whether it happened
    /// after all. `false` when no commit is in doubt.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read: the commit stays in doubt.
    pub async fn settle(&self) -> Result<bool> {
        let mut committer = self.committer.lock().await;
        commit::settle(self, &mut committer).await
    }

    /// Waits until no other program writes to the database, so that a commit that follows at once
    /// is short.
    ///
    /// # Errors
    /// `Unavailable` if one still does after the time that a statement waits.
    pub async fn wait_until_writable(&self) -> Result<()> {
        let _committer = self.committer.lock().await;
        let mut lent = self.lend(Role::Write).await?;
        let transaction = sqlite::begin(lent.get()?).await?;
        transaction
            .rollback()
            .await
            .map_err(storage("end a catalog transaction"))?;
        lent.keep();
        Ok(())
    }

    /// Waits for running calls and closes the database file; later calls that need it fail.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be closed; everything committed is durable anyway.
    pub async fn close(&self) -> Result<()> {
        let _committer = self.committer.lock().await;
        let _reader = self.reader.lock().await;
        self.is_closed.store(true, Ordering::Relaxed);
        self.connections.close(self.number).await
    }

    /// Nothing is thrown away by a version that is not the newest one.
    async fn check_no_foreign_commit(&self, connection: &mut SqliteConnection) -> Result<()> {
        write::check_no_foreign_commit(connection, self.current().snapshot_id).await
    }

    /// A connection, to be given back if all went well. The lock of its role is held.
    pub(crate) async fn lend(&self, role: Role) -> Result<Lent> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(CatalogError::Closed);
        }
        let owner = Owner {
            catalog: self.number,
            role,
        };
        self.connections.lend(owner, &self.path, false).await
    }

    pub(crate) fn committer(&self) -> &Mutex<Committer> {
        &self.committer
    }

    pub(crate) fn state(&self) -> State {
        self.state.read().clone()
    }

    pub(crate) fn publish(&self, state: State) {
        *self.state.write() = state;
    }

    pub(crate) fn now_micros(&self) -> i64 {
        self.clock.now_micros()
    }

    /// The id counter, moved on past an id that is used.
    pub(crate) fn next_catalog_id_above(&self, used_id: i64) -> i64 {
        self.next_catalog_id
            .fetch_max(used_id + 1, Ordering::Relaxed)
            .max(used_id + 1)
    }
}

impl Drop for TenantCatalog {
    fn drop(&mut self) {
        self.connections.abandon(self.number);
    }
}
