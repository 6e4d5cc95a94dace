//! Compaction: rows of several segments are written anew into fewer, sorted over all of them.
//!
//! There are two forms. Segments that lost rows are *rewritten* without these: a commit like any other,
//! after which older snapshots keep the old segments; if somebody deletes one of the rows meanwhile, it
//! has lost the race and changes nothing. Segments that lost none are *merged*: the new ones take their
//! place in every snapshot, with the snapshot of each row in them. Rows keep their ids in both.

use std::sync::Arc;

use quiver_catalog::{Segment, SnapshotId, TableId, TableVersion};

use self::pick::{Candidate, Pick, pick};
use self::progress::NewJob;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::scan::ScanOptions;
use crate::tenant::Tenant;

mod background;
mod merge;
mod pick;
mod progress;
mod rows;

pub(crate) use background::run_compactor;
pub(crate) use pick::{Form, Wanted};
pub(crate) use progress::{Compactions, Job, JobEnd, JobState};

/// Jobs for one table, one after the other; each leaves fewer segments than it found.
const JOBS_MAX: usize = 10_000;
/// How often a job that lost a race begins anew for somebody who asked for it.
const ATTEMPTS: usize = 3;

/// What the compaction of one table did.
#[derive(Debug, Clone)]
pub(crate) struct Compacted {
    pub(crate) table: Arc<TableVersion>,
    /// Segments that were written anew, and those that they became.
    pub(crate) segments: (u64, u64),
    /// Rows that were written.
    pub(crate) row_count: u64,
    /// Size of both.
    pub(crate) bytes: (u64, u64),
    /// The snapshot as of which it holds.
    pub(crate) snapshot_id: SnapshotId,
}

/// Writes anew what is worth it of a table. Commits by itself, once per job.
///
/// # Errors
/// `NotFound` when there is no such table, `Conflict` when somebody was always faster.
pub(crate) async fn compact(
    engine: &Engine,
    tenant: &Arc<Tenant>,
    table_id: TableId,
    wanted: Wanted,
) -> Result<Compacted> {
    let _compacting = tenant.compacting().lock().await;
    let _place = engine.node().compactions.acquire().await;
    let table = current(tenant, table_id)?;
    let mut compacted = Compacted {
        table,
        segments: (0, 0),
        row_count: 0,
        bytes: (0, 0),
        snapshot_id: tenant.catalog_version().snapshot_id,
    };
    let mut attempts = 1;
    for _ in 0..JOBS_MAX {
        if wanted != Wanted::All && tenant.compactions().is_paused() {
            break;
        }
        let view = tenant.read_view();
        let Some(table) = view.catalog().table_by_id(table_id) else {
            break;
        };
        let options = &tenant.reading().scan_options;
        let Some(picked) = pick(&candidates(table, options), wanted) else {
            break;
        };
        match run_job(engine, tenant, table, &picked, &mut compacted).await {
            Ok(()) => attempts = 1,
            Err(EngineError::Conflict { .. }) if attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
        compacted.snapshot_id = tenant.catalog_version().snapshot_id;
    }
    Ok(compacted)
}

fn current(tenant: &Tenant, table_id: TableId) -> Result<Arc<TableVersion>> {
    let catalog = tenant.catalog_version();
    let table = catalog.table_by_id(table_id).map(Arc::clone);
    table.ok_or_else(|| EngineError::NotFound {
        what: format!("table {table_id}"),
    })
}

fn candidates(table: &Arc<TableVersion>, options: &ScanOptions) -> Vec<Candidate> {
    let ranges = options.cache.statistics(table).ranks(table);
    let candidate = |(at, segment): (usize, &Arc<Segment>)| Candidate {
        bytes: segment.file_size_bytes,
        rows: segment.record_count,
        deleted: segment.delete_count(),
        range: ranges.get(at).copied().flatten(),
    };
    table.segments.iter().enumerate().map(candidate).collect()
}

/// One job, with its place in the list of those that run.
async fn run_job(
    engine: &Engine,
    tenant: &Arc<Tenant>,
    table: &Arc<TableVersion>,
    picked: &Pick,
    compacted: &mut Compacted,
) -> Result<()> {
    let sources: Vec<_> = picked
        .at
        .iter()
        .map(|at| Arc::clone(&table.segments[*at]))
        .collect();
    let bytes_before = sources.iter().map(|segment| segment.file_size_bytes).sum();
    let rows = sources.iter().map(|segment| segment.live_count()).sum();
    let job = tenant.compactions().begin(
        NewJob {
            schema_name: table.schema_name.clone(),
            table_name: table.name.clone(),
            form: picked.form,
            segments: sources.len() as u64,
            bytes: bytes_before,
            rows,
        },
        engine.node().now_micros(),
    );
    let sources = Arc::new(TableVersion {
        segments: Arc::new(sources),
        ..table.as_ref().clone()
    });
    let done = match picked.form {
        Form::Rewrite => rows::rewrite(engine, tenant, &sources, &job).await,
        Form::Merge => merge::merge(engine, tenant, &sources, &job).await,
    };
    let mut end = JobEnd {
        ended_micros: Some(engine.node().now_micros()),
        ..JobEnd::default()
    };
    let result = match done {
        Ok(new) => {
            end.state = JobState::Done;
            (end.segments_after, end.bytes_after) = (new.count, new.bytes);
            compacted.segments.0 += sources.segments.len() as u64;
            compacted.segments.1 += new.count;
            compacted.row_count += rows;
            compacted.bytes.0 += bytes_before;
            compacted.bytes.1 += new.bytes;
            Ok(())
        }
        Err(error) => {
            end.state = JobState::Failed(error.to_string());
            Err(error)
        }
    };
    Compactions::end(&job, end);
    result
}
