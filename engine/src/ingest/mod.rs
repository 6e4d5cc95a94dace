//! One ingest stream: from record batches of a client to one commit.
//!
//! Batches are checked, counted against the write buffer and logged as they arrive, but nothing is
//! visible before [`Ingest::commit`]. Dropping an [`Ingest`] leaves no trace but dead frames in the
//! log.

mod stream;
mod target;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use quiver_catalog::{Change, IdempotencyRecord, UserId};

use stream::StreamWriter;
pub(crate) use stream::{BATCH_HEAD_BYTES, StagedStream};
pub use target::{IngestMode, TableExists, TableMissing};
use target::{Target, resolve_target};

use crate::canonical::{Adapter, ContentDigest};
use crate::commit::{CommitRequest, SettledKey, commit};
use crate::error::{EngineError, Result};
use crate::idempotency::{KeyReservation, KeyScope, check_repetition};
use crate::ids::new_id;
use crate::node::Node;
use crate::record::IpcBatch;
use crate::segment::check_rows;
use crate::tenant::Tenant;
use crate::transaction::Transaction;

/// What a client wants to ingest, and how.
#[derive(Debug)]
pub struct IngestRequest {
    /// Schema of the table.
    pub schema_name: String,
    /// The table.
    pub table_name: String,
    /// Arrow schema of the batches that will come.
    pub incoming: SchemaRef,
    /// What to do about a missing or an existing table.
    pub mode: IngestMode,
    /// Who ingests: idempotency keys are per user.
    pub user_id: UserId,
    /// Makes the ingest safe to repeat.
    pub idempotency_key: Option<String>,
    /// Stages the rows in this transaction instead of committing them.
    pub transaction: Option<Arc<Transaction>>,
}

/// What an ingest did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestOutcome {
    /// Rows of this ingest that are committed (or staged, inside a transaction).
    pub row_count: u64,
    /// The same rows were committed before under the same key; nothing was done now.
    pub duplicate: bool,
}

/// An open ingest stream.
#[derive(Debug)]
pub struct Ingest {
    node: Arc<Node>,
    tenant: Arc<Tenant>,
    request: IngestRequest,
    adapter: Adapter,
    changes: Vec<Change>,
    writer: StreamWriter,
    digest: Option<ContentDigest>,
    key: Option<KeyReservation>,
    /// The commit that used the same key before: rows are compared, not written.
    repeats: Option<IdempotencyRecord>,
}

impl Ingest {
    pub(crate) async fn begin(
        node: Arc<Node>,
        tenant: Arc<Tenant>,
        request: IngestRequest,
    ) -> Result<Self> {
        tenant.check_writable()?;
        node.wait_for_log_room().await?;
        let key = reserve_key(&tenant, &request).await?;
        let view = match &request.transaction {
            Some(transaction) => transaction.read_view().await?,
            None => tenant.read_view(),
        };
        let repeats = request.idempotency_key.as_deref().and_then(|key| {
            let table = view
                .catalog()
                .table(&request.schema_name, &request.table_name)?;
            let now_micros = node.now_micros();
            tenant
                .keys()
                .committed(request.user_id, table.id, key, now_micros)
        });
        let target = match &repeats {
            Some(record) => Target::existing(view.catalog(), record.table_id)?,
            None => resolve_target(&tenant, view.catalog(), &request)?,
        };
        let adapter = Adapter::new(&request.incoming, &target.arrow_schema)?;
        let digest = key
            .is_some()
            .then(|| ContentDigest::new(&target.arrow_schema));
        let stream_id = new_id();
        let pin = tenant.pins().pin(stream_id, node.wal.written_lsn());
        let reservation = node.reservation(&tenant);
        let writer = StreamWriter::new(
            target.table_id,
            target.arrow_schema,
            stream_id,
            reservation,
            pin,
        );
        Ok(Self {
            node,
            tenant,
            request,
            adapter,
            changes: target.changes,
            writer,
            digest,
            key,
            repeats,
        })
    }

    /// Takes the next batch. `ipc` are the client's own bytes of it, uncompressed and without
    /// dictionaries; they are logged as they are when the batch is canonical already.
    ///
    /// # Errors
    /// `InvalidArgument` for rows the table cannot hold, `Overloaded` when they do not fit into the
    /// write buffer. The stream is of no use afterwards.
    pub async fn push(&mut self, batch: RecordBatch, ipc: Option<IpcBatch>) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.tenant.check_writable()?;
        let batch = self.adapter.adapt(batch)?;
        check_rows(&batch)?;
        if let Some(digest) = &mut self.digest {
            digest.update(&batch)?;
        }
        if self.repeats.is_some() {
            self.writer.count(batch.num_rows());
            return Ok(());
        }
        let ipc = ipc.filter(|_| self.adapter.is_identity());
        self.writer.push(&self.node, &self.tenant, batch, ipc).await
    }

    /// Rows taken so far.
    pub fn row_count(&self) -> u64 {
        self.writer.row_count()
    }

    /// Commits the stream, or stages it in its transaction. Rows are durable and visible when this
    /// returns, and the commit goes on if the caller goes away.
    ///
    /// # Errors
    /// `Conflict` when the table was dropped or changed meanwhile, `AlreadyExists` when the
    /// idempotency key was used for other rows.
    pub async fn commit(self) -> Result<IngestOutcome> {
        let row_count = self.writer.row_count();
        let mode = self.request.mode.to_string();
        let digest = self.digest.map(ContentDigest::finish);
        if let Some(record) = self.repeats {
            let digest = digest.unwrap_or_default();
            check_repetition(&record, &mode, row_count, &digest)?;
            return Ok(IngestOutcome {
                row_count,
                duplicate: true,
            });
        }
        let table_id = self.writer.table_id();
        let key = self.key.map(|reservation| {
            let record = IdempotencyRecord {
                user_id: self.request.user_id,
                table_id,
                key: reservation.scope().key.clone(),
                mode,
                record_count: row_count,
                digest: digest.unwrap_or_default().to_vec(),
                sequence: 0,
                created_micros: self.node.now_micros(),
            };
            SettledKey {
                reservation,
                record,
            }
        });
        let request = CommitRequest {
            commit_id: new_id(),
            changes: self.changes,
            streams: vec![self.writer.finish()],
            keys: key.into_iter().collect(),
        };
        match self.request.transaction {
            Some(transaction) => transaction.stage(request).await?,
            None => {
                commit(&self.node, &self.tenant, request).await?;
            }
        }
        Ok(IngestOutcome {
            row_count,
            duplicate: false,
        })
    }
}

async fn reserve_key(tenant: &Tenant, request: &IngestRequest) -> Result<Option<KeyReservation>> {
    let Some(key) = &request.idempotency_key else {
        return Ok(None);
    };
    if key.is_empty() || key.len() > 256 {
        return Err(EngineError::invalid(
            "an idempotency key has 1 to 256 bytes",
        ));
    }
    let scope = KeyScope {
        user_id: request.user_id,
        // Names differ by more than case: two spellings are one table, and one key.
        table: format!("{}.{}", request.schema_name, request.table_name).to_lowercase(),
        key: key.clone(),
    };
    Ok(Some(tenant.keys().reserve(scope).await))
}
