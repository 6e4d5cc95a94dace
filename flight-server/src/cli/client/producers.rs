//! How far producers have come, for the loader.

use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;

use super::{ClientError, FlightClient};

/// A producer of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Producer {
    /// Its name.
    pub(crate) name: String,
    /// The number of its last ingest that is durable.
    pub(crate) last_sequence: u64,
}

impl FlightClient {
    /// The producers of a table whose names begin like this; none when there is no such table.
    ///
    /// # Errors
    /// What the server answered, or an answer that does not decode.
    pub(crate) async fn producers(
        &mut self,
        (schema, table): (&str, &str),
        prefix: &str,
    ) -> Result<Vec<Producer>, ClientError> {
        let text = |value: &str| format!("'{}'", value.replace('\'', "''"));
        let sql = format!(
            "SELECT producer, last_sequence FROM system.producers \
             WHERE lower(schema_name) = lower({}) AND lower(table_name) = lower({}) \
             AND starts_with(producer, {})",
            text(schema),
            text(table),
            text(prefix)
        );
        let info = self.execute(&sql).await?;
        let mut producers = vec![];
        for batch in self.rows(info).collect().await? {
            let [names, numbers] = batch.columns() else {
                return Err(malformed());
            };
            let names = names.as_string_opt::<i32>().ok_or_else(malformed)?;
            let numbers = numbers.as_primitive_opt::<UInt64Type>();
            let numbers = numbers.ok_or_else(malformed)?;
            producers.extend((0..names.len()).map(|row| Producer {
                name: names.value(row).to_owned(),
                last_sequence: numbers.value(row),
            }));
        }
        Ok(producers)
    }
}

fn malformed() -> ClientError {
    ClientError::Answer {
        message: "the list of producers is not what it should be",
    }
}
