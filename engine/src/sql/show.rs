//! `SHOW …` as queries: of `information_schema` for what there is, of constants for what is set.

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ShowStatementFilter, ShowStatementFilterPosition, ShowStatementOptions,
    Statement as AstStatement,
};

use super::names::normalise;
use super::parser::{QueryForm, Statement, parse};
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// The query that answers a statement, if it is a `SHOW`.
///
/// # Errors
/// `Unsupported` for forms that are not built, `InvalidArgument` for settings that do not exist.
pub(crate) fn show(
    session: &SessionState,
    statement: &AstStatement,
) -> Result<Option<AstStatement>> {
    let sql = match statement {
        AstStatement::ShowTables { show_options, .. } => show_tables(show_options)?,
        AstStatement::ShowSchemas { show_options, .. } => {
            let named = filter(show_options, "schema_name")?;
            format!("SELECT schema_name FROM information_schema.schemata{named} ORDER BY 1")
        }
        AstStatement::ShowVariable { variable } => show_variable(session, variable)?,
        AstStatement::ShowFunctions { filter } => {
            let named = match filter {
                None => String::new(),
                Some(filter) => format!(" WHERE {}", condition(filter, "function_name")?),
            };
            format!("SELECT * FROM system.functions{named} ORDER BY function_name, function_type")
        }
        AstStatement::ShowColumns {
            full,
            extended,
            show_options,
        } => {
            let columns = match full | extended {
                true => "*",
                false => {
                    "table_catalog, table_schema, table_name, column_name, data_type, is_nullable"
                }
            };
            return show_columns(session, columns, show_options).map(Some);
        }
        _ => return Ok(None),
    };
    query(&sql).map(Some)
}

fn query(sql: &str) -> Result<AstStatement> {
    let parsed = parse(sql)?;
    if let Statement::Query(QueryForm::Sql(query)) = parsed.statement
        && let DfStatement::Statement(statement) = *query
    {
        return Ok(*statement);
    }
    Err(EngineError::internal("SHOW was not written as a query"))
}

fn show_tables(options: &ShowStatementOptions) -> Result<String> {
    let mut conditions = match schema_of(options) {
        Some(name) => vec![format!("table_schema = {}", literal(&last_name(name)))],
        None => vec!["table_schema <> 'information_schema'".to_owned()],
    };
    if let Some(filter) = filter_of(options) {
        conditions.push(condition(filter, "table_name")?);
    }
    Ok(format!(
        "SELECT * FROM information_schema.tables WHERE {} ORDER BY table_schema, table_name",
        conditions.join(" AND ")
    ))
}

fn show_columns(
    session: &SessionState,
    columns: &str,
    options: &ShowStatementOptions,
) -> Result<AstStatement> {
    let Some(name) = schema_of(options) else {
        return Err(EngineError::invalid("write SHOW COLUMNS FROM a table"));
    };
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(normalise)
        .collect();
    let default_schema = session.config_options().catalog.default_schema.clone();
    let (schema, table) = match parts.as_slice() {
        [.., schema, table] => (schema.clone(), table.clone()),
        [table] => (default_schema, table.clone()),
        [] => (default_schema, String::new()),
    };
    // The subquery is there to fail where there is no such table.
    let mut sql = format!(
        "SELECT {columns} FROM information_schema.columns WHERE table_schema = {} AND table_name = \
         {} AND NOT EXISTS (SELECT 1 FROM {name} WHERE false)",
        literal(&schema),
        literal(&table)
    );
    if let Some(filter) = filter_of(options) {
        sql.push_str(" AND ");
        sql.push_str(&condition(filter, "column_name")?);
    }
    sql.push_str(" ORDER BY ordinal_position");
    query(&sql)
}

/// Settings of the session, as `SET` knows them, and what PostgreSQL's clients ask for.
fn show_variable(session: &SessionState, variable: &[Ident]) -> Result<String> {
    let catalog = &session.config_options().catalog;
    let known = [
        ("catalog", catalog.default_catalog.as_str()),
        ("schema", catalog.default_schema.as_str()),
        ("search_path", catalog.default_schema.as_str()),
        ("server_version", env!("CARGO_PKG_VERSION")),
        ("timezone", "UTC"),
        ("transaction_isolation", "repeatable read"),
    ];
    let words: Vec<String> = variable.iter().map(normalise).collect();
    let name = match words.join(" ").as_str() {
        "time zone" | "time.zone" => "timezone".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        name => name.to_owned(),
    };
    let row = |(name, value): &(&str, &str)| format!("({}, {})", literal(name), literal(value));
    let rows: Vec<String> = known
        .iter()
        .filter(|(known, _)| name == "all" || name == *known)
        .map(row)
        .collect();
    if rows.is_empty() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        return Err(EngineError::invalid(format!(
            "there is no setting '{}': SHOW knows {} and ALL",
            short(&name),
            names.join(", ")
        )));
    }
    Ok(format!(
        "SELECT * FROM (VALUES {}) AS settings(name, value)",
        rows.join(", ")
    ))
}

fn schema_of(options: &ShowStatementOptions) -> Option<&ObjectName> {
    options.show_in.as_ref()?.parent_name.as_ref()
}

fn last_name(name: &ObjectName) -> String {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident.map(normalise).unwrap_or_default()
}

fn filter_of(options: &ShowStatementOptions) -> Option<&ShowStatementFilter> {
    match options.filter_position.as_ref()? {
        ShowStatementFilterPosition::Infix(filter)
        | ShowStatementFilterPosition::Suffix(filter) => Some(filter),
    }
}

fn filter(options: &ShowStatementOptions, column: &str) -> Result<String> {
    match filter_of(options) {
        None => Ok(String::new()),
        Some(filter) => Ok(format!(" WHERE {}", condition(filter, column)?)),
    }
}

fn condition(filter: &ShowStatementFilter, column: &str) -> Result<String> {
    match filter {
        ShowStatementFilter::Like(pattern) => Ok(format!("{column} LIKE {}", literal(pattern))),
        ShowStatementFilter::ILike(pattern) => Ok(format!("{column} ILIKE {}", literal(pattern))),
        ShowStatementFilter::NoKeyword(name) => Ok(format!("{column} = {}", literal(name))),
        ShowStatementFilter::Where(_) => Err(EngineError::Unsupported {
            what: "SHOW … WHERE (query information_schema instead)".to_owned(),
        }),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
