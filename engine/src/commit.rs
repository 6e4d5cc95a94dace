//! Commits: one commit point each.
//!
//! Rows alone are committed by a record in the WAL. A commit that also changes the catalog logs its
//! rows as *prepared* and is decided by the catalog transaction that stores its commit id.
//! Everything that can be refused is refused before the commit point; after it nothing may fail.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use prost::Message;
use quiver_catalog::{
    Alteration, CatalogVersion, Change, Commit, ErrorKind, IdempotencyRecord, ProducerRecord,
    Stamp, TableId, TableVersion,
};
use tokio::sync::{OwnedRwLockReadGuard, oneshot};
use uuid::Uuid;

use crate::error::{EngineError, Result};
use crate::flush::{Written, flush, write_segments};
use crate::idempotency::KeyReservation;
use crate::ingest::StagedStream;
use crate::node::{Node, frame_bytes};
use crate::producers::ProducerReservation;
use crate::record::{
    CommitRecord, IdempotencyEntry, KIND_COMMIT, KIND_PREPARE, PrepareRecord, ProducerEntry,
};
use crate::row_changes::{self, PreparedDeletions, RowChange};
use crate::segment::{OfferedFiles, Piece, UnregisteredSegments};
use crate::storage_fs::{CrashPoint, StorageFs};
use crate::task::{blocking, spawn};
use crate::tenant::Tenant;
use crate::wal::{Frame, WalError};

/// An idempotency key that takes effect with a commit.
#[derive(Debug)]
pub(crate) struct SettledKey {
    pub(crate) reservation: KeyReservation,
    pub(crate) record: IdempotencyRecord,
}

/// A producer's step that takes effect with a commit.
#[derive(Debug)]
pub(crate) struct SettledStep {
    /// `None` when an earlier step of the same commit holds it.
    pub(crate) reservation: Option<ProducerReservation>,
    pub(crate) record: ProducerRecord,
}

/// Everything that one commit makes visible.
#[derive(Debug)]
pub(crate) struct CommitRequest {
    pub(crate) commit_id: Uuid,
    pub(crate) changes: Vec<Change>,
    pub(crate) streams: Vec<StagedStream>,
    /// Rows that are in segments already.
    pub(crate) segments: Vec<UnregisteredSegments>,
    /// Rows that are deleted, of registered segments and of those above.
    pub(crate) row_changes: Vec<RowChange>,
    /// Whether segments for a table that the commit makes may go to one that somebody else has made.
    pub(crate) adopts_table: bool,
    /// Whether the table that the commit makes takes the place of any other of its name.
    pub(crate) replaces_table: bool,
    pub(crate) keys: Vec<SettledKey>,
    pub(crate) steps: Vec<SettledStep>,
}

impl CommitRequest {
    /// A commit of catalog changes alone.
    pub(crate) fn of_changes(changes: Vec<Change>) -> Self {
        let commit_id = crate::ids::new_id();
        Self {
            commit_id,
            changes,
            streams: vec![],
            segments: vec![],
            row_changes: vec![],
            adopts_table: false,
            replaces_table: false,
            keys: vec![],
            steps: vec![],
        }
    }

    /// Of several who replace a table the last one wins: it drops the table that is there now, and
    /// not the one that was there when it began.
    fn replace_table(&mut self, catalog: &CatalogVersion) {
        if !self.replaces_table {
            return;
        }
        let is_there = |table_id| catalog.table_by_id(table_id).is_some();
        self.changes
            .retain(|change| dropped_table(change).is_none_or(is_there));
        let in_its_place = |change: &Change| match change {
            Change::CreateTable(table) => {
                let mut schemas = catalog.schemas();
                let schema = schemas.find(|schema| schema.id == table.schema_id)?;
                Some(catalog.table(&schema.name, &table.name)?.id)
            }
            _ => None,
        };
        let Some(table_id) = self.changes.iter().find_map(in_its_place) else {
            return;
        };
        let drops_it = |change: &Change| dropped_table(change) == Some(table_id);
        if !self.changes.iter().any(drops_it) {
            let sequence = 0;
            self.changes
                .insert(0, Change::DropTable { table_id, sequence });
        }
    }

    /// Several first makers of a table: what is in segments already cannot be sent once more, and
    /// is registered for the table that is there.
    fn adopt_table(&mut self, catalog: &CatalogVersion) {
        let makes_one = matches!(self.changes.as_slice(), [Change::CreateTable(_)]);
        let [segments] = self.segments.as_mut_slice() else {
            return;
        };
        if !self.adopts_table || !makes_one || !self.streams.is_empty() {
            return;
        }
        let Some(table_id) = segments.adopt(catalog) else {
            return;
        };
        self.changes.clear();
        let keys = self.keys.iter_mut().map(|key| &mut key.record.table_id);
        let steps = self.steps.iter_mut().map(|step| &mut step.record.table_id);
        keys.chain(steps).for_each(|id| *id = table_id);
    }
}

fn dropped_table(change: &Change) -> Option<TableId> {
    match change {
        Change::DropTable { table_id, .. } => Some(*table_id),
        _ => None,
    }
}

fn made_table(change: &Change) -> Option<TableId> {
    match change {
        Change::CreateTable(table) => Some(table.table_id),
        _ => None,
    }
}

/// Commits a request; durable and visible when this returns. Goes on if the caller goes away.
///
/// # Errors
/// `Conflict` when a concurrent commit won, or what the catalog or the log answered.
pub(crate) async fn commit(
    node: &Arc<Node>,
    tenant: &Arc<Tenant>,
    mut request: CommitRequest,
) -> Result<()> {
    request.streams.retain(|stream| !stream.is_empty());
    // Without rows there is no memtable that would keep a record in the log.
    let settles = !request.keys.is_empty() || !request.steps.is_empty();
    let settles_alone = request.streams.is_empty() && settles;
    let changes_catalog = !request.changes.is_empty()
        || !request.segments.is_empty()
        || !request.row_changes.is_empty();
    if changes_catalog || settles_alone {
        let job = {
            let (node, tenant) = (Arc::clone(node), Arc::clone(tenant));
            spawn(async move { commit_with_catalog(&node, &tenant, request).await })
        };
        return job.await.map_err(|error| {
            tenant.mark_in_doubt();
            EngineError::internal(format!("the commit failed half way: {error}"))
        })?;
    }
    if request.streams.is_empty() {
        return Ok(());
    }
    commit_rows(node, tenant, request).await
}

async fn commit_rows(node: &Arc<Node>, tenant: &Arc<Tenant>, request: CommitRequest) -> Result<()> {
    let gate = Arc::clone(tenant.gate()).read_owned().await;
    tenant.check_writable()?;
    check_streams(&tenant.catalog_version(), &request.streams)?;
    let mut record = CommitRecord {
        tenant_id: tenant.id().0,
        sequence: u64::MAX,
        epoch: tenant.catalog().epoch(),
        streams: request.streams.iter().map(StagedStream::describe).collect(),
        idempotency: request.keys.iter().map(|key| entry(&key.record)).collect(),
        producers: request
            .steps
            .iter()
            .map(|step| step_entry(&step.record))
            .collect(),
    };
    node.reached(CrashPoint::CommitReady).await?;
    let reservation = node.wal.reserve(record.encoded_len()).await?;
    let (sender, receiver) = oneshot::channel();
    {
        let mut next = tenant.sequencing().lock();
        record.sequence = *next;
        let publication = Publication {
            tenant: Arc::clone(tenant),
            sequence: *next,
            request,
            now_micros: node.now_micros(),
            _gate: gate,
        };
        let frame = Frame {
            kind: KIND_COMMIT,
            parts: vec![record.encode_to_vec().into()],
        };
        let fs = Arc::clone(&node.fs);
        let done = Box::new(move |result: std::result::Result<u64, _>| {
            let result = result.and_then(|_| publication.publish(&*fs));
            // A client that went away does not need the answer.
            let _gone = sender.send(result);
        });
        node.wal.append(reservation, vec![frame], true, done)?;
        *next += 1;
    }
    match receiver.await {
        Ok(result) => Ok(result?),
        Err(_) => Err(EngineError::Unavailable {
            message: "the write-ahead log stopped before it answered; look before you repeat"
                .to_owned(),
        }),
    }
}

/// Keys and steps at the sequence of their commit. Those who wait for one of them go on when this is
/// dropped: when the rows are visible.
struct Settled {
    keys: Vec<IdempotencyRecord>,
    steps: Vec<ProducerRecord>,
    _keys_held: Vec<KeyReservation>,
    _steps_held: Vec<ProducerReservation>,
}

impl Settled {
    fn at(sequence: u64, keys: Vec<SettledKey>, steps: Vec<SettledStep>) -> Self {
        let key = |key: SettledKey| {
            let SettledKey {
                mut record,
                reservation,
            } = key;
            record.sequence = sequence;
            (record, reservation)
        };
        let step = |step: SettledStep| {
            let SettledStep {
                mut record,
                reservation,
            } = step;
            record.sequence = sequence;
            (record, reservation)
        };
        let (keys, keys_held) = keys.into_iter().map(key).unzip();
        let (steps, steps_held): (_, Vec<_>) = steps.into_iter().map(step).unzip();
        Self {
            keys,
            steps,
            _keys_held: keys_held,
            _steps_held: steps_held.into_iter().flatten().collect(),
        }
    }
}

/// A synced commit on its way to the memtables.
struct Publication {
    tenant: Arc<Tenant>,
    sequence: u64,
    request: CommitRequest,
    now_micros: i64,
    _gate: OwnedRwLockReadGuard<()>,
}

impl Publication {
    /// Runs on the log's sequencer, in log order, after the sync.
    fn publish(self, fs: &dyn StorageFs) -> std::result::Result<(), WalError> {
        let crashed = |source| WalError::poisoned("publish", source);
        fs.reached(CrashPoint::CommitSynced).map_err(crashed)?;
        let Self {
            tenant,
            sequence,
            request,
            now_micros,
            _gate,
        } = self;
        // Before the rows, so that no flush comes between.
        let settled = Settled::at(sequence, request.keys, request.steps);
        for record in &settled.keys {
            tenant.keys().commit(record.clone());
        }
        for record in &settled.steps {
            tenant.producers().commit(record.clone());
        }
        tenant.publish(sequence, None, request.streams, now_micros);
        drop(settled);
        fs.reached(CrashPoint::CommitPublished).map_err(crashed)
    }
}

async fn commit_with_catalog(
    node: &Arc<Node>,
    tenant: &Arc<Tenant>,
    mut request: CommitRequest,
) -> Result<()> {
    store_rows_before(node, tenant, &request.changes).await?;
    let _committer = tenant.committer().lock().await;
    tenant.check_writable()?;
    node.check_log()?;
    // Rows are committed meanwhile.
    tenant.wait_for_catalog().await?;
    // Nobody else changes tables from here on.
    let current = tenant.catalog_version();
    request.replace_table(&current);
    request.adopt_table(&current);
    store_streams(node, tenant, &mut request).await?;
    name_segments(&mut request).await?;
    let prepared = prepare_deletions(node, tenant, &mut request).await?;
    let outcome = commit_prepared(node, tenant, request, prepared.changes).await;
    if outcome.is_err() && !tenant.is_in_doubt() {
        prepared.files.withdraw();
    }
    outcome
}

/// Commits what is prepared. Under the committer's lock, when the log is fine and the catalog can be
/// written.
///
/// # Errors
/// As [`commit`].
pub(crate) async fn commit_prepared(
    node: &Arc<Node>,
    tenant: &Arc<Tenant>,
    mut request: CommitRequest,
    deletions: Vec<Change>,
) -> Result<()> {
    let _gate = Arc::clone(tenant.gate()).write_owned().await;
    // A log that failed meanwhile may have taken a sequence that it never published.
    node.check_log()?;
    let sequence = *tenant.sequencing().lock();
    let current = tenant.catalog_version();
    for change in &mut request.changes {
        if let Change::DropTable {
            sequence: dropped_at,
            ..
        } = change
        {
            *dropped_at = sequence;
        }
    }
    let after = current.apply(&request.changes, Stamp::overlay(&current))?;
    check_streams(&after, &request.streams)?;
    for segments in &request.segments {
        check_segments(&after, segments)?;
    }
    if !request.streams.is_empty() {
        prepare(node, tenant, &request).await?;
    }
    let settled = Settled::at(sequence, request.keys, request.steps);
    let registered = request.segments.iter().map(UnregisteredSegments::change);
    request.changes.extend(registered);
    request.changes.extend(deletions);
    let mut truncated = truncated_tables(&request.changes);
    let altered = altered_tables(&request.changes);
    // Rows in memory have the columns from before: they go to segments in the same commit.
    let rest = store_rest(node, tenant, &altered, sequence - 1).await?;
    let (rest, up_to) = (rest.tables, rest.up_to);
    let before = rest.iter().map(UnregisteredSegments::change);
    request.changes.splice(0..0, before);
    truncated.extend(altered);
    // Later rows of these tables have this sequence, or a higher one.
    let made: HashSet<TableId> = request.changes.iter().filter_map(made_table).collect();
    let flushed = truncated.iter().filter(|id| !made.contains(*id));
    let flushed = flushed.map(|table_id| (*table_id, sequence - 1));
    let (mut idempotency, mut producers) = (vec![], vec![]);
    if !truncated.is_empty() {
        // Nothing in memory keeps the log of these rows any more, which has their keys.
        idempotency = tenant.keys().to_checkpoint(sequence - 1);
        producers = tenant.producers().to_checkpoint(sequence - 1);
    }
    idempotency.extend(settled.keys.iter().cloned());
    producers.extend(settled.steps.iter().cloned());
    let offered: Vec<_> = request
        .segments
        .into_iter()
        .chain(rest)
        .map(UnregisteredSegments::offer)
        .collect();
    let version = tenant
        .commit_catalog(Commit {
            changes: request.changes,
            flushed: flushed.collect(),
            last_sequence: Some(sequence),
            commit_id: Some((request.commit_id, sequence)),
            idempotency,
            producers,
            author: None,
            message: None,
        })
        .await;
    if version.is_err() && !tenant.is_in_doubt() {
        offered.into_iter().for_each(OfferedFiles::withdraw);
    }
    let version = version?;
    if !truncated.is_empty() {
        tenant.keys().checkpointed(sequence - 1);
        tenant.producers().checkpointed(sequence - 1);
    }
    for record in &settled.keys {
        tenant.keys().commit_checkpointed(record.clone());
    }
    for record in &settled.steps {
        tenant.producers().commit_checkpointed(record);
    }
    tenant.views().note_flushed(up_to);
    let catalog = Some((version, truncated));
    tenant.publish(sequence, catalog, request.streams, node.now_micros());
    tenant.views().flush_is_seen();
    drop(settled);
    *tenant.sequencing().lock() = sequence + 1;
    node.reached(CrashPoint::CatalogPublished).await
}

/// Rows in memory go to segments before their tables change, while others commit: those of altered
/// tables because they have other columns then, those of tables that are dropped or truncated because
/// history is to have them. A full disk does not keep anybody from the latter.
async fn store_rows_before(
    node: &Arc<Node>,
    tenant: &Arc<Tenant>,
    changes: &[Change],
) -> Result<()> {
    let mut gone = truncated_tables(changes);
    gone.extend(changes.iter().filter_map(dropped_table));
    let memtables = tenant.memtables();
    let has_rows = |table_id| memtables.all().any(|own| own.table_id() == table_id);
    let is_altered = !altered_tables(changes).is_empty();
    if !is_altered && !gone.into_iter().any(has_rows) {
        return Ok(());
    }
    match flush(node, tenant).await {
        Err(error) if is_altered => Err(EngineError::not_stored(error)),
        Err(error) => {
            tracing::warn!(%error, "rows that are removed cannot be kept for history");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Rows that come with a change of others, or with rows that are in segments, go to segments as well:
/// whoever reads the catalog from outside sees all of a commit in one snapshot.
async fn store_streams(node: &Node, tenant: &Tenant, request: &mut CommitRequest) -> Result<()> {
    let changes_rows = !request.row_changes.is_empty() || !request.segments.is_empty();
    if !changes_rows && truncated_tables(&request.changes).is_empty() {
        return Ok(());
    }
    let catalog = tenant.catalog_version();
    let catalog = catalog.apply(&request.changes, Stamp::overlay(&catalog))?;
    for stream in std::mem::take(&mut request.streams) {
        check_table(&catalog, stream.table_id(), stream.schema())?;
        let Some(table) = catalog.table_by_id(stream.table_id()) else {
            continue;
        };
        let rows = stream.batches().to_vec();
        for piece in Piece::of_table(&node.folders, table, &tenant.data_directory(), rows) {
            let segment = blocking(move || piece.write_part()).await;
            request
                .segments
                .push(segment.map_err(EngineError::not_stored)?);
        }
    }
    Ok(())
}

/// From here on a crash may leave segments that nobody knows.
async fn name_segments(request: &mut CommitRequest) -> Result<()> {
    for segments in &mut request.segments {
        let mut unnamed = segments.take();
        let named = blocking(move || unnamed.name_files().map(|()| unnamed)).await;
        *segments = named.map_err(EngineError::not_stored)?;
    }
    Ok(())
}

/// Writes the lists of deleted rows while others go on committing rows.
async fn prepare_deletions(
    node: &Node,
    tenant: &Tenant,
    request: &mut CommitRequest,
) -> Result<PreparedDeletions> {
    let catalog = tenant.catalog_version();
    let with_own = catalog.apply(&request.changes, Stamp::overlay(&catalog))?;
    let (changes, own) = (&request.row_changes, &mut request.segments);
    row_changes::prepare(node, tenant, &with_own, changes, own).await
}

/// Rows of altered tables that are in memory, in segments with the columns that they have.
async fn store_rest(
    node: &Node,
    tenant: &Tenant,
    altered: &[TableId],
    up_to: u64,
) -> Result<Written> {
    let memtables = tenant.memtables();
    let memtables: Vec<_> = memtables
        .all()
        .filter(|memtable| altered.contains(&memtable.table_id()))
        .map(Arc::clone)
        .collect();
    if memtables.is_empty() {
        return Ok(Written::default());
    }
    let cuts = tenant.views().cuts(up_to);
    let written = write_segments(node, tenant, &memtables, &cuts).await;
    written.map_err(EngineError::not_stored)
}

/// Tables whose columns are others after the changes.
pub(crate) fn altered_tables(changes: &[Change]) -> Vec<TableId> {
    let altered = changes.iter().filter_map(|change| match change {
        Change::AlterTable {
            alteration: Alteration::Rename { .. } | Alteration::SetSortKey { .. },
            ..
        } => None,
        Change::AlterTable { table_id, .. } => Some(*table_id),
        _ => None,
    });
    let mut altered: Vec<_> = altered.collect();
    altered.sort_unstable();
    altered.dedup();
    altered
}

/// Tables of whose rows in memory none is left.
fn truncated_tables(changes: &[Change]) -> Vec<TableId> {
    let truncated = changes.iter().filter_map(|change| match change {
        Change::Truncate { table_id } => Some(*table_id),
        Change::RestoreTable(restored) => Some(restored.table_id),
        _ => None,
    });
    truncated.collect()
}

async fn prepare(node: &Node, tenant: &Tenant, request: &CommitRequest) -> Result<()> {
    let record = PrepareRecord {
        tenant_id: tenant.id().0,
        commit_id: request.commit_id.as_bytes().to_vec(),
        streams: request.streams.iter().map(StagedStream::describe).collect(),
    };
    let frames = vec![Frame {
        kind: KIND_PREPARE,
        parts: vec![record.encode_to_vec().into()],
    }];
    debug_assert!(frame_bytes(&frames) > 0, "a prepare record has a body");
    node.append(frames, true).await?;
    node.reached(CrashPoint::PrepareSynced).await
}

/// The streams fit the tables, and the log keeps their rows from here on.
fn check_streams(catalog: &CatalogVersion, streams: &[StagedStream]) -> Result<()> {
    for stream in streams {
        check_table(catalog, stream.table_id(), stream.schema())?;
        stream.begin_commit()?;
    }
    Ok(())
}

/// The table is still what the rows were made for.
pub(crate) fn check_table(
    catalog: &CatalogVersion,
    table_id: TableId,
    schema: &SchemaRef,
) -> Result<()> {
    let table = catalog
        .table_by_id(table_id)
        .ok_or_else(|| EngineError::Conflict {
            message: "the table was dropped by a concurrent statement".to_owned(),
        })?;
    if table.arrow_schema == *schema {
        return Ok(());
    }
    Err(altered(table))
}

/// The same for segments, which know columns by their ids: another column may have the name by now.
pub(crate) fn check_segments(
    catalog: &CatalogVersion,
    segments: &UnregisteredSegments,
) -> Result<()> {
    check_table(catalog, segments.table_id(), segments.schema())?;
    match catalog.table_by_id(segments.table_id()) {
        Some(table) if !segments.has_columns_of(table) => Err(altered(table)),
        _ => Ok(()),
    }
}

fn altered(table: &TableVersion) -> EngineError {
    EngineError::Conflict {
        message: format!("table {} was altered by a concurrent statement", table.name),
    }
}

/// Inside a transaction, an object that came or went since its read view is a lost race.
pub(crate) fn as_conflict(error: EngineError) -> EngineError {
    match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotFound | ErrorKind::Precondition => {
            EngineError::Conflict {
                message: format!("a concurrent commit won: {error}"),
            }
        }
        _ => error,
    }
}

fn entry(record: &IdempotencyRecord) -> IdempotencyEntry {
    IdempotencyEntry {
        user_id: record.user_id.0,
        table_id: record.table_id.0,
        key: record.key.clone(),
        mode: record.mode.clone(),
        record_count: record.record_count,
        digest: record.digest.clone(),
        created_micros: record.created_micros,
    }
}

fn step_entry(record: &ProducerRecord) -> ProducerEntry {
    ProducerEntry {
        table_id: record.table_id.0,
        producer: record.producer.clone(),
        epoch: record.epoch,
        producer_sequence: record.producer_sequence,
        updated_micros: record.updated_micros,
    }
}
