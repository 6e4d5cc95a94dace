//! One ingest stream: from record batches of a client to one commit.
//!
//! Batches are checked, counted against the write buffer and logged as they arrive, but nothing is
//! visible before [`Ingest::commit`]. Dropping an [`Ingest`] leaves no trace but dead frames in the
//! log.

mod new_columns;
mod stream;
mod target;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use quiver_catalog::{
    Change, ErrorKind, IdempotencyRecord, ProducerRecord, TableId, TableVersion, UserId,
};

use stream::StreamWriter;
pub(crate) use stream::{BATCH_HEAD_BYTES, StagedStream};
pub use target::{IngestMode, TableExists, TableMissing};
use target::{Target, resolve_target};

use crate::canonical::{Adapter, ContentDigest};
use crate::commit::{CommitRequest, SettledKey, SettledStep, as_conflict, commit};
use crate::error::{EngineError, Result};
use crate::idempotency::{KeyReservation, KeyScope, check_repetition};
use crate::ids::new_id;
use crate::node::Node;
use crate::producers::{Admission, ProducerReservation, ProducerScope, ProducerStep};
use crate::record::IpcBatch;
use crate::segment::{check_rows, column_default};
use crate::tenant::Tenant;
use crate::transaction::{Transaction, TransactionUse};

/// How often an ingest begins anew because its table, or a new column, was there before it could commit.
const RACES_MAX: usize = 16;

/// What a client wants to ingest, and how.
#[derive(Debug, Clone)]
pub struct IngestRequest {
    /// Schema of the table.
    pub schema_name: String,
    /// The table.
    pub table_name: String,
    /// Arrow schema of the batches that will come.
    pub incoming: SchemaRef,
    /// What to do about a missing or an existing table.
    pub mode: IngestMode,
    /// Whether columns that an existing table lacks, and fields of its structs, are added to it in the
    /// same commit as the rows.
    pub adds_columns: bool,
    /// Who ingests: idempotency keys are per user.
    pub user_id: UserId,
    /// Makes the ingest safe to repeat.
    pub idempotency_key: Option<String>,
    /// Numbers the ingest: exactly once, without an end. Not together with a key.
    pub step: Option<ProducerStep>,
    /// Stages the rows in this transaction instead of committing them.
    pub transaction: Option<Arc<Transaction>>,
}

/// What an ingest did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestOutcome {
    /// Rows of this ingest that are committed (or staged, inside a transaction).
    pub row_count: u64,
    /// The same ingest was committed before, under its key or its producer's number; no rows were
    /// added now.
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
    step: Option<SettledStep>,
    /// What it repeats: its rows are not written.
    repeats: Option<Repeated>,
    /// Keeps the transaction from expiring.
    _in_use: Option<Arc<TransactionUse>>,
}

impl Ingest {
    pub(crate) async fn begin(
        node: Arc<Node>,
        tenant: Arc<Tenant>,
        request: IngestRequest,
    ) -> Result<Self> {
        tenant.check_writable()?;
        node.wait_for_log_room().await?;
        check_identity(&request)?;
        let staged = staged_key(&request).await;
        let key = match &staged {
            Some(_) => None,
            None => reserve_key(&tenant, &request).await?,
        };
        let step_held = hold_step(&tenant, &request).await?;
        let view = match &request.transaction {
            Some(transaction) => transaction.read_view().await?,
            None => tenant.read_view(),
        };
        let committed = || {
            let key = request.idempotency_key.as_deref()?;
            let table = view
                .catalog()
                .table(&request.schema_name, &request.table_name)?;
            let now_micros = node.now_micros();
            let keys = tenant.keys();
            keys.committed(request.user_id, table.id, key, now_micros)
        };
        let repeats = staged.or_else(committed).map(Repeated::Key);
        let table_id = match &repeats {
            Some(Repeated::Key(record)) => Some(record.table_id),
            _ => {
                let table = view
                    .catalog()
                    .table(&request.schema_name, &request.table_name);
                table.map(|table| table.id)
            }
        };
        let admitted = match step_held {
            Some(held) => Some(held.admit(&tenant, &request, table_id)?),
            None => None,
        };
        let (step, repeats) = match admitted {
            Some((step, repeats)) => (step, repeats.then_some(Repeated::Step)),
            None => (None, repeats),
        };
        let target = match (&repeats, table_id) {
            (Some(_), Some(table_id)) => Target::existing(view.catalog(), table_id)?,
            _ => resolve_target(&tenant, view.catalog(), &request)?,
        };
        let table = target.table(view.catalog())?;
        check_alterable(&request, &target, &table).await?;
        let defaults = table.columns.iter().map(column_default).collect();
        let schema = &table.arrow_schema;
        let adapter = Adapter::with_defaults(&request.incoming, schema, defaults)?;
        let digest = request
            .idempotency_key
            .is_some()
            .then(|| ContentDigest::new(schema));
        let stream_id = new_id();
        let pin = tenant.pins().pin(stream_id, node.wal.written_lsn());
        let reservation = node.reservation(&tenant);
        let writer = StreamWriter::new(table, stream_id, reservation, pin);
        Ok(Self {
            node,
            tenant,
            request,
            adapter,
            changes: target.changes,
            writer,
            digest,
            key,
            step,
            repeats,
            _in_use: view.into_use(),
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
        let mut ingest = self;
        for _ in 0..RACES_MAX {
            let Some(again) = ingest.again() else { break };
            match ingest.commit_once().await {
                // Somebody else has made the table, or its new columns, in the meantime: the rows go
                // there.
                Err(error) if again.is_worth_it(&error) => {
                    ingest = again.begin().await?;
                }
                outcome => return outcome,
            }
        }
        ingest.commit_once().await
    }

    /// What it takes to do all of it once more: when it makes a table, or columns, that may as well be
    /// there.
    fn again(&self) -> Option<Again> {
        let makes_table =
            self.request.mode == IngestMode::CREATE_APPEND && !self.changes.is_empty();
        let may_append = self.request.mode.exists == TableExists::Append;
        let makes_columns = self.request.adds_columns && may_append;
        let is_alone = self.request.transaction.is_none() && self.repeats.is_none();
        if !is_alone || !(makes_table || makes_columns) {
            return None;
        }
        // Without the columns of the table that the client did not send: they may be others then.
        let sent = self.request.incoming.fields().iter();
        let sent: HashSet<String> = sent.map(|field| field.name().to_lowercase()).collect();
        let fields = self.writer.schema().fields().iter().enumerate();
        let is_sent = fields.filter(|(_, field)| sent.contains(&field.name().to_lowercase()));
        let columns: Vec<usize> = is_sent.map(|(at, _)| at).collect();
        let batches = self.writer.batches()?.iter();
        Some(Again {
            node: Arc::clone(&self.node),
            tenant: Arc::clone(&self.tenant),
            request: IngestRequest {
                incoming: Arc::new(self.writer.schema().project(&columns).ok()?),
                ..self.request.clone()
            },
            batches: batches
                .map(|batch| batch.project(&columns).ok())
                .collect::<Option<_>>()?,
        })
    }

    async fn commit_once(self) -> Result<IngestOutcome> {
        let row_count = self.writer.row_count();
        let digest = self.digest.map(ContentDigest::finish);
        let table_id = self.writer.table_id();
        let now_micros = self.node.now_micros();
        let duplicate = self.repeats.is_some();
        if let Some(Repeated::Key(record)) = self.repeats {
            let digest = digest.unwrap_or_default();
            check_repetition(&record, row_count, &digest)?;
        }
        let step = self.step.map(|mut step| {
            step.record.table_id = table_id;
            step.record.updated_micros = now_micros;
            step
        });
        if duplicate && step.is_none() {
            return Ok(IngestOutcome {
                row_count,
                duplicate,
            });
        }
        let key = self.key.map(|reservation| {
            let record = IdempotencyRecord {
                user_id: self.request.user_id,
                table_id,
                key: reservation.scope().key.clone(),
                mode: self.request.mode.to_string(),
                record_count: row_count,
                digest: digest.unwrap_or_default().to_vec(),
                sequence: 0,
                created_micros: now_micros,
            };
            SettledKey {
                reservation,
                record,
            }
        });
        let rows = self.writer.finish(&self.node, &self.tenant).await?;
        let request = CommitRequest {
            commit_id: new_id(),
            changes: self.changes,
            streams: vec![rows.stream],
            segments: rows.spilled.into_iter().collect(),
            row_changes: vec![],
            adopts_table: self.request.mode == IngestMode::CREATE_APPEND,
            // A statement may have read the table, and begins anew when somebody was faster.
            replaces_table: self.request.mode.exists == TableExists::Replace
                && self.request.transaction.is_none(),
            keys: key.into_iter().collect(),
            steps: step.into_iter().collect(),
        };
        match self.request.transaction {
            Some(transaction) => transaction.stage(request).await?,
            None => {
                let alters = alters(&request.changes);
                let committed = commit(&self.node, &self.tenant, request).await;
                // A column that somebody else has added first.
                match alters {
                    true => committed.map_err(as_conflict)?,
                    false => committed?,
                }
            }
        }
        Ok(IngestOutcome {
            row_count,
            duplicate,
        })
    }
}

/// What an ingest repeats.
#[derive(Debug)]
enum Repeated {
    /// The commit that used the same key: rows are compared with it.
    Key(IdempotencyRecord),
    /// A step of its producer: only counted.
    Step,
}

/// A producer that nobody else is now, and where it stands.
struct HeldStep {
    reservation: Option<ProducerReservation>,
    /// What the ingest's own transaction has staged of it.
    staged: Option<ProducerRecord>,
}

impl HeldStep {
    /// What the ingest settles, and whether it is a repetition.
    fn admit(
        self,
        tenant: &Tenant,
        request: &IngestRequest,
        table_id: Option<TableId>,
    ) -> Result<(Option<SettledStep>, bool)> {
        let Some(step) = &request.step else {
            return Ok((None, false));
        };
        let committed = || tenant.producers().last(table_id?, &step.producer);
        let last = self.staged.or_else(committed);
        if last.is_none() {
            tenant.producers().check_room()?;
        }
        let admission = step.admit(last.as_ref())?;
        let (repeats, settles) = match admission {
            Admission::Next => (false, true),
            Admission::Repetition { raises_epoch } => (true, raises_epoch),
        };
        let last_sequence = last.map_or(0, |last| last.producer_sequence);
        let settled = SettledStep {
            reservation: self.reservation,
            record: ProducerRecord {
                table_id: TableId(0),
                producer: step.producer.clone(),
                epoch: step.epoch,
                producer_sequence: step.sequence.max(last_sequence),
                sequence: 0,
                updated_micros: 0,
            },
        };
        Ok((settles.then_some(settled), repeats))
    }
}

/// An ingest that lost a race, with its rows.
struct Again {
    node: Arc<Node>,
    tenant: Arc<Tenant>,
    request: IngestRequest,
    batches: Vec<RecordBatch>,
}

impl Again {
    /// Whether somebody else was faster, rather than anything being wrong.
    fn is_worth_it(&self, error: &EngineError) -> bool {
        match error.kind() {
            ErrorKind::AlreadyExists => true,
            ErrorKind::Conflict => self.request.adds_columns,
            _ => false,
        }
    }

    async fn begin(self) -> Result<Ingest> {
        let mut ingest = Ingest::begin(self.node, self.tenant, self.request).await?;
        for batch in self.batches {
            ingest.push(batch, None).await?;
        }
        Ok(ingest)
    }
}

fn alters(changes: &[Change]) -> bool {
    let alters = |change: &Change| matches!(change, Change::AlterTable { .. });
    changes.iter().any(alters)
}

/// In a transaction, rows of a table have one set of columns.
///
/// # Errors
/// `Precondition` for new columns of a table whose rows the transaction has changed.
async fn check_alterable(
    request: &IngestRequest,
    target: &Target,
    table: &TableVersion,
) -> Result<()> {
    match &request.transaction {
        Some(transaction) if alters(&target.changes) => transaction.begin_alter(table).await,
        _ => Ok(()),
    }
}

/// # Errors
/// `InvalidArgument` for a step that no producer takes, or one beside a key.
fn check_identity(request: &IngestRequest) -> Result<()> {
    let Some(step) = &request.step else {
        return Ok(());
    };
    step.check()?;
    match request.idempotency_key {
        None => Ok(()),
        Some(_) => Err(EngineError::invalid(
            "an ingest has an idempotency key or the number of a producer, not both",
        )),
    }
}

/// Waits until the ingest alone speaks for its producer.
async fn hold_step(tenant: &Tenant, request: &IngestRequest) -> Result<Option<HeldStep>> {
    let Some(step) = &request.step else {
        return Ok(None);
    };
    let scope = ProducerScope {
        table: folded_name(request),
        producer: step.producer.clone(),
    };
    if let Some(transaction) = &request.transaction
        && let Some(staged) = transaction.staged_step(&scope).await
    {
        return Ok(Some(HeldStep {
            reservation: None,
            staged: Some(staged),
        }));
    }
    let transaction_id = request.transaction.as_ref().map(|t| t.id());
    let reservation = tenant.producers().reserve(scope, transaction_id).await?;
    Ok(Some(HeldStep {
        reservation: Some(reservation),
        staged: None,
    }))
}

/// Names differ by more than case: two spellings are one table.
fn folded_name(request: &IngestRequest) -> String {
    format!("{}.{}", request.schema_name, request.table_name).to_lowercase()
}

fn key_scope(request: &IngestRequest) -> Option<KeyScope> {
    Some(KeyScope {
        user_id: request.user_id,
        table: folded_name(request),
        key: request.idempotency_key.clone()?,
    })
}

/// What the ingest's own transaction has staged under its key.
async fn staged_key(request: &IngestRequest) -> Option<IdempotencyRecord> {
    let scope = key_scope(request)?;
    request.transaction.as_ref()?.staged_key(&scope).await
}

async fn reserve_key(tenant: &Tenant, request: &IngestRequest) -> Result<Option<KeyReservation>> {
    let Some(scope) = key_scope(request) else {
        return Ok(None);
    };
    if scope.key.is_empty() || scope.key.len() > 256 {
        return Err(EngineError::invalid(
            "an idempotency key has 1 to 256 bytes",
        ));
    }
    let transaction_id = request.transaction.as_ref().map(|t| t.id());
    let reservation = tenant.keys().reserve(scope, transaction_id).await?;
    Ok(Some(reservation))
}
