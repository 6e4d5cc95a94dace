//! Flush: memtables become segments.
//!
//! All tables of a tenant are frozen at one cut in the sequence and registered in one catalog
//! transaction together with the flushed sequences and the idempotency keys up to the cut. So
//! tables tied by a multi-table commit appear to outside readers together, and replay never applies
//! a row that a segment holds.
//!
//! Whoever wants a flush may go away; the flush goes on to its end, because half of one (segments
//! registered, memtables still there) would show rows twice.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::{FutureExt, StreamExt};
use quiver_catalog::{Change, Commit, NewSegment, SnapshotId, TableId, TableVersion, TenantId};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::ids::new_id;
use crate::node::Node;
use crate::segment::{SegmentOptions, split, write_segment};
use crate::storage_fs::{CrashPoint, Folders, StorageFs};
use crate::task::{blocking, spawn};
use crate::tenant::Tenant;
use crate::write_buffer::Memtable;

/// How often the scheduler looks for tenants to flush.
const TICK: Duration = Duration::from_millis(250);
/// Rows of one segment, in bytes of memory, about; larger loads become several.
const SEGMENT_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Segments that a flush writes at the same time; each holds an encoded row group, and a sorted one a
/// copy of its key.
const WRITERS_MAX: usize = 4;
/// How long a tenant whose flush failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushOutcome {
    /// The snapshot that holds everything committed before the flush began.
    pub snapshot_id: SnapshotId,
    /// Segments written.
    pub segment_count: u64,
    /// Rows in them.
    pub row_count: u64,
}

/// Segments of one table. Until they are kept, nobody knows their files, and dropping this removes
/// them.
struct WrittenTable {
    fs: Arc<dyn StorageFs>,
    table_id: TableId,
    segments: Vec<NewSegment>,
    paths: Vec<PathBuf>,
}

impl WrittenTable {
    /// The catalog may know the files from here on.
    fn keep(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.paths)
    }
}

impl Drop for WrittenTable {
    fn drop(&mut self) {
        remove_unregistered(&*self.fs, &self.paths);
    }
}

/// Flushes everything that is committed now, even if the caller goes away.
pub(crate) async fn flush(node: &Arc<Node>, tenant: &Arc<Tenant>) -> Result<FlushOutcome> {
    let job = {
        let (node, tenant) = (Arc::clone(node), Arc::clone(tenant));
        spawn(async move { flush_tenant(&node, &tenant).await })
    };
    job.await.map_err(|error| {
        tenant.mark_in_doubt();
        EngineError::internal(format!("the flush failed half way: {error}"))
    })?
}

#[tracing::instrument(name = "engine.flush", skip_all, fields(tenant_id = tenant.id().0), err)]
async fn flush_tenant(node: &Node, tenant: &Tenant) -> Result<FlushOutcome> {
    let _flushing = tenant.flushing().lock().await;
    tenant.check_writable()?;
    let (memtables, cut) = tenant.freeze();
    let started_micros = node.now_micros();
    if memtables.is_empty() {
        let snapshot_id = tenant.catalog_version().snapshot_id;
        return Ok(FlushOutcome {
            snapshot_id,
            segment_count: 0,
            row_count: 0,
        });
    }
    node.reached(CrashPoint::FlushFrozen)?;
    let written = write_segments(node, tenant, &memtables, cut).await?;
    node.reached(CrashPoint::SegmentsDurable)?;
    let outcome = register(node, tenant, &memtables, cut, written).await?;
    node.reached(CrashPoint::FlushPublished)?;
    tracing::info!(
        rows = outcome.row_count,
        segments = outcome.segment_count,
        snapshot_id = outcome.snapshot_id.0,
        elapsed_ms = (node.now_micros() - started_micros) / 1000,
        "flushed"
    );
    Ok(outcome)
}

async fn write_segments(
    node: &Node,
    tenant: &Tenant,
    memtables: &[Arc<Memtable>],
    cut: u64,
) -> Result<Vec<WrittenTable>> {
    let mut by_table: BTreeMap<TableId, Vec<RecordBatch>> = BTreeMap::new();
    for memtable in memtables {
        by_table
            .entry(memtable.table_id())
            .or_default()
            .extend(memtable.batches(cut));
    }
    let catalog = tenant.catalog_version();
    let (mut written, mut jobs, mut given) = (vec![], vec![], 0);
    for (table_id, batches) in by_table {
        let Some(table) = catalog.table_by_id(table_id) else {
            continue;
        };
        given += row_count(&batches);
        let directory = tenant.data_directory().join(&table.path);
        for rows in split(batches, SEGMENT_BYTES_MAX) {
            let (folders, table) = (Arc::clone(&node.folders), Arc::clone(table));
            let directory = directory.clone();
            let job = blocking(move || write_piece(&folders, &table, &directory, &rows));
            jobs.push(job.map(move |segment| (table_id, segment)));
        }
        written.push(WrittenTable {
            fs: Arc::clone(&node.fs),
            table_id,
            segments: vec![],
            paths: vec![],
        });
    }
    let writers = Handle::current().metrics().num_workers().min(WRITERS_MAX);
    let mut jobs = futures::stream::iter(jobs).buffered(writers);
    let mut failed = None;
    // To the end of all, so that the files of the others are known when one fails.
    while let Some((table_id, segment)) = jobs.next().await {
        let table = written.iter_mut().find(|table| table.table_id == table_id);
        match (segment, table) {
            (Ok((segment, path)), Some(table)) => {
                table.paths.push(path);
                table.segments.push(segment);
            }
            (Err(error), _) => failed = failed.or(Some(error)),
            (Ok(_), None) => return Err(EngineError::internal("a segment of no table")),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let segments = written.iter().flat_map(|table| &table.segments);
    let records: u64 = segments.map(|segment| segment.record_count).sum();
    assert_eq!(records, given, "segments hold every row they were given");
    written.retain(|table| !table.segments.is_empty());
    Ok(written)
}

fn row_count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

/// Writes consecutive rows of a table as one segment.
fn write_piece(
    folders: &Folders,
    table: &TableVersion,
    directory: &Path,
    rows: &[RecordBatch],
) -> Result<(NewSegment, PathBuf)> {
    let (columns, sort_key) = (&table.columns, &table.sort_key);
    let options = SegmentOptions::default();
    let segment = write_segment(
        folders,
        directory,
        columns,
        sort_key,
        rows,
        new_id(),
        &options,
    )?;
    let path = directory.join(&segment.path);
    Ok((segment, path))
}

async fn register(
    node: &Node,
    tenant: &Tenant,
    memtables: &[Arc<Memtable>],
    cut: u64,
    mut written: Vec<WrittenTable>,
) -> Result<FlushOutcome> {
    let _committer = tenant.committer().lock().await;
    tenant.check_writable()?;
    // Tables may have been dropped while the segments were written.
    let catalog = tenant.catalog_version();
    written.retain(|table| catalog.table_by_id(table.table_id).is_some());
    let mut flushed: Vec<_> = memtables
        .iter()
        .map(|memtable| memtable.table_id())
        .collect();
    flushed.sort_unstable();
    flushed.dedup();
    flushed.retain(|table_id| catalog.table_by_id(*table_id).is_some());
    let segments = written.iter().flat_map(|table| &table.segments);
    let row_count = segments.map(|segment| segment.record_count).sum();
    let append = |table: &mut WrittenTable| Change::AppendSegments {
        table_id: table.table_id,
        segments: std::mem::take(&mut table.segments),
    };
    let changes = written.iter_mut().map(append).collect();
    let paths: Vec<_> = written.iter_mut().flat_map(WrittenTable::keep).collect();
    let segment_count = paths.len() as u64;
    let commit = Commit {
        changes,
        flushed: flushed
            .into_iter()
            .map(|table_id| (table_id, cut))
            .collect(),
        last_sequence: Some(tenant.published_sequence()),
        commit_id: None,
        idempotency: tenant.keys().to_checkpoint(cut),
        producers: tenant.producers().to_checkpoint(cut),
        author: None,
        message: None,
    };
    let version = match tenant.commit_catalog(commit).await {
        Ok(version) => version,
        Err(error) => {
            // In doubt the catalog may know them.
            if !tenant.is_in_doubt() {
                remove_unregistered(&*node.fs, &paths);
            }
            return Err(error);
        }
    };
    let snapshot_id = version.snapshot_id;
    tenant.publish_flush(version, memtables);
    tenant.keys().checkpointed(cut);
    tenant.producers().checkpointed(cut);
    Ok(FlushOutcome {
        snapshot_id,
        segment_count,
        row_count,
    })
}

/// Removes files that nobody can know. What cannot be removed does no harm: only catalogued files
/// count.
fn remove_unregistered(fs: &dyn StorageFs, paths: &[PathBuf]) {
    for path in paths {
        if let Err(error) = fs.remove(path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an unregistered segment");
        }
    }
}

/// Flushes tenants by age, size and memory pressure until told to stop.
pub(crate) async fn run_scheduler(engine: Engine, stop: CancellationToken) {
    let mut flushes: HashMap<TenantId, JoinHandle<()>> = HashMap::new();
    loop {
        let wanted = tokio::select! {
            () = stop.cancelled() => break,
            () = engine.node().budget.flush_wanted() => true,
            () = engine.node().log_room_wanted() => true,
            () = tokio::time::sleep(TICK) => engine.is_log_filling(),
        };
        engine.expire_transactions().await;
        engine.prune_keys().await;
        flushes.retain(|_, flush| !flush.is_finished());
        for tenant in engine.open_tenants() {
            let idle = !flushes.contains_key(&tenant.id());
            if idle && (wanted || is_due(engine.node(), &tenant)) {
                let (engine, stop) = (engine.clone(), stop.clone());
                let id = tenant.id();
                flushes.insert(id, spawn(flush_in_background(engine, tenant, stop)));
            }
        }
        engine.release_log();
        engine.give_up_old_streams();
    }
    for flush in flushes.into_values() {
        // A panic in it was logged already.
        let _ended = flush.await;
    }
}

/// One flush of one tenant. However long it takes, the others are flushed meanwhile.
async fn flush_in_background(engine: Engine, tenant: Arc<Tenant>, stop: CancellationToken) {
    let flushed = flush(engine.node(), &tenant).await;
    engine.release_log();
    if flushed.is_err() && !tenant.is_dropped() {
        // The next attempt starts when this one has ended.
        let _stopped = tokio::time::timeout(RETRY_AFTER, stop.cancelled()).await;
    }
}

fn is_due(node: &Node, tenant: &Tenant) -> bool {
    let statuses = tenant.memtables().statuses();
    let bytes: u64 = statuses.iter().map(|(_, _, status)| status.bytes).sum();
    let oldest = statuses
        .iter()
        .filter_map(|(_, _, status)| status.first_at_micros)
        .min();
    let age_ms = oldest.map_or(0, |micros| (node.now_micros() - micros) / 1000);
    let old = oldest.is_some() && age_ms >= node.settings.flush_interval_ms as i64;
    // Not what the budget counts: rows that a read view still holds cannot be flushed again.
    let settings = &node.settings;
    let enough = settings
        .flush_bytes
        .min(settings.buffer_tenant_bytes_max / 2);
    !statuses.is_empty() && (old || bytes >= enough)
}
