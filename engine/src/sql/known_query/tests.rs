#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};

use super::{BYTES_MAX, EXPR_BYTES, KnownQuery};
use crate::sql::query::QueryPlan;

/// About what a plan takes, when it is kept.
fn kept(plan: &LogicalPlan) -> Option<u64> {
    let schema = Arc::new(Schema::empty());
    let promised = QueryPlan {
        open_schema: Arc::clone(&schema),
        schema: Arc::clone(&schema),
        parameters: schema,
    };
    let known = KnownQuery::of(plan, &promised).unwrap();
    known.map(|known| known.bytes())
}

/// `SELECT` of one row of numbers.
fn numbers(count: u64) -> LogicalPlan {
    let row = (0..count).map(lit).collect();
    let plan = LogicalPlanBuilder::values(vec![row]).unwrap();
    plan.build().unwrap()
}

/// `SELECT` of one text of so many bytes.
fn text(bytes: u64) -> LogicalPlan {
    let row = vec![lit("x".repeat(usize::try_from(bytes).unwrap()))];
    let plan = LogicalPlanBuilder::values(vec![row]).unwrap();
    plan.build().unwrap()
}

#[test]
fn a_kept_plan_weighs_its_expressions() {
    let (few, many) = (kept(&numbers(10)).unwrap(), kept(&numbers(1000)).unwrap());
    assert!(many - few >= 2 * 990 * EXPR_BYTES, "{few} {many}");
}

#[test]
fn a_kept_plan_weighs_its_constants() {
    let (short, long) = (kept(&text(10)).unwrap(), kept(&text(1 << 20)).unwrap());
    assert!(long - short >= 2 * ((1 << 20) - 10), "{short} {long}");
}

#[test]
fn a_large_plan_is_not_kept() {
    assert!(kept(&numbers(BYTES_MAX / EXPR_BYTES)).is_none());
    assert!(kept(&text(BYTES_MAX)).is_none());
}
