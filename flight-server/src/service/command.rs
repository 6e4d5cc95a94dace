//! What a descriptor or ticket asks for.

use arrow_flight::FlightDescriptor;
use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::sql::{Any, Command, CommandStatementSubstraitPlan};
use bytes::Bytes;
use prost::Message;

use crate::status::Failure;

/// A request in the terms of the protocol.
#[derive(Debug)]
pub(crate) enum Request {
    /// `FlightDescriptor.for_path`: `table` or `schema`, `table`.
    Path(Vec<String>),
    /// Plain SQL text as the command.
    Sql(String),
    /// A Flight SQL command.
    Command(Box<Command>),
}

impl Request {
    /// Reads a descriptor.
    pub(crate) fn of_descriptor(descriptor: &FlightDescriptor) -> Result<Self, Failure> {
        match descriptor.r#type() {
            DescriptorType::Path => Ok(Self::Path(descriptor.path.clone())),
            DescriptorType::Cmd => Self::of_bytes(&descriptor.cmd),
            DescriptorType::Unknown => Err(Failure::invalid(
                "the descriptor has neither a path nor a command",
            )),
        }
    }

    /// Reads a command or ticket: a Flight SQL message in an Any, or else SQL text.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self, Failure> {
        if let Ok(any) = Any::decode(bytes)
            && any.type_url.starts_with("type.googleapis.com/")
        {
            let name = any
                .type_url
                .rsplit('.')
                .next()
                .unwrap_or_default()
                .to_owned();
            let command = Command::try_from(any)
                .map_err(|_| Failure::invalid(format!("the {name} message cannot be decoded")))?;
            return match command {
                Command::Unknown(any) => Err(Failure::invalid(format!(
                    "the command {} is unknown",
                    any.type_url
                ))),
                command => Ok(Self::Command(Box::new(command))),
            };
        }
        match std::str::from_utf8(bytes) {
            Ok(sql) if !sql.chars().any(|c| c.is_control() && !c.is_whitespace()) => {
                Ok(Self::Sql(sql.to_owned()))
            }
            _ => Err(Failure::invalid(
                "the command is neither a Flight SQL message nor SQL text",
            )),
        }
    }
}

/// The plan of a command. Its version is in the plan as well.
pub(crate) fn plan_of(command: &CommandStatementSubstraitPlan) -> Result<&Bytes, Failure> {
    let plan = command.plan.as_ref();
    plan.map(|plan| &plan.plan)
        .ok_or_else(|| Failure::invalid("the command has no Substrait plan"))
}

/// Splits a path into schema (if given) and table.
pub(crate) fn table_of_path(path: &[String]) -> Result<(Option<&str>, &str), Failure> {
    match path {
        [table] => Ok((None, table)),
        [schema, table] => Ok((Some(schema), table)),
        _ => Err(Failure::invalid(
            "a path is a table, or a schema and a table",
        )),
    }
}
