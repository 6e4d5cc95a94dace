//! `INSERT`: a query whose rows are ingested.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DmlStatement, LogicalPlan};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Insert, Statement as AstStatement, TableObject};

use futures::{StreamExt, TryStreamExt};
use quiver_catalog::Column;

use super::constant_rows::ConstantRows;
use super::context::StatementContext;
use super::names::{TableName, check_writable};
use super::planning::{plan_statement, with_types};
use super::query::{analyzed, promised_schema, row_parameters, run};
use crate::error::{EngineError, Result};
use crate::ingest::IngestMode;

/// Rows that are made within microseconds.
const FEW_ROWS: usize = 256;

impl StatementContext {
    /// The rows of an insert that needs no plan, and their table.
    pub(crate) async fn constant_rows(
        &self,
        insert: &Insert,
    ) -> Result<Option<(TableName, ConstantRows)>> {
        let name = self.insert_target(insert)?;
        let view = self.read_view().await?;
        let Some(table) = view.catalog().table(&name.schema, &name.table) else {
            return Ok(None);
        };
        let has_default = |column: &Column| column.default.value.is_some();
        if !insert.columns.is_empty() && table.columns.iter().any(has_default) {
            return Ok(None);
        }
        let rows = ConstantRows::of(insert, &table.arrow_schema);
        Ok(rows.map(|rows| (name, rows)))
    }

    /// The rows with their parameters; many of them are made where they hold up no other call.
    pub(crate) async fn batch_of(
        &self,
        rows: ConstantRows,
        parameters: Option<&RecordBatch>,
    ) -> Result<Option<RecordBatch>> {
        if rows.count(parameters) <= FEW_ROWS {
            return rows.batch(parameters);
        }
        let parameters = parameters.cloned();
        let batch = async move { rows.batch(parameters.as_ref()) };
        self.engine.query_runtime().run(batch).await
    }

    /// Inserts rows as they are, in one commit.
    pub(crate) async fn insert_batch(&self, name: TableName, batch: RecordBatch) -> Result<u64> {
        let incoming = batch.schema();
        let rows = futures::stream::iter([Ok(batch)]);
        let mode = IngestMode::APPEND;
        let outcome = self
            .ingest_rows(name.schema, name.table, mode, incoming, rows)
            .await?;
        Ok(outcome.row_count)
    }

    fn insert_target(&self, insert: &Insert) -> Result<TableName> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(EngineError::Unsupported {
                what: "INSERT into anything but a table".to_owned(),
            });
        };
        let name = self.table_name(name)?;
        check_writable(&name.schema)?;
        Ok(name)
    }

    /// Inserts the rows of the source, once per row of parameters, in one commit.
    pub(crate) async fn insert(
        &self,
        insert: &Insert,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64> {
        let name = self.insert_target(insert)?;
        let session = self.new_session().await?;
        let source = self.insert_plan(&session, insert).await?;
        let incoming = match parameters {
            Some(rows) if rows.num_rows() > 0 => {
                let first = row_parameters(rows, 0)?;
                promised_schema(&source.clone().with_param_values(first)?)
            }
            _ => promised_schema(&source),
        };
        let rows = parameters.map_or(1, RecordBatch::num_rows);
        let promised = Arc::clone(&incoming);
        let (session, parameters) = (Arc::new(session), parameters.cloned());
        // One after the other: a query for each of a million rows would not fit.
        let sources = futures::stream::iter(0..rows).then(move |row| {
            let (session, source) = (Arc::clone(&session), source.clone());
            let promised = Arc::clone(&promised);
            let values = parameters.as_ref().map(|rows| row_parameters(rows, row));
            async move {
                let bound = match values {
                    Some(values) => source.with_param_values(values?)?,
                    None => source,
                };
                // What meets in the source may have other types than it was planned with.
                let bound = with_types(analyzed(&session, bound)?, &promised)?;
                Ok::<_, EngineError>(run(&session, bound).await?.stream)
            }
        });
        let outcome = self
            .ingest_rows(
                name.schema,
                name.table,
                IngestMode::APPEND,
                incoming,
                sources.try_flatten().boxed(),
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
        let statement = DfStatement::Statement(Box::new(statement));
        match plan_statement(session, statement).await? {
            LogicalPlan::Dml(DmlStatement { input, .. }) => Ok(Arc::unwrap_or_clone(input)),
            _ => Err(EngineError::internal(
                "INSERT was not planned as a change of rows",
            )),
        }
    }
}
