//! A small Flight SQL client: one connection, one session, errors that fit on one line.
//!
//! Keeps what the server says in headers (renewed tokens, whether an ingest was a repetition) and
//! the gRPC code of every failure, which the generic client of `arrow-flight` drops.

mod error;
mod producers;
mod rows;
mod tables;

#[cfg(test)]
mod tests;

use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    CommandStatementIngest, CommandStatementQuery, DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PutResult, Ticket};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::Stream;
use prost::Message;
use quiver_proto::headers;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{IntoRequest, Request};

pub(crate) use error::ClientError;
pub(crate) use producers::Producer;
pub(crate) use rows::Rows;
pub(crate) use tables::TableInfo;

/// Largest message taken from the server, in bytes: it bounds our own memory, not the server's.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Receive window of one stream, in bytes; small ones make a fast link wait for us.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Receive window of the connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to connect and who to be.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `http://host:port` or `https://host:port`.
    pub(crate) uri: String,
    /// What the user wrote, for messages.
    pub(crate) shown: String,
    /// Certificates to trust, in PEM; needed for TLS.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// `user` or `user@tenant`.
    pub(crate) user: String,
    /// Kept out of every message.
    pub(crate) password: Secret,
    /// Tenant to work in, when it is not the user's own.
    pub(crate) tenant: Option<String>,
}

/// Text that never shows up in `Debug` output.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("…")
    }
}

/// By what the server tells an ingest from its repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity<'a> {
    /// The key of this ingest alone.
    Key(&'a str),
    /// The number of this ingest among those of a producer into the table, from 1.
    Step { producer: &'a str, sequence: u64 },
}

/// What the server said about an ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ingested {
    /// Rows of this upload that are durable in the table.
    pub(crate) rows: u64,
    /// The same upload was there already; nothing changed.
    pub(crate) duplicate: bool,
}

/// One connection with one session; clones share both, and renew their tokens on their own.
#[derive(Debug, Clone)]
pub(crate) struct FlightClient {
    inner: FlightServiceClient<Channel>,
    tenant: Option<AsciiMetadataValue>,
    token: Option<AsciiMetadataValue>,
}

impl FlightClient {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When nobody listens there, TLS fails, or the login is refused.
    pub(crate) async fn connect(target: &Target) -> Result<Self, ClientError> {
        let channel = endpoint(target)?.connect().await.map_err(|source| {
            let uri = target.shown.clone();
            ClientError::Connect { uri, source }
        })?;
        let inner = FlightServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let tenant = match &target.tenant {
            Some(tenant) => Some(header_value("tenant", tenant)?),
            None => None,
        };
        let mut client = Self {
            inner,
            tenant,
            token: None,
        };
        client.log_in(target).await?;
        Ok(client)
    }

    /// Runs a statement: side effects happen here, rows are fetched with [`Self::rows`].
    ///
    /// # Errors
    /// What the server answered.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<FlightInfo, ClientError> {
        self.info(CommandStatementQuery {
            query: sql.to_owned(),
            transaction_id: None,
        })
        .await
    }

    /// Asks for a command's result.
    ///
    /// # Errors
    /// What the server answered.
    pub(crate) async fn info<C: ProstMessageExt>(
        &mut self,
        command: C,
    ) -> Result<FlightInfo, ClientError> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let request = self.request(descriptor.into_request());
        let response = self.inner.get_flight_info(request).await?;
        self.adopt_token(response.metadata());
        Ok(response.into_inner())
    }

    /// The rows of a result, fetched while they are asked for; dropping them cancels the query.
    pub(crate) fn rows(&self, info: FlightInfo) -> Rows {
        Rows::new(self.clone(), info)
    }

    /// Uploads a stream into a table.
    ///
    /// `data` must begin with the schema; [`ingest_descriptor`] is put on its first message. When
    /// the stream cannot be completed it has to end with a message that is not valid, since an
    /// early end looks like a complete upload to the server.
    ///
    /// # Errors
    /// What the server answered; then nothing of the stream is in the table, except when the
    /// connection broke: then it is unknown, and the same identity makes a repetition safe.
    pub(crate) async fn ingest(
        &mut self,
        data: impl Stream<Item = FlightData> + Send + 'static,
        identity: Identity<'_>,
    ) -> Result<Ingested, ClientError> {
        let mut request = self.request(Request::new(data));
        let metadata = request.metadata_mut();
        match identity {
            Identity::Key(key) => {
                let value = header_value("idempotency key", key)?;
                metadata.insert(headers::IDEMPOTENCY_KEY, value);
            }
            Identity::Step { producer, sequence } => {
                metadata.insert(headers::PRODUCER, header_value("producer", producer)?);
                metadata.insert(headers::PRODUCER_SEQUENCE, sequence.into());
            }
        }
        let response = self.inner.do_put(request).await?;
        self.adopt_token(response.metadata());
        let mut duplicate = says_duplicate(response.metadata());
        let mut stream = response.into_inner();
        let mut rows = None;
        while let Some(PutResult { app_metadata }) = stream.message().await? {
            let result = DoPutUpdateResult::decode(app_metadata)?;
            rows = u64::try_from(result.record_count).ok();
        }
        if let Some(trailers) = stream.trailers().await? {
            duplicate |= says_duplicate(&trailers);
        }
        let rows = rows.ok_or(ClientError::Answer {
            message: "the server gave no row count",
        })?;
        Ok(Ingested { rows, duplicate })
    }

    async fn fetch(&mut self, ticket: Ticket) -> Result<tonic::Streaming<FlightData>, ClientError> {
        let request = self.request(ticket.into_request());
        let response = self.inner.do_get(request).await?;
        self.adopt_token(response.metadata());
        Ok(response.into_inner())
    }

    async fn log_in(&mut self, target: &Target) -> Result<(), ClientError> {
        let login = BASE64_STANDARD.encode(format!("{}:{}", target.user, target.password.0));
        let mut request = self.request(Request::new(futures::stream::iter([
            HandshakeRequest::default(),
        ])));
        let basic = header_value("login", &format!("Basic {login}"))?;
        request.metadata_mut().insert(headers::AUTHORIZATION, basic);
        let response = self.inner.handshake(request).await?;
        self.adopt_token(response.metadata());
        // Reading to the end brings an error that was sent after the headers.
        let mut answers = response.into_inner();
        while answers.message().await?.is_some() {}
        match self.token {
            Some(_) => Ok(()),
            None => Err(ClientError::Answer {
                message: "the server gave no token for the login",
            }),
        }
    }

    fn request<T>(&self, mut request: Request<T>) -> Request<T> {
        let metadata = request.metadata_mut();
        if let Some(token) = &self.token {
            metadata.insert(headers::AUTHORIZATION, token.clone());
        }
        if let Some(tenant) = &self.tenant {
            metadata.insert(headers::TENANT_ID, tenant.clone());
        }
        request
    }

    fn adopt_token(&mut self, metadata: &MetadataMap) {
        if let Some(token) = metadata.get(headers::AUTHORIZATION)
            && token.as_bytes().starts_with(b"Bearer ")
        {
            self.token = Some(token.clone());
        }
    }
}

/// The descriptor of an ingest, for the first message of its stream.
pub(crate) fn ingest_descriptor(command: &CommandStatementIngest) -> FlightDescriptor {
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

fn endpoint(target: &Target) -> Result<Endpoint, ClientError> {
    let invalid = |source| ClientError::Connect {
        uri: target.shown.clone(),
        source,
    };
    let endpoint = Endpoint::from_shared(target.uri.clone())
        .map_err(invalid)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    match &target.ca_pem {
        Some(pem) => {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint.tls_config(tls).map_err(invalid)
        }
        None => Ok(endpoint),
    }
}

fn header_value(what: &'static str, text: &str) -> Result<AsciiMetadataValue, ClientError> {
    text.parse().map_err(|_| ClientError::Header { what })
}

fn says_duplicate(metadata: &MetadataMap) -> bool {
    metadata
        .get(headers::DUPLICATE)
        .is_some_and(|value| value.as_bytes() == b"true")
}
