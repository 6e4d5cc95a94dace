//! Prepared statements.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::IpcMessage;
use bytes::Bytes;
use parking_lot::Mutex;
use quiver_catalog::{ErrorKind, TenantId};
use quiver_engine::{ParsedStatement, Statement};
use quiver_proto::{ActionCreatePreparedStatementResult, Purpose};
use uuid::Uuid;

use super::call::Call;
use super::execute::{Executed, Execution};
use super::info::ipc_schema;
use crate::auth::random;
use crate::status::{Classify, Failure};

/// Open prepared statements of one tenant.
const PER_TENANT_MAX: usize = 100_000;

/// One prepared statement; its handle is bound to tenant and user.
#[derive(Debug, Clone)]
struct Prepared {
    tenant_id: TenantId,
    parsed: Arc<ParsedStatement>,
    schema: SchemaRef,
    default_schema: String,
    transaction: Option<Bytes>,
    bound: Option<RecordBatch>,
    used_micros: i64,
}

/// All prepared statements.
#[derive(Debug, Default)]
pub(crate) struct PreparedStatements {
    open: Mutex<HashMap<Uuid, Prepared>>,
}

impl PreparedStatements {
    /// Forgets statements that were not used since `oldest_micros`.
    pub(crate) fn expire(&self, oldest_micros: i64) {
        self.open
            .lock()
            .retain(|_, prepared| prepared.used_micros >= oldest_micros);
    }
}

impl Call {
    /// `CreatePreparedStatement`: plans, without side effects.
    pub(crate) async fn prepare(
        &self,
        sql: &str,
        transaction: Option<Bytes>,
    ) -> Result<ActionCreatePreparedStatementResult, Failure> {
        let parsed = self.parse(sql)?;
        let context = self.statement_context(transaction.as_deref())?;
        let (schema, parameters) = match &parsed.statement {
            Statement::Query(query) => {
                let plan = context.plan(query, parsed.placeholders, None).await;
                let plan = plan.map_err(|error| error.failure())?;
                (plan.schema, plan.parameters)
            }
            statement => {
                let parameters = context
                    .update_parameters(statement, parsed.placeholders)
                    .await;
                (
                    Arc::new(Schema::empty()),
                    parameters.map_err(|error| error.failure())?,
                )
            }
        };
        let is_update = !matches!(
            parsed.statement,
            Statement::Query(_) | Statement::Call { .. }
        );
        let prepared = Prepared {
            tenant_id: self.caller.tenant.id,
            parsed: Arc::new(parsed),
            schema: Arc::clone(&schema),
            default_schema: context.default_schema,
            transaction,
            bound: None,
            used_micros: self.shared.clock.now_micros(),
        };
        let handle = self.keep_prepared(prepared)?;
        let IpcMessage(dataset_schema) = match is_update {
            true => IpcMessage(Bytes::new()),
            false => ipc_schema(&schema)?,
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
        let mut open = self.shared.prepared.open.lock();
        let own = open
            .values()
            .filter(|p| p.tenant_id == prepared.tenant_id)
            .count();
        if own >= PER_TENANT_MAX {
            return Err(Failure::new(
                ErrorKind::Overloaded,
                format!("{PER_TENANT_MAX} prepared statements are open: close some"),
            ));
        }
        open.insert(id, prepared);
        Ok(self.sign(Purpose::Prepared, id, i64::MAX))
    }

    /// `ClosePreparedStatement`; fine also when it is gone already.
    pub(crate) fn close_prepared(&self, handle: &[u8]) -> Result<(), Failure> {
        let claims = self.verify(handle, Purpose::Prepared, "prepared statement")?;
        self.shared
            .prepared
            .open
            .lock()
            .remove(&Uuid::from_bytes(claims.id));
        Ok(())
    }

    fn prepared(&self, handle: &[u8]) -> Result<Prepared, Failure> {
        let claims = self.verify(handle, Purpose::Prepared, "prepared statement")?;
        let mut open = self.shared.prepared.open.lock();
        let prepared = open
            .get_mut(&Uuid::from_bytes(claims.id))
            .ok_or_else(|| Self::not_found("prepared statement"))?;
        prepared.used_micros = self.shared.clock.now_micros();
        Ok(prepared.clone())
    }

    /// Binds the parameters of a query.
    pub(crate) fn bind_prepared(&self, handle: &[u8], values: RecordBatch) -> Result<(), Failure> {
        let claims = self.verify(handle, Purpose::Prepared, "prepared statement")?;
        let mut open = self.shared.prepared.open.lock();
        let prepared = open
            .get_mut(&Uuid::from_bytes(claims.id))
            .ok_or_else(|| Self::not_found("prepared statement"))?;
        prepared.bound = (values.num_columns() > 0 && values.num_rows() > 0).then_some(values);
        Ok(())
    }

    /// Schema of the rows of a prepared statement.
    pub(crate) fn prepared_schema(&self, handle: &[u8]) -> Result<SchemaRef, Failure> {
        Ok(self.prepared(handle)?.schema)
    }

    /// Executes a prepared statement with the values bound to it.
    pub(crate) async fn execute_prepared(&self, handle: &[u8]) -> Result<Executed, Failure> {
        let prepared = self.prepared(handle)?;
        let bound = prepared.bound.clone();
        let is_query = matches!(prepared.parsed.statement, Statement::Query(_));
        if is_query && bound.as_ref().is_some_and(|values| values.num_rows() > 1) {
            return Err(Failure::invalid(
                "a query takes one row of parameters: execute it once per row",
            ));
        }
        self.run_prepared(prepared, bound).await
    }

    /// Executes a prepared update once per row of `values`, all in one commit.
    pub(crate) async fn update_prepared(
        &self,
        handle: &[u8],
        values: Option<RecordBatch>,
    ) -> Result<u64, Failure> {
        let prepared = self.prepared(handle)?;
        let values = values
            .filter(|values| values.num_columns() > 0)
            .or(prepared.bound.clone());
        match self.run_prepared(prepared, values).await? {
            Executed::Done { row_count } => Ok(row_count),
            Executed::Rows { .. } => Err(Failure::invalid(
                "the statement returns rows: execute it as a query",
            )),
        }
    }

    async fn run_prepared(
        &self,
        prepared: Prepared,
        parameters: Option<RecordBatch>,
    ) -> Result<Executed, Failure> {
        let transaction = self.transaction_of(prepared.transaction.as_deref())?;
        let context = self.context_in(prepared.default_schema, transaction);
        let transaction_handle = prepared.transaction.as_deref();
        let execution = Execution {
            parsed: &prepared.parsed,
            context,
            parameters,
            transaction_handle,
            promised: Some(prepared.schema),
        };
        self.execute(execution).await
    }
}
