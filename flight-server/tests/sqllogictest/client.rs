//! A stock Flight SQL client as the database of the runner.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::client::FlightSqlServiceClient;
use async_trait::async_trait;
use futures::TryStreamExt;
use sqllogictest::{AsyncDB, DBOutput};
use tonic::transport::{Channel, Endpoint};

use super::cells::{self, CellType};

const SECONDS_MAX: u64 = 120;

/// What the server answered, or why there is no answer.
#[derive(Debug)]
pub(crate) struct ClientError(String);

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for ClientError {}

fn failed(error: &dyn fmt::Display) -> ClientError {
    ClientError(error.to_string())
}

pub(crate) struct Client {
    flight: FlightSqlServiceClient<Channel>,
}

impl Client {
    pub(crate) async fn connect(port: u16, user: &str, password: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut flight = FlightSqlServiceClient::new(channel);
        flight.handshake(user, password).await.unwrap();
        Self { flight }
    }

    /// Runs a statement of any kind; its rows, when it has any.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
    ) -> Result<(SchemaRef, Vec<RecordBatch>), ClientError> {
        let limit = Duration::from_secs(SECONDS_MAX);
        let answer = tokio::time::timeout(limit, self.fetch(sql)).await;
        answer.map_err(|_| ClientError(format!("no answer within {SECONDS_MAX} s")))?
    }

    async fn fetch(&mut self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), ClientError> {
        let info = self.flight.execute(sql.to_owned(), None).await;
        let info = info.map_err(|error| failed(&error))?;
        if info.endpoint.is_empty() {
            return count(sql, info.total_records);
        }
        let mut schema = SchemaRef::new(Schema::empty());
        let mut batches = vec![];
        for endpoint in info.endpoint {
            let ticket = endpoint
                .ticket
                .ok_or_else(|| failed(&"an endpoint without ticket"))?;
            let mut rows = self
                .flight
                .do_get(ticket)
                .await
                .map_err(|error| failed(&error))?;
            while let Some(batch) = rows.try_next().await.map_err(|error| failed(&error))? {
                batches.push(batch);
            }
            let of_stream = rows.schema().cloned();
            schema = of_stream.ok_or_else(|| failed(&"a stream without schema"))?;
        }
        Ok((schema, batches))
    }
}

/// DataFusion answers a statement that changes rows with their number as a row.
fn count(sql: &str, rows: i64) -> Result<(SchemaRef, Vec<RecordBatch>), ClientError> {
    let verb = sql.split_whitespace().next().unwrap_or_default();
    if !["insert", "update", "delete", "merge"].contains(&verb.to_lowercase().as_str()) {
        return Ok((SchemaRef::new(Schema::empty()), vec![]));
    }
    let column: ArrayRef = Arc::new(Int64Array::from(vec![rows]));
    let batch = RecordBatch::try_from_iter([("count", column)]).map_err(|error| failed(&error))?;
    Ok((batch.schema(), vec![batch]))
}

#[async_trait]
impl AsyncDB for Client {
    type Error = ClientError;
    type ColumnType = CellType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<CellType>, ClientError> {
        let (schema, batches) = self.query(sql).await?;
        if schema.fields().is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut rows = vec![];
        for batch in &batches {
            rows.extend(cells::rows(batch).map_err(|error| failed(&error))?);
        }
        Ok(DBOutput::Rows {
            types: schema
                .fields()
                .iter()
                .map(|field| CellType::of(field))
                .collect(),
            rows,
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &'static str {
        "DataFusion"
    }
}
