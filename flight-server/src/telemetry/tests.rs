#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{info, info_span};

use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, filter: &str) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let settings = LogSettings {
        format,
        filter: filter.to_owned(),
    };
    let subscriber = subscriber(&settings, move || writer.clone(), false).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let request = info_span!("request", request_id = "r1", tenant_id = 7);
        request.in_scope(|| info!(rows = 3, "loaded\nall"));
    });
    let bytes = sink.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_lines_carry_fields_and_spans() {
    let line = logged(LogFormat::Json, "info");
    assert_eq!(line.lines().count(), 1);
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["message"], "loaded\nall");
    assert_eq!(event["rows"], 3);
    assert_eq!(event["level"], "INFO");
    assert_eq!(event["spans"][0]["request_id"], "r1");
    assert_eq!(event["spans"][0]["tenant_id"], 7);
}

#[test]
fn text_lines_carry_them_too_and_the_filter_holds() {
    let text = logged(LogFormat::Text, "info");
    assert!(
        text.contains("request{request_id=\"r1\" tenant_id=7}"),
        "{text}"
    );
    assert!(text.contains("rows=3"), "{text}");
    assert_eq!(logged(LogFormat::Text, "warn"), "");
}

#[test]
fn a_bad_filter_is_refused() {
    let settings = LogSettings {
        format: LogFormat::Text,
        filter: "a=loud".to_owned(),
    };
    let refused = subscriber(&settings, std::io::sink, false)
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("log.filter"), "{refused}");
}
