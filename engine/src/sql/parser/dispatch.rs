//! Which parser a statement belongs to, by its first words; statements that do not exist here are
//! refused by name before anything else is read.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{Cursor, is_word, unquoted};
use super::error::ParseError;
use super::query::{leading_words, starts_query};
use super::statement::Statement;
use super::{admin, alter, change, copy, create_table, query, session};

/// Words that may stand between a verb and its object; none of them is taken.
const MODIFIERS: [&str; 22] = [
    "TEMP",
    "TEMPORARY",
    "LOCAL",
    "GLOBAL",
    "TRANSIENT",
    "UNLOGGED",
    "VOLATILE",
    "EXTERNAL",
    "UNBOUNDED",
    "DYNAMIC",
    "ICEBERG",
    "FOREIGN",
    "MATERIALIZED",
    "UNIQUE",
    "RECURSIVE",
    "PERSISTENT",
    "SECURE",
    "MULTISET",
    "EVENT",
    "CONSTRAINT",
    "HYBRID",
    "IF",
];

/// Objects that other databases have, and ours.
const OBJECTS: [&str; 41] = [
    "TABLE",
    "SCHEMA",
    "USER",
    "TENANT",
    "VIEW",
    "FUNCTION",
    "INDEX",
    "DATABASE",
    "CATALOG",
    "ROLE",
    "POLICY",
    "SEQUENCE",
    "TYPE",
    "TRIGGER",
    "PROCEDURE",
    "EXTENSION",
    "MACRO",
    "SECRET",
    "STAGE",
    "CONNECTOR",
    "DOMAIN",
    "OPERATOR",
    "SERVER",
    "AGGREGATE",
    "RULE",
    "CAST",
    "COLLATION",
    "GROUP",
    "PUBLICATION",
    "SUBSCRIPTION",
    "TABLESPACE",
    "SYSTEM",
    "LANGUAGE",
    "DEFAULT",
    "TRANSFORM",
    "CONVERSION",
    "STATISTICS",
    "SESSION",
    "ACCESS",
    "SNAPSHOT",
    "TEXT",
];

/// Statements of other databases and of standard SQL that have no second word worth naming.
const UNSUPPORTED: [&str; 53] = [
    "REPLACE",
    "UPSERT",
    "GRANT",
    "REVOKE",
    "DENY",
    "KILL",
    "PREPARE",
    "EXECUTE",
    "EXEC",
    "DEALLOCATE",
    "LOAD",
    "UNLOAD",
    "INSTALL",
    "ATTACH",
    "DETACH",
    "ANALYZE",
    "VACUUM",
    "OPTIMIZE",
    "COMMENT",
    "LOCK",
    "UNLOCK",
    "DECLARE",
    "FETCH",
    "CLOSE",
    "OPEN",
    "MOVE",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
    "PRAGMA",
    "CACHE",
    "UNCACHE",
    "FLUSH",
    "DISCARD",
    "REFRESH",
    "REINDEX",
    "CLUSTER",
    "CHECKPOINT",
    "DO",
    "IMPORT",
    "EXPORT",
    "MSCK",
    "RENAME",
    "ASSERT",
    "IF",
    "WHILE",
    "CASE",
    "RAISE",
    "PRINT",
    "UNDROP",
    "SUMMARIZE",
    "PIVOT",
    "REASSIGN",
];

/// Parses the tokens of one statement.
pub(super) fn parse(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let first = tokens.first().map_or(&Token::EOF, |token| &token.token);
    if starts_query(first) {
        return query::parse_query(tokens);
    }
    if change::starts_change(first) {
        return change::parse(tokens);
    }
    let verb = unquoted(first)
        .map(|word| word.value.to_uppercase())
        .unwrap_or_default();
    match verb.as_str() {
        "SHOW" | "DESCRIBE" | "DESC" => query::parse_query(tokens),
        "EXPLAIN" => query::parse_explain(tokens),
        "INSERT" => query::parse_insert(tokens),
        "TRUNCATE" => change::parse_truncate(tokens),
        "CREATE" | "ALTER" | "DROP" => parse_definition(tokens, &verb),
        "COPY" => copy::parse(tokens),
        "CALL" => session::parse_call(tokens),
        "BEGIN" | "START" => session::parse_begin(tokens),
        "COMMIT" | "END" | "ROLLBACK" | "ABORT" => session::parse_end(tokens),
        "SAVEPOINT" => session::parse_savepoint(tokens),
        "RELEASE" => session::parse_release(tokens),
        "SET" => session::parse_set(tokens),
        "RESET" => session::parse_reset(tokens),
        "TABLE" => query::parse_table(tokens),
        "USE" => session::parse_use(tokens),
        verb if UNSUPPORTED.contains(&verb) => Err(ParseError::unsupported(verb)),
        _ => {
            Err(Cursor::new(tokens).expected("a statement such as SELECT, INSERT or CREATE TABLE"))
        }
    }
}

/// `CREATE`, `ALTER` and `DROP`.
fn parse_definition(tokens: Vec<TokenWithSpan>, verb: &str) -> Result<Statement, ParseError> {
    let replaces =
        tokens.len() > 2 && is_word(&tokens[1].token, "OR") && is_word(&tokens[2].token, "REPLACE");
    let head = if replaces { 3 } else { 1 };
    let modifiers = count(&tokens[head..], &MODIFIERS);
    let object_at = head + modifiers;
    let Some(object) = tokens
        .get(object_at)
        .and_then(|token| OBJECTS.iter().find(|object| is_word(&token.token, object)))
    else {
        let mut cursor = Cursor::secret(tokens);
        (0..head).for_each(|_| drop(cursor.next()));
        return Err(cursor.expected("TABLE, SCHEMA, USER or TENANT"));
    };
    match (verb, *object) {
        ("CREATE", "TABLE") if modifiers == 0 => create_table::parse(tokens),
        ("ALTER", "TABLE") if object_at == 1 => alter::parse(tokens),
        ("CREATE", "SCHEMA") if object_at == 1 => parse_create_schema(tokens),
        ("DROP", "TABLE") if object_at == 1 => parse_drop_table(tokens),
        ("DROP", "SCHEMA") if object_at == 1 => parse_drop_schema(tokens),
        ("CREATE" | "DROP", "TENANT" | "USER") | ("ALTER", "USER") if object_at == 1 => {
            admin::parse(tokens)
        }
        _ => Err(ParseError::unsupported(leading_words(
            &tokens,
            object_at + 1,
        ))),
    }
}

/// How many tokens at the beginning are among the words.
fn count(tokens: &[TokenWithSpan], words: &[&str]) -> usize {
    let among = |token: &&TokenWithSpan| words.iter().any(|word| is_word(&token.token, word));
    tokens.iter().take_while(among).count()
}

/// `CREATE SCHEMA [IF NOT EXISTS] name`.
fn parse_create_schema(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["CREATE", "SCHEMA"])?;
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.object_name("the name of the schema")?;
    cursor.end()?;
    Ok(Statement::CreateSchema {
        name,
        if_not_exists,
    })
}

/// `DROP TABLE [IF EXISTS] name, … [RESTRICT | CASCADE]`: nothing depends on a table.
fn parse_drop_table(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["DROP", "TABLE"])?;
    let if_exists = cursor.if_exists();
    let mut names = vec![cursor.object_name("the name of the table")?];
    while cursor.take_token(&Token::Comma) {
        names.push(cursor.object_name("the name of the table")?);
    }
    cursor.take_one_of(&["RESTRICT", "CASCADE"]);
    cursor.end()?;
    Ok(Statement::DropTable { names, if_exists })
}

/// `DROP SCHEMA [IF EXISTS] name [RESTRICT | CASCADE]`.
fn parse_drop_schema(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["DROP", "SCHEMA"])?;
    let if_exists = cursor.if_exists();
    let name = cursor.object_name("the name of the schema")?;
    let cascade = cursor.take_one_of(&["RESTRICT", "CASCADE"]) == Some("CASCADE");
    cursor.end()?;
    Ok(Statement::DropSchema {
        name,
        if_exists,
        cascade,
    })
}
