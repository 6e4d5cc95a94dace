//! From rows to Flight messages.
//!
//! Batches are first brought to messages of 1 to 4 MiB: small ones are joined, large ones cut by
//! what their own rows take (arrays that share a buffer would otherwise be counted again and
//! again). Encoding runs in a task of its own, a few messages ahead of the network; when it is
//! stopped, or the client stops reading, the query is dropped, whatever the network does.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, FieldRef, Fields, SchemaRef};
use arrow_flight::FlightData;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use futures::{Stream, StreamExt, TryStreamExt};
use quiver_catalog::ErrorKind;
use quiver_engine::{EngineError, QueryRows, slice_bytes, task};
use tonic::Status;

use super::Messages;
use super::call::Call;
use super::cancel::RunningStream;
use super::delivery::{Outbox, delivery};
use crate::queries::RunningQuery;
use crate::status::{Classify, Failure, IntoStatus};
use crate::stop::Stop;

/// Below this, batches are joined.
const MESSAGE_BYTES_MIN: usize = 1 << 20;
/// What large batches are cut to.
const MESSAGE_BYTES_TARGET: usize = 2 << 20;
/// What a message may take with everything in it; clients with gRPC's default take 4 MiB.
const MESSAGE_BYTES_MAX: usize = 7 << 19;
/// What a column adds to a message beside its values: places of its buffers, and their padding.
const COLUMN_HEAD_BYTES: usize = 256;
/// Rows of a message may take this much, however many columns they have.
const ROWS_BYTES_MIN: usize = 256 << 10;
/// A message of protobuf ends at 2 GiB, and its head takes some of that.
const ROW_BYTES_MAX: usize = (2 << 30) - (1 << 20);
/// What is sent as a whole fits into the window of a stream, so that no client can make it wait.
const WHOLE_BYTES_MAX: usize = 32 << 10;
/// Joined batches have at most this many rows.
const MESSAGE_ROWS_MAX: usize = 1 << 16;

/// What belongs to a stream of rows beside them.
#[derive(Debug)]
pub(crate) struct Streaming {
    pub(crate) running: RunningQuery,
    /// What ends it early.
    pub(crate) stop: Stop,
    /// Its place among those that can be cancelled by their ticket.
    pub(crate) stream: Option<RunningStream>,
    /// How long its reader may pause.
    pub(crate) idle_max: Duration,
    /// Of message bodies, for clients that ask for it.
    pub(crate) compression: Option<CompressionType>,
}

/// Flight messages of the rows of a query, the schema first. Dropping them cancels the query.
///
/// # Errors
/// When a small result cannot be encoded; others end with their error.
pub(crate) async fn send_rows(
    call: &Call,
    mut rows: QueryRows,
    streaming: Streaming,
) -> Result<Messages<FlightData>, Failure> {
    if rows.is_whole {
        let batches: Vec<_> = rows.stream.try_collect().await.map_err(failure)?;
        if batches.iter().map(slice_bytes).sum::<usize>() <= WHOLE_BYTES_MAX {
            let messages = whole(call, &rows.schema, batches, streaming)?;
            return Ok(futures::stream::iter(messages.into_iter().map(Ok)).boxed());
        }
        rows = QueryRows::whole(rows.schema, batches);
    }
    Ok(stream_rows(call, rows, streaming).boxed())
}

/// A small result: it goes out with the head of the answer, and there is nothing to wait for.
fn whole(
    call: &Call,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    streaming: Streaming,
) -> Result<Vec<FlightData>, Failure> {
    let mut encoder = Encoder::new(streaming.compression)?;
    let mut joined = Joined::new(Arc::clone(schema));
    joined.batches = batches;
    let mut running = streaming.running;
    let mut messages = vec![encoder.schema(schema)];
    if let Some(batch) = joined.take().map_err(failure)?
        && batch.num_rows() > 0
    {
        let message = encoder.batch(&batch)?;
        let metrics = &call.shared.metrics;
        running.add_rows(batch.num_rows() as u64);
        metrics.query_rows.inc_by(batch.num_rows() as u64);
        metrics.query_bytes.inc_by(message.data_body.len() as u64);
        messages.push(message);
    }
    running.finish();
    Ok(messages)
}

/// Streams the rows from a task of its own.
fn stream_rows(
    call: &Call,
    rows: QueryRows,
    streaming: Streaming,
) -> impl Stream<Item = Result<FlightData, Status>> + Send + 'static {
    let (outbox, reader) = delivery(streaming.idle_max);
    let metrics = Arc::clone(&call.shared.metrics);
    let slot = call.slot().cloned();
    metrics.active_streams.inc();
    drop(task::spawn(async move {
        let Streaming {
            running,
            stop,
            stream,
            compression,
            ..
        } = streaming;
        let query_id = running.id();
        let result = tokio::select! {
            biased;
            result = encode_all(rows, running, compression, &outbox, &metrics) => result,
            // The client went away: the query is dropped, and with it cancelled.
            () = outbox.closed() => Ok(()),
            failure = stop.stopped() => Err(failure),
        };
        drop(stream);
        metrics.active_streams.dec();
        let Err(failure) = result else {
            outbox.finish();
            return;
        };
        outbox.abort(failure.into_status(Some(query_id)));
        // The answer may stay with a client that does not read; the call is over.
        if let Some(slot) = slot {
            slot.free();
        }
    }));
    reader
}

async fn encode_all(
    mut rows: QueryRows,
    mut running: RunningQuery,
    compression: Option<CompressionType>,
    outbox: &Outbox<FlightData>,
    metrics: &crate::metrics::Metrics,
) -> Result<(), Failure> {
    let mut encoder = Encoder::new(compression)?;
    let mut joined = Joined::new(Arc::clone(&rows.schema));
    outbox.send(encoder.schema(&rows.schema)).await?;
    loop {
        let next = rows.stream.next().await.transpose().map_err(failure)?;
        let at_end = next.is_none();
        let ready = match next {
            Some(batch) => joined.push(batch),
            None => joined.take(),
        };
        for batch in ready.map_err(failure)?.iter().flat_map(cut) {
            let message = encoder.batch(&batch)?;
            let bytes = message.data_body.len() as u64;
            outbox.send(message).await?;
            running.add_rows(batch.num_rows() as u64);
            metrics.query_rows.inc_by(batch.num_rows() as u64);
            metrics.query_bytes.inc_by(bytes);
        }
        if at_end {
            drop(rows);
            outbox.drained().await?;
            running.finish();
            return Ok(());
        }
    }
}

fn failure(error: EngineError) -> Failure {
    error.failure()
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
        self.bytes += slice_bytes(&batch);
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

/// Cuts a batch into pieces of about the target size and none above what fits; a single row is never
/// cut.
fn cut(batch: &RecordBatch) -> Vec<RecordBatch> {
    let heads = columns_within(batch.schema().fields()) * COLUMN_HEAD_BYTES;
    let fitting = MESSAGE_BYTES_MAX.saturating_sub(heads).max(ROWS_BYTES_MIN);
    let mut pieces = vec![];
    cut_to(batch, fitting, &mut pieces);
    pieces
}

fn cut_to(batch: &RecordBatch, fitting: usize, pieces: &mut Vec<RecordBatch>) {
    let (bytes, rows) = (slice_bytes(batch), batch.num_rows());
    if bytes <= fitting || rows < 2 {
        if rows > 0 {
            pieces.push(batch.clone());
        }
        return;
    }
    let count = bytes.div_ceil(MESSAGE_BYTES_TARGET).max(2);
    let piece_rows = rows.div_ceil(count);
    for start in (0..rows).step_by(piece_rows) {
        // Wide rows may stand side by side: a piece is measured again.
        let piece = batch.slice(start, piece_rows.min(rows - start));
        cut_to(&piece, fitting, pieces);
    }
}

/// Columns with all that are inside of them.
fn columns_within(fields: &Fields) -> usize {
    let within = |field: &FieldRef| match field.data_type() {
        DataType::Struct(fields) => columns_within(fields),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => columns_within(&vec![Arc::clone(item)].into()),
        _ => 0,
    };
    fields.iter().map(|field| 1 + within(field)).sum()
}

/// Encodes one stream of messages.
struct Encoder {
    generator: IpcDataGenerator,
    tracker: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    fn new(compression: Option<CompressionType>) -> Result<Self, Failure> {
        let options = IpcWriteOptions::default().try_with_compression(compression);
        Ok(Self {
            generator: IpcDataGenerator::default(),
            tracker: DictionaryTracker::new(true),
            options: options.map_err(|error| Failure::internal(error.to_string()))?,
            context: IpcWriteContext::default(),
        })
    }

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

    fn batch(&mut self, batch: &RecordBatch) -> Result<FlightData, Failure> {
        let bytes = slice_bytes(batch);
        if bytes > ROW_BYTES_MAX {
            return Err(Failure::new(
                ErrorKind::Precondition,
                format!(
                    "a row of {bytes} bytes cannot be sent, for a message has {ROW_BYTES_MAX} at \
                     most: select fewer columns, or parts of them"
                ),
            ));
        }
        let encoded =
            self.generator
                .encode(batch, &mut self.tracker, &self.options, &mut self.context);
        let (dictionaries, encoded) = encoded.map_err(|error| failure(error.into()))?;
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
    QueryRows::whole(batch.schema(), vec![batch])
}
