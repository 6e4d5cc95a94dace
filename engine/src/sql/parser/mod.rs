//! The SQL statement layer: text in, one statement out.
//!
//! One token stream serves two parsers: ours for the statements of this product, and DataFusion's
//! for everything it plans. A text that parses is safe to plan: its size and nesting are bounded, a
//! query in it cannot write, and no clause is in it that the planner would pass over in silence.
//! Table versions stay in the tree; the planner's extension takes or refuses them.
//!
//! Knows nothing of names, rights or types: whether a table exists is decided later.

mod admin;
mod alter;
mod change;
mod copy;
mod create_table;
mod cursor;
mod dialect;
mod dispatch;
mod error;
mod query;
mod redact;
mod session;
mod sql_text;
mod statement;
mod tokens;

#[cfg(test)]
mod tests;

pub use error::ParseError;
pub use redact::redact;
pub use sql_text::{SqlText, StatementText};
#[cfg(test)]
pub(crate) use statement::PartitionTransform;
pub(crate) use statement::QueryForm;
pub use statement::{AdminStatement, ParsedStatement, Statement};
pub(crate) use statement::{
    AlterAction, CallArgument, Change, CopyFormat, CopyOptions, CopySource, CreateTable, SortBy,
};

/// Parses exactly one statement; a trailing semicolon and comments are fine.
///
/// # Errors
/// `ParseError` names the place and what to write instead. For the text of a refused statement use
/// [`redact`] before it is recorded.
pub fn parse(sql: &str) -> Result<ParsedStatement, ParseError> {
    let tokens::Tokens {
        tokens,
        placeholders,
    } = tokens::tokenize(sql)?;
    let redacted = redact::redact_tokens(sql, &tokens);
    let statement = dispatch::parse(tokens)?;
    Ok(ParsedStatement {
        statement,
        text: StatementText::Sql(SqlText::new(sql)),
        redacted,
        placeholders,
    })
}
