//! How far a statement that takes long has come.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use parking_lot::Mutex;

/// Below 1 for as long as anything may be left to do.
const MOST: f64 = 0.99;

/// The progress of one statement, for whoever waits for it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Of the query that makes its rows now.
    plan: Mutex<Option<Arc<dyn ExecutionPlan>>>,
}

impl Progress {
    /// The share of the rows to read that were read, from 0 to 1; `None` when nobody knows how many
    /// there are. What a scan leaves out counts as not read.
    pub fn fraction(&self) -> Option<f64> {
        let plan = self.plan.lock().clone()?;
        let (mut read, mut all) = (0, 0);
        count(plan.as_ref(), &mut read, &mut all)?;
        let fraction = (all > 0).then(|| read as f64 / all as f64)?;
        Some(fraction.min(MOST))
    }

    /// A query begins.
    pub(super) fn watch(&self, plan: &Arc<dyn ExecutionPlan>) {
        *self.plan.lock() = Some(Arc::clone(plan));
    }

    /// The statement has ended: a plan holds the rows that it reads.
    pub fn end(&self) {
        drop(self.plan.lock().take());
    }
}

/// Adds up the rows of the scans below `plan`; `None` when one does not know how many it has.
fn count(plan: &dyn ExecutionPlan, read: &mut usize, all: &mut usize) -> Option<()> {
    let children = plan.children();
    if children.is_empty() {
        let whole = StatisticsArgs::new();
        let statistics = StatisticsContext::new().compute(plan, &whole).ok()?;
        *all += statistics.num_rows.get_value()?;
        let metrics = plan.metrics()?;
        *read += metrics.output_rows().unwrap_or(0);
    }
    for child in children {
        count(child.as_ref(), read, all)?;
    }
    Some(())
}
