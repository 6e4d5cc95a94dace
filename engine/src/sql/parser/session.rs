//! Transactions, `SET`, `RESET` and `CALL`.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::Value;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{Cursor, is_word};
use super::error::ParseError;
use super::query::{check, leading_words};
use super::statement::{CallArgument, Statement};

/// `BEGIN [TRANSACTION | WORK] [modes]`, `START TRANSACTION [modes]`.
pub(super) fn parse_begin(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    match cursor.take("START") {
        true => cursor.expect(&["TRANSACTION"])?,
        false => {
            cursor.expect(&["BEGIN"])?;
            cursor.take_one_of(&["TRANSACTION", "WORK"]);
        }
    }
    while !cursor.at_end() {
        transaction_mode(&mut cursor)?;
        cursor.take_token(&Token::Comma);
    }
    Ok(Statement::Begin)
}

/// `SAVEPOINT name`.
pub(super) fn parse_savepoint(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["SAVEPOINT"])?;
    let name = cursor.name("the name of a savepoint")?;
    cursor.end()?;
    Ok(Statement::Savepoint(name))
}

/// `RELEASE [SAVEPOINT] name`.
pub(super) fn parse_release(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["RELEASE"])?;
    cursor.take("SAVEPOINT");
    let name = cursor.name("the name of a savepoint")?;
    cursor.end()?;
    Ok(Statement::ReleaseSavepoint(name))
}

/// `COMMIT`, `END`, `ROLLBACK`, `ABORT`, each with `[TRANSACTION | WORK] [AND NO CHAIN]`; and
/// `ROLLBACK [TRANSACTION | WORK] TO [SAVEPOINT] name`.
pub(super) fn parse_end(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    let commits = cursor.take_one_of(&["COMMIT", "END"]).is_some();
    if !commits && cursor.take_one_of(&["ROLLBACK", "ABORT"]).is_none() {
        return Err(cursor.expected("COMMIT or ROLLBACK"));
    }
    cursor.take_one_of(&["TRANSACTION", "WORK"]);
    if !commits && cursor.take("TO") {
        cursor.take("SAVEPOINT");
        let name = cursor.name("the name of a savepoint")?;
        cursor.end()?;
        return Ok(Statement::RollbackTo(name));
    }
    if is_word(&cursor.peek().token, "PREPARED") {
        return Err(ParseError::unsupported("a prepared transaction"));
    }
    if cursor.take("AND") && !cursor.take("NO") {
        return Err(ParseError::unsupported_but(
            "AND CHAIN",
            "send BEGIN afterwards",
        ));
    } else if !cursor.at_end() {
        cursor.expect(&["CHAIN"])?;
    }
    cursor.end()?;
    Ok(if commits {
        Statement::Commit
    } else {
        Statement::Rollback
    })
}

/// Takes a mode that every transaction fulfils; refuses those that promise more.
fn transaction_mode(cursor: &mut Cursor) -> Result<(), ParseError> {
    if cursor.take_all(&["ISOLATION", "LEVEL"]) {
        if cursor.take("SERIALIZABLE") {
            return Err(ParseError::unsupported_but(
                "ISOLATION LEVEL SERIALIZABLE",
                "use REPEATABLE READ: a transaction reads one snapshot",
            ));
        }
        let levels: [&[&str]; 4] = [
            &["READ", "UNCOMMITTED"],
            &["READ", "COMMITTED"],
            &["REPEATABLE", "READ"],
            &["SNAPSHOT"],
        ];
        return match levels.iter().any(|level| cursor.take_all(level)) {
            true => Ok(()),
            false => Err(cursor.expected("READ COMMITTED or REPEATABLE READ")),
        };
    }
    if cursor.take_all(&["READ", "ONLY"]) {
        return Err(ParseError::unsupported("a READ ONLY transaction"));
    }
    match cursor.take_all(&["READ", "WRITE"]) {
        true => Ok(()),
        false => Err(cursor.expected("ISOLATION LEVEL …, READ WRITE or the end")),
    }
}

/// `SET [SESSION] name { = | TO } value [, …]`, `SET TIME ZONE value`.
pub(super) fn parse_set(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let what = leading_words(&tokens, 2);
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["SET"])?;
    cursor.take("SESSION");
    for refused in [
        "LOCAL",
        "GLOBAL",
        "ROLE",
        "TRANSACTION",
        "CHARACTERISTICS",
        "AUTHORIZATION",
        "CONSTRAINTS",
        "NAMES",
        "VARIABLE",
    ] {
        if is_word(&cursor.peek().token, refused) {
            return Err(ParseError::unsupported(what));
        }
    }
    let name = if cursor.take_all(&["TIME", "ZONE"]) {
        if cursor.take("LOCAL") {
            cursor.end()?;
            return Ok(Statement::Reset {
                name: "timezone".to_owned(),
            });
        }
        let _ = cursor.take_token(&Token::Eq) || cursor.take("TO");
        "timezone".to_owned()
    } else {
        let name = cursor.option_key()?;
        if !cursor.take_token(&Token::Eq) && !cursor.take("TO") {
            return Err(cursor.expected("= or TO"));
        }
        name
    };
    if cursor.take("DEFAULT") {
        cursor.end()?;
        return Ok(Statement::Reset { name });
    }
    let mut value = set_value(&mut cursor)?;
    while cursor.take_token(&Token::Comma) {
        value.push_str(", ");
        value.push_str(&set_value(&mut cursor)?);
    }
    cursor.end()?;
    Ok(Statement::Set { name, value })
}

/// `USE [SCHEMA] name`: the schema of names without one.
pub(super) fn parse_use(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["USE"])?;
    cursor.take("SCHEMA");
    let value = cursor.name("the name of a schema")?;
    cursor.end()?;
    Ok(Statement::Set {
        name: "schema".to_owned(),
        value,
    })
}

fn set_value(cursor: &mut Cursor) -> Result<String, ParseError> {
    if let Token::Word(word) = &cursor.peek().token
        && word.quote_style.is_some()
    {
        return Ok(cursor.ident("a value")?.value);
    }
    Ok(match cursor.option_value()? {
        Value::SingleQuotedString(text) | Value::Number(text, _) => text,
        other => other.to_string(),
    })
}

/// `RESET name`, `RESET ALL`, `RESET TIME ZONE`.
pub(super) fn parse_reset(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["RESET"])?;
    let name = match cursor.take_all(&["TIME", "ZONE"]) {
        true => "timezone".to_owned(),
        false => cursor.option_key()?,
    };
    cursor.end()?;
    Ok(Statement::Reset { name })
}

/// `CALL name[.name …] [(argument, …)]`.
pub(super) fn parse_call(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["CALL"])?;
    let mut procedure = vec![cursor.name("the name of a procedure")?];
    while cursor.take_token(&Token::Period) {
        procedure.push(cursor.name("the name of a procedure")?);
    }
    let mut arguments = Vec::new();
    if cursor.take_token(&Token::LParen) && !cursor.take_token(&Token::RParen) {
        arguments.push(argument(&mut cursor)?);
        while cursor.take_token(&Token::Comma) {
            arguments.push(argument(&mut cursor)?);
        }
        cursor.expect_token(&Token::RParen)?;
    }
    cursor.end()?;
    let mut names = HashSet::with_capacity(arguments.len());
    for argument in &arguments {
        match &argument.name {
            Some(name) if !names.insert(name) => {
                let expected = "each argument only once; remove the other one";
                return Err(cursor.expected_instead(expected));
            }
            None if !names.is_empty() => {
                return Err(cursor.expected_instead("the arguments without a name first"));
            }
            _ => {}
        }
    }
    Ok(Statement::Call {
        procedure,
        arguments,
    })
}

fn argument(cursor: &mut Cursor) -> Result<CallArgument, ParseError> {
    let named = matches!(
        cursor.parser.parser.peek_nth_token_ref(1).token,
        Token::RArrow | Token::Assignment
    );
    let name = match named {
        true => {
            let name = cursor.name("the name of an argument")?;
            cursor.next();
            Some(name)
        }
        false => None,
    };
    let value = cursor.expr()?;
    check(&value)?;
    Ok(CallArgument { name, value })
}
