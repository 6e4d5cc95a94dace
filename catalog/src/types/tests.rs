#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::{Shape, ducklake_type, exact_type};

fn leaves() -> Vec<DataType> {
    let mut types = vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(1, 0),
        DataType::Decimal128(38, 38),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::FixedSizeBinary(16),
    ];
    let units = [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ];
    for unit in units {
        types.push(DataType::Timestamp(unit, None));
        for zone in ["UTC", "Europe/Berlin", "+02:00", "odd, (zone)"] {
            types.push(DataType::Timestamp(unit, Some(Arc::from(zone))));
        }
    }
    types
}

#[test]
fn exact_types_come_back() {
    for data_type in leaves() {
        let text = exact_type(&data_type).unwrap();
        assert_eq!(Shape::parse(&text), Some(Shape::Leaf(data_type)), "{text}");
    }
}

#[test]
fn ducklake_types_are_readable_without_the_exact_type() {
    for data_type in leaves() {
        let text = ducklake_type(&data_type).unwrap();
        let Some(Shape::Leaf(read)) = Shape::parse(&text) else {
            unreachable!("{text}")
        };
        assert_eq!(ducklake_type(&read).unwrap(), text);
    }
}

#[test]
fn what_ducklake_cannot_hold_is_refused() {
    let refused = [
        DataType::Null,
        DataType::Float16,
        DataType::Decimal128(10, -2),
        DataType::Decimal256(40, 2),
        DataType::FixedSizeBinary(8),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Duration(TimeUnit::Second),
        DataType::Interval(IntervalUnit::YearMonth),
        DataType::Utf8View,
    ];
    for data_type in refused {
        assert!(ducklake_type(&data_type).is_err(), "{data_type}");
    }
}

#[test]
fn unknown_texts_are_no_types() {
    for text in [
        "",
        "decimal",
        "decimal(39,0)",
        "decimal(4,5)",
        "timestamptz(us)",
        "variant",
    ] {
        assert_eq!(Shape::parse(text), None, "{text}");
    }
}
