//! DoGet.

use arrow_flight::sql::Command;
use arrow_flight::{FlightData, Ticket};
use futures::StreamExt;
use quiver_engine::{QueryRows, Statement};
use tonic::Status;

use super::call::Call;
use super::command::Request;
use super::encode::{encode_rows, single_batch};
use super::info::unexpected;
use super::statement::{RowSource, StatementRecord};
use super::{Messages, metadata};
use crate::status::{Classify, Failure};
use crate::system_tables::virtual_tables;

impl Call {
    /// Streams what a ticket stands for. Never has side effects.
    pub(crate) async fn get(&self, ticket: Ticket) -> Result<Messages<FlightData>, Failure> {
        match Request::of_bytes(&ticket.ticket)? {
            Request::Command(command) => match *command {
                Command::TicketStatementQuery(ticket) => {
                    self.get_statement(&ticket.statement_handle).await
                }
                Command::CommandStatementQuery(query) => {
                    self.get_sql(&query.query, query.transaction_id.as_deref())
                        .await
                }
                command => self.get_metadata(&command).await,
            },
            Request::Sql(sql) => self.get_sql(&sql, None).await,
            Request::Path(_) => Err(Failure::internal("a ticket has no path")),
        }
    }

    async fn get_statement(&self, handle: &[u8]) -> Result<Messages<FlightData>, Failure> {
        let StatementRecord {
            source,
            schema,
            text,
            default_schema,
            transaction_id,
        } = self.statement(handle)?;
        let running = self.running(&text);
        let rows = match source {
            RowSource::Rows(rows) => single_batch(rows),
            RowSource::Query { query, parameters } => {
                let transaction = transaction_id
                    .map(|id| self.transaction_by_id(id))
                    .transpose()?;
                let context = self.context_in(default_schema, transaction);
                let rows = context.rows(&query, parameters.as_ref()).await;
                let rows = rows.map_err(|error| error.failure())?;
                if rows.schema != schema {
                    return Err(Failure::new(
                        quiver_catalog::ErrorKind::Precondition,
                        "a table of the statement was changed since it was planned: execute it again",
                    ));
                }
                rows
            }
        };
        Ok(self.stream(rows, running))
    }

    /// SQL text as a ticket: a query, because executing anything else twice would be easy.
    async fn get_sql(
        &self,
        sql: &str,
        transaction_handle: Option<&[u8]>,
    ) -> Result<Messages<FlightData>, Failure> {
        let parsed = self.parse(sql)?;
        let Statement::Query(query) = &parsed.statement else {
            return Err(Failure::invalid(
                "DoGet runs queries only: use GetFlightInfo or DoPut",
            ));
        };
        let context = self.statement_context(transaction_handle)?;
        let running = self.running(&parsed.redacted);
        let rows = context
            .rows(query, None)
            .await
            .map_err(|error| error.failure())?;
        Ok(self.stream(rows, running))
    }

    async fn get_metadata(&self, command: &Command) -> Result<Messages<FlightData>, Failure> {
        let context = self.context(self.transaction_of(None)?);
        let catalog = context.catalog().await.map_err(|error| error.failure())?;
        let extra = virtual_tables(&context).await;
        let source = metadata::Source {
            tenant: &context.tenant_name,
            version: &catalog,
            extra: &extra,
        };
        let batch =
            metadata::answer(command, &source)?.ok_or_else(|| unexpected("DoGet", command))?;
        let running = self.running(command.type_url());
        Ok(self.stream(single_batch(batch), running))
    }

    fn stream(
        &self,
        rows: QueryRows,
        running: crate::queries::RunningQuery,
    ) -> Messages<FlightData> {
        let messages = encode_rows(self, rows, running);
        messages
            .map(|message: Result<FlightData, Status>| message)
            .boxed()
    }
}
