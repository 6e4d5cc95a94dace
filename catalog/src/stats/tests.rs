#![expect(clippy::unwrap_used, reason = "tests")]

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::{Bound, TableColumnStats, compare_bounds, is_bound, merge_stats};
use crate::leaf_index::LeafIndex;
use crate::{ColumnId, ColumnStats, assign_columns};

/// Each list is in ascending order.
fn ordered() -> Vec<(DataType, Vec<&'static str>)> {
    let zone = Some(Arc::from("UTC"));
    vec![
        (DataType::Boolean, vec!["0", "1"]),
        (
            DataType::Int64,
            vec!["-9223372036854775808", "-10", "-9", "0", "9", "10"],
        ),
        (
            DataType::UInt64,
            vec!["9", "10", "18446744073709551614", "18446744073709551615"],
        ),
        (
            DataType::Float64,
            vec!["-inf", "-2.5e+300", "-1.0", "0.5", "9.0", "10.0", "inf"],
        ),
        (
            DataType::Decimal128(38, 3),
            vec!["-12.345", "-12.3", "0.001", "9", "9.1", "10.000"],
        ),
        (DataType::Utf8, vec!["", "A", "B", "a", "ab", "é"]),
        (DataType::Binary, vec!["", "00", "AB01", "AB0101", "FF"]),
        (
            DataType::Date32,
            vec![
                "0045-01-01 (BC)",
                "0044-01-02 (BC)",
                "0001-01-01",
                "2020-01-02",
                "12020-01-01",
            ],
        ),
        (
            DataType::Timestamp(TimeUnit::Microsecond, None),
            vec![
                "-infinity",
                "2020-01-01 00:00:00",
                "2020-01-01 00:00:00.5",
                "12020-01-01 00:00:00",
            ],
        ),
        (
            DataType::Timestamp(TimeUnit::Microsecond, zone),
            vec![
                "2020-01-01 00:00:00+00",
                "2020-01-01 00:00:00.5+00",
                "2020-01-01 00:00:01+00",
            ],
        ),
        (
            DataType::Time64(TimeUnit::Microsecond),
            vec!["00:00:00", "01:02:03", "01:02:03.4"],
        ),
    ]
}

#[test]
fn bounds_compare_by_type() {
    for (data_type, texts) in ordered() {
        for (i, a) in texts.iter().enumerate() {
            for (j, b) in texts.iter().enumerate() {
                assert_eq!(compare_bounds(&data_type, a, b), Some(i.cmp(&j)), "{a} {b}");
            }
        }
    }
    let decimal = DataType::Decimal128(9, 3);
    assert_eq!(
        compare_bounds(&decimal, "-0.5", "-0.50"),
        Some(Ordering::Equal)
    );
}

#[test]
fn texts_of_another_type_are_no_bounds() {
    let wrong = [
        (DataType::Boolean, "true"),
        (DataType::Int64, "1.5"),
        (DataType::Float64, "nan"),
        (DataType::Decimal128(9, 2), "1.234"),
        (DataType::Decimal128(9, 2), "-"),
        (DataType::Decimal128(9, 2), "--1"),
        (DataType::Binary, "\\x00"),
        (DataType::Date32, "yesterday"),
        (
            DataType::List(Arc::new(Field::new("element", DataType::Int8, true))),
            "[]",
        ),
    ];
    for (data_type, text) in wrong {
        assert!(!is_bound(&data_type, text), "{data_type} {text}");
    }
}

fn stats(min: Option<&str>, max: Option<&str>, values: u64, nulls: u64) -> ColumnStats {
    ColumnStats {
        column_id: ColumnId(1),
        column_size_bytes: 1,
        value_count: values,
        null_count: nulls,
        min: min.map(str::to_owned),
        max: max.map(str::to_owned),
        contains_nan: None,
    }
}

fn merged(segments: &[ColumnStats]) -> TableColumnStats {
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let columns = assign_columns(&schema).unwrap();
    let leaves = LeafIndex::new(&columns);
    let mut table = vec![];
    for segment in segments {
        merge_stats(&mut table, &leaves, std::slice::from_ref(segment));
    }
    table.pop().unwrap()
}

#[test]
fn the_bounds_of_a_table_hold_for_all_segments() {
    let table = merged(&[
        stats(Some("9"), Some("10"), 2, 0),
        stats(Some("-2"), Some("9"), 2, 1),
    ]);
    assert_eq!(
        (table.min.known(), table.max.known()),
        (Some("-2"), Some("10"))
    );
    assert!(table.contains_null);
}

#[test]
fn nulls_alone_leave_bounds_as_they_are() {
    let nulls = stats(None, None, 0, 5);
    let values = stats(Some("1"), Some("2"), 2, 0);
    for segments in [[nulls.clone(), values.clone()], [values, nulls.clone()]] {
        assert_eq!(merged(&segments).max.known(), Some("2"));
    }
    assert_eq!(merged(&[nulls]).min, Bound::NoValues);
}

#[test]
fn an_unknown_bound_stays_unknown() {
    let unknown = stats(None, Some("3"), 2, 0);
    let values = stats(Some("1"), Some("2"), 2, 0);
    for segments in [[unknown.clone(), values.clone()], [values, unknown]] {
        let table = merged(&segments);
        assert_eq!((table.min, table.max.known()), (Bound::Unknown, Some("3")));
    }
}

#[test]
fn nan_is_unknown_unless_all_know() {
    let with = |nan| ColumnStats {
        contains_nan: nan,
        ..stats(None, None, 1, 0)
    };
    assert_eq!(
        merged(&[with(Some(false)), with(Some(false))]).contains_nan,
        Some(false)
    );
    assert_eq!(merged(&[with(None), with(Some(false))]).contains_nan, None);
    assert_eq!(
        merged(&[with(None), with(Some(true))]).contains_nan,
        Some(true)
    );
}
