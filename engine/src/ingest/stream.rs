//! The rows of one stream: logged and held in memory, not visible yet.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use quiver_catalog::TableId;
use uuid::Uuid;

use crate::error::{EngineError, Result};
use crate::log_pins::LogPin;
use crate::node::{Node, frame_bytes};
use crate::record::{CommittedStream, IpcBatch, KIND_ROWS, RowsPlace, decode_rows, encode_rows};
use crate::storage_fs::CrashPoint;
use crate::tenant::Tenant;
use crate::wal::{Frame, Lsn};
use crate::write_buffer::{CommittedBytes, Reservation};

/// Batches are cut to frames of at most this size, so that the log's queue moves.
const FRAME_BYTES_MAX: u64 = 32 << 20;
/// What a frame holds beside the rows: headers and, once per stream, the schema.
const FRAME_HEAD_BYTES: u64 = 64 << 10;
/// What a batch takes in memory beside its buffers.
pub(crate) const BATCH_HEAD_BYTES: u64 = 1024;

/// Writes one stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    stream: StagedStream,
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
    pin: LogPin,
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
        table_id: TableId,
        schema: SchemaRef,
        stream_id: Uuid,
        reservation: Reservation,
        pin: LogPin,
    ) -> Self {
        let stream = StagedStream {
            stream_id,
            table_id,
            schema,
            batches: vec![],
            row_count: 0,
            reservation,
            pin,
        };
        Self { stream }
    }

    pub(crate) fn table_id(&self) -> TableId {
        self.stream.table_id
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.stream.row_count
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.stream.schema
    }

    pub(crate) fn batches(&self) -> &[RecordBatch] {
        &self.stream.batches
    }

    /// Counts rows that are compared only.
    pub(crate) fn count(&mut self, rows: usize) {
        self.stream.row_count += rows as u64;
    }

    /// Logs canonical rows and keeps them; in pieces when they are larger than a frame may be.
    pub(crate) async fn push(
        &mut self,
        node: &Node,
        tenant: &Tenant,
        batch: RecordBatch,
        ipc: Option<IpcBatch>,
    ) -> Result<()> {
        let frame_bytes_max = node.wal.payload_bytes_max().min(FRAME_BYTES_MAX);
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
            if ipc.body.len() as u64 + FRAME_HEAD_BYTES > node.wal.payload_bytes_max() {
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
        self.stream.pin.check()?;
        let bytes = ipc.body.len() as u64 + BATCH_HEAD_BYTES;
        self.stream
            .reservation
            .grow(bytes, node.append_wait())
            .await?;
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
        let frames = vec![Frame {
            kind: KIND_ROWS,
            parts,
        }];
        let reservation = node.wal.reserve(frame_bytes(&frames)).await?;
        // A failed write poisons the log: the commit that follows reports it.
        node.wal
            .append(reservation, frames, false, Box::new(|_| {}))?;
        node.reached(CrashPoint::RowsQueued)?;
        self.stream.row_count += batch.num_rows() as u64;
        self.stream.batches.push(batch);
        Ok(())
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

    pub(crate) fn finish(self) -> StagedStream {
        self.stream
    }
}

impl StagedStream {
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
        self.pin.begin_commit()
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
            first_lsn: self.pin.lsn(),
        }
    }
}
