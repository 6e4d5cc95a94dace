//! `INSERT`: a query whose rows are ingested.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DmlStatement, LogicalPlan};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Insert, Statement as AstStatement, TableObject};

use super::context::StatementContext;
use super::names::check_writable;
use super::query::{promised_schema, row_parameters, run};
use crate::error::{EngineError, Result};
use crate::ingest::IngestMode;

impl StatementContext {
    /// Inserts the rows of the source, once per row of parameters, in one commit.
    pub(crate) async fn insert(
        &self,
        insert: &Insert,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(EngineError::Unsupported {
                what: "INSERT into anything but a table".to_owned(),
            });
        };
        let name = self.table_name(name)?;
        check_writable(&name.schema)?;
        let session = self.new_session().await?;
        let source = self.insert_plan(&session, insert).await?;
        let mut sources = vec![];
        match parameters {
            None => sources.push(run(&session, source.clone()).await?),
            Some(batch) => {
                for row in 0..batch.num_rows() {
                    let bound = source
                        .clone()
                        .with_param_values(row_parameters(batch, row)?)?;
                    sources.push(run(&session, bound).await?);
                }
            }
        }
        let incoming = match sources.first() {
            Some(first) => Arc::clone(&first.schema),
            None => promised_schema(&source),
        };
        let outcome = self
            .ingest_rows(
                name.schema,
                name.table,
                IngestMode::APPEND,
                sources,
                incoming,
            )
            .await?;
        Ok(outcome.row_count)
    }

    /// The plan of the rows to insert: all columns of the table, in its types.
    pub(crate) async fn insert_plan(
        &self,
        session: &SessionState,
        insert: &Insert,
    ) -> Result<LogicalPlan> {
        let statement = AstStatement::Insert(insert.clone());
        let plan = session
            .statement_to_plan(DfStatement::Statement(Box::new(statement)))
            .await?;
        match plan {
            LogicalPlan::Dml(DmlStatement { input, .. }) => Ok(Arc::unwrap_or_clone(input)),
            _ => Err(EngineError::internal(
                "INSERT was not planned as a change of rows",
            )),
        }
    }
}
