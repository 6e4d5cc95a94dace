//! A Flight server that keeps uploads in memory, for testing the client commands against.

#![expect(clippy::disallowed_methods, reason = "a test server needs no spans")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::{
    Any, Command, CommandStatementIngest, DoPutUpdateResult, TableExistsOption,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, IpcMessage, PollInfo, PutResult, SchemaAsIpc,
    SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use prost::Message;
use quiver_proto::headers;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::cli::client::{Secret, Target};

type Answer<T> = Result<Response<T>, Status>;

/// Starts a server that lives as long as the test's runtime.
pub(crate) async fn start() -> Stub {
    let stub = Stub::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = FlightServiceServer::new(stub.clone());
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    *stub.address.lock() = Some(address);
    stub
}

#[derive(Clone, Default)]
pub(crate) struct Stub {
    address: Arc<Mutex<Option<SocketAddr>>>,
    pub(crate) state: Arc<Mutex<State>>,
}

/// What the server has and how it behaves.
#[derive(Default)]
pub(crate) struct State {
    /// Statements as they came.
    pub(crate) statements: Vec<String>,
    /// Rows of tables that exist, by name.
    pub(crate) tables: HashMap<String, Table>,
    /// Keys of the uploads that are in a table.
    pub(crate) keys: HashMap<String, i64>,
    /// Every upload's options for a table that exists, as numbers.
    pub(crate) if_exists: Vec<TableExistsOption>,
    /// Codes to answer uploads with before they work.
    pub(crate) refusals: Vec<Code>,
    /// Added to every row count.
    pub(crate) miscount: i64,
    /// Bytes of the largest message.
    pub(crate) message_bytes_max: usize,
    tokens: usize,
}

pub(crate) struct Table {
    pub(crate) schema: SchemaRef,
    pub(crate) rows: i64,
}

impl Stub {
    /// How to connect, as user `admin` with password `quiver`.
    pub(crate) fn target(&self) -> Target {
        let address = self.address.lock().unwrap();
        Target {
            uri: format!("http://{address}"),
            shown: format!("grpc://{address}"),
            ca_pem: None,
            user: "admin".to_owned(),
            password: Secret("quiver".to_owned()),
            tenant: None,
        }
    }

    /// A new token after every call: clients must take it over.
    fn renewed<T>(&self, answer: T) -> Response<T> {
        let mut state = self.state.lock();
        state.tokens += 1;
        let token = format!("Bearer token-{}", state.tokens);
        let mut response = Response::new(answer);
        response
            .metadata_mut()
            .insert(headers::AUTHORIZATION, token.parse().unwrap());
        response
    }

    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let expected = format!("Bearer token-{}", self.state.lock().tokens);
        let found = request.metadata().get(headers::AUTHORIZATION);
        match found.is_some_and(|found| *found == expected) {
            true => Ok(()),
            false => Err(Status::unauthenticated("that is not the latest token")),
        }
    }

    fn tables(&self) -> RecordBatch {
        let state = self.state.lock();
        let mut tables: Vec<_> = state.tables.iter().collect();
        tables.sort_by_key(|(name, _)| *name);
        let text = |value: fn(&(&String, &Table)) -> String| -> ArrayRef {
            Arc::new(tables.iter().map(value).map(Some).collect::<StringArray>())
        };
        let schemas: Vec<_> = tables.iter().map(|(_, table)| ipc(&table.schema)).collect();
        let schemas = BinaryArray::from_iter_values(schemas);
        RecordBatch::try_from_iter([
            ("catalog_name", text(|_| "default".to_owned())),
            ("db_schema_name", text(|_| "main".to_owned())),
            ("table_name", text(|(name, _)| (*name).clone())),
            ("table_type", text(|_| "TABLE".to_owned())),
            ("table_schema", Arc::new(schemas) as ArrayRef),
        ])
        .unwrap()
    }

    fn execute(&self, sql: &str) -> Result<FlightInfo, Status> {
        self.state.lock().statements.push(sql.to_owned());
        let verb = sql.split_whitespace().next().unwrap_or_default();
        match verb {
            "SELECT" => Ok(rows_info(&numbers(0).schema(), sql.as_bytes())),
            "INSERT" => Ok(FlightInfo::new()
                .try_with_schema(&Schema::empty())
                .unwrap()
                .with_total_records(3)),
            "CREATE" | "DROP" | "ALTER" => {
                Ok(FlightInfo::new().try_with_schema(&Schema::empty()).unwrap())
            }
            _ => {
                let mut status = Status::invalid_argument(format!("cannot parse\n {verb}"));
                status
                    .metadata_mut()
                    .insert(headers::QUERY_ID, "q-1".parse().unwrap());
                Err(status)
            }
        }
    }

    fn commit(
        &self,
        key: Option<String>,
        command: &CommandStatementIngest,
        schema: SchemaRef,
        rows: i64,
    ) -> Result<(i64, bool), Status> {
        let mut state = self.state.lock();
        if !state.refusals.is_empty() {
            return Err(Status::new(state.refusals.remove(0), "not now"));
        }
        if let Some(rows) = key.as_ref().and_then(|key| state.keys.get(key)) {
            return Ok((*rows, true));
        }
        let options = command.table_definition_options.unwrap();
        state.if_exists.push(options.if_exists());
        let exists = state.tables.contains_key(&command.table);
        if exists && options.if_exists() == TableExistsOption::Fail {
            return Err(Status::already_exists(format!(
                "table {} exists",
                command.table
            )));
        }
        if !exists || options.if_exists() == TableExistsOption::Replace {
            state
                .tables
                .insert(command.table.clone(), Table { schema, rows: 0 });
        }
        state.tables.get_mut(&command.table).unwrap().rows += rows;
        let rows = rows + state.miscount;
        state.keys.extend(key.map(|key| (key, rows)));
        Ok((rows, false))
    }
}

/// Rows of `SELECT n`: the numbers from 0.
pub(crate) fn numbers(count: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    RecordBatch::try_from_iter([("n", numbers)]).unwrap()
}

fn ipc(schema: &Schema) -> Vec<u8> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default())
        .try_into()
        .unwrap();
    bytes.to_vec()
}

fn rows_info(schema: &Schema, ticket: &[u8]) -> FlightInfo {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.to_vec()));
    // Two endpoints, so that clients have to read on.
    FlightInfo::new()
        .try_with_schema(schema)
        .unwrap()
        .with_endpoint(endpoint.clone())
        .with_endpoint(endpoint)
}

#[tonic::async_trait]
impl FlightService for Stub {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Self::HandshakeStream> {
        // admin:quiver
        match request.metadata().get(headers::AUTHORIZATION) {
            Some(login) if *login == "Basic YWRtaW46cXVpdmVy" => {
                self.state.lock().tokens = 0;
                Ok(self.renewed(futures::stream::empty().boxed()))
            }
            _ => Err(Status::unauthenticated("wrong user or password")),
        }
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        self.check(&request)?;
        let any = Any::decode(request.into_inner().cmd).unwrap();
        let info = match Command::try_from(any).unwrap() {
            Command::CommandStatementQuery(query) => self.execute(&query.query)?,
            Command::CommandGetTables(_) => {
                let mut info = rows_info(&self.tables().schema(), b"tables");
                info.endpoint.pop();
                info
            }
            other => return Err(Status::unimplemented(other.type_url())),
        };
        Ok(self.renewed(info))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let ticket = request.into_inner().ticket;
        let batches = match ticket.as_ref() {
            b"tables" => vec![Ok(self.tables())],
            // It knows keys only.
            sql if sql.starts_with(b"SELECT producer,") => vec![],
            b"SELECT broken" => {
                let status = Status::data_loss("a segment is damaged");
                vec![Ok(numbers(2)), Err(FlightError::Tonic(Box::new(status)))]
            }
            _ => vec![Ok(numbers(2)), Ok(numbers(1))],
        };
        let encoder = FlightDataEncoderBuilder::new().build(futures::stream::iter(batches));
        let data = encoder.map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            error => Status::internal(error.to_string()),
        });
        Ok(Response::new(data.boxed()))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        let key = request.metadata().get(headers::IDEMPOTENCY_KEY);
        let key = key.map(|key| key.to_str().unwrap().to_owned());
        let mut messages = request.into_inner();
        let first = messages.message().await?.unwrap();
        let descriptor = first.flight_descriptor.clone().unwrap();
        let any = Any::decode(descriptor.cmd).unwrap();
        let Command::CommandStatementIngest(command) = Command::try_from(any).unwrap() else {
            return Err(Status::unimplemented("only ingest"));
        };
        let state = Arc::clone(&self.state);
        let all = futures::stream::iter([Ok(first)])
            .chain(messages)
            .inspect_ok(move |message| {
                let mut state = state.lock();
                state.message_bytes_max = state.message_bytes_max.max(message.data_body.len());
            });
        let mut decoder =
            FlightDataDecoder::new(all.map_err(|status| FlightError::Tonic(Box::new(status))));
        let mut rows = 0;
        while let Some(message) = decoder.next().await {
            let message =
                message.map_err(|error| Status::invalid_argument(format!("corrupt: {error}")))?;
            if let DecodedPayload::RecordBatch(batch) = message.payload {
                rows += i64::try_from(batch.num_rows()).unwrap();
            }
        }
        let schema = Arc::clone(decoder.schema().unwrap());
        let (rows, duplicate) = self.commit(key, &command, schema, rows)?;
        let app_metadata = DoPutUpdateResult { record_count: rows }
            .encode_to_vec()
            .into();
        let results = futures::stream::iter([Ok(PutResult { app_metadata })]);
        let mut response = Response::new(results.boxed());
        if duplicate {
            response
                .metadata_mut()
                .insert(headers::DUPLICATE, "true".parse().unwrap());
        }
        Ok(response)
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        Err(Status::unimplemented(""))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        Err(Status::unimplemented(""))
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        Err(Status::unimplemented(""))
    }

    async fn do_action(&self, _: Request<Action>) -> Answer<Self::DoActionStream> {
        Err(Status::unimplemented(""))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        Err(Status::unimplemented(""))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Answer<Self::DoExchangeStream> {
        Err(Status::unimplemented(""))
    }
}
