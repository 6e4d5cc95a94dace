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
use arrow::compute::{BatchCoalescer, prep_null_mask_filter};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

#[cfg(test)]
mod tests;

/// Rows after which it is decided whether a filter pays.
const TRIAL_ROWS: usize = 32 << 10;
/// A filter that keeps more than this part of the rows costs more than it saves.
const KEPT_PER_CENT_MAX: usize = 75;
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
            Ok(match found_filter(&plan)? {
                Some(filter) => Transformed::yes(Arc::new(JoinFilterExec::new(plan, filter)) as _),
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

/// What is found out about the rows of a scan, as a filter of the rows it returns.
fn found_filter(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(scan) = plan.downcast_ref::<DataSourceExec>() else {
        return Ok(None);
    };
    let Some((_, source)) = scan.downcast_to_file_source::<ParquetSource>() else {
        return Ok(None);
    };
    if source.table_parquet_options().global.pushdown_filters {
        // Applied while rows are decoded.
        return Ok(None);
    }
    let Some(predicate) = FileSource::filter(source) else {
        return Ok(None);
    };
    let schema = plan.schema();
    let found: Vec<_> = split_conjunction(&predicate)
        .into_iter()
        .filter(|filter| filter.downcast_ref::<DynamicFilterPhysicalExpr>().is_some())
        // One about a column that the scan does not return is left to the join.
        .filter_map(|filter| reassign_expr_columns(Arc::clone(filter), &schema).ok())
        .collect();
    Ok((!found.is_empty()).then(|| conjunction(found)))
}

/// Leaves out rows by a filter that changes while the query runs.
#[derive(Debug)]
struct JoinFilterExec {
    input: Arc<dyn ExecutionPlan>,
    filter: Arc<dyn PhysicalExpr>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl JoinFilterExec {
    fn new(input: Arc<dyn ExecutionPlan>, filter: Arc<dyn PhysicalExpr>) -> Self {
        Self {
            properties: Arc::clone(input.properties()),
            input,
            filter,
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
        f(&self.filter)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        Ok(Arc::new(Self::new(input, Arc::clone(&self.filter))))
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
            trial: Trial::default(),
            filter: Arc::clone(&self.filter),
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
    trial: Trial,
    filter: Arc<dyn PhysicalExpr>,
    /// Makes full batches of the few rows that are left of each.
    coalescer: BatchCoalescer,
    ready: VecDeque<RecordBatch>,
}

impl Filtering {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if !self.trial.wants(rows) {
            self.finish()?;
            self.ready.push_back(batch);
            return Ok(());
        }
        let kept = self.filter.evaluate(&batch)?.into_array(rows)?;
        let kept = without_null(as_boolean_array(&kept)?);
        let kept_rows = kept.true_count();
        self.trial.note(rows, kept_rows);
        if kept_rows == rows {
            self.finish()?;
            self.ready.push_back(batch);
            return Ok(());
        }
        self.coalescer.push_batch_with_filter(batch, &kept)?;
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
}

impl Trial {
    /// Whether the next `rows` rows are to be filtered.
    fn wants(&mut self, rows: usize) -> bool {
        let pauses = self.pause_rows > 0;
        self.pause_rows = self.pause_rows.saturating_sub(rows);
        !pauses
    }

    fn note(&mut self, rows: usize, kept_rows: usize) {
        self.rows += rows;
        self.kept_rows += kept_rows;
        if self.rows < TRIAL_ROWS {
            return;
        }
        if self.kept_rows * 100 > self.rows * KEPT_PER_CENT_MAX {
            self.pause_rows = PAUSE_ROWS << self.pauses.min(8);
            self.pauses += 1;
        } else {
            self.pauses = 0;
        }
        (self.rows, self.kept_rows) = (0, 0);
    }
}
