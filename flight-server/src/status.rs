//! The only place that makes a [`tonic::Status`].
//!
//! Every error of the lower layers is first reduced to a [`Failure`] (kind, one line of text, when
//! to try again) by [`Classify`], then the kind decides the gRPC code. Guarantees that no text is
//! longer than clients can take, that no text has a second line, and that what a bug left in an
//! error is logged under a report id instead of being sent. Knows nothing of the calls it answers.

mod classify;

use arrow_flight::error::FlightError;
use quiver_catalog::ErrorKind;
use quiver_proto::headers;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::auth::random;

/// Longest message sent, counted as gRPC encodes it (a byte outside printable ASCII takes three):
/// from about 4 KB on, C-core and Java clients replace the whole status by RESOURCE_EXHAUSTED.
const MESSAGE_BYTES_MAX: usize = 3_700;

/// What went wrong, reduced to what a client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// Decides the gRPC code.
    pub(crate) kind: ErrorKind,
    /// One line that says what to do; the full text, even where the client will not see it.
    pub(crate) message: String,
    /// When the call is worth repeating, in milliseconds; `None` leaves it to the kind.
    pub(crate) retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure that does not know better than its kind when to try again.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// The request itself is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// A bug: the text is logged, the client gets a report id.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

/// An error that knows, or of which is known, what a client is to be told.
pub(crate) trait Classify {
    /// Kind, text and time to try again.
    fn failure(&self) -> Failure;
}

impl Classify for Failure {
    fn failure(&self) -> Failure {
        self.clone()
    }
}

/// Turns an error into the status that answers the call.
pub(crate) trait IntoStatus {
    /// The status, with `query_id` among its trailers.
    fn into_status(self, query_id: Option<Uuid>) -> Status;
}

impl<E: Classify> IntoStatus for E {
    fn into_status(self, query_id: Option<Uuid>) -> Status {
        let Failure {
            kind,
            message,
            retry_after_ms,
        } = self.failure();
        status(kind, &message, query_id, retry_after_ms)
    }
}

impl IntoStatus for Status {
    fn into_status(mut self, query_id: Option<Uuid>) -> Status {
        insert_query_id(self.metadata_mut(), query_id);
        self
    }
}

impl IntoStatus for FlightError {
    fn into_status(self, query_id: Option<Uuid>) -> Status {
        match self {
            Self::Tonic(status) => (*status).into_status(query_id),
            other => classify::flight(&other).into_status(query_id),
        }
    }
}

/// The error to put into a `DoGet` stream *before* the encoder: in every other variant arrow-flight
/// would flatten the code to INTERNAL.
#[cfg_attr(not(test), expect(dead_code, reason = "for encoders of arrow-flight"))]
pub(crate) fn stream_error(error: impl IntoStatus, query_id: Option<Uuid>) -> FlightError {
    FlightError::Tonic(Box::new(error.into_status(query_id)))
}

/// The status that answers a call that failed.
///
/// `message` is flattened to one line and cut to what every client can take; errors that can be
/// retried carry the time after which it makes sense, the given or a usual one. Of an internal
/// error the client sees only a report id, under which the text is logged here, once.
pub(crate) fn status(
    kind: ErrorKind,
    message: &str,
    query_id: Option<Uuid>,
    retry_after_ms: Option<u64>,
) -> Status {
    let text = match kind {
        ErrorKind::Internal => masked(message, query_id),
        _ => one_line(message),
    };
    let mut trailers = MetadataMap::new();
    insert_query_id(&mut trailers, query_id);
    if let Some(retry_after_ms) = retry_after_ms.or_else(|| usual_retry_ms(kind)) {
        trailers.insert(
            headers::RETRY_AFTER_MS,
            AsciiMetadataValue::from(retry_after_ms),
        );
    }
    Status::with_metadata(code(kind), text, trailers)
}

/// The gRPC code of a kind.
pub(crate) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Precondition => Code::FailedPrecondition,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Overloaded => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Deadline => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Corruption => Code::DataLoss,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Internal => Code::Internal,
    }
}

/// When a call that failed this way is worth repeating, if it is at all.
fn usual_retry_ms(kind: ErrorKind) -> Option<u64> {
    match kind {
        // Whoever won has committed already.
        ErrorKind::Conflict => Some(50),
        other => other.retryable().then_some(1_000),
    }
}

/// Puts the query id into the headers of a response or the trailers of an error.
pub(crate) fn insert_query_id(metadata: &mut MetadataMap, query_id: Option<Uuid>) {
    if let Some(id) = query_id {
        let value = AsciiMetadataValue::try_from(id.to_string())
            .expect("a UUID is printable ASCII, which every header value may hold");
        metadata.insert(headers::QUERY_ID, value);
    }
}

fn masked(message: &str, query_id: Option<Uuid>) -> String {
    let report_id = random::uuid();
    let query_id = query_id.map(tracing::field::display);
    tracing::error!(%report_id, query_id, error = message, "internal error");
    format!("internal error, report id {report_id}")
}

/// `message` without line breaks, control characters and repeated blanks, cut at a character
/// boundary.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(MESSAGE_BYTES_MAX));
    let words = message.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    cut(line)
}

fn cut(mut line: String) -> String {
    const ELLIPSIS: &str = "...";
    let mut encoded_bytes = 0;
    let mut end = 0;
    for (start, character) in line.char_indices() {
        encoded_bytes += encoded_len(character);
        if encoded_bytes > MESSAGE_BYTES_MAX {
            line.truncate(end);
            line.push_str(ELLIPSIS);
            return line;
        }
        if encoded_bytes <= MESSAGE_BYTES_MAX - ELLIPSIS.len() {
            end = start + character.len_utf8();
        }
    }
    line
}

/// Bytes that gRPC's percent-encoding makes of a character.
fn encoded_len(character: char) -> usize {
    match character {
        ' '..='~' if character != '%' => 1,
        other => 3 * other.len_utf8(),
    }
}

/// A code as gRPC's documents write it: what logs and metrics show.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;
