//! The answer to `CreatePreparedStatement` with the field `is_update`, which `arrow-flight` 59
//! lacks.
//!
//! JDBC from version 20 on decides between query and update by that field instead of guessing from
//! an empty `dataset_schema`; older clients skip it as an unknown field.

use prost::Message;
use prost::bytes::Bytes;

/// Type URL under which the answer travels in its `google.protobuf.Any`.
pub const TYPE_URL: &str =
    "type.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult";

/// Answer to the action `CreatePreparedStatement`.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ActionCreatePreparedStatementResult {
    /// Opaque handle of the statement.
    #[prost(bytes = "bytes", tag = "1")]
    pub prepared_statement_handle: Bytes,
    /// Schema of the result as an encapsulated IPC message; empty for statements without result.
    #[prost(bytes = "bytes", tag = "2")]
    pub dataset_schema: Bytes,
    /// Schema of the parameters as an encapsulated IPC message; empty without parameters.
    #[prost(bytes = "bytes", tag = "3")]
    pub parameter_schema: Bytes,
    /// Whether the statement is to be executed as an update; absent when unknown.
    #[prost(bool, optional, tag = "4")]
    pub is_update: Option<bool>,
}

impl ActionCreatePreparedStatementResult {
    /// The bytes of this message inside its `google.protobuf.Any`, ready for `Result.body`.
    #[must_use]
    pub fn to_any_bytes(&self) -> Bytes {
        let any = Any {
            type_url: TYPE_URL.to_owned(),
            value: self.encode_to_vec().into(),
        };
        any.encode_to_vec().into()
    }
}

/// `google.protobuf.Any`, to keep this crate free of a dependency for two fields.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[cfg(test)]
mod tests;
