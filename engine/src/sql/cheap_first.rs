//! The order of conditions: comparisons of numbers and times before everything else.
//!
//! A filter evaluates what follows a condition only for the rows it leaves, where these are few. The
//! planner keeps the order of the text. Such comparisons take next to nothing and cannot fail, so
//! that nothing is evaluated for a row that would not have been without them.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, Operator,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

#[cfg(test)]
mod tests;

/// Moves cheap conditions to the front; the others keep their order.
#[derive(Debug)]
pub(crate) struct CheapFirst;

impl OptimizerRule for CheapFirst {
    fn name(&self) -> &'static str {
        "cheap_first"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return Ok(Transformed::no(plan));
        };
        let Filter {
            predicate, input, ..
        } = filter;
        let conditions = split_conjunction_owned(predicate.clone());
        let mut costs: Vec<_> = conditions
            .into_iter()
            .map(|condition| (cost(&condition, input.schema()), condition))
            .collect();
        let is_ordered = costs.is_sorted_by_key(|(cost, _)| *cost);
        costs.sort_by_key(|(cost, _)| *cost);
        let ordered = conjunction(costs.into_iter().map(|(_, condition)| condition));
        let changed = ordered.filter(|_| !is_ordered);
        let is_changed = changed.is_some();
        let filter = LogicalPlan::Filter(Filter::try_new(changed.unwrap_or(predicate), input)?);
        Ok(Transformed::new_transformed(filter, is_changed))
    }
}

/// What a condition takes, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// Equality with a value.
    Equality,
    /// Any other comparison of numbers or times.
    Comparison,
    /// Everything else.
    Other,
}

fn cost(condition: &Expr, schema: &DFSchema) -> Cost {
    let is_value = |expr: &Expr| matches!(expr, Expr::Literal(..));
    let is_plain = |expr: &Expr| match expr {
        Expr::Literal(..) => true,
        Expr::Column(_) => expr
            .get_type(schema)
            .is_ok_and(|kind| kind.is_numeric() || kind.is_temporal()),
        _ => false,
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if op.supports_propagation() && is_plain(left) && is_plain(right) =>
        {
            let has_value = is_value(left) || is_value(right);
            match op {
                Operator::Eq if has_value => Cost::Equality,
                _ => Cost::Comparison,
            }
        }
        Expr::Between(Between {
            expr, low, high, ..
        }) if is_plain(expr) && is_plain(low) && is_plain(high) => Cost::Comparison,
        _ => Cost::Other,
    }
}
