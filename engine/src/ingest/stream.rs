//! The rows of one stream: logged and held in memory, not visible yet.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use quiver_catalog::{ErrorKind, TableId, TableVersion};
use uuid::Uuid;

use crate::error::{EngineError, Result};
use crate::log_pins::LogPin;
use crate::node::{Node, SPILLS_MAX, frame_bytes};
use crate::record::{CommittedStream, IpcBatch, KIND_ROWS, RowsPlace, decode_rows, encode_rows};
use crate::segment::{Piece, UnregisteredSegments};
use crate::storage_fs::CrashPoint;
use crate::task::blocking;
use crate::tenant::Tenant;
use crate::wal::{Frame, Lsn};
use crate::write_buffer::{CommittedBytes, Reservation};

/// Batches are cut to frames of at most this size, so that the log's queue moves.
const FRAME_BYTES_MAX: u64 = 32 << 20;
/// What a frame holds beside the rows: headers and, once per stream, the schema.
const FRAME_HEAD_BYTES: u64 = 64 << 10;
/// A stream may hold this part of the write buffer.
const SPILL_PART: u64 = 2;
/// One that holds less than this part waits for room instead of writing small segments.
const SPILL_PART_MIN: u64 = 32;
/// What a batch takes in memory beside its buffers.
pub(crate) const BATCH_HEAD_BYTES: u64 = 1024;

/// Writes one stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    stream: StagedStream,
    table: Arc<TableVersion>,
    /// What went to segments, because there was too much of it for memory. From the first on,
    /// nothing more is logged.
    spilled: Option<UnregisteredSegments>,
    /// Rows of all batches.
    row_count: u64,
}

/// What a stream leaves to its commit.
#[derive(Debug)]
pub(crate) struct StagedRows {
    pub(crate) stream: StagedStream,
    pub(crate) spilled: Option<UnregisteredSegments>,
}

/// A stream whose rows are all in the log, waiting for its commit.
#[derive(Debug)]
pub(crate) struct StagedStream {
    stream_id: Uuid,
    table_id: TableId,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    row_count: u64,
    reservation: Reservation,
    /// `None` once there is nothing of it in the log.
    pin: Option<LogPin>,
}

/// What a committed stream leaves to the memtable.
#[derive(Debug)]
pub(crate) struct CommittedRows {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) bytes: CommittedBytes,
    pub(crate) first_lsn: Lsn,
}

impl StreamWriter {
    pub(crate) fn new(
        table: Arc<TableVersion>,
        stream_id: Uuid,
        reservation: Reservation,
        pin: LogPin,
    ) -> Self {
        let stream = StagedStream {
            stream_id,
            table_id: table.id,
            schema: Arc::clone(&table.arrow_schema),
            batches: vec![],
            row_count: 0,
            reservation,
            pin: Some(pin),
        };
        Self {
            stream,
            table,
            spilled: None,
            row_count: 0,
        }
    }

    pub(crate) fn table_id(&self) -> TableId {
        self.stream.table_id
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.row_count
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.stream.schema
    }

    /// All rows, while they are in memory.
    pub(crate) fn batches(&self) -> Option<&[RecordBatch]> {
        self.spilled.is_none().then_some(&self.stream.batches)
    }

    /// Counts rows that are compared only.
    pub(crate) fn count(&mut self, rows: usize) {
        self.row_count += rows as u64;
    }

    /// Logs canonical rows and keeps them; in pieces when they are larger than a frame may be.
    pub(crate) async fn push(
        &mut self,
        node: &Node,
        tenant: &Tenant,
        batch: RecordBatch,
        ipc: Option<IpcBatch>,
    ) -> Result<()> {
        let payload_bytes_max = node.wal.payload_bytes_max();
        let frame_bytes_max = payload_bytes_max
            .saturating_sub(FRAME_HEAD_BYTES)
            .min(FRAME_BYTES_MAX);
        let mut rest = vec![(batch, ipc)];
        while let Some((batch, ipc)) = rest.pop() {
            let own_bytes = ipc.is_some();
            let ipc = ipc.map_or_else(|| IpcBatch::encode(&batch), Ok)?;
            let half = batch.num_rows() / 2;
            if ipc.body.len() as u64 > frame_bytes_max && half > 0 {
                rest.push((batch.slice(half, batch.num_rows() - half), None));
                rest.push((batch.slice(0, half), None));
                continue;
            }
            if ipc.body.len() as u64 + FRAME_HEAD_BYTES > payload_bytes_max {
                return Err(EngineError::invalid(format!(
                    "a row of {} bytes is larger than a WAL file can hold; raise wal.file_bytes",
                    ipc.body.len()
                )));
            }
            self.push_frame(node, tenant, batch, ipc, own_bytes).await?;
        }
        Ok(())
    }

    async fn push_frame(
        &mut self,
        node: &Node,
        tenant: &Tenant,
        batch: RecordBatch,
        ipc: IpcBatch,
        own_bytes: bool,
    ) -> Result<()> {
        let bytes = ipc.body.len() as u64 + BATCH_HEAD_BYTES;
        self.reserve(node, tenant, bytes).await?;
        if let Some(pin) = &self.stream.pin {
            pin.check()?;
        }
        let place = RowsPlace {
            tenant_id: tenant.id().0,
            table_id: self.stream.table_id.0,
            stream_id: self.stream.stream_id,
            batch_index: self.stream.batches.len() as u32,
        };
        let parts = encode_rows(place, &self.stream.schema, batch.num_rows() as u64, ipc);
        let batch = match own_bytes {
            true => batch,
            false => self.compact(batch, &parts)?,
        };
        if self.spilled.is_none() {
            let frames = vec![Frame {
                kind: KIND_ROWS,
                parts,
            }];
            let reservation = node.wal.reserve(frame_bytes(&frames)).await?;
            // A failed write poisons the log: the commit that follows reports it.
            node.wal
                .append(reservation, frames, false, Box::new(|_| {}))?;
            node.reached(CrashPoint::RowsQueued).await?;
        }
        self.row_count += batch.num_rows() as u64;
        self.stream.row_count += batch.num_rows() as u64;
        self.stream.batches.push(batch);
        Ok(())
    }

    /// Makes room for `bytes` in the write buffer: a stream that holds much of it writes what it
    /// has to segments, instead of waiting for others or keeping them waiting.
    async fn reserve(&mut self, node: &Node, tenant: &Tenant, bytes: u64) -> Result<()> {
        let settings = &node.settings;
        let buffer = settings
            .buffer_tenant_bytes_max
            .min(settings.buffer_bytes_max);
        let held = self.stream.reservation.bytes();
        if held > 0 && held + bytes > buffer / SPILL_PART {
            self.spill(node, tenant).await?;
        } else if held >= buffer / SPILL_PART_MIN {
            let grown = self.stream.reservation.grow(bytes, Duration::ZERO).await;
            match grown {
                Err(error) if error.kind() == ErrorKind::Overloaded => {
                    self.spill(node, tenant).await?;
                }
                grown => return grown,
            }
        }
        let wait = node.append_wait();
        self.stream.reservation.grow(bytes, wait).await
    }

    /// Writes what is in memory to segments that nobody knows yet, and frees it.
    async fn spill(&mut self, node: &Node, tenant: &Tenant) -> Result<()> {
        let batches = std::mem::take(&mut self.stream.batches);
        let data = tenant.data_directory();
        let pieces = Piece::of_table(&node.folders, &self.table, &data, batches);
        let spilled = self
            .spilled
            .get_or_insert_with(|| UnregisteredSegments::new(&node.fs, &self.table));
        let jobs = pieces.into_iter().map(|piece| async move {
            let _place = node.spills.acquire().await;
            blocking(move || piece.write_part()).await
        });
        let mut written = futures::stream::iter(jobs).buffered(SPILLS_MAX);
        let mut failed = None;
        // To the end of all, so that the files of the others are known when one fails.
        while let Some(segment) = written.next().await {
            match segment {
                Ok(segment) => spilled.add(segment),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(not_spilled(error));
        }
        self.stream.reservation.free();
        self.stream.row_count = 0;
        self.stream.pin = None;
        node.reached(CrashPoint::RowsSpilled).await
    }

    /// A slice of a large array would keep all of it alive and uncounted: such a batch is read back
    /// from its encoded bytes, which hold its own rows only.
    fn compact(&self, batch: RecordBatch, parts: &[Bytes]) -> Result<RecordBatch> {
        let encoded_bytes: usize = parts.iter().map(Bytes::len).sum();
        if batch.get_array_memory_size() <= encoded_bytes.saturating_mul(2) {
            return Ok(batch);
        }
        let payload = Bytes::from(parts.concat());
        decode_rows(&payload)?.batch(&self.stream.schema)
    }

    /// The rows as they wait for their commit: all of them in the log and in memory, or all in
    /// segments.
    pub(crate) async fn finish(mut self, node: &Node, tenant: &Tenant) -> Result<StagedRows> {
        if self.spilled.is_some() && !self.stream.batches.is_empty() {
            self.spill(node, tenant).await?;
        }
        let spilled_rows = self.spilled.as_ref().map(UnregisteredSegments::row_count);
        assert!(
            spilled_rows.is_none_or(|rows| rows == self.row_count),
            "segments hold every row of the stream"
        );
        let spilled = match self.spilled {
            None => None,
            Some(mut spilled) => {
                let named = blocking(move || spilled.name_files().map(|()| spilled)).await;
                Some(named.map_err(not_spilled)?)
            }
        };
        Ok(StagedRows {
            stream: self.stream,
            spilled,
        })
    }
}

impl StagedStream {
    pub(crate) fn id(&self) -> Uuid {
        self.stream_id
    }

    pub(crate) fn table_id(&self) -> TableId {
        self.table_id
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// From here on the log keeps the rows until they are published or the stream is dropped.
    ///
    /// # Errors
    /// `Conflict` when the stream was given up because the log was full.
    pub(crate) fn begin_commit(&self) -> Result<()> {
        self.pin.as_ref().map_or(Ok(()), LogPin::begin_commit)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// What the commit record says of this stream.
    pub(crate) fn describe(&self) -> CommittedStream {
        CommittedStream {
            stream_id: self.stream_id.as_bytes().to_vec(),
            table_id: self.table_id.0,
            batch_count: self.batches.len() as u32,
            row_count: self.row_count,
        }
    }

    /// The rows are committed: memory counts as such, and the memtable keeps the log from here on.
    pub(crate) fn commit(self) -> CommittedRows {
        CommittedRows {
            batches: self.batches,
            bytes: self.reservation.commit(),
            first_lsn: self
                .pin
                .map(|pin| pin.lsn())
                .expect("committed rows are in the log"),
        }
    }
}

/// Nothing is wrong with the rows or the log: the disk is, or is full.
fn not_spilled(error: EngineError) -> EngineError {
    match error {
        EngineError::Io { .. } | EngineError::Parquet(_) => {
            tracing::error!(%error, "a stream cannot be written to segments");
            EngineError::Unavailable {
                message: "the stream is larger than memory allows and cannot be written to disk: \
                          free some of it, then send the stream again"
                    .to_owned(),
            }
        }
        error => error,
    }
}
