//! Decimals that meet floating-point numbers become floating-point numbers, as in PostgreSQL.
//!
//! `DataFusion` makes decimals of both, with 15 digits behind the point: `x > 0.1` failed for an `x`
//! that is NaN or large, and `x > 0.0` was false for an `x` of 1e-20. As literals with a point are
//! decimals here, a column of doubles meets them all the time. So this comes before its own rules
//! for types.
//!
//! The same pass gives whole-number arguments beside decimals, as the 2 of `round(price, 2)`, the
//! type that the function takes them in: such a literal decides the type of the result, and the
//! cast that `DataFusion` would put around it hides it.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Case, InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator,
    ScalarUDF, Union, Values, cast,
};
use datafusion::optimizer::analyzer::AnalyzerRule;

/// Casts decimals to `Float64` where they meet floating-point numbers.
#[derive(Debug)]
pub(crate) struct MixedNumbers;

impl AnalyzerRule for MixedNumbers {
    fn name(&self) -> &'static str {
        "mixed_numbers"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        // Types of columns change from there up.
        let is_changed = Cell::new(false);
        let rewritten = plan.transform_up_with_subqueries(|node| {
            let node = match node {
                node if is_changed.get() => node.recompute_schema()?,
                node => node,
            };
            let node = match node {
                LogicalPlan::Values(values) => values_as_floats(values)?,
                LogicalPlan::Union(union) => union_as_floats(union)?,
                LogicalPlan::Join(join) => {
                    Transformed::no(LogicalPlan::Join(keys_as_floats(join)?))
                }
                node => Transformed::no(node),
            };
            let node = node.transform_data(expressions_as_floats)?;
            is_changed.set(is_changed.get() || node.transformed);
            Ok(node)
        })?;
        Ok(rewritten.data)
    }
}

fn expressions_as_floats(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = match &node {
        LogicalPlan::TableScan(scan) => DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            scan.source.schema().as_ref(),
        )?,
        node => merge_schema(&node.inputs()),
    };
    let names = NamePreserver::new(&node);
    let node = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| with_floats(expr, &schema))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })?;
    match node.transformed {
        true => node.map_data(LogicalPlan::recompute_schema),
        false => Ok(node),
    }
}

/// One expression, whose parts are done.
fn with_floats(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let sides = as_floats([*left, *right], schema);
            sides.update_data(|[left, right]| {
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
            })
        }
        Expr::Between(between) => {
            let parts = as_floats([*between.expr, *between.low, *between.high], schema);
            parts.update_data(|[expr, low, high]| {
                let [expr, low, high] = [expr, low, high].map(Box::new);
                Expr::Between(Between::new(expr, between.negated, low, high))
            })
        }
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => {
            let parts = std::iter::once(*expr).chain(list).collect();
            let parts = many_as_floats(parts, schema);
            parts.update_data(|mut parts| {
                let list = parts.split_off(1);
                let expr = parts.into_iter().map(Box::new).next();
                let expr = expr.unwrap_or_default();
                Expr::InList(InList::new(expr, list, negated))
            })
        }
        Expr::InSubquery(subquery) => in_subquery(subquery, schema)?,
        Expr::Case(case) => case_as_floats(case, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let args = many_as_floats(args, schema);
            let args = args.transform_data(|args| Ok(with_typed_literals(&func, args, schema)))?;
            args.update_data(|args| Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        expr => Transformed::no(expr),
    })
}

/// The arguments, with integer literals in the types that the function takes them in.
fn with_typed_literals(
    func: &ScalarUDF,
    mut args: Vec<Expr>,
    schema: &DFSchema,
) -> Transformed<Vec<Expr>> {
    // A bare NULL stands for any number.
    let is_whole = |own: &DataType| own.is_integer() || own.is_null();
    let is_literal =
        |expr: &Expr| matches!(expr, Expr::Literal(value, _) if is_whole(&value.data_type()));
    if !args.iter().any(is_literal) {
        return Transformed::no(args);
    }
    let fields = args.iter().map(|arg| Ok(arg.to_field(schema)?.1));
    let Ok(fields) = fields.collect::<Result<Vec<_>>>() else {
        return Transformed::no(args);
    };
    let has_decimal = fields.iter().any(|field| field.data_type().is_decimal());
    let Some(wanted) = has_decimal
        .then(|| fields_with_udf(&fields, func).ok())
        .flatten()
    else {
        return Transformed::no(args);
    };
    let mut is_changed = false;
    for (arg, wanted) in args.iter_mut().zip(&wanted) {
        let Expr::Literal(value, _) = arg else {
            continue;
        };
        let wanted = wanted.data_type();
        if is_whole(&value.data_type())
            && wanted.is_integer()
            && value.data_type() != *wanted
            && let Ok(cast) = value.cast_to(wanted)
        {
            *value = cast;
            is_changed = true;
        }
    }
    Transformed::new_transformed(args, is_changed)
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

/// `CASE value WHEN match THEN result … ELSE result END`: matches meet the value, and results each
/// other.
fn case_as_floats(case: Case, schema: &DFSchema) -> Transformed<Expr> {
    let Case {
        expr,
        when_then_expr,
        else_expr,
    } = case;
    let (whens, thens): (Vec<_>, Vec<_>) = when_then_expr.into_iter().unzip();
    let branches = whens.len();
    let has_value = expr.is_some();
    let whens = expr.into_iter().chain(whens).map(|part| *part).collect();
    let thens = thens
        .into_iter()
        .chain(else_expr)
        .map(|part| *part)
        .collect();
    let (whens, thens) = (many_as_floats(whens, schema), many_as_floats(thens, schema));
    let is_changed = whens.transformed || thens.transformed;
    let mut whens = whens.data.into_iter().map(Box::new);
    let mut thens = thens.data.into_iter().map(Box::new);
    let expr = if has_value { whens.next() } else { None };
    let when_then_expr = whens.zip(thens.by_ref().take(branches)).collect();
    let case = Case::new(expr, when_then_expr, thens.next());
    Transformed::new_transformed(Expr::Case(case), is_changed)
}

/// `value IN (SELECT …)`.
fn in_subquery(mut test: InSubquery, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut is_changed = false;
    let of_value = test.expr.get_type(schema).ok();
    let rows = &test.subquery.subquery;
    let of_rows = rows
        .schema()
        .fields()
        .first()
        .map(|field| field.data_type().clone());
    if let (Some(of_value), Some(of_rows)) = (of_value, of_rows) {
        if of_value.is_decimal() && of_rows.is_floating() {
            *test.expr = cast(*test.expr, DataType::Float64);
            is_changed = true;
        } else if of_value.is_floating() && of_rows.is_decimal() {
            let rows = columns_as_floats(rows.as_ref().clone(), &[0])?;
            test.subquery = test.subquery.with_plan(Arc::new(rows));
            is_changed = true;
        }
    }
    Ok(Transformed::new_transformed(
        Expr::InSubquery(test),
        is_changed,
    ))
}

fn keys_as_floats(mut join: Join) -> Result<Join> {
    for (left, right) in &mut join.on {
        let (of_left, of_right) = (
            left.get_type(join.left.schema())?,
            right.get_type(join.right.schema())?,
        );
        for (side, own, other) in [(left, &of_left, &of_right), (right, &of_right, &of_left)] {
            if own.is_decimal() && other.is_floating() {
                *side = cast(std::mem::take(side), DataType::Float64);
            }
        }
    }
    Ok(join)
}

fn union_as_floats(union: Union) -> Result<Transformed<LogicalPlan>> {
    let type_of = |input: &LogicalPlan, place: usize| {
        let field = input.schema().fields().get(place)?;
        Some(field.data_type().clone())
    };
    let is_mixed = |place: &usize| {
        let types = union
            .inputs
            .iter()
            .filter_map(|input| type_of(input, *place));
        are_mixed(&types.collect::<Vec<_>>())
    };
    let mixed: Vec<usize> = (0..union.schema.fields().len()).filter(is_mixed).collect();
    if mixed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let inputs = union.inputs.into_iter().map(|input| {
        let input = columns_as_floats(Arc::unwrap_or_clone(input), &mixed)?;
        Ok(Arc::new(input))
    });
    let union = Union::try_new_with_loose_types(inputs.collect::<Result<_>>()?)?;
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

/// The plan with some of its columns, where they are decimals, as floating-point numbers.
fn columns_as_floats(plan: LogicalPlan, places: &[usize]) -> Result<LogicalPlan> {
    let fields = plan.schema().iter().enumerate();
    let columns = fields.map(|(place, (relation, field))| {
        let column = Expr::from((relation, field));
        match places.contains(&place) && field.data_type().is_decimal() {
            true => {
                cast(column, DataType::Float64).alias_qualified(relation.cloned(), field.name())
            }
            false => column,
        }
    });
    let columns: Vec<_> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// `VALUES`, for which the planner has chosen types and put casts already.
fn values_as_floats(values: Values) -> Result<Transformed<LogicalPlan>> {
    let schema = DFSchema::empty();
    let is_of_float = |expr: &Expr| match expr {
        Expr::Cast(cast) => cast
            .expr
            .get_type(&schema)
            .is_ok_and(|given| given.is_floating()),
        _ => false,
    };
    let Values {
        values: mut rows,
        schema: planned,
    } = values;
    let is_mixed = |place: &usize| {
        let is_decimal = planned.field(*place).data_type().is_decimal();
        let mut cells = rows.iter().map(|row| is_of_float(&row[*place]));
        is_decimal && cells.clone().any(|float| float) && !cells.all(|float| float)
    };
    let mixed: Vec<usize> = (0..planned.fields().len()).filter(is_mixed).collect();
    if mixed.is_empty() {
        let values = Values {
            values: rows,
            schema: planned,
        };
        return Ok(Transformed::no(LogicalPlan::Values(values)));
    }
    for row in &mut rows {
        for place in &mixed {
            let cell = match std::mem::take(&mut row[*place]) {
                Expr::Cast(cast) => *cast.expr,
                cell => cell,
            };
            row[*place] = cast(cell, DataType::Float64);
        }
    }
    let plan = LogicalPlanBuilder::values(rows)?.build()?;
    Ok(Transformed::yes(plan))
}

fn as_floats<const N: usize>(exprs: [Expr; N], schema: &DFSchema) -> Transformed<[Expr; N]> {
    let types = exprs
        .each_ref()
        .map(|expr| expr.get_type(schema).unwrap_or(DataType::Null));
    if !are_mixed(&types) {
        return Transformed::no(exprs);
    }
    let mut types = types.into_iter();
    Transformed::yes(exprs.map(|expr| as_float(expr, &types.next().unwrap_or(DataType::Null))))
}

fn many_as_floats(exprs: Vec<Expr>, schema: &DFSchema) -> Transformed<Vec<Expr>> {
    let types = exprs
        .iter()
        .map(|expr| expr.get_type(schema).unwrap_or(DataType::Null));
    let types: Vec<_> = types.collect();
    if !are_mixed(&types) {
        return Transformed::no(exprs);
    }
    let exprs = exprs.into_iter().zip(&types);
    Transformed::yes(exprs.map(|(expr, own)| as_float(expr, own)).collect())
}

fn as_float(expr: Expr, own: &DataType) -> Expr {
    match floated(own) {
        Some(wanted) => cast(expr, wanted),
        None => expr,
    }
}

/// The type with floating-point numbers in place of decimals, if it is one of decimals.
fn floated(own: &DataType) -> Option<DataType> {
    let nested = |field: &FieldRef| {
        let wanted = floated(field.data_type())?;
        Some(Arc::new(field.as_ref().clone().with_data_type(wanted)))
    };
    match own {
        own if own.is_decimal() => Some(DataType::Float64),
        DataType::List(item) => Some(DataType::List(nested(item)?)),
        DataType::LargeList(item) => Some(DataType::LargeList(nested(item)?)),
        DataType::FixedSizeList(item, size) => Some(DataType::FixedSizeList(nested(item)?, *size)),
        _ => None,
    }
}

/// Whether some are floating-point numbers and others decimals, or lists of them.
fn are_mixed(types: &[DataType]) -> bool {
    let mut numbers = types.iter().map(|own| {
        let mut own = own;
        while let DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _) = own
        {
            own = item.data_type();
        }
        own
    });
    numbers.clone().any(DataType::is_floating) && numbers.any(DataType::is_decimal)
}
