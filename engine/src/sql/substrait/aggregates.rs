//! Aggregate functions.

use datafusion::common::utils::expr::COUNT_STAR_EXPANSION;
use datafusion::logical_expr::expr::AggregateFunction as AggregateCall;
use datafusion::logical_expr::{Expr, lit};
use quiver_proto::substrait::{AggregateFunction, FunctionArgument, FunctionOption};

use super::expressions::Scope;
use super::functions::{check_options, refuse_old_arguments};
use super::relations::Consumer;
use super::unsupported;
use crate::error::Result;

/// Functions of the session by their name in plans, where both mean the same.
const CALLS: [(&str, &str); 22] = [
    ("any_value", "first_value"),
    ("approx_count_distinct", "approx_distinct"),
    ("approx_distinct", "approx_distinct"),
    ("array_agg", "array_agg"),
    ("avg", "avg"),
    ("bool_and", "bool_and"),
    ("bool_or", "bool_or"),
    ("corr", "corr"),
    ("count", "count"),
    ("max", "max"),
    ("mean", "avg"),
    ("median", "median"),
    ("min", "min"),
    ("stddev", "stddev"),
    ("stddev_pop", "stddev_pop"),
    ("stddev_samp", "stddev"),
    ("string_agg", "string_agg"),
    ("sum", "sum"),
    ("var", "var"),
    ("var_pop", "var_pop"),
    ("var_samp", "var"),
    ("first_value", "first_value"),
];
const OPTIONS: [(&str, &str); 2] = [("overflow", "SILENT"), ("rounding", "TIE_TO_EVEN")];
/// Of those functions alone that can do both.
const DISTRIBUTIONS: [(&str, &str); 4] = [
    ("rounding", "TIE_TO_EVEN"),
    ("overflow", "SILENT"),
    ("distribution", "SAMPLE"),
    ("distribution", "POPULATION"),
];
/// Ordinary values of `AggregationInvocation`.
const DISTINCT: i32 = 2;
/// The only phase of a query that is executed as a whole.
const INITIAL_TO_RESULT: i32 = 3;

impl Consumer<'_> {
    pub(super) fn aggregate_call(
        &mut self,
        call: &AggregateFunction,
        filter: Option<Expr>,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let name = self.function(call.function_reference)?;
        refuse_old_arguments(name, &call.args)?;
        check_phase(name, call.phase)?;
        let distinct = is_distinct(name, call.invocation)?;
        let (target, arguments) =
            self.aggregate_target(name, &call.arguments, &call.options, scope)?;
        let function = self.session.aggregate_functions().get(target).cloned();
        let function = function.ok_or_else(|| unsupported(format_args!("aggregate {name}")))?;
        let sorts = self.sorts(&call.sorts, scope)?;
        Ok(Expr::AggregateFunction(AggregateCall::new_udf(
            function,
            arguments,
            distinct,
            filter.map(Box::new),
            sorts,
            None,
        )))
    }

    /// The session's name of an aggregate function, and its arguments.
    pub(super) fn aggregate_target(
        &mut self,
        name: &str,
        arguments: &[FunctionArgument],
        options: &[FunctionOption],
        scope: &Scope<'_>,
    ) -> Result<(&'static str, Vec<Expr>)> {
        let fulfilled: &[_] = match name {
            "std_dev" | "variance" => &DISTRIBUTIONS,
            _ => &OPTIONS,
        };
        check_options(name, options, fulfilled)?;
        let target = match name {
            "std_dev" | "variance" => of_distribution(name, options)?,
            _ => match CALLS.iter().find(|(own, _)| *own == name) {
                Some((_, target)) => target,
                None => return Err(unsupported(format_args!("aggregate {name}"))),
            },
        };
        let mut arguments = self.values(name, arguments, scope)?;
        if target == "count" && arguments.is_empty() {
            arguments.push(lit(COUNT_STAR_EXPANSION));
        }
        Ok((target, arguments))
    }
}

/// Of a sample, unless the whole population is asked for.
fn of_distribution(name: &str, options: &[FunctionOption]) -> Result<&'static str> {
    let distribution = options.iter().find(|option| option.name == "distribution");
    let first = distribution.and_then(|option| option.preference.first());
    Ok(match (name, first.map(String::as_str)) {
        ("std_dev", Some("SAMPLE")) => "stddev",
        ("std_dev", Some("POPULATION")) => "stddev_pop",
        ("variance", Some("SAMPLE")) => "var",
        ("variance", Some("POPULATION")) => "var_pop",
        _ => {
            return Err(unsupported(format_args!(
                "aggregate {name} without a distribution (SAMPLE or POPULATION)"
            )));
        }
    })
}

pub(super) fn check_phase(name: &str, phase: i32) -> Result<()> {
    match phase {
        0 | INITIAL_TO_RESULT => Ok(()),
        _ => Err(unsupported(format_args!(
            "aggregate {name} in an intermediate phase"
        ))),
    }
}

pub(super) fn is_distinct(name: &str, invocation: i32) -> Result<bool> {
    match invocation {
        0 | 1 => Ok(false),
        DISTINCT => Ok(true),
        _ => Err(unsupported(format_args!(
            "aggregate {name} with an unknown invocation"
        ))),
    }
}
