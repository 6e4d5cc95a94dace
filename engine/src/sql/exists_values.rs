//! `EXISTS` as a value, which DataFusion knows only as a condition of `WHERE`.

use std::sync::Arc;

use datafusion::common::Spans;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery, lit};
use datafusion::optimizer::analyzer::AnalyzerRule;

/// The name of the count inside.
const COUNT: &str = "rows_there";

/// Counts the rows of subqueries that results ask for.
#[derive(Debug)]
pub(crate) struct ExistsValues;

impl AnalyzerRule for ExistsValues {
    fn name(&self) -> &'static str {
        "exists_values"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let counted = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Projection(_) => {
                node.map_expressions(|expr| {
                    // Others ask for the column by the name that it had.
                    let name = NamePreserver::new_for_projection().save(&expr);
                    let counted = expr.transform_up(|expr| match expr {
                        Expr::Exists(exists) if can_be_counted(&exists)? => {
                            Ok(Transformed::yes(counted(exists)?))
                        }
                        expr => Ok(Transformed::no(expr)),
                    })?;
                    Ok(counted.update_data(|expr| name.restore(expr)))
                })
            }
            node => Ok(Transformed::no(node)),
        })?;
        Ok(counted.data)
    }
}

/// DataFusion takes a correlated subquery apart, and what it counts then is right only where each row
/// of the subquery is one of its tables'.
fn can_be_counted(exists: &Exists) -> Result<bool> {
    let mut is_plain = true;
    exists.subquery.subquery.apply_with_subqueries(|node| {
        use LogicalPlan::{Filter, Join, Projection, Subquery, SubqueryAlias, TableScan};
        is_plain &= matches!(
            node,
            Filter(_) | Join(_) | Projection(_) | Subquery(_) | SubqueryAlias(_) | TableScan(_)
        );
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(is_plain || exists.subquery.outer_ref_columns.is_empty())
}

/// Whether the subquery has rows, as a query for one value.
fn counted(exists: Exists) -> Result<Expr> {
    let Exists { subquery, negated } = exists;
    let rows = LogicalPlanBuilder::from(Arc::unwrap_or_clone(subquery.subquery))
        .aggregate(Vec::<Expr>::new(), [count(lit(1)).alias(COUNT)])?
        .build()?;
    let count = Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(rows),
        outer_ref_columns: subquery.outer_ref_columns,
        spans: Spans::new(),
    });
    Ok(match negated {
        true => count.eq(lit(0_i64)),
        false => count.gt(lit(0_i64)),
    })
}
