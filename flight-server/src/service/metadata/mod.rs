//! Answers to the metadata commands of Flight SQL, as pure functions of a catalog version.
//!
//! [`schema`] is what `GetFlightInfo` and `GetSchema` announce, [`answer`] what `DoGet` sends; both
//! come from the same builders, so that they are equal down to nullability. Guarantees that nothing
//! of another tenant can appear, because only the tenant's own catalog version is handed in. Knows
//! nothing of tickets, sessions and streams.

mod conversions;
mod field;
#[cfg(test)]
mod fixture;
mod functions;
mod keys;
mod namespaces;
mod pattern;
mod sql_info;
mod tables;
mod xdbc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::Command;
use quiver_catalog::CatalogVersion;

use crate::status::Failure;

pub(crate) use field::with_sql_types;

/// The table type of ordinary tables.
pub(crate) const TABLE: &str = "TABLE";
/// The table type of views such as those of `information_schema`.
pub(crate) const VIEW: &str = "VIEW";
/// The table type of what shows the system's state.
pub(crate) const SYSTEM_TABLE: &str = "SYSTEM TABLE";

/// A table that is no table of the catalog, such as `information_schema.tables`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtualTable {
    /// Name of its schema.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) name: String,
    /// [`VIEW`] or [`SYSTEM_TABLE`].
    pub(crate) table_type: &'static str,
    /// Its columns.
    pub(crate) arrow_schema: SchemaRef,
}

/// What metadata is told about: one tenant at one version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// The tenant's name, which is its catalog's.
    pub(crate) tenant: &'a str,
    /// The tenant's schemas and tables.
    pub(crate) version: &'a CatalogVersion,
    /// Tables beside them.
    pub(crate) extra: &'a [VirtualTable],
}

/// The schema of the answer to a metadata command; `None` for every other command.
pub(crate) fn schema(command: &Command) -> Option<SchemaRef> {
    Some(match command {
        Command::CommandGetCatalogs(command) => namespaces::catalogs_schema(*command),
        Command::CommandGetDbSchemas(command) => namespaces::schemas_schema(command),
        Command::CommandGetTables(command) => tables::tables_schema(command),
        Command::CommandGetTableTypes(command) => namespaces::table_types_schema(*command),
        Command::CommandGetSqlInfo(_) => sql_info::sql_info_schema(),
        Command::CommandGetXdbcTypeInfo(_) => xdbc::type_info_schema(),
        Command::CommandGetPrimaryKeys(_) => keys::primary_keys_schema(),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => keys::foreign_keys_schema(),
        _ => return None,
    })
}

/// The whole answer to a metadata command, in one batch; `None` for every other command.
///
/// # Errors
/// Of the internal kind, when a batch cannot be built.
pub(crate) fn answer(
    command: &Command,
    source: &Source<'_>,
) -> Result<Option<RecordBatch>, Failure> {
    let batch = match command {
        Command::CommandGetCatalogs(command) => namespaces::catalogs(*command, source)?,
        Command::CommandGetDbSchemas(command) => namespaces::schemas(command, source)?,
        Command::CommandGetTables(command) => tables::tables(command, source)?,
        Command::CommandGetTableTypes(command) => namespaces::table_types(*command)?,
        Command::CommandGetSqlInfo(command) => sql_info::sql_info(command)?,
        Command::CommandGetXdbcTypeInfo(command) => xdbc::type_info(*command)?,
        Command::CommandGetPrimaryKeys(_) => keys::primary_keys(),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => keys::foreign_keys(),
        _ => return Ok(None),
    };
    Ok(Some(batch))
}

/// A builder of fixed shape that fails is a bug.
fn bug(error: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("cannot build a metadata answer: {error}"))
}

#[cfg(test)]
mod tests;
