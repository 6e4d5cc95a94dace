//! `DELETE`, `UPDATE`, `MERGE` and `TRUNCATE`: parsed by DFParser or by hand, without the clauses
//! that nothing here executes.

use datafusion::sql::sqlparser::ast::{
    self, Delete, Expr, FromTable, Merge, MergeAction, MergeInsertKind, ObjectName, TableFactor,
    TableWithJoins, Update, UpdateTableFromKind,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{Cursor, is_word};
use super::error::ParseError;
use super::query::{check, parse_df};
use super::statement::{Change, Statement};

/// `DELETE FROM t [AS a] [USING …] [WHERE …]`, `UPDATE t [AS a] SET … [FROM …] [WHERE …]`,
/// `MERGE INTO t [AS a] USING … ON … WHEN …`.
pub(super) fn parse(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let change = match parse_df(tokens)? {
        datafusion::sql::parser::Statement::Statement(statement) => match *statement {
            ast::Statement::Delete(delete) => {
                check_delete(&delete)?;
                Change::Delete(Box::new(delete))
            }
            ast::Statement::Update(update) => {
                check_update(&update)?;
                Change::Update(Box::new(update))
            }
            ast::Statement::Merge(merge) => {
                check_merge(&merge)?;
                Change::Merge(Box::new(merge))
            }
            _ => return Err(ParseError::unsupported("this form of a change")),
        },
        _ => return Err(ParseError::unsupported("this form of a change")),
    };
    Ok(Statement::Change(change))
}

/// `TRUNCATE [TABLE] t, … [RESTART | CONTINUE IDENTITY] [CASCADE | RESTRICT]`: nothing depends on a
/// table, and no column counts.
pub(super) fn parse_truncate(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["TRUNCATE"])?;
    cursor.take_one_of(&["TABLE"]);
    let if_exists = cursor.if_exists();
    let mut names: Vec<ObjectName> = vec![cursor.object_name("the name of the table")?];
    while cursor.take_token(&Token::Comma) {
        names.push(cursor.object_name("the name of the table")?);
    }
    if cursor.take_one_of(&["RESTART", "CONTINUE"]).is_some() {
        cursor.expect(&["IDENTITY"])?;
    }
    cursor.take_one_of(&["RESTRICT", "CASCADE"]);
    cursor.end()?;
    Ok(Statement::Truncate { names, if_exists })
}

fn refuse(refused: &[(bool, &str)]) -> Result<(), ParseError> {
    match refused.iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(ParseError::unsupported(*what)),
        None => Ok(()),
    }
}

fn check_delete(delete: &Delete) -> Result<(), ParseError> {
    refuse(&[
        (!delete.optimizer_hints.is_empty(), "an optimizer hint"),
        (
            !delete.tables.is_empty(),
            "DELETE from several tables at once",
        ),
        (
            delete.returning.is_some() || delete.output.is_some(),
            "DELETE … RETURNING",
        ),
        (!delete.order_by.is_empty(), "DELETE … ORDER BY"),
        (delete.limit.is_some(), "DELETE … LIMIT"),
    ])?;
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    check_target(from)?;
    delete.using.as_ref().map_or(Ok(()), check)?;
    delete.selection.as_ref().map_or(Ok(()), check)
}

fn check_update(update: &Update) -> Result<(), ParseError> {
    refuse(&[
        (!update.optimizer_hints.is_empty(), "an optimizer hint"),
        (
            update.returning.is_some() || update.output.is_some(),
            "UPDATE … RETURNING",
        ),
        (update.or.is_some(), "UPDATE OR …"),
        (!update.order_by.is_empty(), "UPDATE … ORDER BY"),
        (update.limit.is_some(), "UPDATE … LIMIT"),
    ])?;
    check_target(std::slice::from_ref(&update.table))?;
    match &update.from {
        None => {}
        Some(UpdateTableFromKind::AfterSet(from)) => check(from)?,
        Some(UpdateTableFromKind::BeforeSet(_)) => {
            return Err(ParseError::unsupported_but(
                "UPDATE … FROM … SET",
                "write FROM after SET",
            ));
        }
    }
    let mut values = update.assignments.iter().map(|set| &set.value);
    values.try_for_each(check)?;
    update.selection.as_ref().map_or(Ok(()), check)
}

fn check_merge(merge: &Merge) -> Result<(), ParseError> {
    refuse(&[
        (!merge.optimizer_hints.is_empty(), "an optimizer hint"),
        (merge.output.is_some(), "MERGE … OUTPUT"),
    ])?;
    check_table(&merge.table)?;
    check(&merge.source)?;
    check(&merge.on)?;
    for clause in &merge.clauses {
        clause.predicate.as_ref().map_or(Ok(()), check)?;
        check_action(&clause.action)?;
    }
    Ok(())
}

fn check_action(action: &MergeAction) -> Result<(), ParseError> {
    let values: Vec<&Expr> = match action {
        MergeAction::Delete { .. } => vec![],
        MergeAction::Update(update) => {
            let more = update.update_predicate.is_some() || update.delete_predicate.is_some();
            refuse(&[(more, "WHERE in UPDATE of MERGE")])?;
            update.assignments.iter().map(|set| &set.value).collect()
        }
        MergeAction::Insert(insert) => {
            refuse(&[(
                insert.insert_predicate.is_some(),
                "WHERE in INSERT of MERGE",
            )])?;
            let MergeInsertKind::Values(values) = &insert.kind else {
                return Err(ParseError::unsupported_but(
                    "INSERT ROW in MERGE",
                    "write INSERT (columns) VALUES (…)",
                ));
            };
            let [row] = values.rows.as_slice() else {
                return Err(ParseError::unsupported("several rows in INSERT of MERGE"));
            };
            row.content.iter().collect()
        }
    };
    values.into_iter().try_for_each(check)
}

fn check_target(from: &[TableWithJoins]) -> Result<(), ParseError> {
    match from {
        [table] if table.joins.is_empty() => check_table(&table.relation),
        _ => Err(ParseError::unsupported_but(
            "a join as the target of a change",
            "name the other tables after USING or FROM",
        )),
    }
}

/// A plain table: everything else was refused as in any FROM.
fn check_table(table: &TableFactor) -> Result<(), ParseError> {
    check(table)?;
    match table {
        TableFactor::Table {
            args: None,
            version: None,
            alias,
            ..
        } => {
            let renames = alias
                .as_ref()
                .is_some_and(|alias| !alias.columns.is_empty());
            refuse(&[(renames, "names for the columns of the target")])
        }
        _ => Err(ParseError::unsupported(
            "a change of anything but a table as it is now",
        )),
    }
}

/// Whether a statement that begins with this token changes rows that are there.
pub(super) fn starts_change(token: &Token) -> bool {
    ["DELETE", "UPDATE", "MERGE"]
        .iter()
        .any(|word| is_word(token, word))
}
