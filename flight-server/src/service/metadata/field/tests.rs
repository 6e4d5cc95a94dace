use super::*;

fn entries(data_type: DataType) -> (String, Option<String>, Option<String>) {
    let schema = with_sql_types(&Schema::new(vec![Field::new("c", data_type, true)]));
    let metadata = schema.field(0).metadata();
    let get = |key: &str| metadata.get(key).cloned();
    (
        get(TYPE_NAME).unwrap_or_default(),
        get(PRECISION),
        get(SCALE),
    )
}

#[test]
fn types_have_name_precision_and_scale() {
    let utc = || Some(Arc::from("Europe/Berlin"));
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    let cases = [
        (DataType::Boolean, "BOOLEAN", Some(1), None),
        (DataType::Int8, "TINYINT", Some(3), Some(0)),
        (DataType::Int64, "BIGINT", Some(19), Some(0)),
        (DataType::UInt64, "BIGINT UNSIGNED", Some(20), Some(0)),
        (DataType::Float64, "DOUBLE", None, None),
        (DataType::Decimal128(12, 3), "DECIMAL", Some(12), Some(3)),
        (DataType::Decimal128(5, -2), "DECIMAL", Some(5), Some(-2)),
        (DataType::Utf8, "VARCHAR", Some(2_147_483_647), None),
        (DataType::Utf8View, "VARCHAR", Some(2_147_483_647), None),
        (DataType::Binary, "BYTEA", Some(2_147_483_647), None),
        (DataType::FixedSizeBinary(16), "UUID", Some(16), None),
        (DataType::Date32, "DATE", Some(10), None),
        (
            DataType::Time64(TimeUnit::Microsecond),
            "TIME",
            Some(15),
            Some(6),
        ),
        (
            DataType::Timestamp(TimeUnit::Second, None),
            "TIMESTAMP",
            Some(19),
            Some(0),
        ),
        (
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            "TIMESTAMP",
            Some(29),
            Some(9),
        ),
        (
            DataType::Timestamp(TimeUnit::Microsecond, utc()),
            "TIMESTAMP WITH TIME ZONE",
            Some(32),
            Some(6),
        ),
        (list, "BIGINT[]", None, None),
    ];
    for (data_type, name, precision, scale) in cases {
        let expected = (
            name.to_owned(),
            precision.map(|digits: i64| digits.to_string()),
            scale.map(|digits: i64| digits.to_string()),
        );
        assert_eq!(entries(data_type.clone()), expected, "{data_type}");
    }
}

#[test]
fn nothing_but_metadata_changes() {
    let field = Field::new("a", DataType::Int32, false)
        .with_metadata([("mine".to_owned(), "kept".to_owned())].into());
    let schema = Schema::new_with_metadata(vec![field], [("k".into(), "v".into())].into());
    let described = with_sql_types(&schema);
    assert_eq!(described.metadata(), schema.metadata());
    let (old, new) = (schema.field(0), described.field(0));
    assert_eq!((old.name(), old.data_type()), (new.name(), new.data_type()));
    assert!(!new.is_nullable());
    assert_eq!(new.metadata()["mine"], "kept");
}

#[test]
fn columns_of_tables_say_where_they_belong() {
    let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true)]);
    let place = Place {
        catalog: "acme",
        schema: "main",
        table: "t",
        read_only: true,
    };
    let described = with_column_metadata(&schema, place);
    let metadata = described.field(0).metadata();
    for (key, value) in [
        (CATALOG_NAME, "acme"),
        (DB_SCHEMA_NAME, "main"),
        (SCHEMA_NAME, "main"),
        (TABLE_NAME, "t"),
        (TYPE_NAME, "VARCHAR"),
        (IS_AUTO_INCREMENT, "0"),
        (IS_CASE_SENSITIVE, "1"),
        (IS_READ_ONLY, "1"),
        (IS_SEARCHABLE, "1"),
    ] {
        assert_eq!(metadata[key], value, "{key}");
    }
}
