//! The SQL statement layer: text in, one statement out.

mod error;
mod statement;

use datafusion::sql::parser::DFParserBuilder;

pub use error::ParseError;
pub(crate) use statement::{
    AdminStatement, CallArgument, CopyFormat, CopyOptions, CopySource, CreateTable, ParsedStatement,
    PartitionTransform, Password, SortBy, Statement,
};

/// Parses exactly one statement.
pub(crate) fn parse(sql: &str) -> Result<ParsedStatement, ParseError> {
    let statement = DFParserBuilder::new(sql)
        .build()
        .and_then(|mut parser| parser.parse_statement())
        .map_err(|error| ParseError::Syntax { message: error.to_string(), line: 0, column: 0 })?;
    Ok(ParsedStatement {
        statement: Statement::Query(Box::new(statement)),
        redacted: String::new(),
        placeholders: 0,
    })
}
