//! Window functions.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{WindowFunction as WindowCall, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, cast,
};
use quiver_proto::substrait::{Bound, BoundKind, Distance, WindowFunction};

use super::aggregates::{check_phase, is_distinct};
use super::expressions::Scope;
use super::functions::{check_options, refuse_old_arguments};
use super::relations::Consumer;
use super::{invalid, unsupported};
use crate::error::Result;

/// Functions that look at more than their frame.
const RANKS: [&str; 8] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
];
/// Functions of the frame that are no aggregates.
const VALUES: [&str; 3] = ["first_value", "last_value", "nth_value"];
/// They count, and the specification says by whole numbers with a sign.
const COUNTS: [&str; 4] = ["row_number", "rank", "dense_rank", "ntile"];
const ROWS: i32 = 1;
const RANGE: i32 = 2;

impl Consumer<'_> {
    pub(super) fn window_call(&mut self, call: &WindowFunction, scope: &Scope<'_>) -> Result<Expr> {
        let name = self.function(call.function_reference)?;
        if !scope.has_windows {
            return Err(unsupported(format_args!(
                "window function {name} outside a ProjectRel"
            )));
        }
        refuse_old_arguments(name, &call.args)?;
        check_phase(name, call.phase)?;
        let distinct = is_distinct(name, call.invocation)?;
        // What is inside is computed before the window is.
        let inside = scope.without_windows();
        let (fun, args) = self.window_target(name, call, &inside)?;
        let mut order_by = self.sorts(&call.sorts, &inside)?;
        let window_frame = frame(name, call)?;
        window_frame.regularize_order_bys(&mut order_by)?;
        let params = WindowFunctionParams {
            args,
            partition_by: self.exprs(&call.partitions, &inside)?,
            order_by,
            window_frame,
            filter: None,
            null_treatment: None,
            distinct,
        };
        let computed = Expr::WindowFunction(Box::new(WindowCall { fun, params }));
        Ok(match COUNTS.contains(&name) {
            true => cast(computed, DataType::Int64),
            false => computed,
        })
    }

    fn window_target(
        &mut self,
        name: &str,
        call: &WindowFunction,
        scope: &Scope<'_>,
    ) -> Result<(WindowFunctionDefinition, Vec<Expr>)> {
        let unknown = || unsupported(format_args!("window function {name}"));
        if RANKS.contains(&name) || VALUES.contains(&name) {
            check_options(name, &call.options, &[])?;
            let arguments = self.values(name, &call.arguments, scope)?;
            let function = self.session.window_functions().get(name).cloned();
            let function = function.ok_or_else(unknown)?;
            return Ok((WindowFunctionDefinition::WindowUDF(function), arguments));
        }
        let (target, arguments) =
            self.aggregate_target(name, &call.arguments, &call.options, scope)?;
        let function = self.session.aggregate_functions().get(target).cloned();
        let function = function.ok_or_else(unknown)?;
        Ok((WindowFunctionDefinition::AggregateUDF(function), arguments))
    }
}

/// The rows that a function looks at; without bounds, the whole partition.
fn frame(name: &str, call: &WindowFunction) -> Result<WindowFrame> {
    let units = match call.bounds_type {
        ROWS => WindowFrameUnits::Rows,
        RANGE => WindowFrameUnits::Range,
        0 if RANKS.contains(&name) || is_whole(call) => WindowFrameUnits::Rows,
        0 => {
            return Err(invalid(format_args!(
                "the bounds of {name} are neither ROWS nor RANGE"
            )));
        }
        _ => return Err(unsupported("window bounds of an unknown type")),
    };
    let start = match &call.lower_bound {
        None => unbounded_before(),
        Some(bound) => bound_of(bound, units, unbounded_before())?,
    };
    let end = match &call.upper_bound {
        None => unbounded_after(),
        Some(bound) => bound_of(bound, units, unbounded_after())?,
    };
    Ok(WindowFrame::new_bounds(units, start, end))
}

fn is_whole(call: &WindowFunction) -> bool {
    let is_unbounded = |bound: &Option<Bound>| {
        bound
            .as_ref()
            .is_none_or(|bound| matches!(bound.kind, Some(BoundKind::Unbounded(_))))
    };
    is_unbounded(&call.lower_bound) && is_unbounded(&call.upper_bound)
}

fn unbounded_before() -> WindowFrameBound {
    WindowFrameBound::Preceding(ScalarValue::UInt64(None))
}

fn unbounded_after() -> WindowFrameBound {
    WindowFrameBound::Following(ScalarValue::UInt64(None))
}

fn bound_of(
    bound: &Bound,
    units: WindowFrameUnits,
    unbounded: WindowFrameBound,
) -> Result<WindowFrameBound> {
    Ok(match &bound.kind {
        Some(BoundKind::CurrentRow(_)) => WindowFrameBound::CurrentRow,
        Some(BoundKind::Unbounded(_)) => unbounded,
        Some(BoundKind::Preceding(distance)) => WindowFrameBound::Preceding(rows(distance, units)?),
        Some(BoundKind::Following(distance)) => WindowFrameBound::Following(rows(distance, units)?),
        None => return Err(unsupported("window bound of an unknown kind")),
    })
}

fn rows(distance: &Distance, units: WindowFrameUnits) -> Result<ScalarValue> {
    if distance.offset_expr.is_some() {
        return Err(unsupported("window bound that is an expression"));
    }
    if units != WindowFrameUnits::Rows {
        return Err(unsupported("window bound at a distance in RANGE"));
    }
    match u64::try_from(distance.offset) {
        Ok(rows) => Ok(ScalarValue::UInt64(Some(rows))),
        Err(_) => Err(invalid("a window bound at a negative distance")),
    }
}
