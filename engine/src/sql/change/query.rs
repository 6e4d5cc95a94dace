//! The query behind a change: which rows are meant, and what they become.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Ident, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins, Update,
    UpdateTableFromKind, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use quiver_catalog::{ROW_ID_COLUMN, TableVersion};

use super::super::names::{TableName, normalise};
use super::super::parser::Change;
use super::super::provider::TARGET_MARK;
use super::{PLACE_COLUMNS, place_types};
use crate::error::{EngineError, Result};
use crate::scan::{POSITION_COLUMN, SEGMENT_COLUMN};

/// What happens to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Delete,
    Update,
    Insert,
}

/// One of the things that a change does, for the rows that carry its number.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) action: Action,
    /// For each column of the table, the value column that it gets; NULL if none.
    pub(super) values: Vec<Option<usize>>,
}

/// The query, and how its rows are to be read.
#[derive(Debug)]
pub(super) struct ChangeQuery {
    pub(super) statement: Statement,
    pub(super) clauses: Vec<Clause>,
    /// Of the columns: the place of the row, then values.
    pub(super) types: Schema,
}

/// The table that is changed, as written.
pub(super) fn target_name(change: &Change) -> Result<&ObjectName> {
    match target(change)? {
        TableFactor::Table { name, .. } => Ok(name),
        _ => Err(no_table()),
    }
}

fn target(change: &Change) -> Result<&TableFactor> {
    match change {
        Change::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            from.first().map(|from| &from.relation).ok_or_else(no_table)
        }
        Change::Update(update) => Ok(&update.table.relation),
        Change::Merge(merge) => Ok(&merge.table),
    }
}

fn no_table() -> EngineError {
    EngineError::internal("a change of no table")
}

pub(super) fn change_query(
    change: &Change,
    name: &TableName,
    table: &TableVersion,
) -> Result<ChangeQuery> {
    let target = Target::new(target(change)?, name, table)?;
    match change {
        Change::Delete(delete) => delete_query(delete, &target),
        Change::Update(update) => update_query(update, &target),
        Change::Merge(merge) => super::merge::merge_query(merge, &target),
    }
}

/// The table that is changed, in the query.
pub(super) struct Target<'a> {
    pub(super) table: &'a TableVersion,
    /// What its columns are called by: its alias, or its name as written.
    qualifier: Vec<Ident>,
    names: TableName,
    /// The table with what tells its rows apart.
    pub(super) factor: TableFactor,
}

impl<'a> Target<'a> {
    fn new(factor: &TableFactor, names: &TableName, table: &'a TableVersion) -> Result<Self> {
        let mut factor = factor.clone();
        let TableFactor::Table { name, alias, .. } = &mut factor else {
            return Err(no_table());
        };
        let idents = name.0.iter().filter_map(ObjectNamePart::as_ident).cloned();
        let qualifier = match alias {
            Some(alias) => vec![alias.name.clone()],
            None => idents.collect(),
        };
        if let Some(ObjectNamePart::Identifier(ident)) = name.0.last_mut() {
            ident.value.push(TARGET_MARK);
        }
        Ok(Self {
            table,
            qualifier,
            names: names.clone(),
            factor,
        })
    }

    pub(super) fn column(&self, name: &str) -> Expr {
        let mut idents = self.qualifier.clone();
        idents.push(Ident::with_quote('"', name));
        Expr::CompoundIdentifier(idents)
    }

    /// Which row it is.
    pub(super) fn place(&self) -> [Expr; 3] {
        [SEGMENT_COLUMN, POSITION_COLUMN, ROW_ID_COLUMN].map(|name| self.column(name))
    }

    /// The number of a column by its name, which may be qualified.
    pub(super) fn column_number(&self, name: &ObjectName) -> Result<usize> {
        let idents: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
        let idents = idents.unwrap_or_default();
        let Some((column, qualifier)) = idents.split_last() else {
            return Err(EngineError::invalid(format!("'{name}' is no column")));
        };
        let own: Vec<String> = self.qualifier.iter().map(normalise).collect();
        let given: Vec<String> = qualifier.iter().map(|ident| normalise(ident)).collect();
        if !own.ends_with(&given) {
            return Err(EngineError::Unsupported {
                what: format!("a change of '{name}', a part of a column"),
            });
        }
        let wanted = normalise(column);
        let mut columns = self.table.columns.iter();
        let number = columns.position(|column| column.name == wanted);
        number.ok_or_else(|| {
            let TableName { schema, table } = &self.names;
            EngineError::invalid(format!("table {schema}.{table} has no column '{wanted}'"))
        })
    }

    /// Columns and what they are set to.
    pub(super) fn assignments(&self, assignments: &[Assignment]) -> Result<Vec<(usize, Expr)>> {
        let mut set: Vec<(usize, Expr)> = vec![];
        for Assignment { target, value } in assignments {
            match (target, value) {
                (AssignmentTarget::ColumnName(name), value) => {
                    set.push((self.column_number(name)?, or_default(value)));
                }
                (AssignmentTarget::Tuple(names), Expr::Tuple(values))
                    if names.len() == values.len() =>
                {
                    for (name, value) in names.iter().zip(values) {
                        set.push((self.column_number(name)?, or_default(value)));
                    }
                }
                (AssignmentTarget::Tuple(_), _) => {
                    return Err(EngineError::Unsupported {
                        what: "SET (columns) to anything but as many values in parentheses"
                            .to_owned(),
                    });
                }
            }
        }
        set.sort_by_key(|(number, _)| *number);
        if let Some(twice) = set.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = &self.table.columns[twice[0].0].name;
            return Err(EngineError::invalid(format!(
                "column '{name}' is set twice"
            )));
        }
        Ok(set)
    }
}

/// Columns have no defaults but NULL.
pub(super) fn or_default(value: &Expr) -> Expr {
    match value {
        Expr::Identifier(name)
            if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") =>
        {
            Expr::Value(Value::Null.into())
        }
        value => value.clone(),
    }
}

fn delete_query(delete: &Delete, target: &Target<'_>) -> Result<ChangeQuery> {
    let mut columns = vec![number(0)];
    columns.extend(target.place());
    let using = delete.using.iter().flatten().cloned();
    let statement = select(columns, target, using, delete.selection.clone())?;
    Ok(ChangeQuery {
        statement,
        clauses: vec![Clause {
            action: Action::Delete,
            values: vec![],
        }],
        types: types(place_types()),
    })
}

fn update_query(update: &Update, target: &Target<'_>) -> Result<ChangeQuery> {
    let mut columns = vec![number(0)];
    columns.extend(target.place());
    let mut set = target
        .assignments(&update.assignments)?
        .into_iter()
        .peekable();
    for (at, column) in target.table.columns.iter().enumerate() {
        columns.push(match set.next_if(|(number, _)| *number == at) {
            Some((_, value)) => value,
            None => target.column(&column.name),
        });
    }
    let from = match &update.from {
        Some(UpdateTableFromKind::AfterSet(from)) => from.as_slice(),
        _ => &[],
    };
    let statement = select(
        columns,
        target,
        from.iter().cloned(),
        update.selection.clone(),
    )?;
    let of_table = target.table.arrow_schema.fields().iter();
    let of_table = of_table.map(|field| field.data_type().clone());
    Ok(ChangeQuery {
        statement,
        clauses: vec![Clause {
            action: Action::Update,
            values: (0..target.table.columns.len()).map(Some).collect(),
        }],
        types: types(place_types().into_iter().chain(of_table).collect()),
    })
}

pub(super) fn types(types: Vec<DataType>) -> Schema {
    let fields = types.into_iter().enumerate();
    let fields = fields.map(|(at, data_type)| Field::new(column_name(at), data_type, true));
    Schema::new(fields.collect::<Vec<_>>())
}

fn column_name(at: usize) -> String {
    format!("_quiver_{at}")
}

pub(super) fn number(value: usize) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

/// `SELECT columns FROM target, others WHERE selection`.
fn select(
    columns: Vec<Expr>,
    target: &Target<'_>,
    others: impl Iterator<Item = TableWithJoins>,
    selection: Option<Expr>,
) -> Result<Statement> {
    let own = TableWithJoins {
        relation: target.factor.clone(),
        joins: vec![],
    };
    let from = std::iter::once(own).chain(others).collect();
    select_from(columns, from, selection)
}

pub(super) fn select_from(
    columns: Vec<Expr>,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
) -> Result<Statement> {
    let named = columns.into_iter().enumerate();
    let named = named.map(|(at, expr)| SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', column_name(at)),
    });
    let projection = named.collect();
    let query = query_of(|select| {
        select.projection = projection;
        select.from = from;
        select.selection = selection;
    })?;
    Ok(Statement::Query(query))
}

/// A query with this select.
pub(super) fn query_of(fill: impl FnOnce(&mut Select)) -> Result<Box<Query>> {
    let broken = || EngineError::internal("the query of a change cannot be built");
    let parser = Parser::new(&GenericDialect {}).try_with_sql("SELECT 1");
    let mut query = parser
        .and_then(|mut parser| parser.parse_query())
        .map_err(|_| broken())?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(broken());
    };
    fill(select);
    Ok(query)
}

/// The plan with the types of the columns for parameters that are assigned to them.
pub(super) fn with_parameter_types(plan: LogicalPlan, types: &Schema) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(Projection {
        mut expr, input, ..
    }) = plan
    else {
        return Ok(plan);
    };
    for (expr, field) in expr.iter_mut().zip(types.fields()).skip(PLACE_COLUMNS) {
        let PlanExpr::Alias(alias) = expr else {
            continue;
        };
        // In MERGE a value stands behind its condition.
        let value = match alias.expr.as_mut() {
            PlanExpr::Case(case) => case.when_then_expr.first_mut().map(|(_, value)| value),
            _ => Some(&mut alias.expr),
        };
        if let Some(value) = value
            && let PlanExpr::Placeholder(placeholder) = value.as_mut()
            && placeholder.field.is_none()
        {
            placeholder.field = Some(Arc::clone(field));
        }
    }
    Ok(LogicalPlan::Projection(Projection::try_new(expr, input)?))
}
