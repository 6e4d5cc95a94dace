#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::{SqlTypes, arrow_type};
use crate::sql::parser::{Statement, parse};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::DataType as SqlType;

fn declared(name: &str) -> SqlType {
    let sql = format!("CREATE TABLE t (c {name})");
    match parse(&sql)
        .unwrap_or_else(|error| unreachable!("{name}: {error}"))
        .statement
    {
        Statement::CreateTable(create) => create.columns[0].data_type.clone(),
        other => unreachable!("{other:?}"),
    }
}

fn check(names: &[&str], expected: &DataType) {
    for name in names {
        let field = SqlTypes.plan_type_field(&declared(name)).unwrap().unwrap();
        assert_eq!(field.data_type(), expected, "{name}");
    }
}

#[test]
fn names_of_numbers() {
    check(&["TINYINT", "BYTE", "tinyint(1)"], &DataType::Int8);
    check(&["SMALLINT", "INT2", "SHORT"], &DataType::Int16);
    check(
        &["INT", "INTEGER", "INT4", "MEDIUMINT", "int(11)"],
        &DataType::Int32,
    );
    check(&["BIGINT", "INT8", "LONG", "INT64"], &DataType::Int64);
    check(&["UTINYINT", "TINYINT UNSIGNED"], &DataType::UInt8);
    check(&["USMALLINT", "SMALLINT UNSIGNED"], &DataType::UInt16);
    check(&["UINTEGER", "INT UNSIGNED"], &DataType::UInt32);
    check(&["UBIGINT", "BIGINT UNSIGNED"], &DataType::UInt64);
    check(
        &["FLOAT4", "REAL", "FLOAT", "FLOAT(24)"],
        &DataType::Float32,
    );
    check(
        &["FLOAT8", "DOUBLE", "DOUBLE PRECISION", "FLOAT(25)"],
        &DataType::Float64,
    );
    check(
        &["NUMERIC(12,2)", "DECIMAL(12, 2)", "DEC(12,2)"],
        &DataType::Decimal128(12, 2),
    );
    check(&["NUMERIC(5)"], &DataType::Decimal128(5, 0));
    check(&["NUMERIC", "DECIMAL"], &DataType::Decimal128(38, 10));
}

#[test]
fn names_of_texts_and_bytes() {
    let texts = [
        "TEXT",
        "TEXT(10)",
        "STRING",
        "VARCHAR",
        "VARCHAR(10)",
        "CHAR(3)",
        "CHARACTER VARYING(9)",
        "CHARACTER(3)",
        "NVARCHAR(10)",
        "CLOB",
        "JSON",
        "JSONB",
        "BPCHAR",
        "LONGTEXT",
    ];
    check(&texts, &DataType::Utf8);
    let bytes = [
        "BLOB",
        "BYTEA",
        "BINARY",
        "BINARY(16)",
        "VARBINARY(16)",
        "VARBINARY",
        "LONGBLOB",
    ];
    check(&bytes, &DataType::Binary);
    check(&["BOOL", "BOOLEAN"], &DataType::Boolean);
}

#[test]
fn names_of_times() {
    let timestamp = |unit| DataType::Timestamp(unit, None);
    let names = [
        "TIMESTAMP",
        "TIMESTAMP(6)",
        "DATETIME",
        "TIMESTAMP WITHOUT TIME ZONE",
        "TIMESTAMP_US",
        "TIMESTAMP_NTZ",
    ];
    check(&names, &timestamp(TimeUnit::Microsecond));
    check(
        &["TIMESTAMP(0)", "TIMESTAMP_S"],
        &timestamp(TimeUnit::Second),
    );
    check(
        &["TIMESTAMP(3)", "TIMESTAMP_MS"],
        &timestamp(TimeUnit::Millisecond),
    );
    check(
        &["TIMESTAMP(9)", "TIMESTAMP_NS"],
        &timestamp(TimeUnit::Nanosecond),
    );
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    check(
        &[
            "TIMESTAMPTZ",
            "TIMESTAMP WITH TIME ZONE",
            "TIMESTAMP(6) WITH TIME ZONE",
        ],
        &zoned,
    );
    check(&["DATE"], &DataType::Date32);
    check(
        &["TIME", "TIME(6)", "TIME(3)"],
        &DataType::Time64(TimeUnit::Microsecond),
    );
    check(
        &["INTERVAL"],
        &DataType::Interval(IntervalUnit::MonthDayNano),
    );
}

#[test]
fn names_of_nested_types() {
    let list = DataType::new_list(DataType::Int32, true);
    check(&["INT[]", "ARRAY<INT>", "INT[3]"], &list);
    check(&["INT[][]"], &DataType::new_list(list, true));
    let pair = arrow_type(&declared("STRUCT<a INT, \"B\" TEXT>")).unwrap();
    assert_eq!(pair.to_string(), "Struct(\"a\": Int32, \"B\": Utf8)");
}

#[test]
fn other_names_are_refused_with_the_nearest_one() {
    for (name, message) in [
        ("UUID", "there is no type UUID: use TEXT"),
        ("HUGEINT", "there is no type HUGEINT: use DECIMAL(38, 0)"),
        (
            "SERIAL",
            "there is no type serial: use BIGINT and give each row its number",
        ),
        ("MONEY", "there is no type money: use DECIMAL(18, 2)"),
        ("BIGGINT", "there is no type biggint: did you mean BIGINT?"),
        (
            "timestmp",
            "there is no type timestmp: did you mean TIMESTAMP?",
        ),
        (
            "wibblewobbleflub",
            "there is no type wibblewobbleflub: use a type such as TEXT, BIGINT, DOUBLE or TIMESTAMP",
        ),
        (
            "TIMESTAMP(2)",
            "there is no type TIMESTAMP(2): the digits can be 0, 3, 6 or 9",
        ),
        (
            "DECIMAL(39, 2)",
            "there is no type DECIMAL(39,2): use DECIMAL(p, s) with 1 <= p <= 38 and 0 <= s <= p",
        ),
        (
            "TIME WITH TIME ZONE",
            "there is no type TIME WITH TIME ZONE: use TIME, or TIMESTAMPTZ with a date",
        ),
        ("BIT(3)", "there is no type BIT(3): use BYTEA"),
    ] {
        let error = arrow_type(&declared(name)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
