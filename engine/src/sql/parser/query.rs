//! Queries and INSERT: parsed by DFParser, then searched for what must not run.
//!
//! DataFusion's planner passes over some clauses in silence, which would answer with wrong rows,
//! and a query can hold a write. Both are refused here by name, wherever a query stands. Table
//! versions pass: the planner's extension takes or refuses each of them.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, Insert, Query, Select, TableFactor, TableObject, Value, ValueWithSpan,
    Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::cursor::{Cursor, is_word, shorten, unquoted};
use super::error::ParseError;
use super::statement::{QueryForm, Statement};
use super::tokens::bad_placeholder;

/// Most tables, subqueries and table functions in one statement.
pub(super) const RELATIONS_MAX: usize = 1000;

/// Whether a statement that begins with this token is a query.
pub(super) fn starts_query(token: &Token) -> bool {
    *token == Token::LParen
        || ["SELECT", "WITH", "VALUES", "FROM"]
            .iter()
            .any(|word| is_word(token, word))
}

/// `TABLE t` is `SELECT * FROM t`.
pub(super) fn parse_table(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let span = tokens.first().map_or_else(Span::empty, |first| first.span);
    let select = [
        Token::make_keyword("SELECT"),
        Token::Mul,
        Token::make_keyword("FROM"),
    ];
    let select = select.map(|token| TokenWithSpan { token, span });
    parse_query(
        select
            .into_iter()
            .chain(tokens.into_iter().skip(1))
            .collect(),
    )
}

/// `SELECT`, `WITH`, `VALUES`, `FROM`, `SHOW`, `DESCRIBE`.
pub(super) fn parse_query(mut tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let what = leading_words(&tokens, 2);
    let describes = ["DESCRIBE", "DESC"]
        .iter()
        .any(|word| is_word(&tokens[0].token, word));
    if describes && tokens.len() > 2 && is_word(&tokens[1].token, "TABLE") {
        tokens.remove(1);
    }
    let statement = parse_df(tokens)?;
    match &statement {
        DfStatement::Statement(inner) => check_read(inner, &what)?,
        _ => return Err(ParseError::unsupported(what)),
    }
    Ok(Statement::Query(QueryForm::Sql(Box::new(statement))))
}

/// `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT f] query`, `EXPLAIN (options) query`.
pub(super) fn parse_explain(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let explained = explained_at(&tokens);
    if let Some(token) = tokens.get(explained)
        && !starts_query(&token.token)
        && let Some(word) = unquoted(&token.token)
    {
        let what = format!("EXPLAIN of {}", shorten(&word.value.to_uppercase()));
        return Err(ParseError::unsupported_but(what, "explain a query"));
    }
    let statement = parse_df(tokens)?;
    match &statement {
        DfStatement::Explain(explain) => match &*explain.statement {
            DfStatement::Statement(inner) => check_read(inner, "EXPLAIN of this statement")?,
            _ => return Err(ParseError::unsupported("EXPLAIN of this statement")),
        },
        _ => return Err(ParseError::unsupported("this EXPLAIN")),
    }
    Ok(Statement::Query(QueryForm::Sql(Box::new(statement))))
}

/// `INSERT INTO t [(columns)] query`.
pub(super) fn parse_insert(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    match parse_df(tokens)? {
        DfStatement::Statement(inner) => match *inner {
            ast::Statement::Insert(insert) => {
                check_insert(&insert)?;
                Ok(Statement::Insert(Box::new(insert)))
            }
            _ => Err(ParseError::unsupported("this form of INSERT")),
        },
        _ => Err(ParseError::unsupported("this form of INSERT")),
    }
}

/// Refuses what a query or expression must not hold, at any depth.
pub(super) fn check<T: Visit>(tree: &T) -> Result<(), ParseError> {
    match tree.visit(&mut Refusals { relations: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The first words of a statement in capitals, for messages.
pub(super) fn leading_words(tokens: &[TokenWithSpan], count: usize) -> String {
    let words = tokens
        .iter()
        .take(count)
        .map_while(|token| unquoted(&token.token));
    let words: Vec<String> = words.map(|word| word.value.to_uppercase()).collect();
    shorten(&words.join(" "))
}

pub(super) fn parse_df(mut tokens: Vec<TokenWithSpan>) -> Result<DfStatement, ParseError> {
    drop_materialized(&mut tokens);
    let mut cursor = Cursor::new(tokens);
    let parsed = cursor.parser.parse_statement();
    let statement = parsed.map_err(|error| cursor.df_error(error))?;
    cursor.end()?;
    Ok(statement)
}

/// `AS [NOT] MATERIALIZED (` is advice to PostgreSQL's planner that changes no result.
fn drop_materialized(tokens: &mut Vec<TokenWithSpan>) {
    let mut index = 0;
    while index < tokens.len() {
        let word = |offset: usize, word: &str| {
            let token = tokens.get(index + offset);
            token.is_some_and(|token| is_word(&token.token, word))
        };
        let words = match (word(0, "AS"), word(1, "NOT"), word(1, "MATERIALIZED")) {
            (true, _, true) => 1,
            (true, true, _) if word(2, "MATERIALIZED") => 2,
            _ => 0,
        };
        let opens = tokens.get(index + 1 + words);
        if words > 0 && opens.is_some_and(|token| token.token == Token::LParen) {
            tokens.drain(index + 1..=index + words);
        }
        index += 1;
    }
}

/// Index of the statement after EXPLAIN and its options.
fn explained_at(tokens: &[TokenWithSpan]) -> usize {
    let at = |index: usize| tokens.get(index).map_or(&Token::EOF, |token| &token.token);
    let mut index = 1;
    if *at(1) == Token::LParen && !starts_query(at(2)) {
        let end = tokens.iter().position(|token| token.token == Token::RParen);
        return end.map_or(tokens.len(), |end| end + 1);
    }
    loop {
        if is_word(at(index), "ANALYZE") || is_word(at(index), "VERBOSE") {
            index += 1;
        } else if is_word(at(index), "FORMAT") {
            index += 2;
        } else {
            return index;
        }
    }
}

fn check_read(statement: &ast::Statement, what: &str) -> Result<(), ParseError> {
    use ast::Statement as Ast;
    match statement {
        Ast::Query(query) => check(query),
        Ast::Explain { statement, .. } => match &**statement {
            Ast::Query(query) => check(query),
            _ => Err(ParseError::unsupported_but(
                what,
                "describe a table or a query",
            )),
        },
        Ast::ShowCreate { .. } => Err(ParseError::unsupported_but(
            what,
            "describe the table with DESCRIBE",
        )),
        Ast::ExplainTable { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowSchemas { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowFunctions { .. } => Ok(()),
        _ => Err(ParseError::unsupported(what)),
    }
}

fn check_insert(insert: &Insert) -> Result<(), ParseError> {
    let refused = [
        (insert.or.is_some(), "INSERT OR …"),
        (insert.replace_into, "REPLACE INTO"),
        (insert.ignore, "INSERT IGNORE"),
        (insert.priority.is_some(), "INSERT with a priority"),
        (insert.overwrite, "INSERT OVERWRITE"),
        (
            !matches!(insert.table, TableObject::TableName(_)),
            "INSERT INTO a function or query",
        ),
        (
            insert.table_alias.is_some() || insert.insert_alias.is_some(),
            "INSERT with an alias",
        ),
        (!insert.assignments.is_empty(), "INSERT … SET"),
        (
            insert.partitioned.is_some() || !insert.after_columns.is_empty(),
            "INSERT … PARTITION",
        ),
        (insert.on.is_some(), "INSERT … ON CONFLICT"),
        (
            insert.returning.is_some() || insert.output.is_some(),
            "INSERT … RETURNING",
        ),
        (
            insert.settings.is_some() || insert.format_clause.is_some(),
            "INSERT … FORMAT",
        ),
        (!insert.optimizer_hints.is_empty(), "an optimizer hint"),
        (insert.multi_table_insert_type.is_some(), "INSERT ALL"),
        (!insert.multi_table_into_clauses.is_empty(), "INSERT ALL"),
        (!insert.multi_table_when_clauses.is_empty(), "INSERT ALL"),
        (insert.multi_table_else_clause.is_some(), "INSERT ALL"),
        (insert.source.is_none(), "INSERT without VALUES or a query"),
    ];
    if let Some((_, what)) = refused.iter().find(|(found, _)| *found) {
        return Err(ParseError::unsupported(*what));
    }
    insert.source.as_ref().map_or(Ok(()), check)
}

/// Breaks at the first thing that must not run.
struct Refusals {
    relations: usize,
}

impl Refusals {
    fn refuse(refused: &[(bool, &str)]) -> ControlFlow<ParseError> {
        match refused.iter().find(|(found, _)| *found) {
            Some((_, what)) => ControlFlow::Break(ParseError::unsupported(*what)),
            None => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Refusals {
    type Break = ParseError;

    fn pre_visit_statement(&mut self, statement: &ast::Statement) -> ControlFlow<ParseError> {
        let verb = statement.to_string();
        let verb = verb.split_whitespace().next().unwrap_or("a statement");
        ControlFlow::Break(ParseError::unsupported_but(
            format!("{} inside a query", shorten(verb)),
            "write INSERT INTO t WITH … SELECT …",
        ))
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<ParseError> {
        Self::refuse(&[
            (!query.locks.is_empty(), "SELECT … FOR UPDATE"),
            (query.for_clause.is_some(), "SELECT … FOR XML or JSON"),
            (query.settings.is_some(), "SELECT … SETTINGS"),
            (query.format_clause.is_some(), "SELECT … FORMAT"),
        ])
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<ParseError> {
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) =
            &select.group_by;
        Self::refuse(&[
            (!modifiers.is_empty(), "GROUP BY … WITH"),
            (select.into.is_some(), "SELECT … INTO"),
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
            (select.exclude.is_some(), "EXCLUDE after the select list"),
            (
                select.value_table_mode.is_some(),
                "SELECT AS STRUCT or VALUE",
            ),
            (select.select_modifiers.is_some(), "a modifier after SELECT"),
            (!select.optimizer_hints.is_empty(), "an optimizer hint"),
        ])
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<ParseError> {
        self.relations += 1;
        if self.relations > RELATIONS_MAX {
            let relations_max = RELATIONS_MAX;
            return ControlFlow::Break(ParseError::TooManyRelations { relations_max });
        }
        match factor {
            TableFactor::Table {
                with_hints,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => Self::refuse(&[
                (
                    !with_hints.is_empty() || !index_hints.is_empty(),
                    "a table hint",
                ),
                (*with_ordinality, "WITH ORDINALITY"),
                (!partitions.is_empty(), "PARTITION in FROM"),
                (json_path.is_some(), "a JSON path in FROM"),
                (sample.is_some(), "TABLESAMPLE"),
            ]),
            TableFactor::Derived {
                sample: Some(_), ..
            } => Self::refuse(&[(true, "TABLESAMPLE")]),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<ParseError> {
        match expr {
            // DataFusion takes the pattern for a regular expression, which answers otherwise.
            Expr::SimilarTo { .. } => ControlFlow::Break(ParseError::unsupported_but(
                "SIMILAR TO",
                "write LIKE, or ~ with a regular expression",
            )),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<ParseError> {
        match &value.value {
            Value::Placeholder(name) if !name.starts_with('$') => {
                ControlFlow::Break(bad_placeholder(name))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
