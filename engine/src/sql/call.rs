//! `CALL system.…`: procedures.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::{Expr, ObjectName};
use futures::FutureExt;
use quiver_catalog::{ExpiryLimits, SnapshotId, TableVersion};

use self::procedure::Procedure;
use super::context::StatementContext;
use super::names::{TableName, check_writable};
use super::parser::CallArgument;
use super::table_versions::{AsOf, time_or_age};
use crate::compaction::{Compacted, Wanted, compact};
use crate::error::{EngineError, Result};
use crate::restore::{Restoration, restore};
use crate::retention;

mod procedure;

impl StatementContext {
    /// Executes a procedure and returns its small result.
    ///
    /// # Errors
    /// `NotFound` for an unknown procedure, `InvalidArgument` for its arguments, `Precondition` inside a
    /// transaction: they commit by themselves.
    pub async fn call(
        &self,
        procedure: &[String],
        arguments: &[CallArgument],
    ) -> Result<RecordBatch> {
        let procedure = Procedure::of(procedure, arguments)?;
        if self.transaction.is_some() && !matches!(procedure, Procedure::Flush) {
            let name = procedure.name();
            return Err(EngineError::Precondition {
                message: format!("system.{name} acts by itself: end the transaction first"),
            });
        }
        let columns: Vec<ArrayRef> = match &procedure {
            Procedure::Flush => self.flush_call().await?,
            Procedure::Compact(table) => Box::pin(self.compact_call(table.as_ref())).await?,
            Procedure::SetPaused(paused) => {
                self.tenant.compactions().set_paused(*paused);
                vec![Arc::new(BooleanArray::from(vec![*paused]))]
            }
            Procedure::ExpireSnapshots { older_than, keep } => {
                let older_than_micros = match older_than {
                    None => None,
                    Some(value) => Some(self.time_or_age(value).await?),
                };
                let limits = ExpiryLimits {
                    older_than_micros,
                    keep_min: keep.unwrap_or(1),
                };
                let expired = retention::expire(self.engine.node(), &self.tenant, limits).await?;
                let ids = expired.iter().map(|id| id.0);
                vec![Arc::new(Int64Array::from_iter_values(ids))]
            }
            Procedure::CleanUpFiles { older_than } => {
                self.clean_up_call(older_than.as_ref()).await?
            }
            Procedure::NameSnapshot { name, version } => {
                let snapshot_id = match version {
                    // What is committed by now, and not what was flushed some time ago.
                    None => self.engine.flush(&self.tenant).await?.snapshot_id,
                    Some(version) => self.snapshot(version).await?,
                };
                let named = self.tenant.catalog().name_snapshot(name, snapshot_id);
                named.boxed().await?;
                vec![
                    Arc::new(StringArray::from(vec![name.as_str()])),
                    Arc::new(Int64Array::from(vec![snapshot_id.0])),
                ]
            }
            Procedure::ForgetSnapshotName { name } => {
                let forgotten = self.tenant.catalog().forget_snapshot_name(name);
                forgotten.boxed().await?;
                vec![Arc::new(StringArray::from(vec![name.as_str()]))]
            }
            Procedure::RollbackTo { table, version } => {
                let table_id = self.named_table(table).await?.id;
                let at = self.snapshot(version).await?;
                let rollback = Restoration::Rollback { table_id, at };
                self.restored(rollback).await?
            }
            Procedure::Undrop { table, name } => {
                let TableName { schema, table } = self.table_name(table)?;
                check_writable(&schema)?;
                let undrop = Restoration::Undrop {
                    schema,
                    table,
                    name: name.clone(),
                };
                self.restored(undrop).await?
            }
        };
        Ok(RecordBatch::try_new(procedure.schema(), columns)?)
    }

    /// Everything committed so far is in segments afterwards; rows of open transactions are not.
    async fn flush_call(&self) -> Result<Vec<ArrayRef>> {
        let outcome = self.engine.flush(&self.tenant).await?;
        Ok(vec![
            Arc::new(Int64Array::from(vec![outcome.snapshot_id.0])),
            Arc::new(UInt64Array::from(vec![outcome.segment_count])),
            Arc::new(UInt64Array::from(vec![outcome.row_count])),
        ])
    }

    /// Makes a table what it was.
    async fn restored(&self, restoration: Restoration) -> Result<Vec<ArrayRef>> {
        let restored = restore(self.engine.node(), &self.tenant, restoration);
        let (catalog, table) = restored.boxed().await?;
        Ok(vec![
            Arc::new(StringArray::from(vec![table.schema_name.as_str()])),
            Arc::new(StringArray::from(vec![table.name.as_str()])),
            Arc::new(UInt64Array::from(vec![table.record_count])),
            Arc::new(Int64Array::from(vec![catalog.snapshot_id.0])),
        ])
    }

    /// Compacts a table, or all of them.
    async fn compact_call(&self, table: Option<&ObjectName>) -> Result<Vec<ArrayRef>> {
        let tables = match table {
            None => {
                let catalog = self.catalog().await?;
                catalog.tables().map(|table| table.id).collect()
            }
            Some(name) => vec![self.named_table(name).await?.id],
        };
        let mut done = vec![];
        for table_id in tables {
            let (engine, tenant) = (self.engine.clone(), Arc::clone(&self.tenant));
            let job = async move { compact(&engine, &tenant, table_id, Wanted::All).await };
            done.push(self.engine.query_runtime().run(job).await?);
        }
        Ok(compacted_rows(&done))
    }

    async fn named_table(&self, name: &ObjectName) -> Result<Arc<TableVersion>> {
        let name = self.table_name(name)?;
        check_writable(&name.schema)?;
        let catalog = self.catalog().await?;
        let table = catalog.table(&name.schema, &name.table).map(Arc::clone);
        table.ok_or_else(|| EngineError::NotFound {
            what: format!("table {}.{}", name.schema, name.table),
        })
    }

    async fn clean_up_call(&self, older_than: Option<&Expr>) -> Result<Vec<ArrayRef>> {
        let node = self.engine.node();
        let older_than_micros = match older_than {
            Some(value) => self.time_or_age(value).await?,
            None => retention::before(node.now_micros(), node.settings.cleanup_grace_ms),
        };
        let done = retention::clean_up(node, &self.tenant, older_than_micros).await?;
        let counts = [done.deleted, done.waiting, done.orphans];
        let column = |count| Arc::new(UInt64Array::from(vec![count])) as ArrayRef;
        Ok(counts.map(column).to_vec())
    }

    async fn time_or_age(&self, value: &Expr) -> Result<i64> {
        let now_micros = self.engine.node().now_micros();
        time_or_age(&self.new_session().await?, value, now_micros)
    }

    /// The snapshot that a constant stands for.
    async fn snapshot(&self, version: &Expr) -> Result<SnapshotId> {
        let history = self.tenant.history();
        let version = match AsOf::version(&self.new_session().await?, version)? {
            AsOf::Snapshot(id) => history.at(&self.tenant, id).await?,
            AsOf::Named(name) => history.named(&self.tenant, &name).await?,
            AsOf::Time(micros) => history.at_time(&self.tenant, micros).await?,
        };
        Ok(version.snapshot_id)
    }
}

fn compacted_rows(done: &[Compacted]) -> Vec<ArrayRef> {
    let texts = |value: fn(&Compacted) -> &String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(done.iter().map(value)))
    };
    let counts = |value: fn(&Compacted) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(done.iter().map(value)))
    };
    let snapshots = done.iter().map(|table| table.snapshot_id.0);
    vec![
        texts(|done| &done.table.schema_name),
        texts(|done| &done.table.name),
        counts(|done| done.before.len() as u64),
        counts(|done| done.after.len() as u64),
        counts(|done| done.before.iter().map(|(_, rows)| rows).sum()),
        counts(|done| done.before.iter().map(|(bytes, _)| bytes).sum()),
        counts(|done| done.after.values().sum()),
        Arc::new(Int64Array::from_iter_values(snapshots)),
    ]
}

/// Schema of what a procedure returns.
///
/// # Errors
/// As those of [`StatementContext::call`], before anything has happened.
pub fn procedure_schema(procedure: &[String], arguments: &[CallArgument]) -> Result<SchemaRef> {
    Ok(Procedure::of(procedure, arguments)?.schema())
}
