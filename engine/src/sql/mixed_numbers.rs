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

use arrow::datatypes::{DataType, Decimal128Type, DecimalType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRewriter};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{
    Case, Exists, InList, InSubquery, ScalarFunction, SetComparison,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator,
    RecursiveQuery, ScalarUDF, Subquery, Union, Values, cast,
};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;

use super::planning::with_types;

/// Casts decimals to `Float64` where they meet floating-point numbers.
#[derive(Debug)]
pub(crate) struct MixedNumbers;

impl AnalyzerRule for MixedNumbers {
    fn name(&self) -> &'static str {
        "mixed_numbers"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let walk = Walk {
            is_changed: Cell::new(false),
        };
        walk.plan(plan, &[])
    }
}

/// A walk from the leaves up, so that what meets is known in its final type: each part is coerced as
/// `DataFusion` will, before what it is a part of is looked at.
struct Walk {
    /// Types of columns have changed, and change from there up.
    is_changed: Cell<bool>,
}

impl Walk {
    /// A plan that may refer to columns of `outer`, the innermost last.
    fn plan(&self, plan: LogicalPlan, outer: &[&DFSchema]) -> Result<LogicalPlan> {
        let plan = match plan {
            LogicalPlan::Join(join) => self.join(join, outer)?,
            LogicalPlan::RecursiveQuery(query) => self.recursive_query(query, outer)?,
            plan => {
                let children =
                    plan.map_children(|child| Ok(Transformed::yes(self.plan(child, outer)?)));
                children?.data
            }
        };
        let plan = match plan {
            LogicalPlan::Values(values) => values_as_floats(values)?,
            LogicalPlan::Union(union) => union_as_floats(union)?,
            plan if self.is_changed.get() => Transformed::no(plan.recompute_schema()?),
            plan => Transformed::no(plan),
        };
        let plan = plan.transform_data(|plan| self.expressions(plan, outer))?;
        self.is_changed
            .set(self.is_changed.get() || plan.transformed);
        Ok(plan.data)
    }

    /// The right side may refer to the left one.
    fn join(&self, join: Join, outer: &[&DFSchema]) -> Result<LogicalPlan> {
        let left = self.plan(Arc::unwrap_or_clone(join.left), outer)?;
        let right = {
            let outer: Vec<_> = outer
                .iter()
                .copied()
                .chain([left.schema().as_ref()])
                .collect();
            self.plan(Arc::unwrap_or_clone(join.right), &outer)?
        };
        let join = Join {
            left: Arc::new(left),
            right: Arc::new(right),
            ..join
        };
        Ok(LogicalPlan::Join(keys_as_floats(join)?))
    }

    /// Its terms read each other, so that they keep the types they have.
    fn recursive_query(&self, query: RecursiveQuery, outer: &[&DFSchema]) -> Result<LogicalPlan> {
        let term = |term: Arc<LogicalPlan>| -> Result<Arc<LogicalPlan>> {
            let promised = Arc::clone(term.schema());
            let term = self.plan(Arc::unwrap_or_clone(term), outer)?;
            Ok(Arc::new(with_types(term, promised.as_arrow())?))
        };
        Ok(LogicalPlan::RecursiveQuery(RecursiveQuery {
            static_term: term(query.static_term)?,
            recursive_term: term(query.recursive_term)?,
            ..query
        }))
    }

    fn expressions(
        &self,
        plan: LogicalPlan,
        outer: &[&DFSchema],
    ) -> Result<Transformed<LogicalPlan>> {
        let schema = match &plan {
            LogicalPlan::TableScan(scan) => DFSchema::try_from_qualified_schema(
                scan.table_name.clone(),
                scan.source.schema().as_ref(),
            )?,
            plan => merge_schema(&plan.inputs()),
        };
        let inner: Vec<_> = outer.iter().copied().chain([&schema]).collect();
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| {
                let expr = self.refreshed(expr, outer, &inner)?;
                let expr = expr.transform_data(|expr| with_floats(expr, &schema))?;
                expr.transform_data(|expr| TypeCoercionRewriter::new(&schema).f_up(expr))
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?;
        match plan.transformed {
            true => plan.map_data(LogicalPlan::recompute_schema),
            false => Ok(plan),
        }
    }

    /// The expression with the types that columns of `outer` have by now, and with its subquery done,
    /// which may refer to `inner`.
    fn refreshed(
        &self,
        expr: Expr,
        outer: &[&DFSchema],
        inner: &[&DFSchema],
    ) -> Result<Transformed<Expr>> {
        let subquery = |subquery: Subquery| -> Result<Subquery> {
            let plan = self.plan(Arc::unwrap_or_clone(subquery.subquery), inner)?;
            let outer_ref_columns = subquery.outer_ref_columns.into_iter();
            let refreshed = outer_ref_columns.map(|expr| Ok(with_current_type(expr, inner).data));
            Ok(Subquery {
                subquery: Arc::new(plan),
                outer_ref_columns: refreshed.collect::<Result<_>>()?,
                spans: subquery.spans,
            })
        };
        let expr = match expr {
            Expr::ScalarSubquery(query) => Expr::ScalarSubquery(subquery(query)?),
            Expr::Exists(Exists {
                subquery: query,
                negated,
            }) => Expr::Exists(Exists::new(subquery(query)?, negated)),
            Expr::InSubquery(test) => Expr::InSubquery(InSubquery {
                subquery: subquery(test.subquery)?,
                ..test
            }),
            Expr::SetComparison(test) => Expr::SetComparison(SetComparison {
                subquery: subquery(test.subquery)?,
                ..test
            }),
            expr => return Ok(with_current_type(expr, outer)),
        };
        Ok(Transformed::no(expr))
    }
}

/// A column of an outer query carries the type that it had when it was planned.
fn with_current_type(expr: Expr, outer: &[&DFSchema]) -> Transformed<Expr> {
    let Expr::OuterReferenceColumn(field, column) = &expr else {
        return Transformed::no(expr);
    };
    let mut schemas = outer.iter().rev();
    let current = schemas.find_map(|schema| schema.qualified_field_from_column(column).ok());
    match current {
        Some((_, current)) if current.data_type() != field.data_type() => {
            let current = Arc::clone(current);
            Transformed::yes(Expr::OuterReferenceColumn(current, column.clone()))
        }
        _ => Transformed::no(expr),
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
        Expr::InSubquery(mut test) => {
            let is_changed = meets_rows(&mut test.expr, &mut test.subquery, schema)?;
            Transformed::new_transformed(Expr::InSubquery(test), is_changed)
        }
        Expr::SetComparison(mut test) => {
            let is_changed = meets_rows(&mut test.expr, &mut test.subquery, schema)?;
            Transformed::new_transformed(Expr::SetComparison(test), is_changed)
        }
        Expr::Case(case) => case_as_floats(case, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let args = many_as_floats(args, schema);
            let args = args.transform_data(|args| Ok(with_typed_literals(&func, args, schema)))?;
            args.update_data(|args| Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        // Not by way of the decimal's digits as a number: that would round twice.
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => {
            match float_of(&cast.expr) {
                Some(float) => Transformed::yes(float),
                None => Transformed::no(Expr::Cast(cast)),
            }
        }
        expr => Transformed::no(expr),
    })
}

/// A decimal literal as the nearest floating-point number.
fn float_of(expr: &Expr) -> Option<Expr> {
    let Expr::Literal(value, metadata) = expr else {
        return None;
    };
    Some(Expr::Literal(nearest_float(value)?, metadata.clone()))
}

/// The floating-point number that is nearest to a decimal.
pub(super) fn nearest_float(value: &ScalarValue) -> Option<ScalarValue> {
    let ScalarValue::Decimal128(Some(value), precision, scale) = value else {
        return None;
    };
    let text = Decimal128Type::format_decimal(*value, *precision, *scale);
    Some(ScalarValue::Float64(Some(text.parse().ok()?)))
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

/// `value IN (SELECT …)`, `value > ALL (SELECT …)`.
fn meets_rows(value: &mut Expr, query: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let rows = &query.subquery;
    let of_rows = rows
        .schema()
        .fields()
        .first()
        .map(|field| field.data_type().clone());
    let (Ok(of_value), Some(of_rows)) = (value.get_type(schema), of_rows) else {
        return Ok(false);
    };
    if of_value.is_decimal() && of_rows.is_floating() {
        *value = as_float(std::mem::take(value), &of_value);
        return Ok(true);
    }
    if of_value.is_floating() && of_rows.is_decimal() {
        let rows = columns_as_floats(rows.as_ref().clone(), &[0])?;
        *query = query.with_plan(Arc::new(rows));
        return Ok(true);
    }
    Ok(false)
}

fn keys_as_floats(mut join: Join) -> Result<Join> {
    for (left, right) in &mut join.on {
        let (of_left, of_right) = (
            left.get_type(join.left.schema())?,
            right.get_type(join.right.schema())?,
        );
        for (side, own, other) in [(left, &of_left, &of_right), (right, &of_right, &of_left)] {
            if own.is_decimal() && other.is_floating() {
                *side = as_float(std::mem::take(side), own);
            }
        }
    }
    Ok(join)
}

/// A union with one type for each column, which it keeps from its first input otherwise.
fn union_as_floats(union: Union) -> Result<Transformed<LogicalPlan>> {
    let type_of = |input: &LogicalPlan, place: usize| {
        let field = input.schema().fields().get(place)?;
        Some(field.data_type().clone())
    };
    let types = |place: usize| {
        let types = union
            .inputs
            .iter()
            .filter_map(|input| type_of(input, place));
        types.collect::<Vec<_>>()
    };
    let places = 0..union.schema.fields().len();
    let is_one = |place: usize| {
        let own = union.schema.field(place).data_type();
        types(place).iter().all(|given| given == own)
    };
    if places.clone().all(is_one) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let mixed: Vec<usize> = places.filter(|place| are_mixed(&types(*place))).collect();
    let inputs = union.inputs.into_iter().map(|input| {
        let input = columns_as_floats(Arc::unwrap_or_clone(input), &mixed)?;
        Ok(Arc::new(input))
    });
    let union = Union::try_new_with_loose_types(inputs.collect::<Result<_>>()?)?;
    Ok(Transformed::yes(TypeCoercionRewriter::coerce_union(union)?))
}

/// The plan with some of its columns, where they are decimals, as floating-point numbers.
fn columns_as_floats(plan: LogicalPlan, places: &[usize]) -> Result<LogicalPlan> {
    if places.is_empty() {
        return Ok(plan);
    }
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

/// `VALUES`, for which the planner has chosen types and put casts already. A cast that somebody wrote,
/// or that the columns of a table ask for, leads to another type than the cells would have.
fn values_as_floats(values: Values) -> Result<Transformed<LogicalPlan>> {
    let Values {
        values: mut rows,
        schema: planned,
    } = values;
    let is_mixed = |place: &usize| {
        let wanted = planned.field(*place).data_type();
        let given = rows.iter().map(|row| type_of_cell(&row[*place], wanted));
        let given: Vec<_> = given.filter(|given| !given.is_null()).collect();
        are_mixed(&given) && type_union_resolution(&given).as_ref() == Some(wanted)
    };
    let mixed: Vec<usize> = (0..planned.fields().len()).filter(is_mixed).collect();
    if mixed.is_empty() {
        let values = Values {
            values: rows,
            schema: planned,
        };
        return Ok(Transformed::no(LogicalPlan::Values(values)));
    }
    let schema = DFSchema::empty();
    for row in &mut rows {
        for place in &mixed {
            let wanted = planned.field(*place).data_type();
            let cell = match std::mem::take(&mut row[*place]) {
                Expr::Cast(cast) if cast.field.data_type() == wanted => *cast.expr,
                cell => cell,
            };
            let given = cell.get_type(&schema)?;
            let target = floated(wanted).unwrap_or(DataType::Float64);
            row[*place] = match float_of(&cell) {
                Some(float) => float,
                None if given == target => cell,
                None => cast(cell, target),
            };
        }
    }
    let plan = LogicalPlanBuilder::values(rows)?.build()?;
    Ok(Transformed::yes(plan))
}

/// The type of a cell before the planner's cast to `wanted`.
fn type_of_cell(cell: &Expr, wanted: &DataType) -> DataType {
    let cell = match cell {
        Expr::Cast(cast) if cast.field.data_type() == wanted => cast.expr.as_ref(),
        cell => cell,
    };
    cell.get_type(&DFSchema::empty()).unwrap_or(DataType::Null)
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
    if let Some(float) = float_of(&expr) {
        return float;
    }
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
