//! DoGet.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_flight::sql::Command;
use arrow_flight::{FlightData, Ticket};
use arrow_ipc::CompressionType;
use quiver_catalog::ErrorKind;
use quiver_engine::{ParsedStatement, QueryRows, Statement, StatementContext};
use quiver_proto::{Claims, Purpose, headers};
use uuid::Uuid;

use super::call::Call;
use super::cancel::RunningStream;
use super::command::{Request, plan_of};
use super::encode::{Streaming, send_rows, single_batch};
use super::execute::require_parameters;
use super::info::unexpected;
use super::statement::{RowSource, StatementRecord};
use super::{Messages, metadata};
use crate::queries::RunningQuery;
use crate::status::{Classify, Failure};
use crate::stop::Stop;
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
                    let parsed = self.parse(&query.query)?;
                    self.get_query(&parsed, query.transaction_id.as_deref())
                        .await
                }
                Command::CommandStatementSubstraitPlan(command) => {
                    let parsed = self.parse_plan(plan_of(&command)?)?;
                    self.get_query(&parsed, command.transaction_id.as_deref())
                        .await
                }
                Command::CommandPreparedStatementQuery(query) => {
                    self.get_prepared(&query.prepared_statement_handle).await
                }
                command => self.get_metadata(&command).await,
            },
            Request::Sql(sql) => self.get_query(&self.parse(&sql)?, None).await,
            Request::Path(_) => Err(Failure::internal("a ticket has no path")),
        }
    }

    async fn get_statement(&self, handle: &[u8]) -> Result<Messages<FlightData>, Failure> {
        let claims = self.verify_ticket(handle)?;
        let stream = self.shared.running.enter(Uuid::from_bytes(claims.id));
        let stop = Stop {
            cancelled: stream.cancelled.clone(),
            ..self.statement_stop()
        };
        match claims.purpose {
            Purpose::Lease => self.get_share(&claims, stream, stop).await,
            _ => self.get_kept(&claims, stream, stop).await,
        }
    }

    async fn get_kept(
        &self,
        claims: &Claims,
        stream: RunningStream,
        stop: Stop,
    ) -> Result<Messages<FlightData>, Failure> {
        let StatementRecord {
            source,
            schema,
            text: shown,
            default_schema,
            transaction_id,
        } = self.statement(Uuid::from_bytes(claims.id))?;
        let streaming = Streaming {
            stream: Some(stream),
            ..self.streaming(self.running(&shown), stop.clone())?
        };
        let rows = match source {
            RowSource::Rows(rows) => single_batch(rows),
            RowSource::Query { text, parameters } => {
                let transaction = transaction_id
                    .map(|id| self.transaction_by_id(id))
                    .transpose()?;
                let context = self.context_in(default_schema, transaction);
                let parsed = self.parse_again(&text)?;
                let planning = query_rows(&context, &parsed, parameters.as_ref());
                let rows = stop.bound(planning).await?;
                if rows.schema != schema {
                    return Err(changed("statement", "execute"));
                }
                rows
            }
        };
        send_rows(self, rows, streaming).await
    }

    async fn get_share(
        &self,
        claims: &Claims,
        stream: RunningStream,
        stop: Stop,
    ) -> Result<Messages<FlightData>, Failure> {
        let share = self.share(claims)?;
        let streaming = self.streaming(self.running(&share.text), stop.clone())?;
        // Whoever reads all endpoints one after the other may open the last one at once.
        let ttl_ms = self.shared.settings.session.statement_ttl_ms;
        let streaming = Streaming {
            stream: Some(stream),
            idle_max: streaming.idle_max.max(Duration::from_millis(ttl_ms)),
            ..streaming
        };
        let reading = async {
            let rows = share.lease.rows(&self.shared.engine, share.number).await;
            rows.map_err(|error| error.failure())
        };
        let rows = stop.bound(reading).await?;
        send_rows(self, rows, streaming).await
    }

    /// A statement as a ticket: a query, because executing anything else twice would be easy.
    async fn get_query(
        &self,
        parsed: &Arc<ParsedStatement>,
        transaction_handle: Option<&[u8]>,
    ) -> Result<Messages<FlightData>, Failure> {
        let context = self.statement_context(&parsed.statement, transaction_handle)?;
        let running = self.running(&parsed.redacted);
        let stop = self.statement_stop();
        let rows = stop.bound(query_rows(&context, parsed, None)).await?;
        send_rows(self, rows, self.streaming(running, stop)?).await
    }

    /// A prepared query as a ticket, which some clients make of its handle without asking for a
    /// FlightInfo first.
    async fn get_prepared(&self, handle: &[u8]) -> Result<Messages<FlightData>, Failure> {
        let (prepared, parsed) = self.bound_statement(handle)?;
        let handle = prepared.transaction.as_deref();
        let transaction = self.transaction_of_prepared(&parsed.statement, handle)?;
        let context = self.context_in(prepared.default_schema, transaction);
        let running = self.running(&parsed.redacted);
        let stop = self.statement_stop();
        let planning = query_rows(&context, &parsed, prepared.bound.as_ref());
        let rows = stop.bound(planning).await?;
        // With parameters, their types decide those of the columns.
        if parsed.placeholders == 0 && rows.schema != prepared.schema {
            return Err(changed("prepared statement", "prepare"));
        }
        send_rows(self, rows, self.streaming(running, stop)?).await
    }

    async fn get_metadata(&self, command: &Command) -> Result<Messages<FlightData>, Failure> {
        let stop = self.statement_stop();
        let answering = async {
            let context = self.context(self.transaction_of(None)?);
            let catalog = context.catalog().await.map_err(|error| error.failure())?;
            let extra = virtual_tables(&context).await;
            let source = metadata::Source {
                tenant: &context.tenant_name,
                version: &catalog,
                extra: &extra,
            };
            metadata::answer(command, &source)?.ok_or_else(|| unexpected("DoGet", command))
        };
        let batch = stop.bound(answering).await?;
        let running = self.running(command.type_url());
        send_rows(self, single_batch(batch), self.streaming(running, stop)?).await
    }

    fn streaming(&self, running: RunningQuery, stop: Stop) -> Result<Streaming, Failure> {
        let idle_ms = self.shared.settings.session.stream_idle_timeout_ms;
        Ok(Streaming {
            running,
            stop,
            stream: None,
            idle_max: Duration::from_millis(idle_ms),
            compression: self.compression()?,
        })
    }

    /// What the client wants to uncompress. Stock JDBC cannot, so nothing is compressed unasked.
    fn compression(&self) -> Result<Option<CompressionType>, Failure> {
        let name = headers::COMPRESSION;
        match self.header(name)?.as_deref() {
            None | Some("none") => Ok(None),
            Some("lz4") => Ok(Some(CompressionType::LZ4_FRAME)),
            Some("zstd") => Ok(Some(CompressionType::ZSTD)),
            Some(_) => Err(Failure::invalid(format!(
                "header {name} can say lz4, zstd or none"
            ))),
        }
    }
}

/// Begins to execute a query; DoGet takes nothing else.
async fn query_rows(
    context: &StatementContext,
    parsed: &Arc<ParsedStatement>,
    parameters: Option<&RecordBatch>,
) -> Result<QueryRows, Failure> {
    if !matches!(parsed.statement, Statement::Query(_)) {
        return Err(Failure::invalid(
            "DoGet runs queries only: use GetFlightInfo or DoPut",
        ));
    }
    require_parameters(parsed, parameters)?;
    let rows = context.rows(parsed, parameters).await;
    rows.map_err(|error| error.failure())
}

fn changed(what: &str, verb: &str) -> Failure {
    let message =
        format!("a table of the {what} was changed since it was planned: {verb} it again");
    Failure::new(ErrorKind::Precondition, message)
}
