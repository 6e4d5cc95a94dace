//! DoPut.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow_flight::sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, PutResult};
use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use quiver_engine::{IngestMode, ParsedStatement, TableExists, TableMissing, slice_bytes};
use quiver_proto::headers;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::call::Call;
use super::command::{Request, plan_of, table_of_path};
use super::execute::Execution;
use super::info::unexpected;
use super::ingest::{IngestTarget, UploadStream};
use crate::request_body::RequestEnd;
use crate::status::Failure;

/// Rows of parameters that one execution may have; each executes the statement once.
const PARAMETER_ROWS_MAX: usize = 1_000_000;

/// The answer to a DoPut.
#[derive(Debug)]
pub(crate) struct PutOutcome {
    pub(crate) result: PutResult,
    /// The same rows were committed before under the same key.
    pub(crate) duplicate: bool,
}

impl PutOutcome {
    pub(crate) fn of_rows(row_count: u64, duplicate: bool) -> Self {
        Self {
            result: row_count_result(row_count),
            duplicate,
        }
    }
}

/// A number of rows as Flight SQL answers it.
pub(crate) fn row_count_result(row_count: u64) -> PutResult {
    let update = DoPutUpdateResult {
        record_count: row_count as i64,
    };
    PutResult {
        app_metadata: update.encode_to_vec().into(),
    }
}

/// Messages of an upload, the first one put back in front.
pub(crate) type Upload = BoxStream<'static, Result<FlightData, Status>>;

impl Call {
    /// Dispatches by the descriptor of the first message. The rows of an ingest are acknowledged
    /// by batch to `progress`.
    pub(crate) async fn put(
        &self,
        mut messages: Streaming<FlightData>,
        end: RequestEnd,
        progress: Option<mpsc::Sender<PutResult>>,
    ) -> Result<PutOutcome, Failure> {
        let first = match messages.next().await {
            Some(Ok(first)) => first,
            Some(Err(status)) => return Err(self.upload_failure(&status)),
            None => {
                return Err(Failure::invalid(
                    "the upload has no message: send at least a schema (an empty reader sends none)",
                ));
            }
        };
        let descriptor = first
            .flight_descriptor
            .clone()
            .ok_or_else(|| Failure::invalid("the first message of an upload needs a descriptor"))?;
        let upload: Upload = futures::stream::iter([Ok(first)]).chain(messages).boxed();
        let decoded_bytes_max = self.shared.settings.server.message_bytes_max;
        let upload = UploadStream::new(upload, end, decoded_bytes_max, progress);
        match Request::of_descriptor(&descriptor)? {
            Request::Path(path) => self.put_path(&path, upload).await,
            Request::Sql(sql) => self.put_statement(&self.parse(&sql)?, None, upload).await,
            Request::Command(command) => self.put_command(*command, upload).await,
        }
    }

    /// Whether the client reads an acknowledgement per batch; most take the first one for the result.
    pub(crate) fn wants_progress(&self) -> Result<bool, Failure> {
        let name = headers::ACK;
        match self.header(name)?.as_deref() {
            None => Ok(false),
            Some("batch") => Ok(true),
            Some(_) => Err(Failure::invalid(format!(
                "header {name} can only say batch: an acknowledgement per batch, before the last one \
                 that everything is durable"
            ))),
        }
    }

    async fn put_command(
        &self,
        command: Command,
        upload: UploadStream,
    ) -> Result<PutOutcome, Failure> {
        match command {
            Command::CommandStatementIngest(command) => {
                self.put_ingest(IngestTarget::of_command(self, command)?, upload)
                    .await
            }
            Command::CommandStatementUpdate(update) => {
                let parsed = self.parse(&update.query)?;
                self.put_statement(&parsed, update.transaction_id.as_deref(), upload)
                    .await
            }
            Command::CommandStatementSubstraitPlan(command) => {
                let parsed = self.parse_plan(plan_of(&command)?)?;
                self.put_statement(&parsed, command.transaction_id.as_deref(), upload)
                    .await
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let values = self.parameters(upload).await?;
                let rows = self
                    .update_prepared(&update.prepared_statement_handle, values)
                    .await?;
                Ok(PutOutcome::of_rows(rows, false))
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                let values = self.parameters(upload).await?;
                if let Some(values) = values {
                    self.bind_prepared(&handle, values)?;
                }
                // Without a handle in the answer the Java driver goes on with an empty one.
                let result = DoPutPreparedStatementResult {
                    prepared_statement_handle: Some(handle),
                };
                let app_metadata = result.encode_to_vec().into();
                Ok(PutOutcome {
                    result: PutResult { app_metadata },
                    duplicate: false,
                })
            }
            command => Err(unexpected("DoPut", &command)),
        }
    }

    /// Plain upload to a table.
    async fn put_path(&self, path: &[String], upload: UploadStream) -> Result<PutOutcome, Failure> {
        let (schema, table) = table_of_path(path)?;
        let missing = match self.flag(headers::CREATE)? {
            true => TableMissing::Create,
            false => TableMissing::Fail,
        };
        let mode = IngestMode {
            missing,
            exists: TableExists::Append,
        };
        let target = IngestTarget::new(self, schema, table, mode, None)?;
        self.put_ingest(target, upload).await
    }

    /// A statement executed for its effect; uploaded rows are its parameters.
    async fn put_statement(
        &self,
        parsed: &Arc<ParsedStatement>,
        transaction_handle: Option<&[u8]>,
        upload: UploadStream,
    ) -> Result<PutOutcome, Failure> {
        let parameters = self.parameters(upload).await?;
        let context = self.statement_context(&parsed.statement, transaction_handle)?;
        let execution = Execution {
            parsed,
            context,
            parameters,
            transaction_handle,
            promised: None,
        };
        let row_count = self.execute(execution).await?.rows_changed()?;
        Ok(PutOutcome::of_rows(row_count, false))
    }

    /// All rows of a small upload; `None` when it has no columns.
    async fn parameters(&self, mut upload: UploadStream) -> Result<Option<RecordBatch>, Failure> {
        let bytes_max = self.shared.settings.server.message_bytes_max;
        let (mut batches, mut rows, mut bytes) = (vec![], 0, 0);
        while let Some(received) = upload.next(self).await? {
            rows += received.batch.num_rows();
            bytes += slice_bytes(&received.batch);
            if rows > PARAMETER_ROWS_MAX || bytes > bytes_max {
                return Err(Failure::invalid(format!(
                    "parameters of a statement may have {PARAMETER_ROWS_MAX} rows and {bytes_max} \
                     bytes: ingest larger data with adbc_ingest or CommandStatementIngest"
                )));
            }
            batches.push(received.batch);
        }
        upload.check_end()?;
        let Some(schema) = upload.schema() else {
            return Ok(None);
        };
        if schema.fields().is_empty() {
            return Ok(None);
        }
        let rows = concat_batches(&schema, &batches);
        rows.map(Some)
            .map_err(|error| Failure::invalid(error.to_string()))
    }
}
