//! Which kind an error of a lower layer is, and what of its text a client can use.
//!
//! `DataFusion` and Arrow wrap errors in each other and prefix their texts with the name of the
//! layer; here the innermost error that is known decides, and prefixes, backtraces and invitations
//! to file bugs with other projects are removed. Holds no state.

use std::error::Error;
use std::io;
use std::sync::Arc;

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use parquet::errors::ParquetError;
use quiver_catalog::{CatalogError, ErrorKind};
use quiver_engine::{EngineError, ParseError};
use quiver_proto::HandleError;

use super::{Classify, Failure};
use crate::auth::AuthError;
use crate::session_transactions::MarkError;
use crate::sessions::SessionError;

/// How deep wrapped errors are looked into; a longer chain is a bug.
const DEPTH_MAX: usize = 32;

/// A mistake of the user that `DataFusion` takes for one of its own.
const NO_COMMON_TYPE: &str = "Failed to coerce types";

/// How many errors of one planning run are told.
const COLLECTED_MAX: usize = 5;

impl Classify for DataFusionError {
    fn failure(&self) -> Failure {
        datafusion(self, DEPTH_MAX)
    }
}

impl Classify for ArrowError {
    fn failure(&self) -> Failure {
        arrow(self, DEPTH_MAX)
    }
}

impl Classify for EngineError {
    fn failure(&self) -> Failure {
        engine(self, DEPTH_MAX)
    }
}

impl Classify for ParseError {
    fn failure(&self) -> Failure {
        Failure::new(self.kind(), self.to_string())
    }
}

impl Classify for CatalogError {
    fn failure(&self) -> Failure {
        Failure::new(self.kind(), with_sources(self))
    }
}

impl Classify for MarkError {
    fn failure(&self) -> Failure {
        Failure::new(self.kind(), with_sources(self))
    }
}

impl Classify for HandleError {
    fn failure(&self) -> Failure {
        match self {
            Self::Forged => Failure::new(ErrorKind::NotFound, self.to_string()),
        }
    }
}

impl Classify for AuthError {
    fn failure(&self) -> Failure {
        Failure {
            kind: self.kind(),
            message: with_sources(self),
            retry_after_ms: self.retry_after_ms(),
        }
    }
}

impl Classify for SessionError {
    fn failure(&self) -> Failure {
        Failure::new(self.kind(), self.to_string())
    }
}

/// What a stream of uploaded messages, or our own encoder, failed with.
pub(super) fn flight(error: &FlightError) -> Failure {
    match error {
        FlightError::Arrow(error) => error.failure(),
        FlightError::NotYetImplemented(what) => Failure::new(ErrorKind::Unsupported, what),
        FlightError::ProtocolError(message) | FlightError::DecodeError(message) => {
            Failure::invalid(format!("cannot read the uploaded Arrow stream: {message}"))
        }
        FlightError::ExternalError(source) => known(source.as_ref(), DEPTH_MAX)
            .unwrap_or_else(|| Failure::internal(source.to_string())),
        // The caller passes a status on as it is; only its text is left here.
        FlightError::Tonic(status) => Failure::internal(status.to_string()),
    }
}

fn engine(error: &EngineError, depth: usize) -> Failure {
    match error {
        EngineError::DataFusion(error) => datafusion(error, depth),
        EngineError::Arrow(error) => arrow(error, depth),
        EngineError::Catalog(error) => error.failure(),
        EngineError::Parse(error) => error.failure(),
        EngineError::Parquet(error) => parquet(error, depth),
        other => Failure {
            kind: other.kind(),
            message: with_sources(other),
            retry_after_ms: other.retry_after_ms(),
        },
    }
}

fn datafusion(error: &DataFusionError, depth: usize) -> Failure {
    let Some(depth) = depth.checked_sub(1) else {
        return Failure::internal(error.to_string());
    };
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            datafusion(inner, depth)
        }
        DataFusionError::Shared(inner) => datafusion(inner, depth),
        DataFusionError::Collection(errors) => collection(errors, depth),
        DataFusionError::ArrowError(inner, _) => arrow(inner, depth),
        DataFusionError::External(inner) => {
            known(inner.as_ref(), depth).unwrap_or_else(|| Failure::internal(inner.to_string()))
        }
        DataFusionError::Plan(message) => plan(message),
        DataFusionError::SQL(inner, _) => Failure::invalid(parser(inner)),
        DataFusionError::SchemaError(inner, _) => Failure::invalid(schema(inner)),
        DataFusionError::Configuration(message)
        | DataFusionError::Execution(message)
        | DataFusionError::Substrait(message) => Failure::invalid(clean(message)),
        DataFusionError::NotImplemented(message) => {
            Failure::new(ErrorKind::Unsupported, clean(message))
        }
        DataFusionError::ResourcesExhausted(message) => {
            Failure::new(ErrorKind::Overloaded, clean(message))
        }
        DataFusionError::ParquetError(inner) => parquet(inner, depth),
        DataFusionError::ObjectStore(inner) => object_store(inner),
        DataFusionError::ExecutionJoin(join) if join.is_cancelled() => {
            Failure::new(ErrorKind::Cancelled, "the query was cancelled")
        }
        DataFusionError::IoError(inner) => {
            known(inner, depth).unwrap_or_else(|| Failure::internal(inner.to_string()))
        }
        // `true BETWEEN 1 AND 2`.
        DataFusionError::Internal(message) if message.starts_with(NO_COMMON_TYPE) => {
            Failure::invalid(clean(message))
        }
        DataFusionError::Internal(_)
        | DataFusionError::ExecutionJoin(_)
        | DataFusionError::Ffi(_) => Failure::internal(clean(&error.to_string())),
    }
}

/// Several errors of one planning run: the kind of the first, the texts of the first few.
fn collection(errors: &[DataFusionError], depth: usize) -> Failure {
    let mut failures = errors
        .iter()
        .take(COLLECTED_MAX)
        .map(|error| datafusion(error, depth));
    let Some(mut first) = failures.next() else {
        return Failure::internal("DataFusion reported a failure without an error");
    };
    for other in failures.filter(|other| other.kind == first.kind) {
        if !first.message.contains(&other.message) {
            first.message = format!("{}; {}", first.message, other.message);
        }
    }
    first
}

/// `DataFusion` reports names that it cannot resolve as planning errors, told apart by their text
/// only; a test pins each text.
fn plan(message: &str) -> Failure {
    let message = clean(message);
    if let Some(name) = message.strip_prefix("failed to resolve schema: ") {
        return Failure::new(ErrorKind::NotFound, format!("schema '{name}' not found"));
    }
    if let Some(name) = message.strip_prefix("failed to resolve catalog: ") {
        return Failure::new(ErrorKind::NotFound, format!("catalog '{name}' not found"));
    }
    let missing_table = message.starts_with("table '") && message.ends_with("' not found");
    if missing_table || message.starts_with("No table named '") {
        return Failure::new(ErrorKind::NotFound, message);
    }
    Failure::invalid(message)
}

fn parser(error: &ParserError) -> String {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => clean(message),
        ParserError::RecursionLimitExceeded => {
            "the statement is nested too deeply; split it or use fewer nested expressions"
                .to_owned()
        }
    }
}

fn schema(error: &SchemaError) -> String {
    clean(&error.to_string())
}

fn arrow(error: &ArrowError, depth: usize) -> Failure {
    match error {
        ArrowError::ExternalError(inner) => {
            known(inner.as_ref(), depth).unwrap_or_else(|| Failure::internal(inner.to_string()))
        }
        ArrowError::NotYetImplemented(message) => {
            Failure::new(ErrorKind::Unsupported, clean(message))
        }
        ArrowError::DivideByZero => Failure::invalid("division by zero"),
        ArrowError::ArithmeticOverflow(message) => {
            Failure::invalid(format!("arithmetic overflow: {}", clean(message)))
        }
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::SchemaError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::CsvError(message)
        | ArrowError::JsonError(message)
        | ArrowError::AvroError(message)
        | ArrowError::IpcError(message)
        | ArrowError::InvalidArgumentError(message) => Failure::invalid(clean(message)),
        ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError
        | ArrowError::OffsetOverflowError(_) => Failure::invalid(format!(
            "a batch grew beyond what its Arrow type can address; use smaller batches ({error})"
        )),
        ArrowError::MemoryError(message) => Failure::new(ErrorKind::Overloaded, clean(message)),
        ArrowError::IoError(..) | ArrowError::ParquetError(_) | ArrowError::CDataInterface(_) => {
            Failure::internal(error.to_string())
        }
    }
}

/// A file whose Parquet structure is broken is damaged data, whoever wrote it.
fn parquet(error: &ParquetError, depth: usize) -> Failure {
    match error {
        ParquetError::External(inner) => {
            known(inner.as_ref(), depth).unwrap_or_else(|| Failure::internal(inner.to_string()))
        }
        ParquetError::NYI(message) => Failure::new(ErrorKind::Unsupported, clean(message)),
        other => Failure::new(
            ErrorKind::Corruption,
            format!("cannot read a Parquet file: {other}"),
        ),
    }
}

fn object_store(error: &object_store::Error) -> Failure {
    use object_store::Error as Store;
    match error {
        // Nothing but segments is read through a store.
        Store::NotFound { path, .. } => Failure::new(
            ErrorKind::Corruption,
            format!("segment '{path}' is missing: put it back from a backup"),
        ),
        Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            Failure::new(ErrorKind::Unsupported, clean(&error.to_string()))
        }
        Store::InvalidPath { .. } => Failure::invalid(clean(&error.to_string())),
        other => Failure::internal(other.to_string()),
    }
}

/// Looks for an error that we know, in `error` and in what it wraps.
fn known(error: &(dyn Error + 'static), depth: usize) -> Option<Failure> {
    let depth = depth.checked_sub(1)?;
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.clone());
    }
    if let Some(error) = error.downcast_ref::<EngineError>() {
        return Some(engine(error, depth));
    }
    if let Some(error) = error.downcast_ref::<CatalogError>() {
        return Some(error.failure());
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return Some(datafusion(error, depth));
    }
    if let Some(error) = error.downcast_ref::<Arc<DataFusionError>>() {
        return Some(datafusion(error, depth));
    }
    if let Some(error) = error.downcast_ref::<ArrowError>() {
        return Some(arrow(error, depth));
    }
    if let Some(error) = error.downcast_ref::<ParquetError>() {
        return Some(parquet(error, depth));
    }
    if let Some(error) = error.downcast_ref::<ParserError>() {
        return Some(Failure::invalid(parser(error)));
    }
    // What an I/O error wraps is not among its sources.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => known(wrapped, depth),
        None => known(error.source()?, depth),
    }
}

/// The text without the layer's prefixes, without a backtrace.
fn clean(message: &str) -> String {
    const PREFIXES: [&str; 8] = [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "External error: ",
        "SQL error: ",
        "Schema error: ",
        "This feature is not implemented: ",
        "Resources exhausted: ",
    ];
    let mut text = message
        .split(DataFusionError::BACK_TRACE_SEP)
        .next()
        .unwrap_or(message)
        .trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    for advice in ADVICE {
        if let Some((before, after)) = text.split_once(advice) {
            return clean(&format!("{}{after}", before.trim_end()));
        }
    }
    text.trim_end_matches('.').to_owned()
}

/// What DataFusion advises its own users, who are not ours.
const ADVICE: [&str; 2] = [
    " or set the datafusion.sql_parser.enable_ident_normalization configuration",
    "This issue was likely caused by a bug in DataFusion's code. Please help us to resolve this by \
     filing a bug report in our issue tracker: https://github.com/apache/datafusion/issues",
];

/// An error's text followed by those of its causes, which thiserror keeps apart. Only internal
/// kinds, whose text goes to the log, and those whose own text is incomplete without its cause need
/// it; a cause that the text already quotes is not repeated.
fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..DEPTH_MAX {
        let Some(source) = cause else { break };
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    text
}
