//! The Flight service: every call is authenticated, then dispatched to the module that answers it.
//!
//! We implement `FlightService` ourselves, on arrow-flight's command messages: its own dispatcher
//! leaves no room for GetSchema, PollFlightInfo, session options, paths and raw SQL.

mod action;
mod admin;
mod call;
mod cancel;
mod command;
mod delivery;
mod encode;
mod endpoint;
mod execute;
mod get;
mod handles;
mod info;
mod ingest;
mod message_check;
pub(crate) mod metadata;
mod poll;
mod prepared;
mod put;
mod savepoint;
mod statement;
mod transaction;

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use quiver_catalog::ErrorKind;
use quiver_engine::task;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::Instrument;

pub(crate) use cancel::RunningStatements;
pub(crate) use endpoint::Shares;
pub(crate) use handles::HandleLimits;
pub(crate) use poll::PolledStatements;
pub(crate) use prepared::PreparedStatements;
pub(crate) use statement::StatementRecords;

use call::Call;

use crate::connections::Peer;
use crate::request_body::RequestEnd;
use crate::shared::Shared;
use crate::status::{Failure, IntoStatus, code_name};

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// Acknowledgements that wait for their client; more are left out.
const ACKNOWLEDGEMENTS_AHEAD: usize = 16;

/// The service of one server.
#[derive(Debug, Clone)]
pub(crate) struct QuiverFlightService {
    shared: Arc<Shared>,
}

impl QuiverFlightService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn call<T>(&self, method: &'static str, request: &Request<T>) -> Result<Call, Status> {
        let call = Call::begin(&self.shared, request.metadata(), request.extensions()).await;
        if let Err(status) = &call {
            let code = code_name(status.code());
            tracing::info!(method, code, "call refused");
            self.shared.metrics.request(method, code);
        }
        call
    }

    /// Counts and logs the end of a call. SQL and names stay out of the log.
    fn end<T>(&self, method: &'static str, call: &Call, answer: Answer<T>) -> Answer<T> {
        let code = answer
            .as_ref()
            .err()
            .map_or("OK", |status| code_name(status.code()));
        self.shared.metrics.request(method, code);
        if answer
            .as_ref()
            .is_err_and(|status| status.code() == Code::ResourceExhausted)
        {
            self.shared.metrics.reject("memory");
        }
        tracing::info!(parent: call.span(), method, code, "call");
        answer
    }
}

impl QuiverFlightService {
    /// An upload whose answer begins before its end. A client that reads late does not hold it up,
    /// and one that is gone ends it.
    fn put_with_progress(
        &self,
        call: Call,
        messages: Streaming<FlightData>,
        end: RequestEnd,
    ) -> Response<Messages<PutResult>> {
        let (progress, acknowledged) = mpsc::channel(ACKNOWLEDGEMENTS_AHEAD);
        let (service, uploading) = (self.clone(), call.clone());
        let span = call.span().clone();
        let upload = async move {
            let outcome = uploading.put(messages, end, Some(progress)).await;
            let answer = outcome.map_err(|failure| uploading.fail(failure));
            let answer = answer.map(|outcome| Response::new(outcome.result));
            service.end("DoPut", &uploading, answer)
        };
        let upload = AbortOnDropHandle::new(task::spawn(upload.instrument(span)));
        let state = Some((acknowledged, upload));
        let answers = futures::stream::unfold(state, |state| async move {
            let (mut acknowledged, mut upload) = state?;
            tokio::select! {
                biased;
                Some(result) = acknowledged.recv() => Some((Ok(result), Some((acknowledged, upload)))),
                ended = &mut upload => {
                    let failed = |error| Failure::internal(format!("the upload failed: {error}"));
                    let answer = ended.map_err(|error| failed(error).into_status(None));
                    Some((answer.flatten().map(Response::into_inner), None))
                }
            }
        });
        call.respond(answers.boxed())
    }
}

#[tonic::async_trait]
impl FlightService for QuiverFlightService {
    type HandshakeStream = Messages<HandshakeResponse>;
    type ListFlightsStream = Messages<FlightInfo>;
    type DoGetStream = Messages<FlightData>;
    type DoPutStream = Messages<PutResult>;
    type DoActionStream = Messages<arrow_flight::Result>;
    type ListActionsStream = Messages<ActionType>;
    type DoExchangeStream = Messages<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Self::HandshakeStream> {
        let headers = request.metadata().as_ref().clone();
        let peer = Peer::of(request.extensions()).cloned();
        let address = peer.as_ref().map(Peer::address);
        let answer = self
            .shared
            .auth
            .answer_handshake(&headers, address, request.into_inner())
            .await;
        if let (Ok(_), Some(peer)) = (&answer, peer) {
            peer.set_known();
        }
        let code = answer
            .as_ref()
            .err()
            .map_or("OK", |status| code_name(status.code()));
        self.shared.metrics.request("Handshake", code);
        answer
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        let call = self.call("ListFlights", &request).await?;
        let answer = call
            .list_flights()
            .instrument(call.span().clone())
            .await
            .map_err(|failure| call.fail(failure));
        let answer = answer.map(|infos| {
            let infos = infos.into_iter().map(Ok);
            call.respond(futures::stream::iter(infos).boxed())
        });
        self.end("ListFlights", &call, answer)
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        let call = self.call("GetFlightInfo", &request).await?;
        let answer = call
            .flight_info(request.into_inner())
            .instrument(call.span().clone())
            .await;
        self.end(
            "GetFlightInfo",
            &call,
            answer
                .map(|info| call.respond(info))
                .map_err(|f| call.fail(f)),
        )
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<PollInfo> {
        let call = self.call("PollFlightInfo", &request).await?;
        let answer = call
            .poll(request.into_inner())
            .instrument(call.span().clone())
            .await
            .map(|info| call.respond(info));
        self.end(
            "PollFlightInfo",
            &call,
            answer.map_err(|failure| call.fail(failure)),
        )
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        let call = self.call("GetSchema", &request).await?;
        let answer = call
            .schema(request.into_inner())
            .instrument(call.span().clone())
            .await;
        self.end(
            "GetSchema",
            &call,
            answer.map(|s| call.respond(s)).map_err(|f| call.fail(f)),
        )
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let call = self.call("DoGet", &request).await?;
        let answer = call
            .get(request.into_inner())
            .instrument(call.span().clone())
            .await;
        self.end(
            "DoGet",
            &call,
            answer
                .map(|rows| call.respond(rows))
                .map_err(|f| call.fail(f)),
        )
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        let call = self.call("DoPut", &request).await?;
        let end = request
            .extensions()
            .get::<RequestEnd>()
            .cloned()
            .unwrap_or_default();
        match call.wants_progress() {
            Ok(false) => {}
            Ok(true) => return Ok(self.put_with_progress(call, request.into_inner(), end)),
            Err(failure) => return self.end("DoPut", &call, Err(call.fail(failure))),
        }
        let answer = call
            .put(request.into_inner(), end, None)
            .instrument(call.span().clone())
            .await;
        let answer = answer.map_err(|failure| call.fail(failure)).map(|outcome| {
            let mut response = call.respond(futures::stream::iter([Ok(outcome.result)]).boxed());
            if outcome.duplicate {
                let yes = tonic::metadata::AsciiMetadataValue::from_static("true");
                response
                    .metadata_mut()
                    .insert(quiver_proto::headers::DUPLICATE, yes);
            }
            response
        });
        self.end("DoPut", &call, answer)
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        let call = self.call("DoAction", &request).await?;
        let answer = call
            .action(request.into_inner())
            .instrument(call.span().clone())
            .await
            .map_err(|failure| call.fail(failure));
        let answer = answer.map(|body| {
            let results = body
                .into_iter()
                .map(|body| Ok(arrow_flight::Result { body }));
            call.respond(futures::stream::iter(results).boxed())
        });
        self.end("DoAction", &call, answer)
    }

    async fn list_actions(&self, request: Request<Empty>) -> Answer<Self::ListActionsStream> {
        let call = self.call("ListActions", &request).await?;
        let types = action::action_types().into_iter().map(Ok);
        let answer = Ok(call.respond(futures::stream::iter(types).boxed()));
        self.end("ListActions", &call, answer)
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Answer<Self::DoExchangeStream> {
        let call = self.call("DoExchange", &request).await?;
        let failure = Failure::new(
            ErrorKind::Unsupported,
            "DoExchange is not supported: use DoPut and DoGet",
        );
        self.end(
            "DoExchange",
            &call,
            Err(failure.into_status(Some(call.query_id))),
        )
    }
}
