//! Names of the request headers, response headers and trailers of the Flight and HTTP services.
//!
//! All are lower case, as HTTP/2 wants them.

/// Request: `Basic …` or `Bearer …`, possibly several times. Response: the session's (new) token.
pub const AUTHORIZATION: &str = "authorization";
/// Request: the token as clients of the legacy handshake send it, in a binary header.
pub const LEGACY_TOKEN: &str = "auth-token-bin";
/// Request: an API key.
pub const API_KEY: &str = "x-api-key";
/// Request: cookies; see [`SESSION_COOKIE`].
pub const COOKIE: &str = "cookie";
/// The tenant of a login that names none.
pub const TENANT_ID: &str = "x-tenant-id";
/// Makes a repeated ingest a no-op; one value per call.
pub const IDEMPOTENCY_KEY: &str = "x-idempotency-key";
/// Name of the producer of an ordered stream of ingests.
pub const PRODUCER: &str = "x-quiver-producer";
/// Epoch of the producer, 0 if missing: a higher one fences the lower.
pub const PRODUCER_EPOCH: &str = "x-quiver-epoch";
/// Number of this ingest among all of the producer into the table, from 1, without gaps.
pub const PRODUCER_SEQUENCE: &str = "x-quiver-sequence";
/// `batch` asks for a progress acknowledgement per batch of an ingest.
pub const ACK: &str = "x-ack";
/// `true` lets a plain upload create its table.
pub const CREATE: &str = "x-create";
/// `true` lets an ingest add the columns that its table lacks.
pub const ADD_COLUMNS: &str = "x-quiver-add-columns";
/// Asks GetFlightInfo for up to so many endpoints; without it there is one.
pub const ENDPOINTS: &str = "x-quiver-endpoints";
/// Request of DoGet: `lz4` or `zstd` compresses the bodies of its messages.
pub const COMPRESSION: &str = "x-quiver-compression";
/// Response header and error trailer: the id under which the query is logged and listed.
pub const QUERY_ID: &str = "x-query-id";
/// Response header: the ingest was a repetition and changed nothing.
pub const DUPLICATE: &str = "x-duplicate";
/// Error trailer: milliseconds to wait before the call is worth repeating.
pub const RETRY_AFTER_MS: &str = "x-retry-after-ms";

/// Name of the cookie that carries a session token, equivalent to a bearer token.
pub const SESSION_COOKIE: &str = "arrow_flight_session_id";
