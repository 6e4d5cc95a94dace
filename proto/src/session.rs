//! Messages of the session actions: `SetSessionOptions`, `GetSessionOptions`, `CloseSession`.
//!
//! Written by hand from `Flight.proto` because `arrow-flight` 59 does not have them. Their bodies
//! travel as plain protobuf in `Action.body` and `Result.body`, without a `google.protobuf.Any`.

use std::collections::HashMap;

/// Type of the action that sets session options.
pub const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
/// Type of the action that reads session options.
pub const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// Type of the action that closes the session.
pub const CLOSE_SESSION: &str = "CloseSession";

/// A list of strings as the value of a session option.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct StringListValue {
    /// The strings, in the client's order.
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

/// The value of one session option; without a value it means "erase the option".
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SessionOptionValue {
    /// The value, absent to erase.
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub option_value: Option<OptionValue>,
}

/// The kinds of value that a session option can have on the wire.
#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum OptionValue {
    /// Text.
    #[prost(string, tag = "1")]
    String(String),
    /// Truth value.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// Signed 64-bit integer, fixed width on the wire.
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    /// Double-precision number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// List of strings.
    #[prost(message, tag = "5")]
    StringList(StringListValue),
}

impl From<&str> for SessionOptionValue {
    fn from(value: &str) -> Self {
        Self {
            option_value: Some(OptionValue::String(value.to_owned())),
        }
    }
}

/// Body of the action [`SET_SESSION_OPTIONS`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SetSessionOptionsRequest {
    /// Options to set or erase, by name.
    #[prost(map = "string, message", tag = "1")]
    pub session_options: HashMap<String, SessionOptionValue>,
}

/// Why one option was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum SessionOptionErrorValue {
    /// Never sent on purpose.
    Unspecified = 0,
    /// The server has no option of that name.
    InvalidName = 1,
    /// The option exists; the value is not one it can have.
    InvalidValue = 2,
    /// The value is fine, setting it failed.
    Error = 3,
}

/// The failure of one option within [`SetSessionOptionsResult`].
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SessionOptionError {
    /// Why the option was not set.
    #[prost(enumeration = "SessionOptionErrorValue", tag = "1")]
    pub value: i32,
}

/// Answer to [`SetSessionOptionsRequest`]: the failures only.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SetSessionOptionsResult {
    /// What was not set, by option name; empty when all were.
    #[prost(map = "string, message", tag = "1")]
    pub errors: HashMap<String, SessionOptionError>,
}

/// Body of the action [`GET_SESSION_OPTIONS`]; it has no fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetSessionOptionsRequest {}

/// Answer to [`GetSessionOptionsRequest`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetSessionOptionsResult {
    /// Options and their values as they are in force.
    #[prost(map = "string, message", tag = "1")]
    pub session_options: HashMap<String, SessionOptionValue>,
}

/// Body of the action [`CLOSE_SESSION`]; it has no fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CloseSessionRequest {}

/// How far the closing of a session got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum CloseSessionStatus {
    /// Never sent on purpose.
    Unspecified = 0,
    /// The session is closed.
    Closed = 1,
    /// The session is being closed; asking again is allowed.
    Closing = 2,
    /// There is nothing that could be closed.
    NotCloseable = 3,
}

/// Answer to [`CloseSessionRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CloseSessionResult {
    /// How far the closing got.
    #[prost(enumeration = "CloseSessionStatus", tag = "1")]
    pub status: i32,
}

#[cfg(test)]
mod tests;
