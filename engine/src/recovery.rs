//! Recovery: what the WAL holds beyond the catalog goes back into memtables.
//!
//! Replay decides by commit sequence alone. A commit record counts for a table if its sequence is
//! above the table's flushed sequence; a prepare record counts if the catalog holds its commit id.
//!
//! The log is read twice: first for what was committed, then for those rows that are missing. It may
//! be many times larger than memory, for the sake of one open stream; what is missing was in memory
//! before.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use prost::Message;
use quiver_catalog::{IdempotencyRecord, ProducerRecord, TableId, TableVersion, TenantId, UserId};
use uuid::Uuid;

use crate::batch_bytes::slice_bytes;
use crate::canonical::Adapter;
use crate::error::{EngineError, Result};
use crate::ingest::BATCH_HEAD_BYTES;
use crate::node::Node;
use crate::record::{
    CommitRecord, CommittedStream, KIND_COMMIT, KIND_PREPARE, KIND_ROWS, PrepareRecord, RowsRecord,
    decode_rows,
};
use crate::tenant::Tenant;
use crate::tenants::TenantPlace;
use crate::wal::Lsn;
use crate::write_buffer::CommittedBytes;

/// One stream as the log holds it.
#[derive(Debug)]
struct LoggedStream {
    first_lsn: Lsn,
    records: Vec<RowsRecord>,
}

/// What the log says of one tenant.
#[derive(Debug, Default)]
struct LoggedTenant {
    commits: Vec<CommitRecord>,
    prepared: Vec<PrepareRecord>,
}

/// What was committed, before any of it is applied.
#[derive(Debug, Default)]
pub(crate) struct LogContents {
    /// Where the rows of each stream are.
    frames: HashMap<Uuid, Vec<Lsn>>,
    tenants: BTreeMap<u64, LoggedTenant>,
}

/// The rows of those streams that memtables have to hold again.
#[derive(Debug, Default)]
pub(crate) struct LoggedRows {
    streams: HashMap<Uuid, LoggedStream>,
}

/// What recovery did; logged when it is over.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct RecoveryOutcome {
    pub(crate) commits: u64,
    pub(crate) rows: u64,
    pub(crate) skipped_commits: u64,
}

impl LogContents {
    /// Takes one frame in log order.
    pub(crate) fn add(&mut self, lsn: Lsn, kind: u8, payload: Bytes) -> Result<()> {
        match kind {
            KIND_ROWS => {
                let record = decode_rows(&payload)?;
                self.frames.entry(record.stream_id).or_default().push(lsn);
            }
            KIND_COMMIT => {
                let record = CommitRecord::decode(payload).map_err(|_| unreadable(lsn))?;
                self.tenants
                    .entry(record.tenant_id)
                    .or_default()
                    .commits
                    .push(record);
            }
            KIND_PREPARE => {
                let record = PrepareRecord::decode(payload).map_err(|_| unreadable(lsn))?;
                self.tenants
                    .entry(record.tenant_id)
                    .or_default()
                    .prepared
                    .push(record);
            }
            _ => return Err(unreadable(lsn)),
        }
        Ok(())
    }

    /// The tenants that wrote to the log and still exist. What the log holds of dropped tenants is
    /// forgotten; of others that are unknown only if `gives_up_unknown`.
    ///
    /// # Errors
    /// `Corruption` for a tenant that is neither there nor dropped: its rows were acknowledged, and
    /// only the list of tenants can have lost it.
    pub(crate) fn tenants_among(
        &mut self,
        tenants: &[TenantPlace],
        dropped: &[TenantPlace],
        gives_up_unknown: bool,
    ) -> Result<Vec<TenantPlace>> {
        let find = |places: &[TenantPlace], id: u64| {
            let place = places.iter().find(|place| place.id == TenantId(id));
            place.cloned()
        };
        let mut wrote = vec![];
        for tenant_id in self.tenants.keys().copied().collect::<Vec<_>>() {
            if let Some(place) = find(tenants, tenant_id) {
                wrote.push(place);
                continue;
            }
            if find(dropped, tenant_id).is_some() {
                tracing::info!(tenant_id, "the log holds rows of a dropped tenant");
            } else if gives_up_unknown {
                tracing::warn!(
                    tenant_id,
                    "rows of an unknown tenant in the log are given up"
                );
            } else {
                return Err(unknown_tenant(tenant_id));
            }
            self.tenants.remove(&tenant_id);
        }
        Ok(wrote)
    }

    /// The commits of `tenant`, in sequence order.
    ///
    /// # Errors
    /// `Corruption` when log and catalog together do not have every commit, unless the settings
    /// give up what is lost.
    pub(crate) async fn commits_of(
        &mut self,
        node: &Node,
        tenant: &Tenant,
    ) -> Result<Vec<CommitRecord>> {
        let logged = self.tenants.remove(&tenant.id().0).unwrap_or_default();
        let mut commits = logged.commits;
        for prepared in logged.prepared {
            let commit_id = Uuid::from_slice(&prepared.commit_id).map_err(|_| unreadable(0))?;
            if let Some(sequence) = tenant.catalog().committed_sequence(commit_id).await? {
                let (tenant_id, streams) = (prepared.tenant_id, prepared.streams);
                commits.push(CommitRecord {
                    tenant_id,
                    sequence,
                    streams,
                    ..Default::default()
                });
            }
        }
        commits.sort_by_key(|commit| commit.sequence);
        if let Some(missing) = missing_commits(tenant.catalog().last_sequence(), &commits) {
            let error = lost_commits(tenant, &missing);
            if !node.settings.wal_repair {
                return Err(error);
            }
            tracing::warn!(tenant_id = tenant.id().0, %error, "given up");
        }
        let twice = commits
            .windows(2)
            .find(|pair| pair[0].sequence == pair[1].sequence);
        match twice {
            Some(pair) => Err(corrupt(format!(
                "commit {} is in the log twice",
                pair[0].sequence
            ))),
            None => Ok(commits),
        }
    }

    /// Where the rows are that the commits of `tenant` have and its segments do not.
    ///
    /// # Errors
    /// `Corruption` for rows of a table that the catalog never had.
    pub(crate) fn missing_frames(
        &self,
        tenant: &Tenant,
        commits: &[CommitRecord],
    ) -> Result<Vec<Lsn>> {
        let mut missing = vec![];
        for commit in commits {
            for described in &commit.streams {
                if table_that_lacks(tenant, commit.sequence, described)?.is_some() {
                    // A stream that is not there at all is told of when it is applied.
                    let frames = self.frames.get(&stream_id(described)?);
                    missing.extend(frames.into_iter().flatten());
                }
            }
        }
        Ok(missing)
    }
}

impl LoggedRows {
    /// Takes one of the missing frames, in log order.
    pub(crate) fn add(&mut self, lsn: Lsn, payload: &Bytes) -> Result<()> {
        let record = decode_rows(payload)?;
        let stream = self.streams.entry(record.stream_id);
        let stream = stream.or_insert_with(|| LoggedStream {
            first_lsn: lsn,
            records: vec![],
        });
        stream.records.push(record);
        Ok(())
    }

    /// Applies the commits of `tenant`, which are in sequence order.
    ///
    /// # Errors
    /// `Corruption` when rows of them are not there, or are not what the table has.
    pub(crate) fn apply(
        &mut self,
        node: &Node,
        tenant: &Tenant,
        commits: Vec<CommitRecord>,
    ) -> Result<RecoveryOutcome> {
        let mut outcome = RecoveryOutcome::default();
        for commit in commits {
            self.apply_commit(node, tenant, commit, &mut outcome)?;
        }
        Ok(outcome)
    }

    fn apply_commit(
        &mut self,
        node: &Node,
        tenant: &Tenant,
        commit: CommitRecord,
        outcome: &mut RecoveryOutcome,
    ) -> Result<()> {
        let mut applied = false;
        let mut recovered = vec![];
        for described in &commit.streams {
            let Some(table) = table_that_lacks(tenant, commit.sequence, described)? else {
                continue;
            };
            let rows = self.take_stream(commit.tenant_id, described)?;
            let adapted = adapt_rows(rows.1, &table.arrow_schema).map_err(|error| {
                corrupt(format!(
                    "rows of commit {} do not fit table {}: {error}",
                    commit.sequence, table.name
                ))
            })?;
            outcome.rows += described.row_count;
            applied = true;
            recovered.push((table.id, (rows.0, adapted)));
        }
        for entry in &commit.idempotency {
            tenant.keys().commit(IdempotencyRecord {
                user_id: UserId(entry.user_id),
                table_id: TableId(entry.table_id),
                key: entry.key.clone(),
                mode: entry.mode.clone(),
                record_count: entry.record_count,
                digest: entry.digest.clone(),
                sequence: commit.sequence,
                created_micros: entry.created_micros,
            });
        }
        for entry in commit.producers {
            tenant.producers().commit(ProducerRecord {
                table_id: TableId(entry.table_id),
                producer: entry.producer,
                epoch: entry.epoch,
                producer_sequence: entry.producer_sequence,
                sequence: commit.sequence,
                updated_micros: entry.updated_micros,
            });
        }
        for (table_id, (first_lsn, batches)) in recovered {
            let bytes = batches
                .iter()
                .map(|batch| slice_bytes(batch) as u64 + BATCH_HEAD_BYTES)
                .sum();
            let bytes = CommittedBytes::recovered(&node.budget, tenant.budget(), bytes);
            let now_micros = node.now_micros();
            tenant.recover_rows(
                table_id,
                commit.sequence,
                batches,
                bytes,
                first_lsn,
                now_micros,
            );
        }
        tenant.recover_sequence(commit.sequence);
        outcome.commits += u64::from(applied);
        outcome.skipped_commits += u64::from(!applied);
        Ok(())
    }

    /// The batches of a committed stream: all of them, in order, or the log is corrupt.
    fn take_stream(
        &mut self,
        tenant_id: u64,
        described: &CommittedStream,
    ) -> Result<(Lsn, Vec<RecordBatch>)> {
        let id = stream_id(described)?;
        let incomplete = || corrupt(format!("rows of committed stream {id} are missing"));
        let stream = self.streams.remove(&id).ok_or_else(incomplete)?;
        let in_order = stream.records.iter().enumerate().all(|(index, record)| {
            record.batch_index as usize == index
                && record.table_id == described.table_id
                && record.tenant_id == tenant_id
        });
        let row_count: u64 = stream.records.iter().map(|record| record.row_count).sum();
        let complete = stream.records.len() == described.batch_count as usize;
        if !in_order || !complete || row_count != described.row_count {
            return Err(incomplete());
        }
        let schema = stream.records[0].schema.clone().ok_or_else(incomplete)?;
        let batches = stream.records.iter().map(|record| record.batch(&schema));
        Ok((stream.first_lsn, batches.collect::<Result<_>>()?))
    }
}

fn stream_id(described: &CommittedStream) -> Result<Uuid> {
    Uuid::from_slice(&described.stream_id).map_err(|_| unreadable(0))
}

/// The table of a committed stream, when its segments do not have the rows; `None` too when it was
/// dropped after them.
fn table_that_lacks(
    tenant: &Tenant,
    sequence: u64,
    described: &CommittedStream,
) -> Result<Option<Arc<TableVersion>>> {
    let table_id = TableId(described.table_id);
    let catalog = tenant.catalog_version();
    match catalog.table_by_id(table_id) {
        Some(table) => Ok((sequence > table.flushed_sequence).then(|| Arc::clone(table))),
        None => match tenant.catalog().dropped_sequence(table_id) {
            Some(dropped) if dropped >= sequence => Ok(None),
            _ => Err(unknown_table(table_id, sequence)),
        },
    }
}

/// Rows as they were in memory before: the log may hold a client's own bytes, with values below
/// NULL parents that are nobody's and that no segment can keep.
fn adapt_rows(batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let Some(first) = batches.first() else {
        return Ok(batches);
    };
    if first.schema_ref() != schema {
        return Err(EngineError::invalid("they have another schema"));
    }
    let adapter = Adapter::new(schema, schema)?;
    batches
        .into_iter()
        .map(|batch| adapter.adapt(batch))
        .collect()
}

/// The first commits that neither the catalog, which ends at `last_sequence`, nor the log has.
/// `commits` are in order.
fn missing_commits(last_sequence: u64, commits: &[CommitRecord]) -> Option<RangeInclusive<u64>> {
    let logged = commits.iter().map(|commit| commit.sequence);
    let above = logged.filter(|sequence| *sequence > last_sequence);
    (last_sequence + 1..)
        .zip(above)
        .find(|(expected, sequence)| expected != sequence)
        .map(|(expected, sequence)| expected..=sequence - 1)
}

/// Times a recovery and logs it.
#[derive(Debug)]
pub(crate) struct RecoveryReport {
    started: Instant,
    outcome: RecoveryOutcome,
}

impl RecoveryReport {
    #[expect(
        clippy::disallowed_methods,
        reason = "a duration for the log line, nothing depends on it"
    )]
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            outcome: RecoveryOutcome::default(),
        }
    }

    pub(crate) fn add(&mut self, outcome: RecoveryOutcome) {
        self.outcome.commits += outcome.commits;
        self.outcome.rows += outcome.rows;
        self.outcome.skipped_commits += outcome.skipped_commits;
    }

    pub(crate) fn log(&self, files: u64, frames: u64, bytes: u64, cut_bytes: u64) {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-6);
        tracing::info!(
            wal_files = files,
            wal_frames = frames,
            wal_bytes = bytes,
            cut_bytes,
            commits = self.outcome.commits,
            rows = self.outcome.rows,
            skipped_commits = self.outcome.skipped_commits,
            elapsed_ms = (seconds * 1000.0) as u64,
            mb_per_second = (bytes as f64 / 1e6 / seconds) as u64,
            "recovered"
        );
    }
}

fn unknown_tenant(tenant_id: u64) -> EngineError {
    corrupt(format!(
        "the log holds rows of tenant {tenant_id}, which control.sqlite never had: put back the \
         control.sqlite that belongs to this log, or start with wal.repair = true to give them up"
    ))
}

fn unknown_table(table_id: TableId, sequence: u64) -> EngineError {
    corrupt(format!(
        "commit {sequence} in the log writes to table {table_id}, which the catalog never had: put \
         back the catalog.sqlite that belongs to this log"
    ))
}

fn lost_commits(tenant: &Tenant, missing: &RangeInclusive<u64>) -> EngineError {
    corrupt(format!(
        "commits {} to {} of tenant {} are neither in its catalog nor in the log: put back the \
         catalog.sqlite that belongs to this log, or start with wal.repair = true to give them up",
        missing.start(),
        missing.end(),
        tenant.id().0
    ))
}

fn unreadable(lsn: Lsn) -> EngineError {
    corrupt(format!(
        "the WAL frame at {lsn} cannot be understood; was it written by a newer version?"
    ))
}

fn corrupt(message: String) -> EngineError {
    EngineError::Corruption { message }
}

#[cfg(test)]
mod tests;
