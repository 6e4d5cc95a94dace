//! Which tables there are, for completion, `\d` and the loader.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Schema;
use arrow_flight::IpcMessage;
use arrow_flight::sql::CommandGetTables;

use super::{ClientError, FlightClient};

/// One table or view.
#[derive(Debug, Clone)]
pub(crate) struct TableInfo {
    /// Its schema.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) name: String,
    /// `TABLE`, `VIEW`, `SYSTEM TABLE`.
    pub(crate) kind: String,
    /// Its columns.
    pub(crate) columns: Schema,
}

impl FlightClient {
    /// Tables of the session's tenant; all of them, or those with one schema and name.
    ///
    /// # Errors
    /// What the server answered, or an answer that does not decode.
    pub(crate) async fn tables(
        &mut self,
        only: Option<(&str, &str)>,
    ) -> Result<Vec<TableInfo>, ClientError> {
        // The names are patterns to the server: they may match more, which is dropped below.
        let command = CommandGetTables {
            db_schema_filter_pattern: only.map(|(schema, _)| schema.to_owned()),
            table_name_filter_pattern: only.map(|(_, name)| name.to_owned()),
            include_schema: true,
            ..CommandGetTables::default()
        };
        let info = self.info(command).await?;
        let mut tables = Vec::new();
        for batch in self.rows(info).collect().await? {
            read(&batch, &mut tables)?;
        }
        if let Some((schema, name)) = only {
            tables.retain(|table| {
                table.schema.eq_ignore_ascii_case(schema) && table.name.eq_ignore_ascii_case(name)
            });
        }
        Ok(tables)
    }
}

fn read(batch: &RecordBatch, tables: &mut Vec<TableInfo>) -> Result<(), ClientError> {
    let missing = || ClientError::Answer {
        message: "the list of tables lacks a column",
    };
    let text = |name: &str| {
        let column = batch.column_by_name(name)?;
        column.as_string_opt::<i32>()
    };
    let schemas = text("db_schema_name").ok_or_else(missing)?;
    let names = text("table_name").ok_or_else(missing)?;
    let kinds = text("table_type").ok_or_else(missing)?;
    let columns = batch.column_by_name("table_schema").ok_or_else(missing)?;
    let columns = columns.as_binary_opt::<i32>().ok_or_else(missing)?;
    for row in 0..batch.num_rows() {
        let schema = if schemas.is_null(row) {
            ""
        } else {
            schemas.value(row)
        };
        let message = IpcMessage(columns.value(row).to_vec().into());
        tables.push(TableInfo {
            schema: schema.to_owned(),
            name: names.value(row).to_owned(),
            kind: kinds.value(row).to_owned(),
            columns: Schema::try_from(message)?,
        });
    }
    Ok(())
}
