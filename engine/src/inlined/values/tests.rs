use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use quiver_catalog::{Column, InlinedValue, assign_columns};

use super::array_of;

fn column(data_type: DataType) -> Column {
    let schema = Schema::new(vec![Field::new("c", data_type, true)]);
    assign_columns(&schema).expect("a column").remove(0)
}

fn pair() -> DataType {
    let text = |name| Field::new(name, DataType::Utf8, true);
    DataType::Struct(Fields::from(vec![text("a"), text("it's: k")]))
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

fn map(value: DataType) -> DataType {
    let key = Field::new("key", DataType::Utf8, false);
    let pair = Fields::from(vec![key, Field::new("value", value, true)]);
    let entries = Field::new("entries", DataType::Struct(pair), false);
    DataType::Map(Arc::new(entries), false)
}

fn read(data_type: DataType, text: &str) -> Result<String, String> {
    let array = array_of(
        &column(data_type),
        vec![InlinedValue::Text(text.to_owned())],
    )?;
    assert_eq!(array.len(), 1);
    let options = FormatOptions::new().with_null("-");
    let formatter = ArrayFormatter::try_new(&array, &options).expect("a format");
    Ok(formatter.value(0).to_string())
}

/// As DuckDB 1.5.5 writes them.
#[test]
fn both_notations_are_read() {
    let times = DataType::Struct(Fields::from(vec![
        Field::new("t", DataType::Date32, true),
        Field::new("f", DataType::Float64, true),
    ]));
    let texts = || list(DataType::Utf8);
    for (data_type, text, expected) in [
        (texts(), "[]", "[]"),
        (texts(), "[a, NULL, 'NULL', '']", "[a, -, NULL, ]"),
        (
            texts(),
            r"[\, 'it\'s', ' p ', a\\b]",
            r"[\, it's,  p , a\\b]",
        ),
        (list(texts()), "[[a], [], NULL, ['[']]", "[[a], [], -, [[]]"),
        (
            pair(),
            "{'a': 'it''s', 'it''s: k': NULL}",
            "{a: it's, it's: k: -}",
        ),
        (pair(), r"{'it''s: k': '\'''}", r"{a: -, it's: k: \'}"),
        (
            list(pair()),
            r"[{'a': it, 'it\'s: k': '\\\''}]",
            r"[{a: it, it's: k: \'}]",
        ),
        (map(DataType::Int64), "{k=1, 'a=b'=NULL}", "{k: 1, a=b: -}"),
        (
            map(pair()),
            r"{'it\'s'={'a': '{'}}",
            "{it's: {a: {, it's: k: -}}",
        ),
        (
            times,
            "{'t': CAST('2020-01-02' AS DATE), 'f': CAST('nan' AS DECIMAL(9,2))}",
            "{t: 2020-01-02, f: NaN}",
        ),
    ] {
        assert_eq!(read(data_type, text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    for (data_type, text) in [
        (list(DataType::Int64), "[1"),
        (list(DataType::Int64), "[1] "),
        (list(DataType::Int64), "[x]"),
        (list(DataType::Int64), "1"),
        (list(DataType::Utf8), "['a]"),
        (list(DataType::Utf8), r"['a\"),
        (pair(), "{'other': 1}"),
        (pair(), "{'a' 1}"),
        (pair(), "{'a': CAST('x' AS DATE"),
        (map(DataType::Int64), "{k}"),
        (map(DataType::Int64), "{NULL=1}"),
        (DataType::Date32, "infinity"),
    ] {
        assert!(read(data_type, text).is_err(), "{text}");
    }
}

#[test]
fn numbers_and_bytes_are_what_they_are() {
    let numbers = vec![InlinedValue::Integer(300), InlinedValue::Null];
    let array = array_of(&column(DataType::Int64), numbers.clone()).expect("numbers");
    assert_eq!((array.len(), array.null_count()), (2, 1));
    let error = array_of(&column(DataType::Int8), numbers).expect_err("too large");
    assert_eq!(error, "whole numbers beyond Int8");
    let bytes = vec![InlinedValue::Bytes(vec![0, 255]), InlinedValue::Null];
    let array = array_of(&column(DataType::Binary), bytes).expect("bytes");
    assert_eq!((array.len(), array.null_count()), (2, 1));
    let uuid = InlinedValue::Text("01a20208-6d8f-7e3b-b2f1-c19f5f91c74e".to_owned());
    let array = array_of(&column(DataType::FixedSizeBinary(16)), vec![uuid]).expect("an id");
    assert_eq!((array.len(), array.null_count()), (1, 0));
    let nothing = vec![InlinedValue::Null; 3];
    let array = array_of(&column(pair()), nothing).expect("no values");
    assert_eq!((array.len(), array.null_count()), (3, 3));
}
