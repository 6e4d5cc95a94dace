#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};

use super::{assign_columns, columns_to_schema};
use crate::{CatalogError, ErrorKind};

fn nested_schema() -> Schema {
    let item = Field::new("item", DataType::Int32, false);
    let pair = Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", DataType::Int64, true),
    ]);
    let entries = Field::new("entries", DataType::Struct(pair), false);
    let point = Fields::from(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("tags", DataType::List(Arc::new(item)), true),
    ]);
    Schema::new(vec![
        Field::new("a", DataType::Int64, false),
        Field::new("p", DataType::Struct(point), true),
        Field::new("m", DataType::Map(Arc::new(entries), false), true),
    ])
}

#[test]
fn ids_count_parents_before_children() {
    let columns = assign_columns(&nested_schema()).unwrap();
    let all: Vec<(i64, &str)> = columns
        .iter()
        .flat_map(|c| c.preorder())
        .map(|c| (c.id.0, c.name.as_str()))
        .collect();
    let expected = [
        (1, "a"),
        (2, "p"),
        (3, "x"),
        (4, "tags"),
        (5, "element"),
        (6, "m"),
        (7, "key"),
        (8, "value"),
    ];
    assert_eq!(all, expected);
    let leaves: Vec<i64> = columns
        .iter()
        .flat_map(|c| c.leaves())
        .map(|c| c.id.0)
        .collect();
    assert_eq!(leaves, [1, 3, 5, 7, 8]);
}

#[test]
fn schema_of_columns_is_a_fixed_point() {
    let columns = assign_columns(&nested_schema()).unwrap();
    let schema = columns_to_schema(&columns);
    assert_eq!(assign_columns(&schema).unwrap(), columns);
    assert!(
        schema
            .fields()
            .iter()
            .all(|field| field.metadata().is_empty())
    );
}

#[test]
fn nullability_inside_nested_types_is_kept() {
    let columns = assign_columns(&nested_schema()).unwrap();
    let element = &columns[1].children[1].children[0];
    assert!(!element.nullable);
    let DataType::Struct(fields) = columns[1].to_field().data_type().clone() else {
        unreachable!("column p is a struct")
    };
    let DataType::List(element) = fields[1].data_type() else {
        unreachable!("tags is a list")
    };
    assert!(!element.is_nullable());
}

#[test]
fn parquet_fields_carry_ids_at_every_level() {
    fn check(field: &Field) -> usize {
        let is_entries = field.name() == "key_value";
        assert_eq!(
            field.metadata().contains_key("PARQUET:field_id"),
            !is_entries,
            "{field}"
        );
        let children: Vec<&Field> = match field.data_type() {
            DataType::List(child) | DataType::Map(child, _) => vec![child],
            DataType::Struct(fields) => fields.iter().map(AsRef::as_ref).collect(),
            _ => vec![],
        };
        usize::from(!is_entries) + children.into_iter().map(check).sum::<usize>()
    }
    let columns = assign_columns(&nested_schema()).unwrap();
    let with_id: usize = columns
        .iter()
        .map(|column| check(&column.to_parquet_field()))
        .sum();
    assert_eq!(with_id, 8);
    assert_eq!(
        columns[2].children[1].to_parquet_field().metadata()["PARQUET:field_id"],
        "8"
    );
}

#[test]
fn names_equal_but_for_case_are_refused() {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("A", DataType::Int64, true),
    ]);
    let error = assign_columns(&schema).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("\"A\""), "{error}");
}

#[test]
fn nested_names_are_checked_too() {
    let twice = Fields::from(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("X", DataType::Int64, true),
    ]);
    let schema = Schema::new(vec![Field::new("s", DataType::Struct(twice), true)]);
    let error = assign_columns(&schema).unwrap_err();
    assert!(error.to_string().contains("\"s.X\""), "{error}");
}

#[test]
fn bad_columns_are_refused() {
    let deep = (0..40).fold(DataType::Int64, |inner, _| {
        DataType::List(Arc::new(Field::new("element", inner, true)))
    });
    let long = "n".repeat(1025);
    let bad = [
        ("", DataType::Int64),
        (long.as_str(), DataType::Int64),
        ("zero\0byte", DataType::Int64),
        ("deep", deep),
        ("empty", DataType::Struct(Fields::empty())),
    ];
    for (name, data_type) in bad {
        let schema = Schema::new(vec![Field::new(name, data_type, true)]);
        assert_eq!(
            assign_columns(&schema).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
    assert!(assign_columns(&Schema::empty()).is_err());
}

#[test]
fn types_that_cannot_be_kept_name_their_column() {
    let seconds = DataType::Duration(TimeUnit::Second);
    for data_type in [
        DataType::Null,
        DataType::LargeUtf8,
        DataType::Utf8View,
        seconds,
    ] {
        let inner = Fields::from(vec![Field::new("part", data_type.clone(), true)]);
        let schema = Schema::new(vec![Field::new("whole", DataType::Struct(inner), true)]);
        match assign_columns(&schema).unwrap_err() {
            CatalogError::UnsupportedType {
                column,
                data_type: refused,
            } => {
                assert_eq!((column.as_str(), refused), ("whole.part", data_type));
            }
            other => unreachable!("{other}"),
        }
    }
}
