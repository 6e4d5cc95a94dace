//! Keeps what joins and limits find out at home where columns share a name.
//!
//! DataFusion 55 hands such a filter from operator to operator by the names of its columns. Where one
//! operator returns two columns of a name, the filter lands on the first of them, and rows are lost
//! (apache/datafusion #25244 and #25296; mended after 55.2). A plan with such an operator gets none.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;

/// DataFusion's rules, with this guard around the one that hands such filters down.
pub(crate) fn guarded_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let guarded = FilterPushdown::new_post_optimization().name().to_owned();
    let rules = PhysicalOptimizer::new().rules;
    assert!(
        rules.iter().any(|rule| rule.name() == guarded),
        "DataFusion has the rule that is guarded"
    );
    let guard = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| match rule.name() == guarded {
        true => Arc::new(FiltersByName(rule)) as _,
        false => rule,
    };
    rules.into_iter().map(guard).collect()
}

/// The rule, which finds no filters in plans where it would confuse columns.
#[derive(Debug)]
struct FiltersByName(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for FiltersByName {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !repeats_names(&plan)? {
            return self.0.optimize(plan, config);
        }
        let mut config = config.clone();
        let optimizer = &mut config.optimizer;
        optimizer.enable_dynamic_filter_pushdown = false;
        optimizer.enable_join_dynamic_filter_pushdown = false;
        optimizer.enable_topk_dynamic_filter_pushdown = false;
        optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        self.0.optimize(plan, &config)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether an operator returns two columns of one name.
fn repeats_names(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut repeats = false;
    plan.apply(|plan| {
        let schema = plan.schema();
        let mut names = HashSet::new();
        repeats = !schema
            .fields()
            .iter()
            .all(|field| names.insert(field.name()));
        Ok(match repeats {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(repeats)
}
