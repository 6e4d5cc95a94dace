//! Who executes a statement, and where.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::{Stream, TryStreamExt};
use quiver_catalog::{CatalogVersion, UserId};

use super::parser::Statement;
use super::progress::Progress;
use super::system_tables::SystemTables;
use crate::commit::{CommitRequest, commit};
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::ingest::{IngestMode, IngestOutcome, IngestRequest};
use crate::read_view::ReadView;
use crate::tenant::Tenant;
use crate::transaction::Transaction;

/// Everything a statement needs to know about its surroundings.
#[derive(Debug, Clone)]
pub struct StatementContext {
    /// The engine.
    pub engine: Engine,
    /// The tenant whose data it sees.
    pub tenant: Arc<Tenant>,
    /// The tenant's name: its catalog in SQL.
    pub tenant_name: String,
    /// Who executes it.
    pub user_id: UserId,
    /// Schema of unqualified names.
    pub default_schema: String,
    /// The transaction it belongs to; without one it commits by itself.
    pub transaction: Option<Arc<Transaction>>,
    /// Tables of schema `system` that the server keeps.
    pub system_tables: Arc<dyn SystemTables>,
    /// Where its progress is told, if somebody asks for it.
    pub progress: Option<Arc<Progress>>,
}

impl StatementContext {
    /// What the statement sees.
    pub(crate) async fn read_view(&self) -> Result<ReadView> {
        match &self.transaction {
            Some(transaction) => transaction.read_view().await,
            None => Ok(self.tenant.read_view()),
        }
    }

    /// The catalog as the statement sees it.
    ///
    /// # Errors
    /// `Conflict` when its transaction is over.
    pub async fn catalog(&self) -> Result<Arc<CatalogVersion>> {
        Ok(Arc::clone(self.read_view().await?.catalog()))
    }

    /// Executes a statement for its effect, once per row of `parameters` (once without any), as one
    /// atomic unit, and returns the rows it changed.
    ///
    /// # Errors
    /// Whatever the statement answers; then nothing is changed.
    pub async fn update(
        &self,
        statement: &Statement,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64> {
        if let Statement::Insert(insert) = statement
            && let Some((table, rows)) = self.constant_rows(insert).await?
            && let Some(batch) = self.batch_of(rows, parameters).await?
        {
            return self.insert_batch(table, batch).await;
        }
        let (context, statement, parameters) =
            (self.clone(), statement.clone(), parameters.cloned());
        let update = async move {
            let update = context.take_effect(&statement, parameters.as_ref());
            Box::pin(update).await
        };
        self.engine.query_runtime().run(update).await
    }

    async fn take_effect(
        &self,
        statement: &Statement,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64> {
        let several = parameters.is_some_and(|rows| rows.num_rows() > 1);
        if several && !matches!(statement, Statement::Insert(_)) {
            return Err(EngineError::invalid(
                "only INSERT takes several rows of parameters: execute the statement once per row",
            ));
        }
        match statement {
            Statement::Insert(insert) => self.insert(insert, parameters).await,
            Statement::Change(change) => self.change_rows(change, parameters).await,
            Statement::AlterTable {
                name,
                if_exists,
                action,
            } => self.alter_table(name, *if_exists, action).await,
            Statement::Truncate { names, if_exists } => self.truncate(names, *if_exists).await,
            Statement::CreateTable(create) => self.create_table(create, parameters).await,
            Statement::DropTable { names, if_exists } => self.drop_tables(names, *if_exists).await,
            Statement::CreateSchema {
                name,
                if_not_exists,
            } => self.create_schema(name, *if_not_exists).await,
            Statement::DropSchema {
                name,
                if_exists,
                cascade,
            } => self.drop_schema(name, *if_exists, *cascade).await,
            Statement::CopyFrom {
                table,
                columns,
                path,
                options,
            } => self.copy_from(table, columns, path, options).await,
            Statement::CopyTo {
                source,
                path,
                options,
            } => self.copy_to(source, path, options, parameters).await,
            _ => Err(EngineError::internal(
                "a statement without effect was executed for it",
            )),
        }
    }

    /// Commits catalog changes, or stages them in the transaction.
    pub(crate) async fn apply(&self, request: CommitRequest) -> Result<()> {
        match &self.transaction {
            Some(transaction) => transaction.stage(request).await,
            None => commit(self.engine.node(), &self.tenant, request).await,
        }
    }

    /// Ingests what a query yields.
    pub(crate) async fn ingest_rows(
        &self,
        schema_name: String,
        table_name: String,
        mode: IngestMode,
        incoming: arrow::datatypes::SchemaRef,
        rows: impl Stream<Item = Result<RecordBatch>> + Send,
    ) -> Result<IngestOutcome> {
        let request = IngestRequest {
            schema_name,
            table_name,
            incoming,
            mode,
            adds_columns: false,
            user_id: self.user_id,
            idempotency_key: None,
            step: None,
            transaction: self.transaction.clone(),
        };
        let mut ingest = self.engine.begin_ingest(&self.tenant, request).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(batch) = rows.try_next().await? {
            ingest.push(batch, None).await?;
        }
        ingest.commit().await
    }
}
