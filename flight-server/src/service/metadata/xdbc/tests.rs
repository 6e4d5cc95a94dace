#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;

use super::*;

fn names(command: CommandGetXdbcTypeInfo) -> Vec<String> {
    let batch = type_info(command).unwrap();
    assert_eq!(batch.schema(), type_info_schema());
    batch
        .column(0)
        .as_string::<i32>()
        .iter()
        .map(|name| name.unwrap().to_owned())
        .collect()
}

#[test]
fn all_types_are_listed_by_number_and_name() {
    let all = names(CommandGetXdbcTypeInfo { data_type: None });
    assert_eq!(all.len(), canonical_types().len());
    for name in [
        "BIGINT",
        "VARCHAR",
        "DECIMAL",
        "TIMESTAMP WITH TIME ZONE",
        "UUID",
        "ARRAY",
    ] {
        assert!(all.contains(&name.to_owned()), "{name} in {all:?}");
    }
    let batch = type_info(CommandGetXdbcTypeInfo { data_type: None }).unwrap();
    assert!(
        batch
            .column(1)
            .as_primitive::<Int32Type>()
            .values()
            .is_sorted()
    );
}

#[test]
fn one_number_gives_its_types() {
    let number = |data_type: XdbcDataType| Some(data_type as i32);
    let of = |data_type| names(CommandGetXdbcTypeInfo { data_type });
    assert_eq!(
        of(number(XdbcDataType::XdbcBigint)),
        ["BIGINT", "INTEGER UNSIGNED"]
    );
    assert_eq!(of(number(XdbcDataType::XdbcVarchar)), ["VARCHAR"]);
    assert!(of(Some(4_711)).is_empty());
}

#[test]
fn dates_and_times_are_one_family_told_apart_by_subcode() {
    let describe = |data_type| {
        let info = describe(&data_type);
        (info.sql_data_type, info.datetime_subcode)
    };
    let family = XdbcDataType::XdbcDatetime;
    assert_eq!(
        describe(DataType::Date32),
        (family, Some(XdbcDatetimeSubcode::XdbcSubcodeYear))
    );
    assert_eq!(
        describe(DataType::Timestamp(TimeUnit::Microsecond, None)),
        (family, Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp))
    );
    assert_eq!(describe(DataType::Int64), (XdbcDataType::XdbcBigint, None));
}
