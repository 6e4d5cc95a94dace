//! Results that are fetched in shares, each as often as somebody wants to.
//!
//! A lease holds what a query reads: the segments that may have rows for it, and the rows that were
//! in memory. So every share, fetched twice or by different machines, belongs to one and the same
//! read view. Only queries that look at each row of one table by itself can be shared out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{LogicalPlan, TableScan, TableSource};
use quiver_catalog::TableVersion;

use super::known_query::{NamedTable, changes_by_statement, own_table, with_sources};
use super::query::{QueryRows, run_optimized};
use crate::batch_bytes::slice_bytes;
use crate::engine::Engine;
use crate::error::Result;
use crate::read_view::ReadView;
use crate::scan::{
    BufferedRows, QuiverTable, SegmentPart, SegmentStatistics, TableRows, row_groups, share_out,
};
use crate::segment::SegmentOptions;
use crate::tenant::{LiveView, Tenant};

/// What a lease takes beside rows and lists of segments.
const HEAD_BYTES: usize = 32 << 10;
/// What a column takes in the plan and the schemas.
const COLUMN_BYTES: usize = 1024;
/// What a segment's place in these lists takes.
const SEGMENT_BYTES: usize = 64;

/// Rows in memory of a share of their own, at least.
const BUFFERED_SHARE_BYTES: usize = 1 << 20;

/// A query over one table, with what it reads.
#[derive(Debug)]
pub struct QueryLease {
    tenant: Arc<Tenant>,
    /// Optimized, over the table's name alone.
    plan: LogicalPlan,
    schema: SchemaRef,
    /// With the segments that may have rows for it, and no others.
    table: Arc<TableVersion>,
    shares: Vec<Share>,
    /// Keeps the files.
    live: Arc<LiveView>,
}

#[derive(Debug, Default)]
struct Share {
    parts: Arc<[SegmentPart]>,
    buffered: Vec<RecordBatch>,
}

impl QueryLease {
    /// Of an analyzed and optimized plan; `None` where the rows make up less than two shares, or
    /// depend on more than each other's table.
    pub(super) fn take(
        session: &SessionState,
        tenant: &Arc<Tenant>,
        view: &ReadView,
        plan: LogicalPlan,
        schema: SchemaRef,
        shares_max: usize,
    ) -> Result<Option<Arc<Self>>> {
        let Some(scan) = single_scan(&plan)? else {
            return Ok(None);
        };
        let Some(table) = own_table(&scan) else {
            return Ok(None);
        };
        let filters = unnormalize_cols(scan.filters.iter().cloned());
        let kept = table.kept_segments(session, &filters)?;
        let table = only_segments(table.version(), kept.values());
        let buffered = view.buffered(table.id);
        let shares = shares(&table, buffered, shares_max);
        if shares.len() < 2 {
            return Ok(None);
        }
        let named = Arc::new(NamedTable::of(&table));
        let plan = with_sources(plan, |_| Ok(Arc::clone(&named) as Arc<dyn TableSource>))?;
        Ok(Some(Arc::new(Self {
            tenant: Arc::clone(tenant),
            plan,
            schema,
            table: Arc::new(table),
            shares,
            live: Arc::clone(view.live()),
        })))
    }

    /// Schema of the rows of each share.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many shares there are: two or more.
    pub fn share_count(&self) -> usize {
        self.shares.len()
    }

    /// What all of it keeps in memory, about.
    pub fn bytes(&self) -> usize {
        let buffered = self.shares.iter().flat_map(|share| &share.buffered);
        let segments = self.table.segments.len() * SEGMENT_BYTES;
        let columns = self.table.columns.len() * COLUMN_BYTES;
        HEAD_BYTES + columns + segments + buffered.map(slice_bytes).sum::<usize>()
    }

    /// The rows of a share: always the same ones, in any order.
    ///
    /// # Errors
    /// What goes wrong while they are read, here or in the stream.
    ///
    /// # Panics
    /// When there is no such share.
    pub async fn rows(self: &Arc<Self>, engine: &Engine, share: usize) -> Result<QueryRows> {
        let session = engine.template().of_tenant(&self.tenant);
        let plan = self.bound(share)?;
        let lease = Arc::clone(self);
        let rows = async move {
            let schema = Arc::clone(&lease.schema);
            run_optimized(&session, &plan, schema, lease).await
        };
        engine.query_runtime().run(rows).await
    }

    fn bound(&self, share: usize) -> Result<LogicalPlan> {
        let share = &self.shares[share];
        let buffered = share.buffered.clone();
        let reading = self.tenant.reading();
        let table = QuiverTable::of_parts(
            Arc::clone(&self.table),
            // Made for each fetch: they take far more than all the rest.
            Arc::new(SegmentStatistics::new(&self.table, None)),
            Arc::clone(&share.parts),
            TableRows {
                live: Some(Arc::clone(&self.live)),
                ..TableRows::new(BufferedRows::new(Box::new(move || buffered)))
            },
            reading.store_url.clone(),
            reading.scan_options.clone(),
        );
        let source = provider_as_source(Arc::new(table));
        with_sources(self.plan.clone(), |_| Ok(Arc::clone(&source)))
    }
}

/// The one scan of a plan that looks at each row by itself, and finds the same each time.
fn single_scan(plan: &LogicalPlan) -> Result<Option<TableScan>> {
    let mut scans = vec![];
    let mut is_divisible = true;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => scans.push(scan.clone()),
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
            }
            _ => is_divisible = false,
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                is_divisible &= !expr.is_volatile_node() && !changes_by_statement(expr);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    // A second one is in a subquery.
    let single = scans.pop().filter(|_| scans.is_empty() && is_divisible);
    Ok(single)
}

fn only_segments(table: &TableVersion, kept: &[u64]) -> TableVersion {
    let kept = kept
        .iter()
        .map(|at| Arc::clone(&table.segments[*at as usize]));
    TableVersion {
        segments: Arc::new(kept.collect()),
        ..table.clone()
    }
}

/// Up to `shares_max` shares of what is in segments and in memory, each with something in it.
fn shares(table: &TableVersion, buffered: Vec<RecordBatch>, shares_max: usize) -> Vec<Share> {
    let group_rows = SegmentOptions::default().row_group_rows as u64;
    let groups = table.segments.iter().map(|s| row_groups(s, group_rows));
    let groups: u64 = groups.sum();
    let stored = shares_max.min(usize::try_from(groups).unwrap_or(usize::MAX));
    let mut shares: Vec<Share> = match stored {
        0 => vec![],
        count => share_out(table, group_rows, count)
            .into_iter()
            .map(|parts| Share {
                parts: parts.into(),
                buffered: vec![],
            })
            .collect(),
    };
    // Rows in memory go to shares of their own where they are many and there may be more.
    let first = shares.len();
    let bytes: usize = buffered.iter().map(slice_bytes).sum();
    let worth = (bytes / BUFFERED_SHARE_BYTES).max(usize::from(first == 0));
    let in_memory = worth.min(shares_max - first).min(buffered.len());
    shares.resize_with(first + in_memory, Share::default);
    let takers = if in_memory > 0 { first.. } else { 0.. };
    let mut takers: Vec<_> = shares[takers].iter_mut().map(|share| (0, share)).collect();
    for batch in buffered {
        if let Some((bytes, share)) = takers.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += slice_bytes(&batch);
            share.buffered.push(batch);
        }
    }
    shares
}
