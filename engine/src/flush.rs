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
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::{FutureExt, StreamExt};
use quiver_catalog::{Commit, SnapshotId, TableId, TenantId};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::node::Node;
use crate::segment::{OfferedFiles, Piece, UnregisteredSegments};
use crate::storage_fs::CrashPoint;
use crate::task::{blocking, spawn};
use crate::tenant::Tenant;
use crate::write_buffer::Memtable;

/// How often the scheduler looks for tenants to flush.
const TICK: Duration = Duration::from_millis(250);
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
    let (memtables, cuts) = tenant.freeze();
    let started_micros = node.now_micros();
    if memtables.is_empty() {
        let snapshot_id = tenant.catalog_version().snapshot_id;
        return Ok(FlushOutcome {
            snapshot_id,
            segment_count: 0,
            row_count: 0,
        });
    }
    node.reached(CrashPoint::FlushFrozen).await?;
    let written = write_segments(node, tenant, &memtables, &cuts).await?;
    node.reached(CrashPoint::SegmentsDurable).await?;
    let cut = *cuts.last().expect("a flush goes up to a cut");
    let outcome = register(tenant, &memtables, cut, written).await?;
    node.reached(CrashPoint::FlushPublished).await?;
    tracing::info!(
        rows = outcome.row_count,
        segments = outcome.segment_count,
        snapshot_id = outcome.snapshot_id.0,
        elapsed_ms = (node.now_micros() - started_micros) / 1000,
        "flushed"
    );
    Ok(outcome)
}

/// The segments of a flush, by table.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) tables: Vec<UnregisteredSegments>,
    /// Paths, with the sequence up to which the rows of each go.
    pub(crate) up_to: Vec<(String, u64)>,
}

/// Writes the rows of memtables, apart by the sequences `cuts`.
pub(crate) async fn write_segments(
    node: &Node,
    tenant: &Tenant,
    memtables: &[Arc<Memtable>],
    cuts: &[u64],
) -> Result<Written> {
    let catalog = tenant.catalog_version();
    let (mut written, mut jobs, mut given) = (Written::default(), vec![], 0);
    let mut by_table: BTreeMap<TableId, Vec<&Arc<Memtable>>> = BTreeMap::new();
    for memtable in memtables {
        let generations = by_table.entry(memtable.table_id()).or_default();
        generations.push(memtable);
    }
    for (table_id, generations) in by_table {
        let Some(table) = catalog.table_by_id(table_id) else {
            continue;
        };
        let mut after = 0;
        for cut in cuts {
            let batches = generations.iter();
            let batches = batches.flat_map(|memtable| memtable.batches_between(after, *cut));
            let batches: Vec<_> = batches.collect();
            given += row_count(&batches);
            let pieces = Piece::of_table(&node.folders, table, &tenant.data_directory(), batches);
            for piece in pieces {
                let job = blocking(move || piece.write());
                jobs.push(job.map(move |segment| (table_id, *cut, segment)));
            }
            after = *cut;
        }
        let none = UnregisteredSegments::new(&node.fs, table);
        written.tables.push(none);
    }
    let writers = Handle::current().metrics().num_workers().min(WRITERS_MAX);
    let mut jobs = futures::stream::iter(jobs).buffered(writers);
    let mut failed = None;
    // To the end of all, so that the files of the others are known when one fails.
    while let Some((table_id, cut, segment)) = jobs.next().await {
        let mut tables = written.tables.iter_mut();
        let table = tables.find(|table| table.table_id() == table_id);
        match (segment, table) {
            (Ok(segment), Some(table)) => {
                let paths = segment.segments().iter();
                let up_to = paths.map(|segment| (segment.path.clone(), cut));
                written.up_to.extend(up_to);
                table.add(segment);
            }
            (Err(error), _) => failed = failed.or(Some(error)),
            (Ok(_), None) => return Err(EngineError::internal("a segment of no table")),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let records = written.tables.iter().map(UnregisteredSegments::row_count);
    assert_eq!(
        records.sum::<u64>(),
        given,
        "segments hold every row they were given"
    );
    written.tables.retain(|table| !table.segments().is_empty());
    Ok(written)
}

fn row_count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

async fn register(
    tenant: &Tenant,
    memtables: &[Arc<Memtable>],
    cut: u64,
    written: Written,
) -> Result<FlushOutcome> {
    let _committer = tenant.committer().lock().await;
    tenant.check_writable()?;
    // Tables may have been dropped or truncated while the segments were written: rows of those are
    // gone, and may not come back.
    let catalog = tenant.catalog_version();
    let takes_rows = |table_id: &TableId| {
        let table = catalog.table_by_id(*table_id);
        table.is_some_and(|table| table.flushed_sequence < cut)
    };
    let Written {
        tables: mut written,
        up_to,
    } = written;
    written.retain(|table| takes_rows(&table.table_id()));
    let mut flushed: Vec<_> = memtables
        .iter()
        .map(|memtable| memtable.table_id())
        .collect();
    flushed.sort_unstable();
    flushed.dedup();
    flushed.retain(takes_rows);
    let row_count = written.iter().map(UnregisteredSegments::row_count).sum();
    let counts = written.iter().map(|table| table.segments().len() as u64);
    let segment_count = counts.sum();
    let changes = written.iter().map(UnregisteredSegments::change).collect();
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
    let offered: Vec<_> = written
        .into_iter()
        .map(UnregisteredSegments::offer)
        .collect();
    let version = tenant.commit_catalog(commit).await;
    if version.is_err() && !tenant.is_in_doubt() {
        offered.into_iter().for_each(OfferedFiles::withdraw);
    }
    let version = version?;
    let snapshot_id = version.snapshot_id;
    tenant.views().note_flushed(up_to);
    tenant.publish_flush(version, memtables);
    tenant.views().flush_is_seen();
    tenant.keys().checkpointed(cut);
    tenant.producers().checkpointed(cut);
    Ok(FlushOutcome {
        snapshot_id,
        segment_count,
        row_count,
    })
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
