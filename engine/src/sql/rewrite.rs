//! What is spelled otherwise for DataFusion's planner before it sees a statement.
//!
//! `FETCH FIRST` is `LIMIT`; names of the session such as `current_schema` are values; patterns of
//! `to_char` are PostgreSQL's; any character may escape in `LIKE`; `SHOW …` is a query of
//! `information_schema` or of the session.

use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, CastKind, DataType, Expr, Fetch, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, LimitClause, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableAlias, TableFactor, TimezoneInfo, TypedString, Value,
    ValueWithSpan, VisitMut, VisitorMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::like_escape::without_escape;
use super::names::normalise;
use super::show::show;
use super::table_versions::{AsOf, Historic};
use super::time_patterns::chrono_pattern;
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// Functions whose second argument is a pattern of a time.
const WITH_PATTERN: [&str; 5] = [
    "to_char",
    "date_format",
    "to_date",
    "to_timestamp",
    "to_timestamp_micros",
];

/// The table function of what happened to rows.
const TABLE_CHANGES: &str = "table_changes";

/// Spells a statement as the planner of `session` understands it.
///
/// # Errors
/// `InvalidArgument` or `Unsupported` for forms of `SHOW` that mean nothing here.
pub(crate) fn rewrite(session: &SessionState, statement: &mut DfStatement) -> Result<()> {
    match statement {
        DfStatement::Explain(explain) => rewrite(session, &mut explain.statement),
        DfStatement::Statement(statement) => {
            if let Some(query) = show(session, statement)? {
                **statement = query;
            }
            let catalog = &session.config_options().catalog;
            let mut spelling = Spelling {
                session,
                tenant: &catalog.default_catalog,
                schema: &catalog.default_schema,
            };
            match VisitMut::visit(statement.as_mut(), &mut spelling) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(error) => Err(error),
            }
        }
        _ => Ok(()),
    }
}

/// Whether a table function is ours, by itself or as one of schema `system`.
fn is_table_changes(name: &ObjectName) -> bool {
    let name = name.to_string().to_lowercase();
    name.strip_prefix("system.").unwrap_or(&name) == TABLE_CHANGES
}

fn named(name: Ident) -> TableAlias {
    TableAlias {
        explicit: false,
        name,
        columns: vec![],
        at: None,
    }
}

struct Spelling<'s> {
    session: &'s SessionState,
    tenant: &'s str,
    schema: &'s str,
}

impl VisitorMut for Spelling<'_> {
    type Break = EngineError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<EngineError> {
        if let Some(fetch) = query.fetch.take()
            && let Err(error) = limit_of(fetch, &mut query.limit_clause)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<EngineError> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some((name, _)) = self.session_value(expr)
            {
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias: Ident::new(name),
                };
            }
        }
        qualify_wildcards(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<EngineError> {
        if let TableFactor::Table {
            name,
            args: Some(arguments),
            ..
        } = factor
            && ["generate_series", "range"].contains(&name.to_string().to_lowercase().as_str())
        {
            arguments.args.iter_mut().for_each(count_nanoseconds);
        }
        if let TableFactor::Table {
            name,
            version: version @ Some(_),
            ..
        } = factor
            && let Some(version) = version.take()
        {
            match AsOf::parse(self.session, &version) {
                Ok(as_of) => Historic::AsOf(as_of).mark(name),
                Err(error) => return ControlFlow::Break(error),
            }
        }
        if let TableFactor::Table {
            name,
            args: arguments @ Some(_),
            alias,
            ..
        } = factor
            && is_table_changes(name)
            && let Some(arguments) = arguments.take()
        {
            match Historic::changes(self.session, &arguments) {
                Ok((table, changes)) => {
                    alias.get_or_insert_with(|| named(Ident::new(TABLE_CHANGES)));
                    *name = table;
                    changes.mark(name);
                }
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        if let Some((_, value)) = self.session_value(expr) {
            *expr = text(value.to_owned());
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::CompoundFieldAccess { root, access_chain } => {
                // `t.c['f']`: the dots before the first bracket may as well name a table's column.
                let is_name = matches!(**root, Expr::Identifier(_));
                let is_dot = |access: &&mut AccessExpr| matches!(access, AccessExpr::Dot(_));
                for access in access_chain
                    .iter_mut()
                    .skip_while(|access| is_name && is_dot(access))
                {
                    if let AccessExpr::Dot(Expr::Identifier(name)) = access {
                        *access = AccessExpr::Dot(text(normalise(name)));
                    }
                }
            }
            Expr::Like {
                pattern,
                escape_char,
                ..
            }
            | Expr::ILike {
                pattern,
                escape_char,
                ..
            } => {
                if let Err(error) = without_escape(pattern, escape_char) {
                    return ControlFlow::Break(error);
                }
            }
            Expr::Function(function) => {
                if let Err(error) = time_pattern(function) {
                    return ControlFlow::Break(error);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Spelling<'_> {
    /// What a name of the session such as `current_schema` stands for.
    fn session_value(&self, expr: &Expr) -> Option<(&'static str, &str)> {
        let name = match expr {
            Expr::Identifier(name) if name.quote_style.is_none() => name.value.to_lowercase(),
            Expr::Function(function) if has_no_arguments(function) => {
                function.name.to_string().to_lowercase()
            }
            _ => return None,
        };
        let called = matches!(expr, Expr::Function(_));
        match name.as_str() {
            "current_schema" => Some(("current_schema", self.schema)),
            "current_catalog" => Some(("current_catalog", self.tenant)),
            "current_database" if called => Some(("current_database", self.tenant)),
            _ => None,
        }
    }
}

/// `t.*` means the `schema.t` of the same `FROM`; DataFusion wants it in full.
fn qualify_wildcards(select: &mut Select) {
    let relations = select.from.iter().flat_map(|from| {
        let joined = from.joins.iter().map(|join| &join.relation);
        std::iter::once(&from.relation).chain(joined)
    });
    let full_names: Vec<ObjectName> = relations
        .filter_map(|relation| match relation {
            TableFactor::Table {
                name, alias: None, ..
            } if name.0.len() > 1 => Some(name.clone()),
            _ => None,
        })
        .collect();
    let last = |name: &ObjectName| name.0.last()?.as_ident().map(normalise);
    for item in &mut select.projection {
        if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) =
            item
            && name.0.len() == 1
            && let Some(full) = full_names.iter().find(|full| last(full) == last(name))
        {
            *name = full.clone();
        }
    }
}

/// Series of times take nanoseconds only.
fn count_nanoseconds(argument: &mut FunctionArg) {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else {
        return;
    };
    let done: ControlFlow<()> = visit_expressions_mut(argument, |expr| {
        if let Expr::TypedString(TypedString { data_type, .. }) | Expr::Cast { data_type, .. } =
            &mut *expr
            && let DataType::Timestamp(digits @ None, _) = data_type
        {
            *digits = Some(9);
        }
        if is_now(expr) {
            *expr = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(expr.clone()),
                data_type: DataType::Timestamp(Some(9), TimezoneInfo::WithTimeZone),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    });
    debug_assert!(done.is_continue(), "every expression is visited");
}

fn is_now(expr: &Expr) -> bool {
    let Expr::Function(function) = expr else {
        return false;
    };
    let name = function.name.to_string().to_lowercase();
    has_no_arguments(function) && ["now", "current_timestamp"].contains(&name.as_str())
}

fn has_no_arguments(function: &Function) -> bool {
    match &function.args {
        FunctionArguments::None => true,
        FunctionArguments::List(list) => list.args.is_empty() && function.over.is_none(),
        FunctionArguments::Subquery(_) => false,
    }
}

/// `FETCH FIRST n ROWS ONLY` as `LIMIT n`.
fn limit_of(fetch: Fetch, clause: &mut Option<LimitClause>) -> Result<()> {
    if fetch.with_ties || fetch.percent {
        return Err(EngineError::Unsupported {
            what: "FETCH … WITH TIES or PERCENT".to_owned(),
        });
    }
    let one = || Expr::Value(number("1"));
    let count = fetch.quantity.unwrap_or_else(one);
    match clause {
        None => {
            *clause = Some(LimitClause::LimitOffset {
                limit: Some(count),
                offset: None,
                limit_by: vec![],
            });
        }
        Some(LimitClause::LimitOffset {
            limit: limit @ None,
            ..
        }) => *limit = Some(count),
        Some(_) => {
            return Err(EngineError::invalid(
                "the query has both LIMIT and FETCH: write one of them",
            ));
        }
    }
    Ok(())
}

/// Patterns as PostgreSQL writes them, `YYYY-MM-DD`, become those of DataFusion, `%Y-%m-%d`.
fn time_pattern(function: &mut Function) -> Result<()> {
    let name = function.name.to_string().to_lowercase();
    let FunctionArguments::List(list) = &mut function.args else {
        return Ok(());
    };
    if WITH_PATTERN.contains(&name.as_str())
        && let [
            _,
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))),
        ] = list.args.as_mut_slice()
        && let Value::SingleQuotedString(pattern) = &mut value.value
    {
        if let Some(ours) = chrono_pattern(pattern) {
            *pattern = ours;
        } else if !pattern.contains('%') && pattern.contains(char::is_alphabetic) {
            return Err(EngineError::invalid(format!(
                "{name} does not know the pattern '{}': write it with YYYY, MM, DD, HH24, MI, SS, \
                 Mon, FMMonth, FMDay …, or as %Y, %m, %d, %H, %M, %S …",
                short(pattern)
            )));
        }
    }
    Ok(())
}

fn text(value: String) -> Expr {
    Expr::Value(ValueWithSpan {
        value: Value::SingleQuotedString(value),
        span: Span::empty(),
    })
}

fn number(digits: &str) -> ValueWithSpan {
    ValueWithSpan {
        value: Value::Number(digits.to_owned(), false),
        span: Span::empty(),
    }
}
