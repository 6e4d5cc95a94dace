//! How far a producer has come, for the loader.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;

use super::{ClientError, FlightClient};

impl FlightClient {
    /// The number of a producer's last ingest into a table that is durable; 0 before the first one,
    /// and when there is no such table.
    ///
    /// # Errors
    /// What the server answered, or an answer that does not decode.
    pub(crate) async fn last_sequence(
        &mut self,
        (schema, table): (&str, &str),
        producer: &str,
    ) -> Result<u64, ClientError> {
        let sql = format!(
            "SELECT CAST(max(last_sequence) AS BIGINT) FROM system.producers \
             WHERE lower(schema_name) = lower({}) AND lower(table_name) = lower({}) AND producer = {}",
            text(schema),
            text(table),
            text(producer)
        );
        let info = self.execute(&sql).await?;
        let batches = self.rows(info).collect().await?;
        let mut numbers = batches.iter().flat_map(|batch| {
            let column = batch.columns().first();
            let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
            column.into_iter().flatten().flatten()
        });
        u64::try_from(numbers.next().unwrap_or(0)).map_err(|_| ClientError::Answer {
            message: "the server gave a producer's number below zero",
        })
    }

    /// The producers of a table whose names begin like this.
    ///
    /// # Errors
    /// What the server answered, or an answer that does not decode.
    pub(crate) async fn producers(
        &mut self,
        (schema, table): (&str, &str),
        prefix: &str,
    ) -> Result<Vec<String>, ClientError> {
        let sql = format!(
            "SELECT producer FROM system.producers WHERE lower(schema_name) = lower({}) \
             AND lower(table_name) = lower({}) AND starts_with(producer, {})",
            text(schema),
            text(table),
            text(prefix)
        );
        let info = self.execute(&sql).await?;
        let mut producers = vec![];
        for batch in self.rows(info).collect().await? {
            let names = batch.columns().first();
            let names = names.and_then(|names| names.as_string_opt::<i32>());
            let names = names.ok_or(ClientError::Answer {
                message: "the list of producers is no text",
            })?;
            let names = (0..names.len()).map(|row| names.value(row).to_owned());
            producers.extend(names);
        }
        Ok(producers)
    }
}

/// As SQL writes it.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
