//! The prompt's lists of catalogs, schemas, tables and columns.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use arrow_flight::FlightInfo;
use arrow_flight::sql::{CommandGetCatalogs, CommandGetDbSchemas};

use crate::cli::client::{FlightClient, TableInfo};
use crate::cli::error::CliError;
use crate::cli::sql::format::Out;
use crate::cli::sql::table::TableWriter;

/// A list being fetched and written.
pub(crate) type Described<'a> = Pin<Box<dyn Future<Output = Result<(), CliError>> + 'a>>;

/// Tables, with views and system tables unless `only_tables`.
pub(crate) async fn tables(
    client: &mut FlightClient,
    only_tables: bool,
    out: Out,
) -> Result<(), CliError> {
    let mut tables = client.tables(None).await?;
    tables.retain(|table| !only_tables || table.kind == "TABLE");
    let column = |get: fn(&TableInfo) -> &String| tables.iter().map(get).cloned().collect();
    let columns = [
        ("schema", column(|table| &table.schema)),
        ("name", column(|table| &table.name)),
        ("type", column(|table| &table.kind)),
    ];
    write(columns, out)
}

/// The columns of one table; without a schema, of every table of that name.
pub(crate) async fn columns(
    client: &mut FlightClient,
    name: String,
    out: Out,
) -> Result<(), CliError> {
    let name = name.replace('"', "");
    let mut tables = match name.split_once('.') {
        Some((schema, table)) => client.tables(Some((schema, table))).await?,
        None => client.tables(None).await?,
    };
    let table_name = name.rsplit('.').next().unwrap_or(&name);
    tables.retain(|table| table.name.eq_ignore_ascii_case(table_name));
    if tables.is_empty() {
        let message = format!("there is no table {name}; \\d lists them");
        return Err(CliError::Usage { message });
    }
    let mut names = Vec::new();
    let mut types = Vec::new();
    let mut nullable = Vec::new();
    let mut places = Vec::new();
    for table in &tables {
        for field in table.columns.fields() {
            places.push(format!("{}.{}", table.schema, table.name));
            names.push(field.name().clone());
            types.push(field.data_type().to_string());
            nullable.push(if field.is_nullable() { "yes" } else { "no" }.to_owned());
        }
    }
    write(
        [
            ("table", places),
            ("column", names),
            ("type", types),
            ("nullable", nullable),
        ],
        out,
    )
}

/// Schemas of the tenant.
pub(crate) async fn schemas(client: &mut FlightClient, out: Out) -> Result<(), CliError> {
    let info = client.info(CommandGetDbSchemas::default()).await?;
    copy(client, info, out).await
}

/// Catalogs: the tenant of the session.
pub(crate) async fn catalogs(client: &mut FlightClient, out: Out) -> Result<(), CliError> {
    let info = client.info(CommandGetCatalogs {}).await?;
    copy(client, info, out).await
}

async fn copy(client: &FlightClient, info: FlightInfo, out: Out) -> Result<(), CliError> {
    let mut rows = client.rows(info);
    let mut table = TableWriter::new(out, rows.schema()?);
    while let Some(batch) = rows.next().await? {
        table.write(&batch).map_err(cannot_show)?;
    }
    table.finish().map(drop).map_err(cannot_show)
}

fn write<const N: usize>(
    columns: [(&'static str, Vec<String>); N],
    out: Out,
) -> Result<(), CliError> {
    let columns = columns.map(|(name, values)| {
        let values: ArrayRef = Arc::new(StringArray::from(values));
        (name, values)
    });
    let batch = RecordBatch::try_from_iter(columns).map_err(cannot_show)?;
    let mut table = TableWriter::new(out, batch.schema());
    table.write(&batch).map_err(cannot_show)?;
    table.finish().map(drop).map_err(cannot_show)
}

fn cannot_show(error: ArrowError) -> CliError {
    CliError::Format(error.into())
}
