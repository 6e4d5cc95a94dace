#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, LogicalTableSource, col, lit};
use datafusion::optimizer::{OptimizerContext, OptimizerRule};
use datafusion::prelude::Expr;

use super::CheapFirst;

/// The conditions after the rule, and whether it changed them.
fn ordered(predicate: Expr) -> (String, bool) {
    let field = |name: &str, kind| Field::new(name, kind, true);
    let schema = Schema::new(vec![
        field("number", DataType::Int64),
        field("other", DataType::Int64),
        field("day", DataType::Date32),
        field("text", DataType::Utf8),
    ]);
    let source = Arc::new(LogicalTableSource::new(Arc::new(schema)));
    let scan = LogicalPlanBuilder::scan("t", source, None).unwrap();
    let plan = scan.filter(predicate).unwrap().build().unwrap();
    let outcome = CheapFirst.rewrite(plan, &OptimizerContext::new()).unwrap();
    let LogicalPlan::Filter(filter) = outcome.data else {
        panic!("it stays a filter");
    };
    (
        filter.predicate.to_string().replace("t.", ""),
        outcome.transformed,
    )
}

#[test]
fn comparisons_come_first_and_the_rest_stays_in_order() {
    let text = col("text").eq(lit("a"));
    let fails = (lit(10_i64) / col("number")).gt(lit(1_i64));
    let range = col("number").gt(lit(5_i64));
    let (conditions, changed) = ordered(
        text.clone()
            .and(fails.clone())
            .and(col("number").lt(col("other")))
            .and(range.clone())
            .and(col("other").eq(lit(7_i64))),
    );
    assert_eq!(
        conditions,
        "other = Int64(7) AND number < other AND number > Int64(5) AND text = Utf8(\"a\") AND \
         Int64(10) / number > Int64(1)"
    );
    assert!(changed);
    let (_, changed) = ordered(range.and(text).and(fails));
    assert!(!changed, "or the optimizer would go on for ever");
}
