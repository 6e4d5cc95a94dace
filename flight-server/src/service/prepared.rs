//! Prepared statements.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::IpcMessage;
use bytes::Bytes;
use quiver_engine::{ParsedStatement, Statement, StatementText, procedure_schema};
use quiver_proto::{ActionCreatePreparedStatementResult, Purpose};
use uuid::Uuid;

use super::call::Call;
use super::execute::{Executed, Execution};
use super::handles::{Handles, Keepable};
use super::info::ipc_schema;
use super::metadata::with_sql_types;
use super::statement::{rows_bytes, schema_bytes};
use crate::auth::random;
use crate::status::{Classify, Failure};

/// One prepared statement; its handle is bound to tenant and user.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) text: StatementText,
    /// Of the rows while parameters are open.
    pub(crate) schema: SchemaRef,
    pub(crate) default_schema: String,
    pub(crate) transaction: Option<Bytes>,
    pub(crate) bound: Option<RecordBatch>,
}

/// All prepared statements; one that nobody uses for a while is closed.
pub(crate) type PreparedStatements = Handles<Prepared>;

impl Keepable for Prepared {
    fn kept_bytes(&self) -> usize {
        self.text.bytes() + schema_bytes(&self.schema) + rows_bytes(&self.bound)
    }
}

impl Call {
    /// `CreatePreparedStatement`, `CreatePreparedSubstraitPlan`: plans, without side effects.
    pub(crate) async fn prepare(
        &self,
        parsed: Arc<ParsedStatement>,
        transaction: Option<Bytes>,
    ) -> Result<ActionCreatePreparedStatementResult, Failure> {
        let context = self.statement_context(&parsed.statement, transaction.as_deref())?;
        let planning = async {
            match &parsed.statement {
                Statement::Query(_) => {
                    let plan = context.plan(&parsed, None).await;
                    plan.map(|plan| (plan.schema, plan.parameters))
                }
                Statement::Call {
                    procedure,
                    arguments,
                } => procedure_schema(procedure, arguments)
                    .map(|schema| (schema, Arc::new(Schema::empty()))),
                statement => {
                    let count = parsed.placeholders;
                    let parameters = context.update_parameters(statement, count).await;
                    parameters.map(|parameters| (Arc::new(Schema::empty()), parameters))
                }
            }
            .map_err(|error| error.failure())
        };
        let (schema, parameters) = self.statement_stop().bound(planning).await?;
        let is_update = !matches!(
            parsed.statement,
            Statement::Query(_) | Statement::Call { .. }
        );
        let prepared = Prepared {
            text: parsed.text.clone(),
            schema: Arc::clone(&schema),
            default_schema: context.default_schema,
            transaction,
            bound: None,
        };
        let handle = self.keep_prepared(prepared)?;
        let IpcMessage(dataset_schema) = match is_update {
            true => IpcMessage(Bytes::new()),
            false => ipc_schema(&with_sql_types(&schema))?,
        };
        let IpcMessage(parameter_schema) = match parameters.fields().is_empty() {
            true => IpcMessage(Bytes::new()),
            false => ipc_schema(&parameters)?,
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle,
            dataset_schema,
            parameter_schema,
            is_update: Some(is_update),
        })
    }

    fn keep_prepared(&self, prepared: Prepared) -> Result<Bytes, Failure> {
        let id = random::uuid();
        let tenant_id = self.caller.tenant.id;
        self.shared
            .prepared
            .insert(tenant_id, id, prepared, self.prepared_end())?;
        Ok(self.sign(Purpose::Prepared, id, i64::MAX))
    }

    /// When a prepared statement that is used now ends, if it is not used again.
    fn prepared_end(&self) -> i64 {
        let idle_ms = self.shared.settings.session.idle_timeout_ms;
        self.shared.clock.now_micros() + idle_ms as i64 * 1000
    }

    fn prepared_id(&self, handle: &[u8]) -> Result<Uuid, Failure> {
        let claims = self.verify(handle, Purpose::Prepared, "prepared statement")?;
        Ok(Uuid::from_bytes(claims.id))
    }

    /// `ClosePreparedStatement`; fine also when it is gone already.
    pub(crate) fn close_prepared(&self, handle: &[u8]) -> Result<(), Failure> {
        let id = self.prepared_id(handle)?;
        self.shared.prepared.remove(self.caller.tenant.id, id);
        Ok(())
    }

    fn prepared(&self, handle: &[u8]) -> Result<Prepared, Failure> {
        let id = self.prepared_id(handle)?;
        let tenant_id = self.caller.tenant.id;
        let prepared = self
            .shared
            .prepared
            .renew(tenant_id, id, self.prepared_end());
        prepared.ok_or_else(|| Self::not_found("prepared statement"))
    }

    /// Binds the parameters of a query.
    pub(crate) fn bind_prepared(&self, handle: &[u8], values: RecordBatch) -> Result<(), Failure> {
        let bound = (values.num_columns() > 0).then_some(values);
        let prepared = Prepared {
            bound,
            ..self.prepared(handle)?
        };
        let id = self.prepared_id(handle)?;
        let tenant_id = self.caller.tenant.id;
        match self.shared.prepared.replace(tenant_id, id, prepared)? {
            true => Ok(()),
            false => Err(Self::not_found("prepared statement")),
        }
    }

    /// Schema of the rows of a prepared statement.
    pub(crate) fn prepared_schema(&self, handle: &[u8]) -> Result<SchemaRef, Failure> {
        Ok(self.prepared(handle)?.schema)
    }

    /// Executes a prepared statement with the values bound to it.
    pub(crate) async fn execute_prepared(&self, handle: &[u8]) -> Result<Executed, Failure> {
        let (prepared, parsed) = self.bound_statement(handle)?;
        let bound = prepared.bound.clone();
        self.run_prepared(prepared, &parsed, bound).await
    }

    /// A prepared statement that is executed with the values bound to it.
    pub(crate) fn bound_statement(
        &self,
        handle: &[u8],
    ) -> Result<(Prepared, Arc<ParsedStatement>), Failure> {
        let prepared = self.prepared(handle)?;
        let parsed = self.parse_again(&prepared.text)?;
        Ok((prepared, parsed))
    }

    /// Executes a prepared update once per row of `values`, all in one commit.
    pub(crate) async fn update_prepared(
        &self,
        handle: &[u8],
        values: Option<RecordBatch>,
    ) -> Result<u64, Failure> {
        let prepared = self.prepared(handle)?;
        let parsed = self.parse_again(&prepared.text)?;
        let values = values
            .filter(|values| values.num_columns() > 0)
            .or(prepared.bound.clone());
        let executed = self.run_prepared(prepared, &parsed, values).await?;
        executed.rows_changed()
    }

    async fn run_prepared(
        &self,
        prepared: Prepared,
        parsed: &Arc<ParsedStatement>,
        parameters: Option<RecordBatch>,
    ) -> Result<Executed, Failure> {
        let handle = prepared.transaction.as_deref();
        let transaction = self.transaction_of_prepared(&parsed.statement, handle)?;
        let context = self.context_in(prepared.default_schema, transaction);
        let transaction_handle = prepared.transaction.as_deref();
        let execution = Execution {
            parsed,
            context,
            parameters,
            transaction_handle,
            promised: Some(prepared.schema),
        };
        self.execute(execution).await
    }
}
