#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::datatypes::{DataType, Field, Schema};
use rustyline::history::DefaultHistory;

use super::*;

fn helper() -> SqlHelper {
    let mut helper = SqlHelper::new();
    helper.learn(&[TableInfo {
        schema: "main".to_owned(),
        name: "Trips".to_owned(),
        kind: "TABLE".to_owned(),
        columns: Schema::new(vec![Field::new("distance", DataType::Float64, true)]),
    }]);
    helper
}

fn offered(line: &str) -> (usize, Vec<String>) {
    let history = DefaultHistory::new();
    helper()
        .complete(line, line.len(), &Context::new(&history))
        .unwrap()
}

#[test]
fn tables_columns_keywords_and_commands_are_offered() {
    assert_eq!(
        offered("select dist"),
        (7, vec!["distance".to_owned(), "distinct".to_owned()])
    );
    assert_eq!(offered("SELECT DIST").1, ["distance", "DISTINCT"]);
    assert_eq!(offered("select * from main.").1, ["main.\"Trips\""]);
    assert_eq!(offered("\\ti"), (0, vec!["\\timing".to_owned()]));
    assert_eq!(offered("select (dista").0, 8);
    assert!(offered("select ").1.is_empty());
    assert!(offered("é").1.is_empty());
}

#[test]
fn enter_runs_commands_at_once_and_statements_after_a_semicolon() {
    for (text, expected) in [
        ("\\dt", true),
        ("", true),
        ("select 1", false),
        ("select 1;", true),
        ("select ';", false),
    ] {
        assert_eq!(is_complete(text), expected, "{text}");
    }
}

#[test]
fn names_are_quoted_when_they_must_be() {
    assert_eq!(quoted("trips_2"), "trips_2");
    assert_eq!(quoted("Trips"), "\"Trips\"");
    assert_eq!(quoted("2nd"), "\"2nd\"");
    assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
}
