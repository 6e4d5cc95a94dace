//! What can go wrong between a command and the server.

use std::error::Error;

use arrow_flight::error::FlightError;
use quiver_proto::headers;
use tonic::{Code, Status};

/// A failed call, told on one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No connection.
    #[error(
        "cannot connect to {uri}: {}; is the server running there? (quiver serve)",
        root(source)
    )]
    Connect {
        /// As the user wrote it.
        uri: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The server refused or failed.
    #[error("{}", describe(status))]
    Status {
        /// Its answer.
        #[source]
        status: Box<Status>,
    },
    /// The stream of a result broke or does not decode.
    #[error("cannot read the result: {source}")]
    Stream {
        /// Why.
        #[source]
        source: FlightError,
    },
    /// A value cannot be sent as a header.
    #[error("the {what} has characters that cannot be sent; use visible ASCII")]
    Header {
        /// Which value.
        what: &'static str,
    },
    /// The server does not speak as Flight SQL asks.
    #[error("{message}; is this a Quiver server?")]
    Answer {
        /// What is missing.
        message: &'static str,
    },
    /// A message of the answer does not decode.
    #[error("the server's answer does not decode: {source}; is this a Quiver server?")]
    Decode {
        /// Why.
        #[from]
        source: prost::DecodeError,
    },
    /// A schema of the answer does not decode.
    #[error("the schema in the server's answer does not decode: {source}")]
    Schema {
        /// Why.
        #[from]
        source: arrow::error::ArrowError,
    },
}

impl ClientError {
    /// Whether the same call may succeed a little later: the server is away, or has no room.
    pub(crate) fn is_passing(&self) -> bool {
        let Self::Status { status } = self else {
            return false;
        };
        let is_away = status.source().is_some();
        is_away || matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
    }

    /// How long the server asks to wait before another attempt, in ms.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        let Self::Status { status } = self else {
            return None;
        };
        status
            .metadata()
            .get(headers::RETRY_AFTER_MS)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Status {
            status: Box::new(status),
        }
    }
}

impl From<FlightError> for ClientError {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::Status { status },
            source => Self::Stream { source },
        }
    }
}

/// `message (CODE, query id …)`.
fn describe(status: &Status) -> String {
    // Only statuses made on our side have a source: the server did not answer.
    if let Some(source) = status.source() {
        return format!("the connection to the server broke: {}", root(source));
    }
    let (code, message) = (code_name(status.code()), status.message());
    let id = status
        .metadata()
        .get(headers::QUERY_ID)
        .and_then(|id| id.to_str().ok());
    match id {
        Some(id) => format!("{message} ({code}, query id {id})"),
        None => format!("{message} ({code})"),
    }
}

/// `NotFound` as `NOT_FOUND`, the way every other client shows it.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The innermost cause: tonic's own text is only "transport error".
fn root(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
