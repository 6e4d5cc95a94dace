#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn one(data_type: DataType) -> Schema {
    Schema::new(vec![Field::new("x", data_type, true)])
}

fn canonical(data_type: DataType) -> DataType {
    canonical_schema(&one(data_type))
        .unwrap()
        .field(0)
        .data_type()
        .clone()
}

fn message(schema: &Schema) -> String {
    let message = canonical_schema(schema).unwrap_err().to_string();
    assert!(!message.contains('\n') && message.len() < 600, "{message}");
    message
}

fn list(name: &str, data_type: DataType) -> DataType {
    DataType::List(Arc::new(Field::new(name, data_type, true)))
}

#[test]
fn every_type_has_one_canonical_form() {
    use DataType as T;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let zone = Some(Arc::from("Europe/Berlin"));
    let table = [
        (T::Boolean, T::Boolean),
        (T::UInt64, T::UInt64),
        (T::Float16, T::Float32),
        (T::LargeUtf8, T::Utf8),
        (T::Utf8View, T::Utf8),
        (T::LargeBinary, T::Binary),
        (T::BinaryView, T::Binary),
        (T::FixedSizeBinary(7), T::Binary),
        (T::FixedSizeBinary(16), T::Binary),
        (T::Date32, T::Date32),
        (T::Date64, T::Timestamp(Millisecond, None)),
        (T::Time32(Second), T::Time64(Microsecond)),
        (T::Time64(Nanosecond), T::Time64(Microsecond)),
        (
            T::Timestamp(Nanosecond, None),
            T::Timestamp(Nanosecond, None),
        ),
        (
            T::Timestamp(Second, zone.clone()),
            T::Timestamp(Microsecond, zone),
        ),
        (T::Decimal32(5, 2), T::Decimal128(5, 2)),
        (T::Decimal64(18, -2), T::Decimal128(20, 0)),
        (T::Decimal256(38, 10), T::Decimal128(38, 10)),
        (
            T::Interval(IntervalUnit::YearMonth),
            T::Interval(IntervalUnit::MonthDayNano),
        ),
        (
            T::Dictionary(Box::new(T::Int8), Box::new(T::LargeUtf8)),
            T::Utf8,
        ),
        (list("item", T::Utf8View), list("item", T::Utf8)),
        (
            T::FixedSizeList(Arc::new(Field::new("item", T::Float16, false)), 3),
            T::List(Arc::new(Field::new("item", T::Float32, false))),
        ),
    ];
    for (given, wanted) in table {
        assert_eq!(canonical(given.clone()), wanted, "{given}");
    }
}

#[test]
fn maps_get_the_names_of_the_catalog() {
    let entries = Fields::from(vec![
        Field::new("keys", DataType::Utf8View, false),
        Field::new("values", list("item", DataType::Int8), true),
    ]);
    let entries = Field::new("entries", DataType::Struct(entries), false);
    let wanted = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", list("item", DataType::Int8), true),
    ]);
    let wanted = Field::new("key_value", DataType::Struct(wanted), false);
    assert_eq!(
        canonical(DataType::Map(Arc::new(entries), true)),
        DataType::Map(Arc::new(wanted), false)
    );
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let table = [
        (
            DataType::Null,
            "column 'x' has type Null, which cannot be kept: give it a type",
        ),
        (
            list("item", DataType::Null),
            "column 'x.item' has type Null",
        ),
        (
            DataType::Duration(TimeUnit::Second),
            "column 'x' has type Duration(s)",
        ),
        (
            DataType::Decimal256(39, 0),
            "use a decimal of 38 digits at most",
        ),
        (
            DataType::Decimal128(38, -1),
            "use a decimal of 38 digits at most",
        ),
        (
            DataType::Struct(Fields::empty()),
            "give it at least one field",
        ),
        (
            DataType::FixedSizeBinary(0),
            "column 'x' has type FixedSizeBinary(0)",
        ),
        (
            DataType::Timestamp(TimeUnit::Second, Some("Mars/Base".into())),
            "'Mars/Base'",
        ),
    ];
    for (data_type, wanted) in table {
        let message = message(&one(data_type));
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn names_must_be_there_and_differ() {
    let of_names = |names: &[&str]| {
        let field = |name: &&str| Field::new(*name, DataType::Int8, true);
        Schema::new(names.iter().map(field).collect::<Vec<_>>())
    };
    assert!(message(&of_names(&["a", "A"])).contains("'A' is there twice"));
    assert!(message(&of_names(&["ä", "Ä"])).contains("twice"));
    assert!(message(&of_names(&["a", ""])).contains("no name"));
    assert!(message(&of_names(&["a\nb"])).contains("control characters"));
    assert!(message(&of_names(&[&"n".repeat(2_000)])).contains("2000 bytes"));
    assert!(message(&of_names(&[])).contains("at least one column"));
    assert!(canonical_schema(&of_names(&["a", "b"])).is_ok());
}

#[test]
fn width_and_depth_are_bounded() {
    let field = |i| Field::new(format!("c{i}"), DataType::Int8, true);
    let wide = |n: usize| Schema::new((0..n).map(field).collect::<Vec<_>>());
    assert!(canonical_schema(&wide(FIELDS_MAX)).is_ok());
    assert!(message(&wide(FIELDS_MAX + 1)).contains("more than 16384"));
    let deep = |n: usize| (0..n).fold(DataType::Int8, |inner, _| list("item", inner));
    assert!(canonical_schema(&one(deep(NESTING_MAX))).is_ok());
    assert!(message(&one(deep(NESTING_MAX + 1))).contains("deeper than 32"));
}

#[test]
fn extension_types_stay_while_their_storage_does() {
    let kept = |data_type: DataType, name: &str| {
        let metadata = [
            (EXTENSION_NAME.to_owned(), name.to_owned()),
            (EXTENSION_METADATA.to_owned(), "m".to_owned()),
            ("PARQUET:field_id".to_owned(), "7".to_owned()),
        ];
        let field = Field::new("x", data_type, true).with_metadata(metadata.into());
        let schema = canonical_schema(&Schema::new(vec![field])).unwrap();
        (
            schema.field(0).data_type().clone(),
            schema.field(0).metadata().len(),
        )
    };
    assert_eq!(
        kept(DataType::FixedSizeBinary(16), UUID),
        (DataType::FixedSizeBinary(16), 2)
    );
    assert_eq!(kept(DataType::LargeUtf8, JSON), (DataType::Utf8, 2));
    assert_eq!(kept(DataType::Int8, "arrow.bool8"), (DataType::Int8, 2));
    assert_eq!(kept(DataType::LargeUtf8, "some.text"), (DataType::Utf8, 0));
}

#[test]
fn logical_schemas_keep_all_but_layouts() {
    let metadata = [("a".to_owned(), "b".to_owned())];
    let field = Field::new("x", DataType::Utf8View, false).with_metadata(metadata.into());
    let logical = logical_schema(&Schema::new(vec![field.clone()]));
    assert_eq!(logical.field(0), &field.with_data_type(DataType::Utf8));
    let embedding = one(DataType::new_fixed_size_list(DataType::Float32, 8, true));
    assert_eq!(logical_schema(&embedding), embedding);
    let null = one(DataType::Null);
    assert_eq!(logical_schema(&null), null);
}
