//! Compaction: rows of several segments are written anew into fewer, sorted over all of them and without
//! those that are deleted.
//!
//! The rows keep their ids; the segments they came from stay for older snapshots. It is a commit like
//! any other: if somebody deletes one of the rows meanwhile, it has lost the race and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;
use quiver_catalog::{SnapshotId, TableId, TableVersion};
use roaring::RoaringTreemap;

use self::pick::pick;
use crate::commit::{CommitRequest, commit};
use crate::error::{EngineError, Result};
use crate::row_changes::RowChange;
use crate::scan::{BufferedRows, ChangeTarget, QuiverTable, TableRows};
use crate::segment::{RowPlaces, SegmentSink, with_row_ids};
use crate::sql::StatementContext;
use crate::storage_fs::CrashPoint;

mod pick;

/// What a compaction of one table did.
#[derive(Debug, Clone)]
pub(crate) struct Compacted {
    pub(crate) table: Arc<TableVersion>,
    /// Segments that were written anew, and those that they became.
    pub(crate) segments: (u64, u64),
    /// Rows in the new ones.
    pub(crate) row_count: u64,
    /// Size of both.
    pub(crate) bytes: (u64, u64),
    /// The snapshot as of which it holds.
    pub(crate) snapshot_id: SnapshotId,
}

/// Writes anew what is worth it of a table, as a commit of its own.
///
/// # Errors
/// `Conflict` when somebody was faster, or another compaction of the tenant is on its way.
pub(crate) async fn compact(context: &StatementContext, table_id: TableId) -> Result<Compacted> {
    let tenant = &context.tenant;
    let _compacting = tenant
        .compacting()
        .try_lock()
        .map_err(|_| EngineError::Conflict {
            message: "another compaction is on its way: try again when it has ended".to_owned(),
        })?;
    let view = tenant.read_view();
    let catalog = view.catalog();
    let table = catalog
        .table_by_id(table_id)
        .ok_or_else(|| gone(table_id))?;
    let picked = pick(&table.segments, true);
    let mut compacted = Compacted {
        table: Arc::clone(table),
        segments: (0, 0),
        row_count: 0,
        bytes: (0, 0),
        snapshot_id: catalog.snapshot_id,
    };
    if picked.is_empty() {
        return Ok(compacted);
    }
    let old: Vec<_> = picked
        .iter()
        .map(|at| Arc::clone(&table.segments[*at]))
        .collect();
    let old = Arc::new(TableVersion {
        segments: Arc::new(old),
        ..table.as_ref().clone()
    });
    let rewritten = rewrite(context, &context.session(&view), &old).await?;
    let new = rewritten.segments.iter().flat_map(|own| own.segments());
    compacted.segments = (old.segments.len() as u64, new.clone().count() as u64);
    compacted.row_count = new.clone().map(|segment| segment.record_count).sum();
    let old_bytes = old.segments.iter().map(|segment| segment.file_size_bytes);
    let new_bytes = new.map(|segment| segment.file_size_bytes);
    compacted.bytes = (old_bytes.sum(), new_bytes.sum());
    let live: u64 = old
        .segments
        .iter()
        .map(|segment| segment.live_count())
        .sum();
    assert_eq!(
        compacted.row_count, live,
        "every row that is there is written anew"
    );
    let node = context.engine.node();
    node.reached(CrashPoint::CompactionWritten).await?;
    commit(node, tenant, rewritten).await?;
    compacted.snapshot_id = tenant.catalog_version().snapshot_id;
    Ok(compacted)
}

fn gone(table_id: TableId) -> EngineError {
    EngineError::NotFound {
        what: format!("table {table_id}"),
    }
}

/// Writes the rows of all segments of `table` anew; what the commit of that is.
async fn rewrite(
    context: &StatementContext,
    session: &SessionState,
    table: &Arc<TableVersion>,
) -> Result<CommitRequest> {
    let (node, tenant) = (context.engine.node(), &context.tenant);
    let reading = tenant.reading();
    let none = BufferedRows::new(Box::new(Vec::new));
    let target = ChangeTarget::new(QuiverTable::new(
        Arc::clone(table),
        TableRows::new(none),
        reading.store_url.clone(),
        reading.scan_options.clone(),
    ));
    let plan = ordered(target, table)?;
    // One after the other: rows without a sort key stay in the order in which they came.
    let mut session = session.clone();
    session
        .config_mut()
        .options_mut()
        .execution
        .target_partitions = 1;
    let plan = session.create_physical_plan(&plan).await?;
    let mut rows = execute_stream(plan, session.task_ctx())?;
    let mut sink = SegmentSink::new(node, tenant, table, true);
    let mut moved: BTreeMap<usize, RoaringTreemap> = BTreeMap::new();
    while let Some(batch) = rows.try_next().await? {
        let columns = table.arrow_schema.fields().len();
        let places = places(&batch, columns)?;
        for row in 0..batch.num_rows() {
            let (segment, position) = places.of(row)?;
            moved.entry(segment).or_default().insert(position);
        }
        let values = batch.columns()[..columns].to_vec();
        let values = RecordBatch::try_new(Arc::clone(&table.arrow_schema), values)?;
        sink.push(with_row_ids(&values, places.row_ids(table)?)?)
            .await?;
    }
    let segments = sink.finish().await?;
    let moved = moved.into_iter();
    let moved = moved.map(|(at, rows)| (table.segments[at].path.clone(), rows));
    let row_change = RowChange {
        table_id: table.id,
        deleted: moved.collect(),
    };
    Ok(CommitRequest {
        segments: match segments.segments().is_empty() {
            true => vec![],
            false => vec![segments],
        },
        row_changes: vec![row_change],
        rewrites: true,
        ..CommitRequest::of_changes(vec![])
    })
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
fn places(batch: &RecordBatch, columns: usize) -> Result<RowPlaces<'_>> {
    let numbers = |at: usize| {
        let column = batch.columns().get(columns + at);
        let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.ok_or_else(|| EngineError::internal("the place of a row is a number"))
    };
    Ok(RowPlaces {
        in_file: numbers(0)?,
        segments: numbers(1)?,
        positions: numbers(2)?,
    })
}
