//! `ALTER TABLE`.

use datafusion::sql::sqlparser::ast::{ColumnDef, Ident};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::create_table::{check_column_options, sort_by};
use super::cursor::Cursor;
use super::error::ParseError;
use super::statement::{AlterAction, Statement};

const ACTIONS: &str =
    "ADD COLUMN, DROP COLUMN, RENAME, ALTER COLUMN, SET SORTED BY (…) or RESET SORTED BY";

/// `ALTER TABLE [IF EXISTS] t action`.
pub(super) fn parse(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["ALTER", "TABLE"])?;
    let if_exists = cursor.if_exists();
    let name = cursor.object_name("the name of the table")?;
    let action = action(&mut cursor)?;
    if cursor.peek().token == Token::Comma {
        return Err(ParseError::unsupported_but(
            "several changes in one ALTER TABLE",
            "write one statement for each, in a transaction",
        ));
    }
    cursor.end()?;
    Ok(Statement::AlterTable {
        name,
        if_exists,
        action: Box::new(action),
    })
}

fn action(cursor: &mut Cursor) -> Result<AlterAction, ParseError> {
    match cursor.take_one_of(&["ADD", "DROP", "RENAME", "ALTER", "SET", "RESET"]) {
        Some("ADD") => {
            cursor.take("COLUMN");
            let if_not_exists = cursor.if_not_exists();
            let (parents, column) = new_column(cursor)?;
            Ok(AlterAction::AddColumn {
                if_not_exists,
                parents,
                column,
            })
        }
        Some("DROP") => {
            cursor.take("COLUMN");
            let if_exists = cursor.if_exists();
            let path = path(cursor)?;
            cursor.take_one_of(&["RESTRICT", "CASCADE"]);
            Ok(AlterAction::DropColumn { if_exists, path })
        }
        Some("RENAME") if cursor.take("TO") => Ok(AlterAction::RenameTable {
            to: cursor.ident("the new name of the table")?,
        }),
        Some("RENAME") => {
            cursor.take("COLUMN");
            let path = path(cursor)?;
            cursor.expect(&["TO"])?;
            let to = cursor.ident("the new name of the column")?;
            Ok(AlterAction::RenameColumn { path, to })
        }
        Some("ALTER") => {
            cursor.take("COLUMN");
            let path = path(cursor)?;
            change_of(cursor, path)
        }
        Some("SET") => {
            cursor.expect(&["SORTED", "BY"])?;
            let sorted_by = cursor.list(sort_by)?;
            Ok(AlterAction::SetSortedBy { sorted_by })
        }
        Some(_) => {
            cursor.expect(&["SORTED", "BY"])?;
            Ok(AlterAction::SetSortedBy { sorted_by: vec![] })
        }
        None => Err(cursor.expected(ACTIONS)),
    }
}

/// What follows `ALTER [COLUMN] c`.
fn change_of(cursor: &mut Cursor, path: Vec<Ident>) -> Result<AlterAction, ParseError> {
    if cursor.take_all(&["SET", "NOT", "NULL"]) {
        let nullable = false;
        return Ok(AlterAction::SetNullable { path, nullable });
    }
    if cursor.take_all(&["DROP", "NOT", "NULL"]) {
        let nullable = true;
        return Ok(AlterAction::SetNullable { path, nullable });
    }
    if cursor.take_all(&["DROP", "DEFAULT"]) {
        let value = None;
        return Ok(AlterAction::SetDefault { path, value });
    }
    if cursor.take_all(&["SET", "DEFAULT"]) {
        let value = Some(cursor.expr()?);
        return Ok(AlterAction::SetDefault { path, value });
    }
    if cursor.take_all(&["SET", "DATA", "TYPE"]) || cursor.take("TYPE") {
        let data_type = cursor.parser.parser.parse_data_type();
        let data_type = data_type.map_err(|error| cursor.error(error))?;
        return Ok(AlterAction::SetType { path, data_type });
    }
    Err(cursor.expected("SET DATA TYPE, SET or DROP NOT NULL, SET or DROP DEFAULT"))
}

/// `column`, or `column.field` and so on.
fn path(cursor: &mut Cursor) -> Result<Vec<Ident>, ParseError> {
    let mut path = vec![cursor.ident("the name of a column")?];
    while cursor.take_token(&Token::Period) {
        path.push(cursor.ident("the name of a field")?);
    }
    Ok(path)
}

/// `[column.]name type [NOT NULL] [DEFAULT value]`.
fn new_column(cursor: &mut Cursor) -> Result<(Vec<Ident>, ColumnDef), ParseError> {
    let mut parents = vec![];
    while cursor.parser.parser.peek_nth_token_ref(1).token == Token::Period {
        parents.push(cursor.ident("the name of a column")?);
        cursor.expect_token(&Token::Period)?;
    }
    let column = cursor.parser.parser.parse_column_def();
    let column = column.map_err(|error| cursor.error(error))?;
    check_column_options(std::slice::from_ref(&column))?;
    Ok((parents, column))
}
