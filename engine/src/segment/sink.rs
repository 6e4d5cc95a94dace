//! Rows that go to segments as they come, for a commit that the catalog decides about.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use quiver_catalog::TableVersion;

use super::unregistered::{Piece, UnregisteredSegments};
use crate::batch_bytes::slice_bytes;
use crate::error::{EngineError, Result};
use crate::node::Node;
use crate::task::blocking;
use crate::tenant::Tenant;
use crate::write_buffer::Reservation;

/// Rows that wait in memory, in bytes, about.
const WAITING_BYTES_MAX: u64 = 128 << 20;
/// The part of the write buffer that they may take.
const BUFFER_PART: u64 = 8;

/// Gathers rows of one table and writes them to segments.
pub(crate) struct SegmentSink {
    node: Arc<Node>,
    tenant: Arc<Tenant>,
    table: Arc<TableVersion>,
    with_row_ids: bool,
    waiting: Vec<RecordBatch>,
    waiting_bytes_max: u64,
    reservation: Reservation,
    written: UnregisteredSegments,
}

impl SegmentSink {
    /// For rows of `table`, with their ids in one more column if `with_row_ids`.
    pub(crate) fn new(
        node: &Arc<Node>,
        tenant: &Arc<Tenant>,
        table: &Arc<TableVersion>,
        with_row_ids: bool,
    ) -> Self {
        let settings = &node.settings;
        let buffer = settings
            .buffer_tenant_bytes_max
            .min(settings.buffer_bytes_max);
        Self {
            node: Arc::clone(node),
            tenant: Arc::clone(tenant),
            table: Arc::clone(table),
            with_row_ids,
            waiting: vec![],
            waiting_bytes_max: WAITING_BYTES_MAX.min(buffer / BUFFER_PART),
            reservation: node.reservation(tenant),
            written: UnregisteredSegments::new(&node.fs, table),
        }
    }

    /// Takes rows; writes those that wait when there are enough of them.
    ///
    /// # Errors
    /// `Overloaded` when there is no memory for them, `Io` when they cannot be written.
    pub(crate) async fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = slice_bytes(&batch) as u64;
        if self.reservation.bytes() + bytes > self.waiting_bytes_max {
            self.write().await?;
        }
        self.reserve(bytes).await?;
        self.waiting.push(batch);
        Ok(())
    }

    /// Gives back what waits before it waits for others: they must not hold each other up.
    async fn reserve(&mut self, bytes: u64) -> Result<()> {
        let grown = self.reservation.grow(bytes, Duration::ZERO).await;
        if grown.is_ok() {
            return grown;
        }
        self.write().await?;
        self.reservation.grow(bytes, self.node.append_wait()).await
    }

    async fn write(&mut self) -> Result<()> {
        let rows = mem::take(&mut self.waiting);
        let data = self.tenant.data_directory();
        for piece in Piece::of_table(&self.node.folders, &self.table, &data, rows) {
            let _place = self.node.spills.acquire().await;
            let piece = match self.with_row_ids {
                true => piece.with_row_ids(),
                false => piece,
            };
            let segment = blocking(move || piece.write_part()).await;
            self.written.add(segment.map_err(EngineError::not_stored)?);
        }
        self.reservation.free();
        Ok(())
    }

    /// The segments with all rows, as part files: a crash before their commit leaves nothing of them.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(crate) async fn finish(mut self) -> Result<UnregisteredSegments> {
        self.write().await?;
        Ok(self.written)
    }
}
