//! The rows of segments, written anew.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;
use quiver_catalog::{Replacement, TableVersion};
use tokio::time::Instant;

use super::pick::SEGMENT_BYTES;
use super::progress::Job;
use crate::batch_bytes::slice_bytes;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::read_view::ReadView;
use crate::scan::{BufferedRows, ChangeTarget, QuiverTable, TableRows};
use crate::segment::{
    RowPlaces, SegmentStream, UnregisteredSegments, row_id_column, row_snapshots, segment_name,
    snapshot_column, with_hidden,
};
use crate::storage_fs::CrashPoint;
use crate::tenant::Tenant;

/// Memory to sort in.
const MEMORY_BYTES: usize = 256 << 20;

/// The segments that a job made: their names when they are committed, and their sizes in bytes.
#[derive(Debug, Clone)]
pub(super) struct Made(pub(super) Vec<(String, u64)>);

impl Made {
    pub(super) fn of(segments: &UnregisteredSegments) -> Self {
        let all = segments.segments().iter();
        let made = all.map(|segment| {
            let name = segment_name(&segment.path).to_owned();
            (name, segment.file_size_bytes)
        });
        Self(made.collect())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Writes the rows that are left of all segments of `table`, as `view` has them, to part files.
pub(super) async fn write(
    engine: &Engine,
    tenant: &Arc<Tenant>,
    view: &ReadView,
    table: &Arc<TableVersion>,
    job: &Job,
) -> Result<UnregisteredSegments> {
    let node = engine.node();
    let reading = tenant.reading();
    let target = ChangeTarget::new(QuiverTable::new(
        Arc::clone(table),
        TableRows {
            live: Some(Arc::clone(view.live())),
            ..TableRows::new(BufferedRows::new(Box::new(Vec::new)))
        },
        reading.store_url.clone(),
        reading.scan_options.clone(),
    ));
    let plan = ordered(target, table)?;
    // One after the other: rows without a sort key stay in the order in which they came.
    let mut session = own_session(engine, tenant)?;
    let options = session.config_mut().options_mut();
    options.execution.target_partitions = 1;
    let plan = session.create_physical_plan(&plan).await?;
    let mut rows = execute_stream(plan, session.task_ctx())?;
    let mut hidden = vec![row_id_column()];
    if job.form == Replacement::Merge {
        hidden.push(snapshot_column());
    }
    let directory = tenant.data_directory().join(&table.path);
    let mut segments = SegmentStream::new(&node.folders, directory, table, hidden, SEGMENT_BYTES);
    let mut count = 0;
    let mut pace = Pace::new(node.settings.compaction_bytes_per_second_max);
    while let Some(batch) = rows.try_next().await? {
        let own = table.arrow_schema.fields().len();
        let places = places(&batch, own)?;
        let values = batch.columns()[..own].to_vec();
        let values = RecordBatch::try_new(Arc::clone(&table.arrow_schema), values)?;
        let mut with = vec![(row_id_column(), places.row_ids(table)?)];
        if job.form == Replacement::Merge {
            let snapshots = row_snapshots(&places, numbers(&batch, own + 1)?, table)?;
            with.push((snapshot_column(), snapshots));
        }
        count += batch.num_rows() as u64;
        job.add_rows(batch.num_rows());
        segments.push(with_hidden(&values, with)?).await?;
        pace.keep(slice_bytes(&batch)).await;
    }
    let segments = segments.finish().await?;
    let live = table.segments.iter().map(|segment| segment.live_count());
    assert_eq!(count, live.sum::<u64>(), "every row that is there is read");
    assert_eq!(segments.row_count(), count, "and written anew");
    node.reached(CrashPoint::CompactionWritten).await?;
    Ok(segments)
}

/// A session with memory of its own: queries of the tenant keep theirs, and a sort goes to disk sooner.
fn own_session(engine: &Engine, tenant: &Tenant) -> Result<SessionState> {
    let runtime = RuntimeEnvBuilder::from_runtime_env(&tenant.reading().runtime);
    let pool = Arc::new(GreedyMemoryPool::new(MEMORY_BYTES));
    let runtime = runtime.with_memory_pool(pool).build_arc()?;
    let session = engine.template().of_tenant(tenant).as_ref().clone();
    let session = SessionStateBuilder::new_from_existing(session).with_runtime_env(runtime);
    Ok(session.build())
}

/// All rows with what tells them apart, in the order of the table's sort key.
fn ordered(target: ChangeTarget, table: &TableVersion) -> Result<LogicalPlan> {
    let scan = LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(target)), None)?;
    let key = table.sort_key.iter().filter_map(|sort| {
        let column = table.column_by_id(sort.column_id)?;
        let by: Expr = ident(column.name.as_str());
        Some(by.sort(!sort.descending, sort.nulls_first))
    });
    let key: Vec<_> = key.collect();
    Ok(match key.is_empty() {
        true => scan.build()?,
        false => scan.sort(key)?.build()?,
    })
}

/// The columns behind those of the table.
fn places(batch: &RecordBatch, own: usize) -> Result<RowPlaces<'_>> {
    Ok(RowPlaces {
        in_file: numbers(batch, own)?,
        segments: numbers(batch, own + 2)?,
        positions: numbers(batch, own + 3)?,
    })
}

fn numbers(batch: &RecordBatch, at: usize) -> Result<&Int64Array> {
    let column = batch.columns().get(at);
    let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.ok_or_else(|| EngineError::internal("the place of a row is a number"))
}

/// Leaves the disk to others for a while.
struct Pace {
    bytes_per_second_max: u64,
    began: Instant,
    bytes: u64,
}

impl Pace {
    /// As fast as it goes, for 0.
    fn new(bytes_per_second_max: u64) -> Self {
        Self {
            bytes_per_second_max,
            began: Instant::now(),
            bytes: 0,
        }
    }

    async fn keep(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes_per_second_max == 0 {
            return;
        }
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second_max as f64);
        tokio::time::sleep(due.saturating_sub(self.began.elapsed())).await;
    }
}
