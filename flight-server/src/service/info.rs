//! GetFlightInfo, GetSchema, ListFlights.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::Command;
use arrow_flight::{
    FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, SchemaResult, Ticket,
};
use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use prost::Message;
use quiver_engine::ParsedStatement;

use super::call::Call;
use super::command::{Request, plan_of, table_of_path};
use super::endpoint::Endpoint;
use super::execute::{Executed, Execution};
use super::metadata;
use crate::status::{Classify, Failure};

impl Call {
    /// Answers GetFlightInfo; statements that change something take effect here and nowhere else.
    pub(crate) async fn flight_info(
        &self,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Failure> {
        let executed = match Request::of_descriptor(&descriptor)? {
            Request::Path(path) => self.execute_sql(&self.select_path(&path)?, None).await?,
            Request::Sql(sql) => self.execute_sql(&sql, None).await?,
            Request::Command(command) => match *command {
                Command::CommandStatementQuery(query) => {
                    self.execute_sql(&query.query, query.transaction_id.as_deref())
                        .await?
                }
                Command::CommandStatementSubstraitPlan(command) => {
                    let parsed = self.parse_plan(plan_of(&command)?)?;
                    self.execute_parsed(&parsed, command.transaction_id.as_deref())
                        .await?
                }
                Command::CommandPreparedStatementQuery(query) => {
                    self.execute_prepared(&query.prepared_statement_handle)
                        .await?
                }
                command => return self.metadata_info(descriptor, command),
            },
        };
        self.info_of(descriptor, executed)
    }

    pub(crate) async fn execute_sql(
        &self,
        sql: &str,
        transaction_handle: Option<&[u8]>,
    ) -> Result<Executed, Failure> {
        self.execute_parsed(&self.parse(sql)?, transaction_handle)
            .await
    }

    async fn execute_parsed(
        &self,
        parsed: &Arc<ParsedStatement>,
        transaction_handle: Option<&[u8]>,
    ) -> Result<Executed, Failure> {
        let context = self.statement_context(&parsed.statement, transaction_handle)?;
        let execution = Execution {
            parsed,
            context,
            parameters: None,
            transaction_handle,
            promised: None,
        };
        self.execute(execution).await
    }

    fn info_of(
        &self,
        descriptor: FlightDescriptor,
        executed: Executed,
    ) -> Result<FlightInfo, Failure> {
        match executed {
            Executed::Rows {
                endpoints,
                schema,
                row_count,
            } => {
                let total = row_count.map_or(-1, |rows| rows as i64);
                let schema = metadata::with_sql_types(&schema);
                let endpoints = endpoints.iter().map(Endpoint::to_flight).collect();
                flight_info(descriptor, &schema, endpoints, total)
            }
            Executed::Done { row_count } => {
                flight_info(descriptor, &Schema::empty(), vec![], row_count as i64)
            }
        }
    }

    /// The ticket of metadata is the command itself: it grants nothing.
    fn metadata_info(
        &self,
        descriptor: FlightDescriptor,
        command: Command,
    ) -> Result<FlightInfo, Failure> {
        let schema =
            metadata::schema(&command).ok_or_else(|| unexpected("GetFlightInfo", &command))?;
        let ticket = command.into_any().encode_to_vec();
        let endpoint = FlightEndpoint {
            ticket: Some(Ticket::new(ticket)),
            ..Default::default()
        };
        flight_info(descriptor, &schema, vec![endpoint], -1)
    }

    /// Answers GetSchema: never with side effects.
    pub(crate) async fn schema(
        &self,
        descriptor: FlightDescriptor,
    ) -> Result<SchemaResult, Failure> {
        let schema = match Request::of_descriptor(&descriptor)? {
            Request::Path(path) => {
                self.schema_of(&self.parse(&self.select_path(&path)?)?, None)
                    .await?
            }
            Request::Sql(sql) => self.schema_of(&self.parse(&sql)?, None).await?,
            Request::Command(command) => match *command {
                Command::CommandStatementQuery(query) => {
                    let parsed = self.parse(&query.query)?;
                    self.schema_of(&parsed, query.transaction_id.as_deref())
                        .await?
                }
                Command::CommandStatementSubstraitPlan(command) => {
                    let parsed = self.parse_plan(plan_of(&command)?)?;
                    self.schema_of(&parsed, command.transaction_id.as_deref())
                        .await?
                }
                Command::CommandPreparedStatementQuery(query) => {
                    let schema = self.prepared_schema(&query.prepared_statement_handle)?;
                    Arc::new(metadata::with_sql_types(&schema))
                }
                command => {
                    metadata::schema(&command).ok_or_else(|| unexpected("GetSchema", &command))?
                }
            },
        };
        let IpcMessage(schema) = ipc_schema(&schema)?;
        Ok(SchemaResult { schema })
    }

    async fn schema_of(
        &self,
        parsed: &Arc<ParsedStatement>,
        transaction_handle: Option<&[u8]>,
    ) -> Result<SchemaRef, Failure> {
        let context = self.statement_context(&parsed.statement, transaction_handle)?;
        let schema = self.result_schema(&context, parsed).await?;
        Ok(Arc::new(metadata::with_sql_types(&schema)))
    }

    /// The query that reads the table of a path.
    fn select_path(&self, path: &[String]) -> Result<String, Failure> {
        let (schema, table) = table_of_path(path)?;
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        Ok(match schema {
            Some(schema) => format!("SELECT * FROM {}.{}", quoted(schema), quoted(table)),
            None => format!("SELECT * FROM {}", quoted(table)),
        })
    }

    /// One flight per table, by path; fetch it through GetFlightInfo.
    pub(crate) async fn list_flights(&self) -> Result<Vec<FlightInfo>, Failure> {
        let context = self.context(self.transaction_of(None)?);
        let catalog = context.catalog().await.map_err(|error| error.failure())?;
        let info = |table: &quiver_catalog::TableVersion| {
            let path = vec![table.schema_name.clone(), table.name.clone()];
            flight_info(
                FlightDescriptor::new_path(path),
                &table.arrow_schema,
                vec![],
                -1,
            )
        };
        catalog.tables().map(|table| info(table)).collect()
    }
}

/// A command where it makes no sense.
pub(crate) fn unexpected(call: &str, command: &Command) -> Failure {
    let name = command
        .type_url()
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_owned();
    Failure::new(
        quiver_catalog::ErrorKind::Unsupported,
        format!("{call} of {name} is not supported"),
    )
}

fn flight_info(
    descriptor: FlightDescriptor,
    schema: &Schema,
    endpoint: Vec<FlightEndpoint>,
    total_records: i64,
) -> Result<FlightInfo, Failure> {
    let IpcMessage(schema) = ipc_schema(schema)?;
    Ok(FlightInfo {
        schema,
        flight_descriptor: Some(descriptor),
        // Shares of a result are in no order to each other.
        ordered: endpoint.len() < 2,
        endpoint,
        total_records,
        total_bytes: -1,
        app_metadata: Bytes::new(),
    })
}

/// A schema as FlightInfo and SchemaResult carry it.
pub(crate) fn ipc_schema(schema: &Schema) -> Result<IpcMessage, Failure> {
    let options = IpcWriteOptions::default();
    IpcMessage::try_from(SchemaAsIpc::new(schema, &options))
        .map_err(|error| Failure::internal(error.to_string()))
}
