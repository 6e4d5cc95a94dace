//! Filters that a query finds out while it runs, applied to the rows of scans.
//!
//! A hash join knows the keys of its smaller side before it reads the larger one, and hands them down
//! to the scan as a filter. Scans only leave out row groups and pages by it. What is between them and
//! the join (exchanges, aggregates, other joins) would still take every row: so rows are filtered as
//! soon as they are decoded, for as long as that leaves out enough of them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::{BatchCoalescer, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;

#[cfg(test)]
mod tests;

/// Rows after which it is decided whether a filter pays.
const TRIAL_ROWS: usize = 32 << 10;
/// A filter that keeps more than this part of the rows costs more than it saves.
const KEPT_PER_CENT_MAX: usize = 60;
/// Rows that pass unfiltered before the filter is tried again: it may have become a narrower one. Twice
/// as many each time.
const PAUSE_ROWS: usize = 256 << 10;

/// Filters the rows of scans by what joins above them have found out.
#[derive(Debug)]
pub(crate) struct JoinFilters;

impl PhysicalOptimizerRule for JoinFilters {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let filtered = plan.transform_up(|plan| {
            let filters = found_filters(&plan);
            if !filters.is_empty() {
                return Ok(Transformed::yes(
                    Arc::new(JoinFilterExec::new(plan, filters)) as _,
                ));
            }
            Ok(match above_filter(&plan)? {
                Some(filtered) => Transformed::yes(Arc::new(filtered) as _),
                None => Transformed::no(plan),
            })
        });
        filtered.map(|filtered| filtered.data)
    }

    fn name(&self) -> &'static str {
        "JoinFilters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What is found out about the rows of a scan, as filters of the rows it returns.
fn found_filters(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn PhysicalExpr>> {
    let scan = plan.downcast_ref::<DataSourceExec>();
    let source = scan.and_then(DataSourceExec::downcast_to_file_source::<ParquetSource>);
    let Some((_, source)) = source else {
        return vec![];
    };
    // Applied while rows are decoded, or there is none.
    let is_applied = source.table_parquet_options().global.pushdown_filters;
    let Some(predicate) = source.filter().filter(|_| !is_applied) else {
        return vec![];
    };
    let Some(projection) = source.projection() else {
        return vec![];
    };
    // The filter is about columns of the table, of which a scan may return any under any name.
    let place = |index: usize| {
        let is_it = |column: &Column| column.index() == index;
        projection
            .iter()
            .position(|returned| returned.expr.downcast_ref::<Column>().is_some_and(is_it))
    };
    let schema = plan.schema();
    split_conjunction(&predicate)
        .into_iter()
        .filter(|filter| filter.downcast_ref::<DynamicFilterPhysicalExpr>().is_some())
        // One about a column that the scan does not return is left to the join.
        .filter_map(|filter| moved(filter, place, &schema))
        .collect()
}

/// The filter of rows in which the column at `index` is at `place(index)`; `None` if one is nowhere.
fn moved(
    filter: &Arc<dyn PhysicalExpr>,
    place: impl Fn(usize) -> Option<usize>,
    schema: &SchemaRef,
) -> Option<Arc<dyn PhysicalExpr>> {
    let mut all_there = true;
    let moved = Arc::clone(filter).transform_down(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else {
            return Ok(Transformed::no(expr));
        };
        Ok(match place(column.index()) {
            Some(index) => {
                let name = schema.field(index).name();
                Transformed::yes(Arc::new(Column::new(name, index)) as _)
            }
            None => {
                all_there = false;
                Transformed::complete(expr)
            }
        })
    });
    let moved = moved.ok()?.data;
    all_there.then_some(moved)
}

/// Filters of the statement's own, which take less, come first.
fn above_filter(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<JoinFilterExec>> {
    let Some(own) = plan.downcast_ref::<FilterExec>() else {
        return Ok(None);
    };
    let Some(below) = own.input().downcast_ref::<JoinFilterExec>() else {
        return Ok(None);
    };
    let place = |index: usize| match own.projection() {
        Some(kept) => kept.iter().position(|kept| *kept == index),
        None => Some(index),
    };
    let schema = plan.schema();
    let filters = below.filters.iter();
    let filters = filters.map(|filter| moved(filter, place, &schema));
    let Some(filters) = filters.collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let scan = vec![Arc::clone(&below.input)];
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    let own = Arc::clone(plan).replace_children(scan, options)?;
    Ok(Some(JoinFilterExec::new(own, filters)))
}

/// Leaves out rows by filters that change while the query runs.
#[derive(Debug)]
struct JoinFilterExec {
    input: Arc<dyn ExecutionPlan>,
    filters: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl JoinFilterExec {
    fn new(input: Arc<dyn ExecutionPlan>, filters: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self {
            properties: Arc::clone(input.properties()),
            input,
            filters,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for JoinFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinFilterExec")
    }
}

impl ExecutionPlan for JoinFilterExec {
    fn name(&self) -> &'static str {
        "JoinFilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.filters {
            if f(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        Ok(Arc::new(Self::new(input, self.filters.clone())))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let batch_rows = context.session_config().batch_size();
        let input = self.input.execute(partition, context)?;
        let schema = self.schema();
        let state = Filtering {
            filters: self.filters.iter().map(TriedFilter::new).collect(),
            coalescer: BatchCoalescer::new(Arc::clone(&schema), batch_rows),
            ready: VecDeque::new(),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = futures::stream::unfold((input, state), |(mut input, mut state)| async move {
            let next = loop {
                if let Some(batch) = state.ready.pop_front() {
                    break Some(Ok(batch));
                }
                match input.next().await {
                    Some(Ok(batch)) => {
                        if let Err(error) = state.push(batch) {
                            break Some(Err(error));
                        }
                    }
                    Some(Err(error)) => break Some(Err(error)),
                    None => match state.finish() {
                        Ok(true) => {}
                        Ok(false) => break None,
                        Err(error) => break Some(Err(error)),
                    },
                }
            };
            next.map(|next| (next, (input, state)))
        });
        let rows = rows.inspect(move |batch| {
            if let Ok(batch) = batch {
                metrics.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The rows of one partition.
struct Filtering {
    filters: Vec<TriedFilter>,
    /// Makes full batches of the few rows that are left of each.
    coalescer: BatchCoalescer,
    ready: VecDeque<RecordBatch>,
}

impl Filtering {
    fn push(&mut self, mut batch: RecordBatch) -> Result<()> {
        let given_rows = batch.num_rows();
        let mut has_decided = false;
        for filter in &mut self.filters {
            let rows = batch.num_rows();
            // By the rows of the scan: filters that come later see few.
            if !filter.trial.wants(given_rows) || rows == 0 {
                continue;
            }
            let kept = filter.expr.evaluate(&batch)?.into_array(rows)?;
            let kept = without_null(as_boolean_array(&kept)?);
            let kept_rows = kept.true_count();
            has_decided |= filter.trial.note(rows, kept_rows);
            if kept_rows < rows {
                batch = filter_record_batch(&batch, &kept)?;
            }
        }
        if has_decided {
            // Those that leave out most, first.
            self.filters
                .sort_by_key(|filter| filter.trial.kept_per_cent);
        }
        if batch.num_rows() == given_rows {
            self.finish()?;
            self.ready.push_back(batch);
            return Ok(());
        }
        self.coalescer.push_batch(batch)?;
        self.take_completed();
        Ok(())
    }

    /// Gives out what is held back; whether there was anything.
    fn finish(&mut self) -> Result<bool> {
        self.coalescer.finish_buffered_batch()?;
        self.take_completed();
        Ok(!self.ready.is_empty())
    }

    fn take_completed(&mut self) {
        while let Some(batch) = self.coalescer.next_completed_batch() {
            self.ready.push_back(batch);
        }
    }
}

/// A filter, and what it was worth.
struct TriedFilter {
    expr: Arc<dyn PhysicalExpr>,
    trial: Trial,
}

impl TriedFilter {
    fn new(expr: &Arc<dyn PhysicalExpr>) -> Self {
        Self {
            expr: Arc::clone(expr),
            trial: Trial::default(),
        }
    }
}

/// A row about which nothing is known does not match.
fn without_null(kept: &BooleanArray) -> BooleanArray {
    match kept.null_count() {
        0 => kept.clone(),
        _ => prep_null_mask_filter(kept),
    }
}

/// Whether a filter leaves out enough to be worth its while.
#[derive(Debug, Default)]
struct Trial {
    rows: usize,
    kept_rows: usize,
    /// Rows that pass until the filter is tried again.
    pause_rows: usize,
    pauses: u32,
    /// Of the last rows it was decided by.
    kept_per_cent: usize,
}

impl Trial {
    /// Whether the next `rows` rows are to be filtered.
    fn wants(&mut self, rows: usize) -> bool {
        let pauses = self.pause_rows > 0;
        self.pause_rows = self.pause_rows.saturating_sub(rows);
        !pauses
    }

    /// Takes down what a filter did; whether it was decided anew.
    fn note(&mut self, rows: usize, kept_rows: usize) -> bool {
        self.rows += rows;
        self.kept_rows += kept_rows;
        if self.rows < TRIAL_ROWS {
            return false;
        }
        self.kept_per_cent = self.kept_rows * 100 / self.rows;
        if self.kept_per_cent > KEPT_PER_CENT_MAX {
            self.pause_rows = PAUSE_ROWS << self.pauses.min(8);
            self.pauses += 1;
        } else {
            self.pauses = 0;
        }
        (self.rows, self.kept_rows) = (0, 0);
        true
    }
}
