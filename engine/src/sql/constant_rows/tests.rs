#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::ConstantRows;
use crate::sql::{Statement, parse};

fn table() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ])
}

fn taken(values: &str) -> bool {
    let parsed = parse(&format!("INSERT INTO t {values}")).unwrap();
    let Statement::Insert(insert) = parsed.statement else {
        panic!("an INSERT is one");
    };
    ConstantRows::of(&insert, &table()).is_some()
}

#[test]
fn constants_and_parameters_need_no_plan() {
    for values in [
        "VALUES (1, 'a', NULL)",
        "VALUES (-1, 'a', '2020-01-02'), ($1, $2, $3)",
        "(\"text\", ID) VALUES (?, 1.5)",
        "(at) VALUES ('2020-01-02 03:04:05')",
    ] {
        assert!(taken(values), "{values}");
    }
}

#[test]
fn what_means_more_than_it_says_is_for_the_planner() {
    for values in [
        "VALUES (1 + 1, 'a', NULL)",
        "VALUES (1, upper('a'), NULL)",
        "VALUES (1, 'a', now())",
        "VALUES (1, 'a', 5)",
        "VALUES (1, 'a', DATE '2020-01-02')",
        "VALUES (1e3, 'a', NULL)",
        "VALUES (1, 'a')",
        "VALUES (1, 'a', NULL, 2)",
        "VALUES (1, 'a', NULL), (1, 'a')",
        "VALUES ((SELECT 1), 'a', NULL)",
        "(id, id) VALUES (1, 2)",
        "(missing) VALUES (1)",
        "(\"ID\") VALUES (1)",
        "SELECT 1, 'a', NULL",
        "(id) VALUES (1) LIMIT 0",
        "(id) VALUES (1) ORDER BY 1",
        "(id) (VALUES (1))",
    ] {
        assert!(!taken(values), "{values}");
    }
}
