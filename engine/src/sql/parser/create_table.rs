//! `CREATE TABLE name (columns) [clauses] [AS query]`.
//!
//! The clauses sqlparser would misread, `PARTITIONED BY` (as column definitions) and its kin, are
//! lifted out of the token stream first, so that they may stand anywhere after the name, also
//! behind the query. What is left is a name, columns and a query.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, Expr, Ident, TableConstraint, Value,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{Cursor, is_word, normalized, shorten};
use super::error::ParseError;
use super::query::check;
use super::statement::{CreateTable, PartitionTransform, SortBy, Statement};

/// What may follow the columns, for messages.
const CLAUSES: &str =
    "PARTITIONED BY (…), SORTED BY (…), PRIMARY KEY (…), WITH (…), AS query or the end";

/// `CREATE [OR REPLACE] TABLE …`; the words up to `TABLE` are known to be there.
pub(super) fn parse(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let (tokens, clauses) = lift_clauses(&tokens)?;
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["CREATE"])?;
    let or_replace = cursor.take_all(&["OR", "REPLACE"]);
    cursor.expect(&["TABLE"])?;
    let if_not_exists = cursor.if_not_exists();
    if or_replace && if_not_exists {
        return Err(cursor.expected_instead("either OR REPLACE or IF NOT EXISTS, not both"));
    }
    let name = cursor.object_name("the name of the table")?;
    let parsed = cursor.parser.parser.parse_columns();
    let (mut columns, constraints) = parsed.map_err(|error| cursor.error(error))?;
    let query = match cursor.take("AS") {
        true => Some(cursor.query()?),
        false => None,
    };
    if !cursor.at_end() {
        return Err(cursor.expected(CLAUSES));
    }
    if columns.is_empty() && query.is_none() {
        return Err(cursor.expected("at least one column: CREATE TABLE t (name type, …)"));
    }
    query.as_ref().map_or(Ok(()), check)?;
    let primary_key = primary_key(&cursor, &mut columns, &constraints, clauses.primary_key)?;
    check_column_options(&columns)?;
    Ok(Statement::CreateTable(Box::new(CreateTable {
        name,
        if_not_exists,
        or_replace,
        columns,
        primary_key,
        partitioned_by: clauses.partitioned_by.unwrap_or_default(),
        sorted_by: clauses.sorted_by.unwrap_or_default(),
        options: clauses.options.unwrap_or_default(),
        query,
    })))
}

/// What was lifted; `None` where nothing was written.
#[derive(Default)]
struct Clauses {
    partitioned_by: Option<Vec<PartitionTransform>>,
    sorted_by: Option<Vec<SortBy>>,
    primary_key: Option<Vec<Ident>>,
    options: Option<Vec<(String, Value)>>,
}

/// Takes the clauses that stand outside of parentheses out of the tokens.
fn lift_clauses(tokens: &[TokenWithSpan]) -> Result<(Vec<TokenWithSpan>, Clauses), ParseError> {
    let mut rest = Vec::with_capacity(tokens.len());
    let mut clauses = Clauses::default();
    let mut index = 0;
    while index < tokens.len() {
        let start = index;
        let head = clause_head(&tokens[index..]);
        index += head.unwrap_or(0);
        index = skip_group(tokens, index);
        match head {
            Some(_) => parse_clause(tokens[start..index].to_vec(), &mut clauses)?,
            None => rest.extend_from_slice(&tokens[start..index]),
        }
    }
    Ok((rest, clauses))
}

/// How many words introduce a clause here, if they do.
fn clause_head(tokens: &[TokenWithSpan]) -> Option<usize> {
    let heads: [&[&str]; 4] = [
        &["PARTITIONED", "BY"],
        &["SORTED", "BY"],
        &["PRIMARY", "KEY"],
        &["WITH"],
    ];
    let begins = |head: &[&str]| {
        tokens.len() > head.len()
            && head
                .iter()
                .zip(tokens)
                .all(|(word, token)| is_word(&token.token, word))
            && tokens[head.len()].token == Token::LParen
    };
    heads
        .iter()
        .find(|head| begins(head))
        .map(|head| head.len())
}

/// The index after the token, or after the whole group that it opens.
fn skip_group(tokens: &[TokenWithSpan], start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

fn parse_clause(tokens: Vec<TokenWithSpan>, clauses: &mut Clauses) -> Result<(), ParseError> {
    let mut cursor = Cursor::new(tokens);
    if cursor.take_all(&["PARTITIONED", "BY"]) {
        let list = cursor.list(partition_transform)?;
        once(&cursor, "PARTITIONED BY", &mut clauses.partitioned_by, list)
    } else if cursor.take_all(&["SORTED", "BY"]) {
        let list = cursor.list(sort_by)?;
        once(&cursor, "SORTED BY", &mut clauses.sorted_by, list)
    } else if cursor.take_all(&["PRIMARY", "KEY"]) {
        let list = cursor.list(|cursor| cursor.ident("the name of a column"))?;
        once(&cursor, "PRIMARY KEY", &mut clauses.primary_key, list)
    } else {
        cursor.expect(&["WITH"])?;
        let list = cursor.list(option)?;
        let mut keys = HashSet::with_capacity(list.len());
        for (key, _) in &list {
            if !keys.insert(key) {
                return Err(twice(&cursor, &format!("option {}", shorten(key))));
            }
        }
        once(&cursor, "WITH", &mut clauses.options, list)
    }
}

fn once<T>(cursor: &Cursor, what: &str, slot: &mut Option<T>, value: T) -> Result<(), ParseError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(twice(cursor, what)),
    }
}

fn twice(cursor: &Cursor, what: &str) -> ParseError {
    cursor.expected_instead(&format!("{what} only once; remove the other one"))
}

/// `column`, `year(column)` and so on, `bucket(n, column)`.
fn partition_transform(cursor: &mut Cursor) -> Result<PartitionTransform, ParseError> {
    const WHAT: &str =
        "a column, year(column), month(column), day(column), hour(column) or bucket(n, column)";
    let first = cursor.ident(WHAT)?;
    if cursor.peek().token != Token::LParen {
        return Ok(PartitionTransform::Identity { column: first });
    }
    let transform = normalized(&first);
    if !["identity", "year", "month", "day", "hour", "bucket"].contains(&transform.as_str()) {
        return Err(cursor.expected_instead(WHAT));
    }
    cursor.expect_token(&Token::LParen)?;
    let mut buckets = 0;
    if transform == "bucket" {
        buckets = bucket_count(cursor)?;
        cursor.expect_token(&Token::Comma)?;
    }
    let column = cursor.ident("the name of a column")?;
    cursor.expect_token(&Token::RParen)?;
    Ok(match transform.as_str() {
        "year" => PartitionTransform::Year { column },
        "month" => PartitionTransform::Month { column },
        "day" => PartitionTransform::Day { column },
        "hour" => PartitionTransform::Hour { column },
        "bucket" => PartitionTransform::Bucket { buckets, column },
        _ => PartitionTransform::Identity { column },
    })
}

fn bucket_count(cursor: &mut Cursor) -> Result<u32, ParseError> {
    const WHAT: &str = "the number of buckets, at least 1: bucket(16, column)";
    let Token::Number(digits, _) = &cursor.peek().token else {
        return Err(cursor.expected(WHAT));
    };
    match digits.parse() {
        Ok(buckets) if buckets > 0 => {
            cursor.next();
            Ok(buckets)
        }
        _ => Err(cursor.expected(WHAT)),
    }
}

/// `column [ASC | DESC] [NULLS FIRST | NULLS LAST]`.
pub(super) fn sort_by(cursor: &mut Cursor) -> Result<SortBy, ParseError> {
    let column = cursor.ident("the name of a column")?;
    let descending = cursor.take_one_of(&["ASC", "DESC"]) == Some("DESC");
    let nulls_first = match cursor.take("NULLS") {
        false => descending,
        true if cursor.take("FIRST") => true,
        true if cursor.take("LAST") => false,
        true => return Err(cursor.expected("FIRST or LAST")),
    };
    Ok(SortBy {
        column,
        descending,
        nulls_first,
    })
}

/// `key = value`.
fn option(cursor: &mut Cursor) -> Result<(String, Value), ParseError> {
    let key = cursor.option_key()?;
    cursor.expect_token(&Token::Eq)?;
    Ok((key, cursor.option_value()?))
}

/// Finds the primary key in the three places where it can be written, and that it is in one only.
fn primary_key(
    cursor: &Cursor,
    columns: &mut [ColumnDef],
    constraints: &[TableConstraint],
    clause: Option<Vec<Ident>>,
) -> Result<Vec<Ident>, ParseError> {
    let mut keys: Vec<Vec<Ident>> = clause.into_iter().collect();
    for column in columns {
        let count = column.options.len();
        column
            .options
            .retain(|def| !matches!(def.option, ColumnOption::PrimaryKey(_)));
        keys.extend((column.options.len()..count).map(|_| vec![column.name.clone()]));
    }
    for constraint in constraints {
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                let names = key.columns.iter().map(|column| match &column.column.expr {
                    Expr::Identifier(name) => Ok(name.clone()),
                    _ => Err(ParseError::unsupported("an expression in PRIMARY KEY")),
                });
                keys.push(names.collect::<Result<_, _>>()?);
            }
            other => return Err(ParseError::unsupported(constraint_name(other))),
        }
    }
    if keys.len() > 1 {
        return Err(twice(cursor, "PRIMARY KEY"));
    }
    Ok(keys.pop().unwrap_or_default())
}

fn constraint_name(constraint: &TableConstraint) -> String {
    match constraint {
        TableConstraint::Unique(_) => "UNIQUE".to_owned(),
        TableConstraint::ForeignKey(_) => "FOREIGN KEY".to_owned(),
        TableConstraint::Check(_) => "CHECK".to_owned(),
        other => format!("the constraint {}", shorten(&other.to_string())),
    }
}

pub(super) fn check_column_options(columns: &[ColumnDef]) -> Result<(), ParseError> {
    for def in columns.iter().flat_map(|column| &column.options) {
        match &def.option {
            ColumnOption::Null | ColumnOption::NotNull | ColumnOption::Comment(_) => {}
            ColumnOption::Default(value) => check(value)?,
            ColumnOption::Unique(_) => return Err(ParseError::unsupported("UNIQUE")),
            ColumnOption::ForeignKey(_) => return Err(ParseError::unsupported("REFERENCES")),
            ColumnOption::Check(_) => return Err(ParseError::unsupported("CHECK")),
            other => {
                let what = format!("the column option {}", shorten(&other.to_string()));
                return Err(ParseError::unsupported(what));
            }
        }
    }
    Ok(())
}
