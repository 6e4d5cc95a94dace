//! Result columns of the same name: `SELECT count(*), count(*)`, `SELECT t.*, t.id`.
//!
//! DataFusion wants names to be unique where they are needed to find a column, and refuses a plan
//! that repeats one. At the top of a statement nobody looks columns up, so there a repeated column
//! gets a name of its own for the planner, made of its name and a mark, and the mark is taken off
//! again where the schema of the result is made. Subqueries are left alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::SchemaError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    Expr as AstExpr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr,
    Statement as AstStatement,
};

use super::names::normalise;
use crate::error::Result;

#[cfg(test)]
mod tests;

/// Between a repeated name and its position. No column of a table can have it in its name.
const MARK: char = '\u{1f}';

/// Whether the planner refused a statement because of a repeated name.
pub(crate) fn is_about_repeated_names(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => matches!(
            **error,
            SchemaError::DuplicateUnqualifiedField { .. }
                | SchemaError::DuplicateQualifiedField { .. }
                | SchemaError::AmbiguousReference { .. }
        ),
        DataFusionError::Plan(message) => message.contains("require unique expression names"),
        DataFusionError::Collection(errors) => errors.iter().any(is_about_repeated_names),
        _ => false,
    }
}

/// The name of a result column without the mark.
pub(crate) fn restore_name(field: &FieldRef) -> FieldRef {
    match field.name().rsplit_once(MARK) {
        Some((name, position)) if position.bytes().all(|b| b.is_ascii_digit()) => {
            Arc::new(field.as_ref().clone().with_name(name))
        }
        _ => Arc::clone(field),
    }
}

/// A repeated name with the mark that [`restore_name`] takes off.
pub(crate) fn marked_name(name: &str, position: usize) -> String {
    format!("{name}{MARK}{position}")
}

/// Plans a statement again with a name of its own for each repeated column; `None` if that does not
/// help.
pub(crate) async fn with_own_names(
    session: &SessionState,
    mut statement: DfStatement,
) -> Result<Option<LogicalPlan>> {
    let Some(query) = outermost(&mut statement) else {
        return Ok(None);
    };
    let mut probes = vec![];
    for_each_select(&mut query.body, &mut |select| probes.push(select.clone()));
    let mut wildcards = VecDeque::new();
    for probe in probes {
        wildcards.push_back(wildcard_names(session, query, probe).await);
    }
    for_each_select(&mut query.body, &mut |select| {
        mark_repeated(select, wildcards.pop_front().unwrap_or_default());
    });
    // The planner knows best what an expression without a name is called.
    let planned = session.statement_to_plan(statement_of(query.clone())).await;
    let plan = match planned {
        Err(error) if is_about_repeated_names(&error) => return Ok(None),
        planned => planned?,
    };
    let given = names_given(&plan)?;
    if let Some(query) = outermost(&mut statement) {
        for_each_select(&mut query.body, &mut |select| rename(select, &given));
    }
    Ok(Some(session.statement_to_plan(statement).await?))
}

/// The query whose columns are the result of the statement, or are inserted by it.
fn outermost(statement: &mut DfStatement) -> Option<&mut Query> {
    match statement {
        DfStatement::Explain(explain) => outermost(&mut explain.statement),
        DfStatement::Statement(statement) => outermost_of(statement),
        _ => None,
    }
}

fn outermost_of(statement: &mut AstStatement) -> Option<&mut Query> {
    match statement {
        AstStatement::Query(query) => Some(query),
        AstStatement::Explain { statement, .. } => outermost_of(statement),
        AstStatement::Insert(insert) => insert.source.as_deref_mut(),
        _ => None,
    }
}

fn statement_of(query: Query) -> DfStatement {
    DfStatement::Statement(Box::new(AstStatement::Query(Box::new(query))))
}

/// All `SELECT`s whose columns are those of the query, from left to right.
fn for_each_select(body: &mut SetExpr, visit: &mut dyn FnMut(&mut Select)) {
    match body {
        SetExpr::Select(select) => visit(select),
        SetExpr::Query(query) => for_each_select(&mut query.body, visit),
        SetExpr::SetOperation { left, right, .. } => {
            for_each_select(left, visit);
            for_each_select(right, visit);
        }
        _ => {}
    }
}

/// Names of the columns that the wildcards of a `SELECT` stand for.
async fn wildcard_names(
    session: &SessionState,
    query: &Query,
    mut probe: Select,
) -> HashSet<String> {
    let is_wildcard = |item: &SelectItem| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    };
    probe.projection.retain(is_wildcard);
    if probe.projection.is_empty() {
        return HashSet::new();
    }
    probe.distinct = None;
    probe.group_by = GroupByExpr::Expressions(vec![], vec![]);
    (probe.selection, probe.having, probe.qualify) = (None, None, None);
    let probe = Query {
        body: Box::new(SetExpr::Select(Box::new(probe))),
        order_by: None,
        limit_clause: None,
        ..query.clone()
    };
    match session.statement_to_plan(statement_of(probe)).await {
        Ok(plan) => plan
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect(),
        // The statement itself will say what is wrong.
        Err(_) => HashSet::new(),
    }
}

/// Marks every column whose name was there before, and every expression: what the planner calls
/// those is not known yet.
fn mark_repeated(select: &mut Select, mut seen: HashSet<String>) {
    for (position, item) in select.projection.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = column_name(expr);
                if name.clone().is_some_and(|name| seen.insert(name)) {
                    continue;
                }
                let name = name.unwrap_or_else(|| expr.to_string());
                let expr = expr.clone();
                let alias = marked(&name, position);
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = normalise(alias);
                if !seen.insert(name.clone()) {
                    *alias = marked(&name, position);
                }
            }
            _ => {}
        }
    }
}

fn column_name(expr: &AstExpr) -> Option<String> {
    match expr {
        AstExpr::Identifier(name) => Some(normalise(name)),
        AstExpr::CompoundIdentifier(names) => names.last().map(normalise),
        _ => None,
    }
}

fn marked(name: &str, position: usize) -> Ident {
    Ident::with_quote('"', marked_name(name, position))
}

/// What the planner would have called the columns that are marked.
fn names_given(plan: &LogicalPlan) -> DataFusionResult<HashMap<String, String>> {
    let mut given = HashMap::new();
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            if let Expr::Alias(alias) = expr
                && alias.name.contains(MARK)
            {
                let (_, name) = alias.expr.qualified_name();
                if !name.contains(MARK) {
                    given.entry(alias.name.clone()).or_insert(name);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(given)
}

/// Names expressions, which are marked with their text, as the planner does.
fn rename(select: &mut Select, given: &HashMap<String, String>) {
    for (position, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::ExprWithAlias { expr, alias } = item
            && *alias == marked(&expr.to_string(), position)
            && let Some(name) = given.get(&alias.value)
        {
            *alias = marked(name, position);
        }
    }
}
