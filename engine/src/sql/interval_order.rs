//! Intervals compare by how long they are, with 30 days in a month and 24 hours in a day, as in
//! PostgreSQL.
//!
//! DataFusion compares months first, then days, then the rest: a difference of two timestamps, which
//! has neither months nor days, was never longer than `INTERVAL '1 day'`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit};
use datafusion::common::cast::as_interval_mdn_array;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF,
    Volatility, create_udf,
};
use datafusion::optimizer::analyzer::AnalyzerRule;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
/// Of nanoseconds: more than the longest interval has.
const SPAN_DIGITS: u8 = 38;
const DAYS_PER_MONTH: i128 = 30;
const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// Compares spans where intervals are compared. To come after the types are settled.
#[derive(Debug)]
pub(crate) struct IntervalOrder;

impl AnalyzerRule for IntervalOrder {
    fn name(&self) -> &'static str {
        "interval_order"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let ordered = plan.transform_up_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let ordered = expr.transform_up(|expr| by_span(expr, &schema))?;
                Ok(ordered.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(ordered.data)
    }
}

fn by_span(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_interval = |expr: &Expr| matches!(expr.get_type(schema), Ok(kind) if kind == INTERVAL);
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_comparison(op) && is_interval(&left) && is_interval(&right) =>
        {
            let comparison = BinaryExpr::new(span_of(*left).into(), op, span_of(*right).into());
            Transformed::yes(Expr::BinaryExpr(comparison))
        }
        Expr::Between(between) if is_interval(&between.expr) => {
            Transformed::yes(Expr::Between(Between {
                expr: span_of(*between.expr).into(),
                low: span_of(*between.low).into(),
                high: span_of(*between.high).into(),
                ..between
            }))
        }
        Expr::InList(list) if is_interval(&list.expr) => Transformed::yes(Expr::InList(InList {
            expr: span_of(*list.expr).into(),
            list: list.list.into_iter().map(span_of).collect(),
            ..list
        })),
        expr => Transformed::no(expr),
    })
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    let comparisons = [
        Eq,
        NotEq,
        Lt,
        LtEq,
        Gt,
        GtEq,
        IsDistinctFrom,
        IsNotDistinctFrom,
    ];
    comparisons.contains(&op)
}

fn span_of(interval: Expr) -> Expr {
    SPAN.call(vec![interval])
}

static SPAN: LazyLock<ScalarUDF> = LazyLock::new(|| {
    let invoke = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let intervals = as_interval_mdn_array(&arrays[0])?.iter();
        let spans: Decimal128Array = intervals.map(|interval| interval.map(span)).collect();
        let spans: ArrayRef = Arc::new(spans.with_precision_and_scale(SPAN_DIGITS, 0)?);
        Ok(match &arguments[0] {
            ColumnarValue::Scalar(_) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&spans, 0)?)
            }
            ColumnarValue::Array(_) => ColumnarValue::Array(spans),
        })
    };
    create_udf(
        "interval_span",
        vec![INTERVAL],
        DataType::Decimal128(SPAN_DIGITS, 0),
        Volatility::Immutable,
        Arc::new(invoke),
    )
});

/// Nanoseconds.
fn span(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * DAYS_PER_MONTH + i128::from(interval.days);
    days * NANOS_PER_DAY + i128::from(interval.nanoseconds)
}
