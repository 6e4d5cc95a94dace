//! `INSERT … VALUES` without a plan means what the planner makes of the same values.

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use std::sync::Arc;

use crate::support::Node;
use quiver_engine::{Statement, parse};

const TYPES: [&str; 12] = [
    "SMALLINT",
    "INT",
    "BIGINT",
    "REAL",
    "DOUBLE",
    "DECIMAL(10,2)",
    "DECIMAL(38,10)",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TEXT",
    "BOOLEAN",
];

const VALUES: [&str; 32] = [
    "0",
    "5",
    "-7",
    "32768",
    "2147483648",
    "-9223372036854775808",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1.5",
    "-1.25",
    "1.005",
    "0.001",
    "00.50",
    "100.",
    ".5",
    "-0.0",
    "1e3",
    "12345678.995",
    "NULL",
    "true",
    "FALSE",
    "'5'",
    "' 5'",
    "'abc'",
    "''",
    "'2020-01-02'",
    "'2020-01-02 03:04:05.678'",
    "'2020-01-02T03:04:05+02:00'",
    "'12:30'",
    "'true'",
];

async fn parameters(node: &Node, sql: &str, columns: Vec<ArrayRef>) -> Result<u64, String> {
    let named = columns.into_iter().enumerate();
    let batch =
        RecordBatch::try_from_iter(named.map(|(n, column)| (format!("${}", n + 1), column)));
    let parsed = parse(sql).unwrap();
    let context = node.context(None);
    let rows = context
        .update(&parsed.statement, Some(&batch.unwrap()))
        .await;
    rows.map_err(|error| error.to_string())
}

async fn shown(node: &Node, sql: &str) -> String {
    let rows = node.query(sql).await.unwrap();
    pretty_format_batches(&[rows]).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_what_the_planner_makes_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    let mut kept = 0;
    for (number, data_type) in TYPES.iter().enumerate() {
        for table in ["a", "b"] {
            let create = format!("CREATE TABLE {table}{number} (n BIGINT, v {data_type})");
            node.update(&create).await.unwrap();
        }
        for (n, value) in VALUES.iter().enumerate() {
            let as_values = format!("INSERT INTO a{number} (v, n) VALUES ({value}, {n})");
            // The same through the planner: a query, not a list of values.
            let as_query = format!("INSERT INTO b{number} (v, n) SELECT {value}, {n}");
            let outcome = node.update(&as_values).await.map_err(|error| error.kind());
            let planned = node.update(&as_query).await.map_err(|error| error.kind());
            assert_eq!(outcome, planned, "{value} as {data_type}");
            kept += outcome.unwrap_or(0);
        }
        let rows = |table: &str| format!("SELECT * FROM {table}{number} ORDER BY n");
        assert_eq!(
            shown(&node, &rows("a")).await,
            shown(&node, &rows("b")).await,
            "{data_type}"
        );
    }
    assert!(kept > 150, "only {kept} of the values were taken at all");
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_values_and_of_parameters_come_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.update("CREATE TABLE t (id BIGINT, s TEXT, d DOUBLE)")
        .await
        .unwrap();
    let several = "INSERT INTO t VALUES (1, 'a', 1.5), (2, NULL, 2), (-3, 'c', NULL)";
    assert_eq!(node.update(several).await.unwrap(), 3);
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(10), None]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let sql = "INSERT INTO t (s, id) VALUES ($2, $1), ('both', $1)";
    assert_eq!(parameters(&node, sql, vec![ids, texts]).await.unwrap(), 4);
    let rows = shown(&node, "SELECT * FROM t").await;
    let cells = rows
        .lines()
        .skip(3)
        .map(|line| line.replace([' ', '|'], ""));
    let cells: Vec<_> = cells.filter(|line| !line.starts_with('+')).collect();
    assert_eq!(
        cells,
        ["1a1.5", "22.0", "-3c", "10x", "10both", "y", "both"]
    );
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_become_the_type_of_their_column_or_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.update("CREATE TABLE t (i INT, d DOUBLE, n DECIMAL(10,2), at DATE, s TEXT)")
        .await
        .unwrap();
    let int = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let double = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let decimal = |value: i128| {
        let array = Decimal128Array::from(vec![value]).with_precision_and_scale(12, 3);
        Arc::new(array.unwrap()) as ArrayRef
    };
    let taken = [
        ("i", int(5)),
        ("i", double(5.0)),
        ("i", text("5")),
        ("d", int(1 << 53)),
        ("d", decimal(1500)),
        ("n", int(7)),
        ("n", double(0.25)),
        ("n", decimal(1230)),
        ("at", text("2020-01-02")),
        ("s", text("5")),
    ];
    let refused = [
        ("i", int(1 << 40)),
        ("i", double(1.5)),
        ("i", text("five")),
        ("d", int((1 << 53) + 1)),
        ("n", double(0.125)),
        ("n", decimal(1235)),
        ("at", int(5)),
        ("at", text("yesterday")),
        ("s", int(5)),
    ];
    for (column, value) in taken {
        let sql = format!("INSERT INTO t ({column}) VALUES ($1)");
        parameters(&node, &sql, vec![value]).await.unwrap();
    }
    for (column, value) in refused {
        let sql = format!("INSERT INTO t ({column}) VALUES ($1)");
        let refusal = parameters(&node, &sql, vec![value]).await;
        assert!(refusal.is_err(), "{column}: {refusal:?}");
    }
    let expected = node
        .query("SELECT count(*) FROM t WHERE i = 5 OR d IN (1.5, 9007199254740992) OR n IN (7, 0.25, 1.23)")
        .await
        .unwrap();
    assert_eq!(expected.column(0).as_ref(), &Int64Array::from(vec![8]));
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_parameters_are_those_of_their_columns() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.update("CREATE TABLE t (id BIGINT, s TEXT, d DOUBLE)")
        .await
        .unwrap();
    let parsed = parse("INSERT INTO t (d, s) VALUES (1, ?), (?, 'x')").unwrap();
    let Statement::Insert(_) = &parsed.statement else {
        panic!("an INSERT is one");
    };
    let context = node.context(None);
    let types = context
        .update_parameters(&parsed.statement, parsed.placeholders)
        .await
        .unwrap();
    let types: Vec<_> = types
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(types, ["Utf8", "Float64"]);
    node.close().await;
}
