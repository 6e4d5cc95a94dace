//! From rows to Flight messages.
//!
//! Batches are first brought to messages of 1 to 4 MiB: small ones are joined, large ones cut by
//! what their own rows take (arrays that share a buffer would otherwise be counted again and
//! again). Encoding runs in a task of its own, a few messages ahead of the network.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use futures::{Stream, StreamExt};
use quiver_engine::{EngineError, QueryRows, task};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::call::Call;
use crate::queries::RunningQuery;
use crate::status::IntoStatus;

/// Below this, batches are joined.
const MESSAGE_BYTES_MIN: usize = 1 << 20;
/// What large batches are cut to.
const MESSAGE_BYTES_TARGET: usize = 2 << 20;
/// Joined batches have at most this many rows.
const MESSAGE_ROWS_MAX: usize = 1 << 16;
/// Messages that wait for the network.
const QUEUED_MESSAGES: usize = 4;

/// Streams the rows of a query as Flight messages, the schema first. Dropping the stream cancels
/// the query.
pub(crate) fn encode_rows(
    call: &Call,
    rows: QueryRows,
    running: RunningQuery,
) -> impl Stream<Item = Result<FlightData, Status>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(QUEUED_MESSAGES);
    let metrics = Arc::clone(&call.shared.metrics);
    metrics.active_streams.inc();
    drop(task::spawn(async move {
        let query_id = running.id();
        let encoding = encode_all(rows, running, &sender, &metrics);
        let result = tokio::select! {
            result = encoding => result,
            // The client went away: the query is dropped, and with it cancelled.
            () = sender.closed() => Ok(()),
        };
        metrics.active_streams.dec();
        if let Err(error) = result {
            // Nobody listens any more if this fails.
            let _gone = sender.send(Err(error.into_status(Some(query_id)))).await;
        }
    }));
    ReceiverStream::new(receiver)
}

async fn encode_all(
    mut rows: QueryRows,
    mut running: RunningQuery,
    sender: &mpsc::Sender<Result<FlightData, Status>>,
    metrics: &crate::metrics::Metrics,
) -> Result<(), EngineError> {
    let mut encoder = Encoder::default();
    let mut joined = Joined::new(Arc::clone(&rows.schema));
    if sender.send(Ok(encoder.schema(&rows.schema))).await.is_err() {
        return Ok(());
    }
    loop {
        let next = rows.stream.next().await.transpose()?;
        let at_end = next.is_none();
        let ready = match next {
            Some(batch) => joined.push(batch)?,
            None => joined.take()?,
        };
        for batch in ready.into_iter().flat_map(|batch| cut(&batch)) {
            running.add_rows(batch.num_rows() as u64);
            metrics.query_rows.inc_by(batch.num_rows() as u64);
            let message = encoder.batch(&batch)?;
            metrics.query_bytes.inc_by(message.data_body.len() as u64);
            if sender.send(Ok(message)).await.is_err() {
                return Ok(());
            }
        }
        if at_end {
            running.finish();
            return Ok(());
        }
    }
}

/// Small batches that wait to be sent together.
#[derive(Debug)]
struct Joined {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Joined {
    fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            batches: vec![],
            rows: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>, EngineError> {
        self.rows += batch.num_rows();
        self.bytes += own_bytes(&batch);
        self.batches.push(batch);
        match self.bytes >= MESSAGE_BYTES_MIN || self.rows >= MESSAGE_ROWS_MAX {
            true => self.take(),
            false => Ok(None),
        }
    }

    fn take(&mut self) -> Result<Option<RecordBatch>, EngineError> {
        (self.rows, self.bytes) = (0, 0);
        let batches = std::mem::take(&mut self.batches);
        Ok(match batches.as_slice() {
            [] => None,
            [batch] => Some(batch.clone()),
            batches => Some(concat_batches(&self.schema, batches)?),
        })
    }
}

/// Cuts a batch into pieces of about the target size; a single row is never cut.
fn cut(batch: &RecordBatch) -> Vec<RecordBatch> {
    let bytes = own_bytes(batch);
    let pieces = bytes.div_ceil(MESSAGE_BYTES_TARGET * 3 / 2).max(1);
    let rows = batch.num_rows().div_ceil(pieces).max(1);
    (0..batch.num_rows())
        .step_by(rows)
        .map(|start| batch.slice(start, rows.min(batch.num_rows() - start)))
        .collect()
}

/// Bytes that the rows of a batch take by themselves.
fn own_bytes(batch: &RecordBatch) -> usize {
    let bytes = |array: &Arc<dyn Array>| {
        let data = array.to_data();
        data.get_slice_memory_size()
            .unwrap_or_else(|_| data.get_array_memory_size())
    };
    batch.columns().iter().map(bytes).sum()
}

/// Encodes one stream of messages.
struct Encoder {
    generator: IpcDataGenerator,
    tracker: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            generator: IpcDataGenerator::default(),
            tracker: DictionaryTracker::new(true),
            options: IpcWriteOptions::default(),
            context: IpcWriteContext::default(),
        }
    }
}

impl Encoder {
    fn schema(&mut self, schema: &SchemaRef) -> FlightData {
        let encoded = self.generator.schema_to_bytes_with_dictionary_tracker(
            schema,
            &mut self.tracker,
            &self.options,
        );
        FlightData {
            data_header: encoded.ipc_message.into(),
            ..Default::default()
        }
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<FlightData, EngineError> {
        let (dictionaries, encoded) =
            self.generator
                .encode(batch, &mut self.tracker, &self.options, &mut self.context)?;
        debug_assert!(
            dictionaries.is_empty(),
            "promised schemas have no dictionaries"
        );
        Ok(FlightData {
            data_header: encoded.ipc_message.into(),
            data_body: encoded.arrow_data.into(),
            ..Default::default()
        })
    }
}

/// One batch as a whole answer.
pub(crate) fn single_batch(batch: RecordBatch) -> QueryRows {
    let schema = batch.schema();
    QueryRows {
        schema,
        stream: futures::stream::iter([Ok(batch)]).boxed(),
    }
}
