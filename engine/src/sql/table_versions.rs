//! `t AT (VERSION => n)` and its kin: tables as they were.
//!
//! A version is put into the table's name, which no user can write, so that DataFusion asks for just
//! this version of just this table. What is there at a version is what was in segments then.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, ObjectNamePart, TableVersion,
};
use quiver_catalog::SnapshotId;

use super::names::normalise;
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// Comes between the name of a table and its version.
const VERSION_MARK: char = '\u{2}';

/// Which state of a table is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AsOf {
    /// That of a snapshot.
    Snapshot(SnapshotId),
    /// That of the last snapshot up to a time, in microseconds since 1970.
    Time(i64),
}

impl AsOf {
    /// Puts the version into the last part of a table's name.
    pub(super) fn mark(self, name: &mut ObjectName) {
        let (kind, number) = match self {
            Self::Snapshot(SnapshotId(id)) => ('v', id),
            Self::Time(micros) => ('t', micros),
        };
        if let Some(ObjectNamePart::Identifier(ident)) = name.0.last_mut() {
            ident
                .value
                .push_str(&format!("{VERSION_MARK}{kind}{number}"));
        }
    }

    /// Takes the version off the name of a table.
    pub(super) fn split(name: &str) -> Option<(&str, Self)> {
        let (name, version) = name.split_once(VERSION_MARK)?;
        let (kind, number) = (version.chars().next()?, version.get(1..)?.parse().ok()?);
        match kind {
            'v' => Some((name, Self::Snapshot(SnapshotId(number)))),
            't' => Some((name, Self::Time(number))),
            _ => None,
        }
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
            false => Ok(Self::Snapshot(SnapshotId(number(session, value)?))),
        }
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

fn number(session: &SessionState, value: &Expr) -> Result<i64> {
    let scalar = constant(session, value)?.cast_to(&DataType::Int64);
    match scalar {
        Ok(ScalarValue::Int64(Some(number))) => Ok(number),
        _ => Err(EngineError::invalid(format!(
            "'{}' is no snapshot_id: system.snapshots lists them",
            short(&value.to_string())
        ))),
    }
}

fn time(session: &SessionState, value: &Expr) -> Result<i64> {
    let zone = Some("UTC".into());
    let micros = DataType::Timestamp(TimeUnit::Microsecond, zone);
    match constant(session, value)?.cast_to(&micros) {
        Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) => Ok(micros),
        _ => Err(EngineError::invalid(format!(
            "'{}' is no time: write 'YYYY-MM-DD HH:MM:SS' in UTC, or with a zone",
            short(&value.to_string())
        ))),
    }
}

/// The value of an expression without columns and parameters.
fn constant(session: &SessionState, value: &Expr) -> Result<ScalarValue> {
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
        for as_of in [
            AsOf::Snapshot(SnapshotId(5)),
            AsOf::Time(-7),
            AsOf::Time(1_700_000_000_000_000),
        ] {
            let ident = datafusion::sql::sqlparser::ast::Ident::new("t");
            let mut name = ObjectName(vec![ObjectNamePart::Identifier(ident)]);
            as_of.mark(&mut name);
            let marked = normalise(name.0[0].as_ident().expect("a name"));
            assert_eq!(AsOf::split(&marked), Some(("t", as_of)));
        }
        assert_eq!(AsOf::split("t"), None);
    }
}
