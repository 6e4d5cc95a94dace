//! Compaction: rows of several segments are written anew into fewer, sorted over all of them.
//!
//! There are two forms. Segments that lost rows are *rewritten* without these, and older snapshots keep
//! the old ones. Segments that lost none are *merged*: the new ones take their place in every snapshot,
//! with the snapshot of each row in them. Rows keep their ids in both; if somebody deletes one of them
//! meanwhile, the compaction has lost the race and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use quiver_catalog::{Segment, SnapshotId, TableId, TableVersion};

use self::pick::{Candidate, Pick, pick};
use self::progress::NewJob;
use self::rows::Made;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::read_view::ReadView;
use crate::scan::ScanOptions;
use crate::tenant::Tenant;

mod background;
mod pick;
mod progress;
mod replace;
mod rows;

pub(crate) use background::run_compactor;
pub(crate) use pick::Wanted;
pub(crate) use progress::{Compactions, Job, JobEnd, JobState};

/// Jobs for one table, one after the other; each leaves fewer segments than it found.
const JOBS_MAX: usize = 10_000;
/// Jobs for one table before others have their turn, unless somebody waits for it.
const JOBS_PER_ROUND: usize = 4;
/// How often a job that lost a race begins anew for somebody who asked for it.
const ATTEMPTS: usize = 3;

/// What the compaction of one table did.
#[derive(Debug, Clone)]
pub(crate) struct Compacted {
    pub(crate) table: Arc<TableVersion>,
    /// Segments that it found and that are gone, with their sizes in bytes and rows.
    pub(crate) before: Vec<(u64, u64)>,
    /// Those that they have become, by name.
    pub(crate) after: BTreeMap<String, u64>,
    /// The snapshot as of which it holds.
    pub(crate) snapshot_id: SnapshotId,
}

impl Compacted {
    /// Counts a job; what an earlier one made is in between.
    fn add(&mut self, sources: &[Arc<Segment>], made: Made) {
        for segment in sources {
            if self.after.remove(&segment.path).is_none() {
                let sizes = (segment.file_size_bytes, segment.live_count());
                self.before.push(sizes);
            }
        }
        self.after.extend(made.0);
    }
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
    let table = current(tenant, table_id)?;
    let mut compacted = Compacted {
        table,
        before: vec![],
        after: BTreeMap::new(),
        snapshot_id: tenant.catalog_version().snapshot_id,
    };
    let mut lost = 0;
    let jobs_max = match wanted {
        Wanted::All => JOBS_MAX,
        Wanted::Due | Wanted::Resting => JOBS_PER_ROUND,
    };
    for _ in 0..jobs_max {
        if wanted != Wanted::All && tenant.compactions().is_paused() {
            break;
        }
        let _place = engine.node().compactions.acquire().await;
        let view = tenant.read_view();
        let Some(table) = view.catalog().table_by_id(table_id) else {
            break;
        };
        let options = &tenant.reading().scan_options;
        let candidates = candidates(tenant, table, options);
        let Some(picked) = pick(&candidates, wanted, lost < ATTEMPTS) else {
            break;
        };
        match run_job(engine, tenant, &view, table, &picked, &mut compacted).await {
            Ok(()) => lost = 0,
            // Those who delete rows go first; what nobody deletes from can be merged all the same.
            Err(EngineError::Conflict { .. }) if lost <= ATTEMPTS => lost += 1,
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

fn candidates(tenant: &Tenant, table: &Arc<TableVersion>, options: &ScanOptions) -> Vec<Candidate> {
    let ranges = options.cache.statistics(table).ranks(table);
    let candidate = |(at, segment): (usize, &Arc<Segment>)| Candidate {
        bytes: segment.file_size_bytes,
        rows: segment.record_count,
        deleted: segment.delete_count(),
        is_outdated: !table.has_current_columns(segment),
        is_held: tenant.views().holds(&segment.path),
        range: ranges.get(at).copied().flatten(),
    };
    table.segments.iter().enumerate().map(candidate).collect()
}

/// One job, with its place in the list of those that run.
async fn run_job(
    engine: &Engine,
    tenant: &Arc<Tenant>,
    view: &ReadView,
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
    let done = async {
        let written = rows::write(engine, tenant, view, &sources, &job).await?;
        let made = Made::of(&written);
        replace::replace(engine.node(), tenant, &sources, written, picked.form).await?;
        Ok(made)
    };
    let done: Result<Made> = done.await;
    let mut end = JobEnd {
        ended_micros: Some(engine.node().now_micros()),
        ..JobEnd::default()
    };
    let result = match done {
        Ok(new) => {
            end.state = JobState::Done;
            (end.segments_after, end.bytes_after) = (new.0.len() as u64, new.bytes());
            compacted.add(&sources.segments, new);
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
