//! Uploads: Flight messages to record batches to one commit.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use arrow_flight::sql::CommandStatementIngest;
use arrow_flight::sql::{TableExistsOption, TableNotExistOption};
use arrow_flight::{FlightData, PutResult};
use arrow_ipc::root_as_message;
use futures::{FutureExt, StreamExt};
use quiver_catalog::ErrorKind;
use quiver_engine::{
    IngestMode, IngestRequest, IpcBatch, ProducerStep, TableExists, TableMissing, slice_bytes,
};
use quiver_proto::headers;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::call::Call;
use super::message_check::MessageCheck;
use super::put::{PutOutcome, Upload, row_count_result};
use crate::request_body::RequestEnd;
use crate::status::{Classify, Failure};

/// Where an upload goes.
#[derive(Debug)]
pub(crate) struct IngestTarget {
    schema_name: String,
    table_name: String,
    mode: IngestMode,
    transaction_handle: Option<Vec<u8>>,
    /// Options of the command.
    options: HashMap<String, String>,
}

impl IngestTarget {
    pub(crate) fn new(
        call: &Call,
        schema: Option<&str>,
        table: &str,
        mode: IngestMode,
        transaction_handle: Option<Vec<u8>>,
    ) -> Result<Self, Failure> {
        if table.is_empty() {
            return Err(Failure::invalid("the ingest names no table"));
        }
        let default = || call.shared.sessions.options(&call.caller).schema;
        let schema_name = schema
            .filter(|name| !name.is_empty())
            .map_or_else(default, ToOwned::to_owned);
        if ["system", "information_schema"].contains(&schema_name.as_str()) {
            return Err(Failure::new(
                ErrorKind::PermissionDenied,
                format!("schema {schema_name} shows state and cannot be changed"),
            ));
        }
        Ok(Self {
            schema_name,
            table_name: table.to_owned(),
            mode,
            transaction_handle,
            options: HashMap::new(),
        })
    }

    /// Reads `CommandStatementIngest`.
    pub(crate) fn of_command(
        call: &Call,
        command: CommandStatementIngest,
    ) -> Result<Self, Failure> {
        if command.temporary {
            let message = "temporary tables are not supported: ingest into an ordinary one";
            return Err(Failure::new(ErrorKind::Unsupported, message));
        }
        let foreign = command
            .catalog
            .as_deref()
            .is_some_and(|catalog| !catalog.is_empty() && catalog != call.caller.tenant.name);
        if foreign {
            let catalog = command.catalog.unwrap_or_default();
            return Err(Failure::new(
                ErrorKind::NotFound,
                format!("catalog {catalog} not found"),
            ));
        }
        let mode = mode_of(&command)?;
        let handle = command
            .transaction_id
            .as_ref()
            .map(|handle| handle.to_vec());
        let target = Self::new(
            call,
            command.schema.as_deref(),
            &command.table,
            mode,
            handle,
        )?;
        Ok(Self {
            options: command.options,
            ..target
        })
    }
}

fn mode_of(command: &CommandStatementIngest) -> Result<IngestMode, Failure> {
    let unspecified = || {
        Failure::invalid("the ingest does not say what to do about a missing or an existing table")
    };
    let options = command
        .table_definition_options
        .as_ref()
        .ok_or_else(unspecified)?;
    let missing = match options.if_not_exist() {
        TableNotExistOption::Create => TableMissing::Create,
        TableNotExistOption::Fail => TableMissing::Fail,
        TableNotExistOption::Unspecified => return Err(unspecified()),
    };
    let exists = match options.if_exists() {
        TableExistsOption::Fail => TableExists::Fail,
        TableExistsOption::Append => TableExists::Append,
        TableExistsOption::Replace => TableExists::Replace,
        TableExistsOption::Unspecified => return Err(unspecified()),
    };
    Ok(IngestMode { missing, exists })
}

/// A batch and, where they may be logged as they are, the client's own bytes of it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) batch: RecordBatch,
    pub(crate) ipc: Option<IpcBatch>,
}

/// The batches of an upload.
pub(crate) struct UploadStream {
    decoder: FlightDataDecoder,
    end: RequestEnd,
    has_dictionaries: bool,
    /// Where a client that asked for it is told what was received.
    progress: Option<mpsc::Sender<PutResult>>,
}

impl UploadStream {
    /// Of messages that take up to `decoded_bytes_max` each when decompressed.
    pub(crate) fn new(
        upload: Upload,
        end: RequestEnd,
        decoded_bytes_max: usize,
        progress: Option<mpsc::Sender<PutResult>>,
    ) -> Self {
        let mut check = MessageCheck::new(decoded_bytes_max as u64);
        // Some clients send messages that hold metadata alone; the decoder does not know these.
        let with_data = upload.filter(|message| {
            let skip = matches!(message, Ok(message) if message.data_header.is_empty()
                && message.data_body.is_empty());
            std::future::ready(!skip)
        });
        let messages = with_data.map(move |message: Result<FlightData, Status>| {
            let message = message.map_err(|status| FlightError::Tonic(Box::new(status)))?;
            check.check(&message).map_err(FlightError::DecodeError)?;
            Ok(message)
        });
        Self {
            decoder: FlightDataDecoder::new(messages),
            end,
            has_dictionaries: false,
            progress,
        }
    }

    /// Tells that so many rows were received; not that they are durable.
    fn acknowledge(&self, row_count: u64) {
        if let Some(progress) = &self.progress {
            // A client that reads late is told the next time.
            drop(progress.try_send(row_count_result(row_count)));
        }
    }

    /// Schema of the upload, once its first message was read.
    pub(crate) fn schema(&self) -> Option<SchemaRef> {
        self.decoder.schema().cloned()
    }

    /// Reads on until the schema is known.
    pub(crate) async fn read_schema(&mut self, call: &Call) -> Result<SchemaRef, Failure> {
        while self.schema().is_none() {
            match self.next_message(call).await? {
                Some(None) => {}
                Some(Some(_)) => return Err(Failure::invalid("a batch came before the schema")),
                None => return Err(Failure::invalid("the upload has no schema")),
            }
        }
        self.schema()
            .ok_or_else(|| Failure::internal("the schema was read and is gone"))
    }

    /// The next message: a batch, or `Some(None)` for a schema or dictionary.
    async fn next_message(&mut self, call: &Call) -> Result<Option<Option<Received>>, Failure> {
        // Messages are checked before they are decoded; should the decoder panic on one that looked
        // right, the client still gets an answer.
        let next = AssertUnwindSafe(self.decoder.next()).catch_unwind().await;
        let next = next.map_err(|_| Failure::invalid("the upload holds a corrupt IPC message"))?;
        let Some(decoded) = next else { return Ok(None) };
        let decoded = decoded.map_err(|error| match error {
            FlightError::Tonic(status) => call.upload_failure(&status),
            error => Failure::invalid(format!("the upload holds a corrupt IPC message: {error}")),
        })?;
        let raw = decoded.inner;
        Ok(Some(match decoded.payload {
            DecodedPayload::Schema(_) => None,
            DecodedPayload::None => {
                self.has_dictionaries = true;
                None
            }
            DecodedPayload::RecordBatch(batch) => {
                let plain = !self.has_dictionaries && is_uncompressed(&raw.data_header);
                let ipc = plain.then(|| IpcBatch {
                    header: raw.data_header,
                    body: raw.data_body,
                });
                Some(Received { batch, ipc })
            }
        }))
    }

    /// The next batch of the upload.
    pub(crate) async fn next(&mut self, call: &Call) -> Result<Option<Received>, Failure> {
        while let Some(message) = self.next_message(call).await? {
            if let Some(received) = message {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    /// The upload came to its end and was not cut off.
    ///
    /// # Errors
    /// `Cancelled` when the client went away or gave up in the middle.
    pub(crate) fn check_end(&self) -> Result<(), Failure> {
        if self.end.is_complete() {
            return Ok(());
        }
        let message = "the upload was cut off before its end: nothing of it was committed";
        Err(Failure::new(ErrorKind::Cancelled, message))
    }
}

fn is_uncompressed(header: &[u8]) -> bool {
    root_as_message(header)
        .ok()
        .and_then(|message| message.header_as_record_batch())
        .is_some_and(|batch| batch.compression().is_none())
}

impl Call {
    /// Ingests an upload.
    pub(crate) async fn put_ingest(
        &self,
        target: IngestTarget,
        mut upload: UploadStream,
    ) -> Result<PutOutcome, Failure> {
        let incoming = upload.read_schema(self).await?;
        let transaction = self.transaction_of_ingest(target.transaction_handle.as_deref())?;
        let text = format!("INGEST INTO {}.{}", target.schema_name, target.table_name);
        let mut running = self.running(&text);
        let request = IngestRequest {
            schema_name: target.schema_name,
            table_name: target.table_name,
            incoming,
            mode: target.mode,
            adds_columns: self.adds_columns(&target.options)?,
            user_id: self.caller.user.id,
            idempotency_key: self.idempotency_key()?,
            step: self.producer_step(&target.options)?,
            transaction,
        };
        let begun = self.shared.engine.begin_ingest(&self.tenant, request).await;
        let mut ingest = begun.map_err(|error| error.failure())?;
        let mut bytes = 0;
        while let Some(Received { batch, ipc }) = upload.next(self).await? {
            bytes += ipc
                .as_ref()
                .map_or_else(|| slice_bytes(&batch), |ipc| ipc.body.len());
            ingest
                .push(batch, ipc)
                .await
                .map_err(|error| error.failure())?;
            upload.acknowledge(ingest.row_count());
        }
        upload.check_end()?;
        let outcome = ingest.commit().await.map_err(|error| error.failure())?;
        running.add_rows(outcome.row_count);
        running.finish();
        if !outcome.duplicate {
            self.shared.metrics.ingest_rows.inc_by(outcome.row_count);
            self.shared.metrics.ingest_bytes.inc_by(bytes as u64);
        }
        Ok(PutOutcome::of_rows(outcome.row_count, outcome.duplicate))
    }

    /// Whether an ingest may add columns: from the header or the command's option of its name.
    fn adds_columns(&self, options: &HashMap<String, String>) -> Result<bool, Failure> {
        let name = headers::ADD_COLUMNS;
        match options.get(name).map(String::as_str) {
            None => self.flag(name),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Failure::invalid(format!("{name} is either true or false"))),
        }
    }

    /// The number of an ingest, from the headers or the command's options, by the same names.
    fn producer_step(
        &self,
        options: &HashMap<String, String>,
    ) -> Result<Option<ProducerStep>, Failure> {
        let text = |name: &'static str| -> Result<Option<String>, Failure> {
            let header = self.header(name)?;
            Ok(header.or_else(|| options.get(name).cloned()))
        };
        let number = |name: &'static str| -> Result<Option<u64>, Failure> {
            let not_a_number = |_| Failure::invalid(format!("{name} is no whole number"));
            let parse = |text: String| text.trim().parse().map_err(not_a_number);
            text(name)?.map(parse).transpose()
        };
        let epoch = number(headers::PRODUCER_EPOCH)?;
        let sequence = number(headers::PRODUCER_SEQUENCE)?;
        match (text(headers::PRODUCER)?, sequence) {
            (None, None) if epoch.is_none() => Ok(None),
            (Some(producer), Some(sequence)) => Ok(Some(ProducerStep {
                producer,
                epoch: epoch.unwrap_or(0),
                sequence,
            })),
            _ => Err(Failure::invalid(format!(
                "{} and {} go together",
                headers::PRODUCER,
                headers::PRODUCER_SEQUENCE
            ))),
        }
    }

    /// What a broken upload is to its client, should it still listen.
    pub(crate) fn upload_failure(&self, status: &Status) -> Failure {
        let kind = match status.code() {
            Code::DeadlineExceeded => {
                return Failure::new(ErrorKind::Deadline, status.message());
            }
            // tonic says so of a message that is too large.
            Code::OutOfRange => {
                let bytes_max = self.shared.settings.server.message_bytes_max;
                return Failure::invalid(format!(
                    "a message of the upload has more than {bytes_max} bytes \
                     (server.message_bytes_max): send smaller batches"
                ));
            }
            Code::ResourceExhausted => ErrorKind::Overloaded,
            Code::Internal | Code::InvalidArgument => ErrorKind::InvalidArgument,
            _ => ErrorKind::Cancelled,
        };
        Failure::new(kind, format!("the upload broke off: {}", status.message()))
    }
}
