#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion::common::{Column, DFSchema};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use quiver_engine::EngineError;
use quiver_proto::HandleError;

use super::*;

const KINDS: [(ErrorKind, Code); 14] = [
    (ErrorKind::InvalidArgument, Code::InvalidArgument),
    (ErrorKind::Unauthenticated, Code::Unauthenticated),
    (ErrorKind::PermissionDenied, Code::PermissionDenied),
    (ErrorKind::NotFound, Code::NotFound),
    (ErrorKind::AlreadyExists, Code::AlreadyExists),
    (ErrorKind::Precondition, Code::FailedPrecondition),
    (ErrorKind::Conflict, Code::Aborted),
    (ErrorKind::Overloaded, Code::ResourceExhausted),
    (ErrorKind::Unavailable, Code::Unavailable),
    (ErrorKind::Deadline, Code::DeadlineExceeded),
    (ErrorKind::Cancelled, Code::Cancelled),
    (ErrorKind::Corruption, Code::DataLoss),
    (ErrorKind::Unsupported, Code::Unimplemented),
    (ErrorKind::Internal, Code::Internal),
];

fn trailer(status: &Status, name: &str) -> Option<String> {
    Some(status.metadata().get(name)?.to_str().unwrap().to_owned())
}

#[test]
fn every_kind_has_its_code() {
    for (kind, expected) in KINDS {
        let status = status(kind, "text", None, None);
        assert_eq!(status.code(), expected);
        assert_eq!(status.message() == "text", kind != ErrorKind::Internal);
        let retry = trailer(&status, "x-retry-after-ms").is_some();
        assert_eq!(retry, kind.retryable());
        assert_eq!(trailer(&status, "x-query-id"), None);
    }
}

#[test]
fn trailers_carry_query_id_and_retry_time() {
    let id = Uuid::from_u128(7);
    let status = status(ErrorKind::Overloaded, "full", Some(id), Some(250));
    assert_eq!(trailer(&status, "x-query-id").unwrap(), id.to_string());
    assert_eq!(trailer(&status, "x-retry-after-ms").unwrap(), "250");
}

#[test]
fn errors_that_can_be_retried_always_say_when() {
    for (kind, expected) in [
        (ErrorKind::Overloaded, Some("1000")),
        (ErrorKind::Unavailable, Some("1000")),
        (ErrorKind::Conflict, Some("50")),
        (ErrorKind::Precondition, None),
    ] {
        let status = Failure::new(kind, "text").into_status(None);
        assert_eq!(trailer(&status, "x-retry-after-ms").as_deref(), expected);
    }
}

#[test]
fn internal_texts_stay_inside() {
    let status = status(ErrorKind::Internal, "secret path /data", None, None);
    let report_id = status
        .message()
        .strip_prefix("internal error, report id ")
        .unwrap();
    assert!(Uuid::try_parse(report_id).is_ok());
}

#[test]
fn messages_are_one_line() {
    assert_eq!(one_line("a\n\tb\u{7}c  d\r\n"), "a b c d");
    assert_eq!(one_line("  \n "), "");
}

#[test]
fn messages_fit_clients_in_their_encoded_form() {
    for text in ["x", "é", "漢", "%", "😀", "ab漢"] {
        for count in [1_000, 1_230, 1_240, 3_696, 3_700, 3_701, 20_000] {
            let long = text.repeat(count);
            let line = one_line(&long);
            let encoded: usize = line.chars().map(encoded_len).sum();
            assert!(encoded <= MESSAGE_BYTES_MAX, "{text} {count}: {encoded}");
            let whole = long.chars().map(encoded_len).sum::<usize>() <= MESSAGE_BYTES_MAX;
            assert_eq!(line == long, whole, "{text} {count}");
            if !whole {
                let kept = line.strip_suffix("...").unwrap();
                assert!(long.starts_with(kept));
                assert!(
                    encoded > MESSAGE_BYTES_MAX - 16,
                    "{text} {count}: cut too early"
                );
            }
        }
    }
}

#[test]
fn a_stream_error_keeps_its_code_through_arrow_flight() {
    let id = Uuid::from_u128(9);
    let error = stream_error(DataFusionError::Execution("bad".into()), Some(id));
    let status = Status::from(error);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "bad");
    assert_eq!(trailer(&status, "x-query-id").unwrap(), id.to_string());
}

#[test]
fn a_status_from_below_passes_through() {
    let original = status(ErrorKind::Conflict, "lost", None, Some(5));
    let status = FlightError::from(original).into_status(Some(Uuid::nil()));
    assert_eq!((status.code(), status.message()), (Code::Aborted, "lost"));
    assert_eq!(trailer(&status, "x-retry-after-ms").unwrap(), "5");
    assert_eq!(
        trailer(&status, "x-query-id").unwrap(),
        Uuid::nil().to_string()
    );
}

#[test]
fn uploads_that_cannot_be_read_are_the_clients_fault() {
    for error in [
        FlightError::DecodeError("bad header".into()),
        FlightError::ProtocolError("two schemas".into()),
        FlightError::Arrow(ArrowError::IpcError("short".into())),
        FlightError::Arrow(ArrowError::SchemaError("nope".into())),
    ] {
        assert_eq!(error.into_status(None).code(), Code::InvalidArgument);
    }
}

/// Kind and text that a client gets for what `DataFusion` reported.
fn datafusion_kind(error: &DataFusionError) -> (ErrorKind, String) {
    let failure = error.failure();
    (failure.kind, failure.message)
}

fn assert_kind(error: &DataFusionError, kind: ErrorKind, text: &str) {
    assert_eq!(datafusion_kind(error), (kind, text.to_owned()), "{error:?}");
}

#[test]
fn datafusion_errors_by_variant() {
    use DataFusionError as E;
    use ErrorKind as K;
    let io = || std::io::Error::other("disk");
    assert_kind(
        &E::Plan("no such function".into()),
        K::InvalidArgument,
        "no such function",
    );
    assert_kind(&E::Configuration("x".into()), K::InvalidArgument, "x");
    assert_kind(
        &E::Execution("Execution error: x.".into()),
        K::InvalidArgument,
        "x",
    );
    assert_kind(&E::NotImplemented("MERGE".into()), K::Unsupported, "MERGE");
    assert_kind(
        &E::ResourcesExhausted("memory".into()),
        K::Overloaded,
        "memory",
    );
    assert_eq!(datafusion_kind(&E::Internal("oops".into())).0, K::Internal);
    assert_eq!(datafusion_kind(&E::IoError(io())).0, K::Internal);
    let backtrace = format!("bad{}frames", E::BACK_TRACE_SEP);
    assert_kind(&E::Plan(backtrace), K::InvalidArgument, "bad");
}

#[test]
fn arrow_errors_by_variant() {
    use ErrorKind as K;
    let cases = [
        (
            ArrowError::DivideByZero,
            K::InvalidArgument,
            "division by zero",
        ),
        (
            ArrowError::ArithmeticOverflow("1 + 2".into()),
            K::InvalidArgument,
            "arithmetic overflow: 1 + 2",
        ),
        (
            ArrowError::CastError("Cannot cast string 'x'".into()),
            K::InvalidArgument,
            "Cannot cast string 'x'",
        ),
        (
            ArrowError::NotYetImplemented("this".into()),
            K::Unsupported,
            "this",
        ),
        (
            ArrowError::MemoryError("full".into()),
            K::Overloaded,
            "full",
        ),
    ];
    for (error, kind, text) in cases {
        let wrapped = DataFusionError::ArrowError(Box::new(error), None);
        assert_kind(&wrapped, kind, text);
    }
}

#[test]
fn wrappers_do_not_hide_what_they_wrap() {
    let inner = || EngineError::NotFound {
        what: "table main.t".into(),
    };
    let external = || DataFusionError::External(Box::new(inner()));
    let cases = [
        external(),
        external().context("while planning"),
        DataFusionError::Shared(Arc::new(external())),
        DataFusionError::External(Box::new(external())),
        DataFusionError::External(Box::new(Arc::new(external()))),
        DataFusionError::ArrowError(
            Box::new(ArrowError::ExternalError(Box::new(
                external().context("deep"),
            ))),
            None,
        ),
        DataFusionError::Collection(vec![external(), external()]),
        DataFusionError::External(Box::new(EngineError::DataFusion(external()))),
        DataFusionError::External(Box::new(std::io::Error::other(inner()))),
    ];
    for error in cases {
        assert_kind(&error, ErrorKind::NotFound, "table main.t not found");
    }
}

#[test]
fn collected_errors_are_told_together() {
    let plan = |text: &str| DataFusionError::Plan(text.into());
    let error = DataFusionError::Collection(vec![plan("a is wrong"), plan("b is wrong")]);
    assert_kind(&error, ErrorKind::InvalidArgument, "a is wrong; b is wrong");
}

#[test]
fn an_endless_chain_ends() {
    let mut error = DataFusionError::Execution("deep".into());
    for _ in 0..100 {
        error = error.context("level");
    }
    assert_eq!(datafusion_kind(&error).0, ErrorKind::Internal);
}

#[test]
fn engine_errors_keep_kind_text_and_retry_time() {
    let error = EngineError::Overloaded {
        message: "the buffer is full".into(),
        retry_after_ms: 40,
    };
    let status = error.into_status(None);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(trailer(&status, "x-retry-after-ms").unwrap(), "40");
    let error = EngineError::Arrow(ArrowError::NotYetImplemented("x".into()));
    assert_eq!(error.into_status(None).code(), Code::Unimplemented);
}

#[test]
fn forged_handles_are_not_found() {
    let status = HandleError::Forged.into_status(None);
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no such handle; ask for a new one");
}

/// Pins the texts of `DataFusion` by which missing names are recognised.
#[tokio::test]
async fn missing_names_are_not_found() {
    let context = SessionContext::new();
    for (sql, text) in [
        ("SELECT * FROM missing", "missing"),
        ("SELECT * FROM nowhere.missing", "nowhere"),
        ("SELECT * FROM other.nowhere.missing", "other"),
        ("INSERT INTO missing VALUES (1)", "missing"),
    ] {
        let error = context.sql(sql).await.unwrap_err();
        let (kind, message) = datafusion_kind(&error);
        assert_eq!(kind, ErrorKind::NotFound, "{sql}: {error:?}");
        assert!(
            message.contains(text) && message.ends_with("not found"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn what_users_get_wrong_is_invalid() {
    let context = SessionContext::new();
    for sql in [
        "SELEC 1",
        "SELECT 'open",
        "SELECT missing FROM (SELECT 1 AS a)",
        "SELECT no_such_function(1)",
        "SELECT a, a AS b FROM (SELECT 1 AS a, 2 AS a)",
    ] {
        let error = context.sql(sql).await.unwrap_err();
        let (kind, message) = datafusion_kind(&error);
        assert_eq!(kind, ErrorKind::InvalidArgument, "{sql}: {error:?}");
        assert!(!message.contains("Error during planning"), "{message}");
        assert!(!message.starts_with("sql parser error"), "{message}");
    }
    for sql in [
        "SELECT 1 / 0",
        "SELECT CAST('x' AS INT)",
        "SELECT CAST(300 AS TINYINT)",
    ] {
        let error = match context.sql(sql).await {
            Ok(frame) => frame.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(
            datafusion_kind(&error).0,
            ErrorKind::InvalidArgument,
            "{sql}: {error:?}"
        );
    }
}

#[test]
fn unknown_columns_name_the_known_ones() {
    let column = Column::from_name("x");
    let error = DFSchema::empty()
        .field_with_unqualified_name(&column.name)
        .unwrap_err();
    let (kind, message) = datafusion_kind(&error);
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(message.starts_with("No field named x"), "{message}");
}
