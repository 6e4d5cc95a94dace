//! `MERGE` as a join of its source and its target.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Ident, Join, JoinConstraint, JoinOperator, Merge, MergeAction,
    MergeClauseKind, MergeInsertKind, ObjectNamePart, SelectItem, TableAlias, TableFactor,
    TableWithJoins, Value, WildcardAdditionalOptions,
};

use super::place_types;
use super::query::{
    Action, ChangeQuery, Clause, Target, number, or_default, query_of, select_from, types,
};
use crate::error::{EngineError, Result};
use crate::scan::POSITION_COLUMN;

/// Tells rows of the source from those that the join makes up.
const SOURCE_COLUMN: &str = "_quiver_source";

pub(super) fn merge_query(merge: &Merge, target: &Target<'_>) -> Result<ChangeQuery> {
    let source = Source::new(&merge.source)?;
    let kinds = || merge.clauses.iter().map(|clause| clause.clause_kind);
    let inserts = kinds().any(is_without_target);
    let by_source = kinds().any(|kind| kind == MergeClauseKind::NotMatchedBySource);
    let constraint = JoinConstraint::On(merge.on.as_ref().clone());
    let join_operator = match (inserts, by_source) {
        (false, false) => JoinOperator::Inner(constraint),
        (true, false) => JoinOperator::LeftOuter(constraint),
        (false, true) => JoinOperator::RightOuter(constraint),
        (true, true) => JoinOperator::FullOuter(constraint),
    };
    let from = TableWithJoins {
        relation: source.factor.clone(),
        joins: vec![Join {
            relation: target.factor.clone(),
            global: false,
            join_operator,
        }],
    };
    let mut values = Values::new(target);
    let (mut clauses, mut branches, mut earlier) = (vec![], vec![], vec![]);
    for (at, clause) in merge.clauses.iter().enumerate() {
        let mut condition = applies(clause.clause_kind, target, &source);
        if let Some(predicate) = &clause.predicate {
            condition = and(condition, nested(predicate.clone()));
        }
        branches.push(CaseWhen {
            condition: condition.clone(),
            result: number(at),
        });
        // Of the conditions that hold, the first one counts.
        let alone = earlier.iter().cloned().fold(condition.clone(), and);
        clauses.push(values.clause(&clause.action, &alone)?);
        earlier.push(Expr::IsNotTrue(Box::new(nested(condition))));
    }
    let mut columns = vec![case(branches)];
    columns.extend(target.place());
    columns.extend(values.columns);
    let of_values = values.of_column.iter();
    let of_values = of_values.map(|at| target.table.arrow_schema.field(*at).data_type().clone());
    Ok(ChangeQuery {
        statement: select_from(columns, vec![from], None)?,
        clauses,
        types: types(place_types().into_iter().chain(of_values).collect()),
    })
}

/// The value columns of all clauses.
struct Values<'a> {
    target: &'a Target<'a>,
    columns: Vec<Expr>,
    /// The column of the table that each is for.
    of_column: Vec<usize>,
}

impl<'a> Values<'a> {
    fn new(target: &'a Target<'a>) -> Self {
        Self {
            target,
            columns: vec![],
            of_column: vec![],
        }
    }

    fn add(&mut self, of_column: usize, value: Expr) -> usize {
        self.columns.push(value);
        self.of_column.push(of_column);
        self.columns.len() - 1
    }

    /// A value is computed for the rows of its clause only: others might not allow it.
    fn add_for(&mut self, condition: &Expr, of_column: usize, value: Expr) -> usize {
        let branch = CaseWhen {
            condition: condition.clone(),
            result: value,
        };
        self.add(of_column, case(vec![branch]))
    }

    fn clause(&mut self, action: &MergeAction, condition: &Expr) -> Result<Clause> {
        let count = self.target.table.columns.len();
        let mut values = vec![None; count];
        let action = match action {
            MergeAction::Delete { .. } => Action::Delete,
            MergeAction::Update(update) => {
                for (column, value) in self.target.assignments(&update.assignments)? {
                    values[column] = Some(self.add_for(condition, column, value));
                }
                for (at, value) in values.iter_mut().enumerate() {
                    if value.is_none() {
                        let name = &self.target.table.columns[at].name;
                        *value = Some(self.add(at, self.target.column(name)));
                    }
                }
                Action::Update
            }
            MergeAction::Insert(insert) => {
                let given: Vec<Expr> = match &insert.kind {
                    MergeInsertKind::Values(rows) => rows
                        .rows
                        .iter()
                        .flat_map(|row| row.content.iter().map(or_default))
                        .collect(),
                    MergeInsertKind::Row => vec![],
                };
                let columns = match insert.columns.is_empty() {
                    true => (0..count).collect(),
                    false => {
                        let names = insert.columns.iter();
                        let numbers = names.map(|name| self.target.column_number(name));
                        numbers.collect::<Result<Vec<_>>>()?
                    }
                };
                if columns.len() != given.len() {
                    return Err(EngineError::invalid(format!(
                        "INSERT of MERGE names {} columns and {} values",
                        columns.len(),
                        given.len()
                    )));
                }
                for (column, value) in columns.into_iter().zip(given) {
                    if values[column].is_some() {
                        let name = &self.target.table.columns[column].name;
                        let message = format!("INSERT of MERGE names column '{name}' twice");
                        return Err(EngineError::invalid(message));
                    }
                    values[column] = Some(self.add_for(condition, column, value));
                }
                Action::Insert
            }
        };
        Ok(Clause { action, values })
    }
}

/// Rows of the source, each with a mark.
struct Source {
    name: Ident,
    factor: TableFactor,
}

impl Source {
    fn new(factor: &TableFactor) -> Result<Self> {
        let unnamed = || EngineError::invalid("give the source of MERGE a name with AS");
        let alias = match factor {
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::UNNEST { alias, .. } => alias.as_ref(),
            _ => None,
        };
        let name = match (alias, factor) {
            (Some(alias), _) => alias.name.clone(),
            (None, TableFactor::Table { name, .. }) => {
                let last = name.0.last().and_then(ObjectNamePart::as_ident);
                last.cloned().ok_or_else(unnamed)?
            }
            (None, _) => return Err(unnamed()),
        };
        let all = SelectItem::Wildcard(WildcardAdditionalOptions::default());
        let mark = SelectItem::ExprWithAlias {
            expr: Expr::Value(Value::Boolean(true).into()),
            alias: Ident::with_quote('"', SOURCE_COLUMN),
        };
        let from = TableWithJoins {
            relation: factor.clone(),
            joins: vec![],
        };
        let subquery = query_of(|select| {
            select.projection = vec![all, mark];
            select.from = vec![from];
        })?;
        let alias = TableAlias {
            explicit: true,
            name: name.clone(),
            columns: vec![],
            at: None,
        };
        Ok(Self {
            name,
            factor: TableFactor::Derived {
                lateral: false,
                subquery,
                alias: Some(alias),
                sample: None,
            },
        })
    }

    fn mark(&self) -> Expr {
        let mark = Ident::with_quote('"', SOURCE_COLUMN);
        Expr::CompoundIdentifier(vec![self.name.clone(), mark])
    }
}

fn is_without_target(kind: MergeClauseKind) -> bool {
    matches!(
        kind,
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget
    )
}

fn applies(kind: MergeClauseKind, target: &Target<'_>, source: &Source) -> Expr {
    let position = Box::new(target.column(POSITION_COLUMN));
    let mark = Box::new(source.mark());
    match kind {
        MergeClauseKind::Matched => and(Expr::IsNotNull(position), Expr::IsNotNull(mark)),
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Expr::IsNull(position),
        MergeClauseKind::NotMatchedBySource => Expr::IsNull(mark),
    }
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn case(conditions: Vec<CaseWhen>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions,
        else_result: None,
    }
}
