//! `GetTables`.
//!
//! Everything that matches is in one batch, exact matches first: the Go driver looks at the first
//! row of the first batch when asked for one table's schema, and sends the name unescaped, so that
//! `a_b` also matches `axb`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::CommandGetTables;
use arrow_flight::{IpcMessage, SchemaAsIpc};
use arrow_ipc::writer::IpcWriteOptions;

use super::field::{self, Place};
use super::pattern::Pattern;
use super::{Source, TABLE, bug};
use crate::status::Failure;

/// One row of the answer.
struct Row<'a> {
    schema: &'a str,
    table: &'a str,
    table_type: &'static str,
    columns: &'a Schema,
}

pub(super) fn tables_schema(command: &CommandGetTables) -> SchemaRef {
    command.clone().into_builder().schema()
}

pub(super) fn tables(
    command: &CommandGetTables,
    source: &Source<'_>,
) -> Result<RecordBatch, Failure> {
    let rows = matching(command, source);
    let catalogs: StringArray = rows.iter().map(|_| Some(source.tenant)).collect();
    let schemas: StringArray = rows.iter().map(|row| Some(row.schema)).collect();
    let names: StringArray = rows.iter().map(|row| Some(row.table)).collect();
    let types: StringArray = rows.iter().map(|row| Some(row.table_type)).collect();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(catalogs),
        Arc::new(schemas),
        Arc::new(names),
        Arc::new(types),
    ];
    if command.include_schema {
        columns.push(Arc::new(table_schemas(&rows, source.tenant)?));
    }
    RecordBatch::try_new(tables_schema(command), columns).map_err(bug)
}

/// Tables that pass all filters, exact matches first, then by schema and name.
fn matching<'a>(command: &CommandGetTables, source: &Source<'a>) -> Vec<Row<'a>> {
    if command
        .catalog
        .as_deref()
        .is_some_and(|catalog| catalog != source.tenant)
    {
        return Vec::new();
    }
    let schemas = Pattern::new(command.db_schema_filter_pattern.as_deref());
    let tables = Pattern::new(command.table_name_filter_pattern.as_deref());
    let wanted = |table_type: &str| {
        command.table_types.is_empty() || command.table_types.iter().any(|t| t == table_type)
    };
    let mut rows: Vec<Row<'a>> = all(source)
        .filter(|row| wanted(row.table_type))
        .filter(|row| schemas.matches(row.schema) && tables.matches(row.table))
        .collect();
    rows.sort_by_key(|row| {
        let inexact = (
            !schemas.is_exactly(row.schema),
            !tables.is_exactly(row.table),
        );
        (inexact, row.schema, row.table)
    });
    rows
}

fn all<'a>(source: &Source<'a>) -> impl Iterator<Item = Row<'a>> {
    let own = source.version.tables().map(|table| Row {
        schema: &table.schema_name,
        table: &table.name,
        table_type: TABLE,
        columns: &table.arrow_schema,
    });
    let extra = source.extra.iter().map(|table| Row {
        schema: &table.schema,
        table: &table.name,
        table_type: table.table_type,
        columns: &table.arrow_schema,
    });
    own.chain(extra)
}

/// Each table's schema as an encapsulated IPC message, with the columns' SQL types as metadata.
fn table_schemas(rows: &[Row<'_>], tenant: &str) -> Result<arrow::array::BinaryArray, Failure> {
    let options = IpcWriteOptions::default();
    let mut builder = BinaryBuilder::new();
    for row in rows {
        let place = Place {
            catalog: tenant,
            schema: row.schema,
            table: row.table,
            read_only: row.table_type != TABLE,
        };
        let schema = field::with_column_metadata(row.columns, place);
        let message: Result<IpcMessage, _> = SchemaAsIpc::new(&schema, &options).try_into();
        builder.append_value(message.map_err(bug)?.0);
    }
    Ok(builder.finish())
}

#[cfg(test)]
mod tests;
