//! `t AT (VERSION => n)` and its kin: tables as they were.
//!
//! A version is put into the table's name, which no user can write, so that DataFusion asks for just
//! this version of just this table. What is there at a version is what was in segments then.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, ObjectNamePart,
    TableFunctionArgs, TableVersion,
};
use quiver_catalog::SnapshotId;

use super::names::{normalise, parsed_name};
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// Comes between the name of a table and its version.
const VERSION_MARK: char = '\u{2}';
/// Comes between two versions.
const RANGE_MARK: char = '\u{3}';

/// Which state of a table is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AsOf {
    /// That of a snapshot.
    Snapshot(SnapshotId),
    /// That of the snapshot with a name.
    Named(String),
    /// That of the last snapshot up to a time, in microseconds since 1970.
    Time(i64),
}

impl AsOf {
    fn text(&self) -> String {
        match self {
            Self::Snapshot(SnapshotId(id)) => format!("v{id}"),
            Self::Named(name) => format!("n{name}"),
            Self::Time(micros) => format!("t{micros}"),
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let (kind, version) = text.split_at_checked(1)?;
        let number = || version.parse().ok();
        Some(match kind {
            "v" => Self::Snapshot(SnapshotId(number()?)),
            "n" => Self::Named(version.to_owned()),
            "t" => Self::Time(number()?),
            _ => return None,
        })
    }

    /// What is written behind a table's name.
    pub(super) fn parse(session: &SessionState, version: &TableVersion) -> Result<Self> {
        let (is_time, value) = match version {
            TableVersion::VersionAsOf(value) => (false, value),
            TableVersion::TimestampAsOf(value) | TableVersion::ForSystemTimeAsOf(value) => {
                (true, value)
            }
            TableVersion::Function(function) => at_argument(function)?,
            _ => return Err(unknown_form()),
        };
        match is_time {
            true => Ok(Self::Time(time(session, value)?)),
            false => Self::version(session, value),
        }
    }

    /// The version that a constant stands for: the id of a snapshot, its name, or a time.
    pub(super) fn version(session: &SessionState, value: &Expr) -> Result<Self> {
        let scalar = constant(session, value)?;
        if let (true, Ok(ScalarValue::Int64(Some(id)))) = (
            scalar.data_type().is_integer(),
            scalar.cast_to(&DataType::Int64),
        ) {
            return Ok(Self::Snapshot(SnapshotId(id)));
        }
        let as_time = |scalar: &ScalarValue| scalar.cast_to(&micros_type());
        if let (true, Ok(ScalarValue::TimestampMicrosecond(Some(micros), _))) =
            (scalar.data_type().is_temporal(), as_time(&scalar))
        {
            return Ok(Self::Time(micros));
        }
        match scalar.try_as_str() {
            Some(Some(name)) if !name.contains(char::is_control) => {
                Ok(Self::Named(name.to_owned()))
            }
            _ => Err(EngineError::invalid(format!(
                "'{}' is no snapshot_id and no name of one: system.snapshots lists them",
                short(&value.to_string())
            ))),
        }
    }
}

/// What is meant by a name with a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Historic {
    /// A table as it was.
    AsOf(AsOf),
    /// What happened to its rows from a state on up to another one.
    Changes(AsOf, AsOf),
}

impl Historic {
    /// Puts it into the last part of a table's name.
    pub(super) fn mark(&self, name: &mut ObjectName) {
        let mark = match self {
            Self::AsOf(as_of) => as_of.text(),
            Self::Changes(from, to) => format!("{}{RANGE_MARK}{}", from.text(), to.text()),
        };
        if let Some(ObjectNamePart::Identifier(ident)) = name.0.last_mut() {
            ident.value.push_str(&format!("{VERSION_MARK}{mark}"));
        }
    }

    /// Takes it off the name of a table.
    pub(super) fn split(name: &str) -> Option<(&str, Self)> {
        let (name, mark) = name.split_once(VERSION_MARK)?;
        let historic = match mark.split_once(RANGE_MARK) {
            None => Self::AsOf(AsOf::of_text(mark)?),
            Some((from, to)) => Self::Changes(AsOf::of_text(from)?, AsOf::of_text(to)?),
        };
        Some((name, historic))
    }

    /// The table of `table_changes('t', from, to)`, and what is asked for.
    pub(super) fn changes(
        session: &SessionState,
        arguments: &TableFunctionArgs,
    ) -> Result<(ObjectName, Self)> {
        let refused = || {
            EngineError::invalid(
                "write table_changes('table', from, to), with the ids of snapshots, their names, \
                 or times",
            )
        };
        let plain = |argument: &FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
            _ => None,
        };
        let values: Option<Vec<Expr>> = arguments.args.iter().map(plain).collect();
        let values = values.ok_or_else(refused)?;
        let [Expr::Value(table), from, to] = values.as_slice() else {
            return Err(refused());
        };
        let table = table.value.clone().into_string().ok_or_else(refused)?;
        let table = parsed_name(&table)?;
        let (from, to) = (AsOf::version(session, from)?, AsOf::version(session, to)?);
        Ok((table, Self::Changes(from, to)))
    }
}

/// The argument of `AT (VERSION => …)` or `AT (TIMESTAMP => …)`, and whether it is a time.
fn at_argument(function: &Expr) -> Result<(bool, &Expr)> {
    let Expr::Function(function) = function else {
        return Err(unknown_form());
    };
    let FunctionArguments::List(list) = &function.args else {
        return Err(unknown_form());
    };
    let (name, value) = match list.args.as_slice() {
        [
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                ..
            },
        ] => (normalise(name), value),
        [
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(value),
                ..
            },
        ] => (normalise(name), value),
        _ => return Err(unknown_form()),
    };
    let is_at = function.name.to_string().eq_ignore_ascii_case("at");
    match name.as_str() {
        "version" if is_at => Ok((false, value)),
        "timestamp" if is_at => Ok((true, value)),
        _ => Err(unknown_form()),
    }
}

fn unknown_form() -> EngineError {
    EngineError::invalid(
        "write t AT (VERSION => snapshot_id) or t AT (TIMESTAMP => 'YYYY-MM-DD HH:MM:SS'); \
         system.snapshots lists them",
    )
}

/// A time, in microseconds since 1970.
fn time(session: &SessionState, value: &Expr) -> Result<i64> {
    match constant(session, value)?.cast_to(&micros_type()) {
        Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) => Ok(micros),
        _ => Err(EngineError::invalid(format!(
            "'{}' is no time: write 'YYYY-MM-DD HH:MM:SS' in UTC, or with a zone",
            short(&value.to_string())
        ))),
    }
}

fn micros_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A time, or how long ago it was, in microseconds since 1970.
pub(super) fn time_or_age(session: &SessionState, value: &Expr, now_micros: i64) -> Result<i64> {
    const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;
    let refused = || {
        EngineError::invalid(format!(
            "{} is no time and no age: write '2026-01-31 12:00:00' or INTERVAL '7 days'",
            short(&value.to_string())
        ))
    };
    let scalar = constant(session, value).map_err(|_| refused())?;
    let as_time = scalar.cast_to(&micros_type());
    if let (false, Ok(ScalarValue::TimestampMicrosecond(Some(micros), _))) =
        (scalar.data_type().is_numeric(), as_time)
    {
        return Ok(micros);
    }
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    match scalar.cast_to(&interval) {
        Ok(ScalarValue::IntervalMonthDayNano(Some(age))) => {
            let days = i64::from(age.months) * 30 + i64::from(age.days);
            let micros = days.saturating_mul(DAY_MICROS);
            Ok(now_micros.saturating_sub(micros.saturating_add(age.nanoseconds / 1000)))
        }
        _ => Err(refused()),
    }
}

/// The value of an expression without columns and parameters.
pub(super) fn constant(session: &SessionState, value: &Expr) -> Result<ScalarValue> {
    let schema = DFSchema::empty();
    let expr = session.create_logical_expr(&value.to_string(), &schema)?;
    // The optimizer knows what time it is.
    let plan = LogicalPlanBuilder::empty(true).project([expr])?.build()?;
    match session.optimize(&plan)? {
        LogicalPlan::Projection(plan) => literal(plan.expr.first()),
        LogicalPlan::Values(rows) => literal(rows.values.first().and_then(|row| row.first())),
        _ => Err(unknown_form()),
    }
}

fn literal(expr: Option<&PlanExpr>) -> Result<ScalarValue> {
    match expr {
        Some(PlanExpr::Literal(value, _)) => Ok(value.clone()),
        Some(PlanExpr::Alias(alias)) => literal(Some(&alias.expr)),
        _ => Err(unknown_form()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_comes_back_from_a_name() {
        let times = [AsOf::Time(-7), AsOf::Time(1_700_000_000_000_000)];
        for historic in [
            Historic::AsOf(AsOf::Snapshot(SnapshotId(5))),
            Historic::AsOf(AsOf::Named("of the \u{2} year".to_owned())),
            Historic::AsOf(times[0].clone()),
            Historic::Changes(AsOf::Named("first".to_owned()), times[1].clone()),
        ] {
            let ident = datafusion::sql::sqlparser::ast::Ident::new("t");
            let mut name = ObjectName(vec![ObjectNamePart::Identifier(ident)]);
            historic.mark(&mut name);
            let marked = normalise(name.0[0].as_ident().expect("a name"));
            assert_eq!(Historic::split(&marked), Some(("t", historic)));
        }
        assert_eq!(Historic::split("t"), None);
    }
}
