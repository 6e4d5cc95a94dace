//! How far a producer has come, for the loader.

use arrow::array::AsArray;
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
        let text = |value: &str| format!("'{}'", value.replace('\'', "''"));
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
}
