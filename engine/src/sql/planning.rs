//! From a statement to its logical plan: DataFusion's planner, and what has to be done before and
//! after it so that SQL means what PostgreSQL's users expect.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::sql::parser::Statement as DfStatement;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::repeated_names::{is_about_repeated_names, restore_name, with_own_names};
use super::rewrite::rewrite;
use crate::error::{EngineError, Result};

/// Plans a statement. Repeated names of result columns carry a mark that
/// [`super::query::promised_schema`] takes off.
pub(crate) fn plan_statement(
    session: &SessionState,
    mut statement: DfStatement,
) -> BoxFuture<'_, Result<LogicalPlan>> {
    // In a box, because the planner's future is large and there are several of them in this one.
    let planning = async move {
        rewrite(session, &mut statement)?;
        let plan = match session.statement_to_plan(statement.clone()).await {
            Err(error) if is_about_repeated_names(&error) => {
                match with_own_names(session, statement).await? {
                    Some(plan) => plan,
                    None => return Err(error.into()),
                }
            }
            planned => planned?,
        };
        refuse_numbers_as_times(&plan)?;
        Ok(describe_restored(plan))
    };
    planning.boxed()
}

/// The rows of a plan in the types of `wanted`, column by column.
pub(crate) fn with_types(plan: LogicalPlan, wanted: &Schema) -> DataFusionResult<LogicalPlan> {
    let given = plan.schema();
    if given.fields().len() != wanted.fields().len() {
        return datafusion::common::plan_err!(
            "the query returns {} columns, but {} are declared",
            given.fields().len(),
            wanted.fields().len()
        );
    }
    let has_type = |(own, wanted): (&FieldRef, &FieldRef)| own.data_type() == wanted.data_type();
    if given.fields().iter().zip(wanted.fields()).all(has_type) {
        return Ok(plan);
    }
    let columns = given.iter().zip(wanted.fields());
    let columns = columns.map(|((relation, field), wanted)| {
        let column = Expr::from((relation, field));
        match field.data_type() == wanted.data_type() {
            true => column,
            false => cast(column, wanted.data_type().clone())
                .alias_qualified(relation.cloned(), field.name()),
        }
    });
    let columns: Vec<_> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// `CAST(1700000000 AS TIMESTAMP)` would count microseconds where others count seconds.
pub(crate) fn refuse_numbers_as_times(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (source, target) = match expr {
                    Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
                    Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                let is_time = matches!(target, DataType::Timestamp(TimeUnit::Microsecond, _));
                if is_time && source.get_type(&schema).is_ok_and(|kind| kind.is_numeric()) {
                    return Err(number_as_time());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn number_as_time() -> DataFusionError {
    let message = "a number is no timestamp: write to_timestamp(seconds), to_timestamp_millis(…) \
                   or to_timestamp_micros(…)";
    DataFusionError::External(Box::new(EngineError::invalid(message)))
}

/// `DESCRIBE SELECT …` shows names as data.
fn describe_restored(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::DescribeTable(mut describe) => {
            let restored = describe.schema.fields().iter().map(restore_name);
            describe.schema = Arc::new(Schema::new(restored.collect::<Vec<_>>()));
            LogicalPlan::DescribeTable(describe)
        }
        plan => plan,
    }
}
