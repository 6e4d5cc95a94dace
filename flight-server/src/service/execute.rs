//! Statements, whichever way they came: planned, executed for their effect, or kept for DoGet.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use quiver_catalog::ErrorKind;
use quiver_engine::{
    EngineError, ParsedStatement, Statement, StatementContext, StatementText, Transaction,
    parse_plan, procedure_schema, redact, task,
};
use quiver_proto::headers;

use super::call::Call;
use super::endpoint::Endpoint;
use super::statement::{RowSource, StatementRecord};
use crate::queries::RunningQuery;
use crate::status::{Classify, Failure};
use crate::stop::{Deadline, Stop};

/// How often a statement begins anew because of others.
const RACES_MAX: usize = 50;

/// What executing a statement led to.
#[derive(Debug)]
pub(crate) enum Executed {
    /// Rows wait at these endpoints.
    Rows {
        /// One, or several with a share of the rows each.
        endpoints: Vec<Endpoint>,
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

impl Executed {
    /// What a client is told that asked for no rows.
    ///
    /// # Errors
    /// `InvalidArgument` for a query, whose rows are not fetched this way.
    pub(crate) fn rows_changed(self) -> Result<u64, Failure> {
        match self {
            Self::Done { row_count } => Ok(row_count),
            // The result of a CALL, which has taken effect.
            Self::Rows {
                row_count: Some(_), ..
            } => Ok(0),
            Self::Rows { .. } => Err(Failure::invalid(
                "the statement returns rows: use GetFlightInfo and DoGet",
            )),
        }
    }
}

/// A statement and where it runs.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    pub(crate) parsed: &'a Arc<ParsedStatement>,
    pub(crate) context: StatementContext,
    pub(crate) parameters: Option<RecordBatch>,
    /// The protocol transaction that the client named.
    pub(crate) transaction_handle: Option<&'a [u8]>,
    /// The result schema that was promised when it was prepared.
    pub(crate) promised: Option<SchemaRef>,
}

impl Call {
    /// Parses SQL text. All SQL comes by here, whichever call it came with.
    pub(crate) fn parse(&self, sql: &str) -> Result<Arc<ParsedStatement>, Failure> {
        let bytes_max = self.shared.settings.query.sql_bytes_max;
        if sql.len() > bytes_max {
            return Err(Failure::invalid(format!(
                "the SQL text has {} bytes, and {bytes_max} are allowed (query.sql_bytes_max): \
                 upload rows instead of writing them as text",
                sql.len()
            )));
        }
        self.shared.engine.parse(sql).map_err(|error| {
            drop(self.running(&redact(sql)));
            EngineError::from(error).failure()
        })
    }

    /// Decodes a Substrait plan. Its bytes are bounded as those of a text are.
    pub(crate) fn parse_plan(&self, plan: &Bytes) -> Result<Arc<ParsedStatement>, Failure> {
        let bytes_max = self.shared.settings.query.sql_bytes_max;
        if plan.len() > bytes_max {
            return Err(Failure::invalid(format!(
                "the Substrait plan has {} bytes, and {bytes_max} are allowed (query.sql_bytes_max): \
                 upload rows instead of writing them into a plan",
                plan.len()
            )));
        }
        parse_plan(plan).map(Arc::new).map_err(|error| {
            drop(self.running(&format!("SUBSTRAIT PLAN ({} bytes)", plan.len())));
            error.failure()
        })
    }

    /// Parses again what was parsed before.
    pub(crate) fn parse_again(
        &self,
        text: &StatementText,
    ) -> Result<Arc<ParsedStatement>, Failure> {
        match text {
            StatementText::Sql(sql) => self.parse(sql.expose()),
            StatementText::Plan(plan) => self.parse_plan(plan),
        }
    }

    /// Notes a statement as running.
    pub(crate) fn running(&self, text: &str) -> RunningQuery {
        let caller = &self.caller;
        self.shared
            .queries
            .start(self.query_id, caller.tenant.id, &caller.user.name, text)
    }

    /// What ends a statement that begins now before its own end: the call's deadline, or
    /// `query.timeout_ms`.
    pub(crate) fn statement_stop(&self) -> Stop {
        let setting = Deadline::of_setting(self.shared.settings.query.timeout_ms);
        Stop::at(Deadline::sooner(self.deadline(), setting))
    }

    /// Schema of the rows a statement returns; empty when it returns none.
    pub(crate) async fn result_schema(
        &self,
        context: &StatementContext,
        parsed: &Arc<ParsedStatement>,
    ) -> Result<SchemaRef, Failure> {
        match &parsed.statement {
            Statement::Query(_) => {
                let planning = async {
                    let plan = context.plan(parsed, None).await;
                    plan.map_err(|error| error.failure())
                };
                let plan = self.statement_stop().bound(planning).await?;
                Ok(plan.schema)
            }
            Statement::Call {
                procedure,
                arguments,
            } => procedure_schema(procedure, arguments).map_err(|error| error.failure()),
            _ => Ok(Arc::new(Schema::empty())),
        }
    }

    /// Executes a statement: queries are planned and kept, everything else takes effect now.
    pub(crate) async fn execute(&self, execution: Execution<'_>) -> Result<Executed, Failure> {
        if let Statement::Query(_) = &execution.parsed.statement {
            return self.keep_query(execution).await;
        }
        let Execution {
            parsed,
            context,
            parameters,
            transaction_handle,
            ..
        } = execution;
        match &parsed.statement {
            Statement::Call { .. } => {
                let running = self.running(&parsed.redacted);
                let rows = call_procedure(&context, &parsed.statement).await?;
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

    /// Plans a query, and keeps it until its rows are fetched.
    async fn keep_query(&self, execution: Execution<'_>) -> Result<Executed, Failure> {
        let (parsed, context) = (execution.parsed, &execution.context);
        require_parameters(parsed, execution.parameters.as_ref())?;
        let planning = async {
            let plan = context.plan(parsed, execution.parameters.as_ref()).await;
            plan.map_err(|error| error.failure())
        };
        let plan = self.statement_stop().bound(planning).await?;
        if let Some(promised) = &execution.promised
            && *promised != plan.open_schema
        {
            return Err(Failure::new(
                ErrorKind::Precondition,
                "a table of the prepared statement was changed: prepare it again",
            ));
        }
        if let Some(shares) = self.keep_shares(&execution, &parsed.redacted).await? {
            return Ok(shares);
        }
        let source = RowSource::Query {
            text: parsed.text.clone(),
            parameters: execution.parameters,
        };
        self.keep_rows(parsed, context, source, plan.schema)
    }

    async fn take_effect(
        &self,
        parsed: &ParsedStatement,
        context: &StatementContext,
        parameters: Option<&RecordBatch>,
        transaction_handle: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        let adds_rows = matches!(
            parsed.statement,
            Statement::Insert(_) | Statement::CopyFrom { .. }
        );
        for name in [headers::IDEMPOTENCY_KEY, headers::PRODUCER] {
            if adds_rows && self.header(name)?.is_some() {
                return Err(Failure::new(
                    ErrorKind::Unsupported,
                    format!(
                        "{name} makes an ingest safe to repeat, not SQL: ingest the rows, or clear \
                         the header"
                    ),
                ));
            }
        }
        let mut running = self.running(&parsed.redacted);
        let row_count = match &parsed.statement {
            Statement::Begin => self.sql_begin(transaction_handle).await.map(|()| 0)?,
            Statement::Commit => self.sql_end(true).await.map(|()| 0)?,
            Statement::Rollback => self.sql_end(false).await.map(|()| 0)?,
            Statement::Savepoint(_) | Statement::RollbackTo(_) | Statement::ReleaseSavepoint(_) => {
                self.sql_savepoint(&parsed.statement, context).await?;
                0
            }
            Statement::Set { name, value } => {
                self.set_option(name, Some(value)).await.map(|()| 0)?
            }
            Statement::Reset { name } => self.set_option(name, None).await.map(|()| 0)?,
            Statement::Admin(admin) => self.administer_whole(admin).await.map(|()| 0)?,
            statement => {
                require_parameters(parsed, parameters)?;
                self.update(statement, context, parameters).await?
            }
        };
        running.add_rows(row_count);
        if adds_rows {
            self.shared.metrics.ingest_rows.inc_by(row_count);
        }
        running.finish();
        Ok(row_count)
    }

    /// Changes rows or tables. A change of rows that somebody else has changed meanwhile begins anew; so
    /// does a statement that says that an object may be there or not.
    async fn update(
        &self,
        statement: &Statement,
        context: &StatementContext,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64, Failure> {
        let mut races = match context.transaction {
            None => RACES_MAX,
            Some(_) => 0,
        };
        loop {
            let lost = match self.update_once(statement, context, parameters).await {
                Err(lost) if is_race(statement, &lost) && races > 0 => lost,
                outcome => return outcome,
            };
            tracing::debug!(message = lost.message, "begins anew");
            races -= 1;
        }
    }

    /// Changes rows or tables, unless it takes too long: until it commits, what the statement does
    /// is known to nobody but itself, and the commit is not stopped any more.
    async fn update_once(
        &self,
        statement: &Statement,
        context: &StatementContext,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64, Failure> {
        let own = Transaction::of_statement(
            &context.engine,
            &context.tenant,
            context.user_id,
            context.transaction.clone(),
        );
        let inside = StatementContext {
            transaction: Some(Arc::clone(&own)),
            ..context.clone()
        };
        let staging = async {
            let rows = inside.update(statement, parameters).await;
            rows.map_err(|error| error.failure())
        };
        let row_count = self.statement_stop().bound(staging).await?;
        own.commit().await.map_err(|error| error.failure())?;
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
        let endpoint = self.keep_statement(StatementRecord {
            source,
            schema: Arc::clone(&schema),
            text: parsed.redacted.as_str().into(),
            default_schema: context.default_schema.clone(),
            transaction_id: context
                .transaction
                .as_ref()
                .map(|transaction: &Arc<Transaction>| transaction.id()),
        })?;
        Ok(Executed::Rows {
            endpoints: vec![endpoint],
            schema,
            row_count,
        })
    }
}

/// Whether a statement is content with an object that is there already, or not there any more.
fn takes_either(statement: &Statement) -> bool {
    match statement {
        Statement::CreateTable(create) => create.if_not_exists || create.or_replace,
        Statement::CreateSchema { if_not_exists, .. } => *if_not_exists,
        Statement::DropTable { if_exists, .. } | Statement::DropSchema { if_exists, .. } => {
            *if_exists
        }
        _ => false,
    }
}

/// Whether a statement failed because of others, and means the same after them.
fn is_race(statement: &Statement, failure: &Failure) -> bool {
    use ErrorKind::{AlreadyExists, Conflict, NotFound};
    match statement {
        Statement::Change(_) => failure.kind == Conflict,
        statement if takes_either(statement) => {
            matches!(failure.kind, AlreadyExists | Conflict | NotFound)
        }
        _ => false,
    }
}

/// A statement with parameters needs a row of values for them.
pub(crate) fn require_parameters(
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

/// Runs a procedure to its end, whether or not its client waits: half a flush helps nobody.
async fn call_procedure(
    context: &StatementContext,
    statement: &Statement,
) -> Result<RecordBatch, Failure> {
    let (context, statement) = (context.clone(), statement.clone());
    let call = task::spawn(async move {
        match &statement {
            Statement::Call {
                procedure,
                arguments,
            } => context.call(procedure, arguments).await,
            _ => Err(EngineError::Unsupported {
                what: "calling anything but a procedure".to_owned(),
            }),
        }
    });
    match call.await {
        Ok(rows) => rows.map_err(|error| error.failure()),
        Err(error) => Err(Failure::internal(format!("the procedure failed: {error}"))),
    }
}
