//! Queries that come as Substrait plans instead of text.
//!
//! A plan is decoded and looked over once ([`parse_plan`]): its size is bounded, and what is not
//! understood is refused by name. Then it becomes a logical plan in the same kind of session as SQL
//! does ([`logical_plan`]), so that a plan sees what its tenant's SQL sees. Columns are found by
//! position: every table that is read has an alias of its own, and every computed column a name of
//! its own, so that equal names never meet. Nothing in a plan is passed over in silence unless it
//! cannot change rows.

mod aggregates;
mod combine;
mod expressions;
mod fetch;
mod functions;
mod literals;
mod reads;
mod relations;
mod root;
mod survey;
mod tables;
#[cfg(test)]
mod tests;
mod types;
mod windows;

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use prost::Message;
use quiver_proto::substrait::{Declaration, Mapping, Plan, PlanRelType, RelRoot, Version};

use self::relations::Consumer;
use self::survey::Survey;
use super::parser::{ParsedStatement, QueryForm, Statement, StatementText};
use crate::error::{EngineError, Result};

/// Since this version, a FetchRel without a count takes all rows; before, it took none.
const OPTIONAL_COUNT_SINCE: u32 = 63;
/// Tables that a plan is told apart by where queries are listed.
const TABLES_SHOWN: usize = 8;

/// A plan that was looked over.
#[derive(Clone, PartialEq)]
pub struct SubstraitPlan {
    root: RelRoot,
    /// Names without signatures, by anchor.
    functions: HashMap<u32, String>,
    /// The names of all tables that are read, each once.
    tables: Vec<Vec<String>>,
    /// What a FetchRel without a count means; `None` when the plan has no version.
    takes_all_without_count: Option<bool>,
}

/// Not its contents, which hold constants.
impl fmt::Debug for SubstraitPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubstraitPlan({})", over(&self.tables))
    }
}

/// Decodes a plan and refuses what cannot be a query of ours, whatever tables there are.
///
/// # Errors
/// `Unsupported` names what is not known here, `InvalidArgument` what is wrong.
pub fn parse_plan(bytes: &Bytes) -> Result<ParsedStatement> {
    if bytes.is_empty() {
        return Err(EngineError::invalid("the Substrait plan is empty"));
    }
    let plan = Plan::decode(bytes.as_ref()).map_err(|error| {
        EngineError::invalid(format!("the Substrait plan cannot be decoded: {error}"))
    })?;
    refuse_additions(&plan)?;
    let functions = functions_of(&plan.extensions)?;
    let takes_all_without_count = plan.version.as_ref().map(takes_all_without_count);
    let root = single_root(plan)?;
    let survey = Survey::of(&root)?;
    let redacted = format!(
        "SUBSTRAIT PLAN{} ({} bytes)",
        over(&survey.tables),
        bytes.len()
    );
    let plan = SubstraitPlan {
        root,
        functions,
        tables: survey.tables,
        takes_all_without_count,
    };
    Ok(ParsedStatement {
        statement: Statement::Query(QueryForm::Plan(Box::new(plan))),
        text: StatementText::Plan(bytes.clone()),
        redacted,
        placeholders: survey.parameters,
    })
}

/// Plans what a plan means with the tables of this session.
pub(crate) async fn logical_plan(
    session: &SessionState,
    plan: &SubstraitPlan,
) -> Result<LogicalPlan> {
    let tables = tables::resolve(session, &plan.tables).await?;
    Consumer::new(session, plan, tables).root(&plan.root)
}

fn refuse_additions(plan: &Plan) -> Result<()> {
    survey::refuse_enhancement(plan.advanced_extensions.as_ref())?;
    if !plan.parameter_bindings.is_empty() {
        return Err(unsupported("parameter_bindings: bind values instead"));
    }
    Ok(())
}

/// Functions by anchor. Types of an extension are refused where they are used.
fn functions_of(declarations: &[Declaration]) -> Result<HashMap<u32, String>> {
    let mut functions = HashMap::new();
    for declaration in declarations {
        match &declaration.mapping {
            Some(Mapping::Function(function)) => {
                let name = function.name.split(':').next().unwrap_or_default();
                if functions.insert(function.anchor, name.to_owned()).is_some() {
                    return Err(EngineError::invalid(format!(
                        "the Substrait plan declares two functions with anchor {}",
                        function.anchor
                    )));
                }
            }
            Some(Mapping::Type(_)) => {}
            Some(Mapping::TypeVariation(_)) => return Err(unsupported("type variation")),
            None => return Err(unsupported("extension of an unknown kind")),
        }
    }
    Ok(functions)
}

fn takes_all_without_count(version: &Version) -> bool {
    version.major_number > 0 || version.minor_number >= OPTIONAL_COUNT_SINCE
}

fn single_root(plan: Plan) -> Result<RelRoot> {
    let mut relations = plan.relations.into_iter();
    let (first, others) = (relations.next(), relations.len());
    let Some(first) = first else {
        return Err(EngineError::invalid("the Substrait plan has no relation"));
    };
    if others > 0 {
        return Err(unsupported("plan of several relations"));
    }
    match first.kind {
        Some(PlanRelType::Root(root)) => Ok(root),
        Some(PlanRelType::Rel(_)) => Err(EngineError::invalid(
            "the Substrait plan has a relation but no root, which names the columns",
        )),
        None => Err(unsupported("relation of an unknown kind")),
    }
}

fn over(tables: &[Vec<String>]) -> String {
    let shown: Vec<_> = tables
        .iter()
        .take(TABLES_SHOWN)
        .map(|names| dotted(names))
        .collect();
    let more = if tables.len() > TABLES_SHOWN {
        ", …"
    } else {
        ""
    };
    match shown.is_empty() {
        true => String::new(),
        false => format!(" over {}{more}", shown.join(", ")),
    }
}

/// A name of several parts as it is shown.
fn dotted(names: &[String]) -> String {
    names.join(".")
}

/// The refusal of something that has a name.
fn unsupported(what: impl fmt::Display) -> EngineError {
    EngineError::Unsupported {
        what: format!("Substrait {what}"),
    }
}

/// The refusal of something that is wrong by itself.
fn invalid(what: impl fmt::Display) -> EngineError {
    EngineError::invalid(format!("the Substrait plan is malformed: {what}"))
}

/// A part that must be there.
fn need<'a, T: ?Sized>(part: Option<&'a T>, what: &str) -> Result<&'a T> {
    part.ok_or_else(|| invalid(format_args!("{what} is missing")))
}
