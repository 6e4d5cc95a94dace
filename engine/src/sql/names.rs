//! From names in SQL to schemas and tables of the tenant.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::context::StatementContext;
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// Schemas that are views of the state, not places for tables.
pub(crate) const VIRTUAL_SCHEMAS: [&str; 2] = ["information_schema", "system"];

/// A table's full name inside its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl StatementContext {
    /// `table`, `schema.table` or `tenant.schema.table` of this tenant.
    pub(crate) fn table_name(&self, name: &ObjectName) -> Result<TableName> {
        let parts = parts(name)?;
        match parts.as_slice() {
            [table] => Ok(TableName {
                schema: self.default_schema.clone(),
                table: table.clone(),
            }),
            [schema, table] => Ok(TableName {
                schema: schema.clone(),
                table: table.clone(),
            }),
            [tenant, schema, table] if *tenant == self.tenant_name => Ok(TableName {
                schema: schema.clone(),
                table: table.clone(),
            }),
            _ => Err(EngineError::NotFound {
                what: format!("table {}", parts.join(".")),
            }),
        }
    }

    /// `schema` or `tenant.schema` of this tenant.
    pub(crate) fn schema_name(&self, name: &ObjectName) -> Result<String> {
        let parts = parts(name)?;
        match parts.as_slice() {
            [schema] => Ok(schema.clone()),
            [tenant, schema] if *tenant == self.tenant_name => Ok(schema.clone()),
            _ => Err(EngineError::NotFound {
                what: format!("schema {}", parts.join(".")),
            }),
        }
    }
}

/// A name as SQL means it: unquoted ones in lower case.
pub(crate) fn normalise(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

fn parts(name: &ObjectName) -> Result<Vec<String>> {
    let ident = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(ident) => Ok(normalise(ident)),
        ObjectNamePart::Function(_) => Err(EngineError::invalid(format!(
            "'{name}' is not a name of a schema or table"
        ))),
    };
    name.0.iter().map(ident).collect()
}

/// Refuses schemas that cannot hold tables.
pub(crate) fn check_writable(schema: &str) -> Result<()> {
    if VIRTUAL_SCHEMAS.contains(&schema) {
        return Err(EngineError::PermissionDenied {
            message: format!("schema {schema} shows state and cannot be changed"),
        });
    }
    Ok(())
}

/// A name that is given as a text.
///
/// # Errors
/// `InvalidArgument` when it is none.
pub(super) fn parsed_name(text: &str) -> Result<ObjectName> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(text);
    let name = parser.and_then(|mut parser| {
        let name = parser.parse_object_name(false)?;
        parser.expect_token(&Token::EOF)?;
        Ok(name)
    });
    let refused = |_| EngineError::invalid(format!("'{}' is no name of a table", short(text)));
    name.map_err(refused)
}
