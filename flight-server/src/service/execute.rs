//! Statements, whichever way they came: planned, executed for their effect, or kept for DoGet.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use quiver_catalog::ErrorKind;
use quiver_engine::{ParsedStatement, Statement, StatementContext, Transaction, parse};

use super::call::Call;
use super::statement::{RowSource, StatementRecord};
use crate::queries::RunningQuery;
use crate::status::{Classify, Failure};

/// What executing a statement led to.
#[derive(Debug)]
pub(crate) enum Executed {
    /// Rows wait behind this ticket.
    Rows {
        /// Of the statement record.
        ticket: Bytes,
        /// Of the rows.
        schema: SchemaRef,
        /// If known.
        row_count: Option<u64>,
    },
    /// It had its effect.
    Done {
        /// Rows changed.
        row_count: u64,
    },
}

/// A statement and where it runs.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    pub(crate) parsed: &'a ParsedStatement,
    pub(crate) context: StatementContext,
    pub(crate) parameters: Option<RecordBatch>,
    /// The protocol transaction that the client named.
    pub(crate) transaction_handle: Option<&'a [u8]>,
    /// The result schema that was promised when it was prepared.
    pub(crate) promised: Option<SchemaRef>,
}

impl Call {
    /// Parses SQL text.
    pub(crate) fn parse(&self, sql: &str) -> Result<ParsedStatement, Failure> {
        parse(sql).map_err(|error| quiver_engine::EngineError::from(error).failure())
    }

    /// The surroundings of a statement that names `transaction_handle`.
    pub(crate) fn statement_context(
        &self,
        transaction_handle: Option<&[u8]>,
    ) -> Result<StatementContext, Failure> {
        Ok(self.context(self.transaction_of(transaction_handle)?))
    }

    /// Notes a statement as running.
    pub(crate) fn running(&self, text: &str) -> RunningQuery {
        let caller = &self.caller;
        self.shared
            .queries
            .start(self.query_id, caller.tenant.id, &caller.user.name, text)
    }

    /// Schema of the rows a statement returns; empty when it returns none.
    pub(crate) async fn result_schema(
        &self,
        context: &StatementContext,
        parsed: &ParsedStatement,
    ) -> Result<SchemaRef, Failure> {
        match &parsed.statement {
            Statement::Query(query) => {
                let plan = context.plan(query, parsed.placeholders, None).await;
                plan.map(|plan| plan.schema)
                    .map_err(|error| error.failure())
            }
            _ => Ok(Arc::new(Schema::empty())),
        }
    }

    /// Executes a statement: queries are planned and kept, everything else takes effect now.
    pub(crate) async fn execute(&self, execution: Execution<'_>) -> Result<Executed, Failure> {
        let Execution {
            parsed,
            context,
            parameters,
            transaction_handle,
            promised,
        } = execution;
        match &parsed.statement {
            Statement::Query(query) => {
                require_parameters(parsed, parameters.as_ref())?;
                let plan = context
                    .plan(query, parsed.placeholders, parameters.as_ref())
                    .await;
                let plan = plan.map_err(|error| error.failure())?;
                if promised.is_some_and(|promised| promised != plan.open_schema) {
                    return Err(Failure::new(
                        ErrorKind::Precondition,
                        "a table of the prepared statement was changed: prepare it again",
                    ));
                }
                let source = RowSource::Query {
                    query: Arc::new(query.as_ref().clone()),
                    parameters,
                };
                self.keep_rows(parsed, &context, source, plan.schema)
            }
            Statement::Call {
                procedure,
                arguments,
            } => {
                let running = self.running(&parsed.redacted);
                let rows = context.call(procedure, arguments).await;
                let rows = rows.map_err(|error| error.failure())?;
                running.finish();
                let schema = rows.schema();
                self.keep_rows(parsed, &context, RowSource::Rows(rows), schema)
            }
            _ => {
                let row_count = self
                    .take_effect(parsed, &context, parameters.as_ref(), transaction_handle)
                    .await?;
                Ok(Executed::Done { row_count })
            }
        }
    }

    async fn take_effect(
        &self,
        parsed: &ParsedStatement,
        context: &StatementContext,
        parameters: Option<&RecordBatch>,
        transaction_handle: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        let mut running = self.running(&parsed.redacted);
        let row_count = match &parsed.statement {
            Statement::Begin => self.sql_begin(transaction_handle).map(|()| 0)?,
            Statement::Commit => self.sql_end(true).await.map(|()| 0)?,
            Statement::Rollback => self.sql_end(false).await.map(|()| 0)?,
            Statement::Set { name, value } => {
                self.set_option(name, Some(value)).await.map(|()| 0)?
            }
            Statement::Reset { name } => self.set_option(name, None).await.map(|()| 0)?,
            Statement::Admin(admin) => self.administer(admin).await.map(|()| 0)?,
            statement => {
                require_parameters(parsed, parameters)?;
                let rows = context.update(statement, parameters).await;
                rows.map_err(|error| error.failure())?
            }
        };
        running.add_rows(row_count);
        if matches!(
            parsed.statement,
            Statement::Insert(_) | Statement::CopyFrom { .. }
        ) {
            self.shared.metrics.ingest_rows.inc_by(row_count);
        }
        running.finish();
        Ok(row_count)
    }

    fn keep_rows(
        &self,
        parsed: &ParsedStatement,
        context: &StatementContext,
        source: RowSource,
        schema: SchemaRef,
    ) -> Result<Executed, Failure> {
        let row_count = match &source {
            RowSource::Rows(rows) => Some(rows.num_rows() as u64),
            RowSource::Query { .. } => None,
        };
        let ticket = self.keep_statement(StatementRecord {
            source,
            schema: Arc::clone(&schema),
            text: parsed.redacted.clone(),
            default_schema: context.default_schema.clone(),
            transaction_id: context
                .transaction
                .as_ref()
                .map(|transaction: &Arc<Transaction>| transaction.id()),
        })?;
        Ok(Executed::Rows {
            ticket,
            schema,
            row_count,
        })
    }
}

/// A statement with parameters needs a row of values for them.
fn require_parameters(
    parsed: &ParsedStatement,
    parameters: Option<&RecordBatch>,
) -> Result<(), Failure> {
    let bound = parameters.map_or(0, RecordBatch::num_columns);
    if parsed.placeholders == bound {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "the statement has {} parameters, but {bound} are bound",
        parsed.placeholders
    )))
}
