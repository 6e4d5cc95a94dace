//! Random tables for tests: every canonical type, with the values that break readers.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, RecordBatch, StructArray, new_empty_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use quiver_catalog::{Column, assign_columns};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Every canonical scalar type a segment can hold, with a column name.
pub(crate) fn scalar_types() -> Vec<(&'static str, DataType)> {
    let zone = |name: &str| Some(Arc::from(name));
    vec![
        ("flag", DataType::Boolean),
        ("i8", DataType::Int8),
        ("i16", DataType::Int16),
        ("i32", DataType::Int32),
        ("i64", DataType::Int64),
        ("u8", DataType::UInt8),
        ("u16", DataType::UInt16),
        ("u32", DataType::UInt32),
        ("u64", DataType::UInt64),
        ("f32", DataType::Float32),
        ("f64", DataType::Float64),
        ("dec5", DataType::Decimal128(5, 2)),
        ("dec15", DataType::Decimal128(15, 0)),
        ("dec38", DataType::Decimal128(38, 10)),
        ("text", DataType::Utf8),
        ("blob", DataType::Binary),
        ("day", DataType::Date32),
        ("time", DataType::Time64(TimeUnit::Microsecond)),
        ("ts_s", DataType::Timestamp(TimeUnit::Second, None)),
        ("ts_ms", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("ts_us", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("ts_ns", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        (
            "ts_utc",
            DataType::Timestamp(TimeUnit::Microsecond, zone("UTC")),
        ),
        (
            "ts_zone",
            DataType::Timestamp(TimeUnit::Microsecond, zone("Europe/Berlin")),
        ),
        ("uuid", DataType::FixedSizeBinary(16)),
    ]
}

/// Nested types, some of them NOT NULL inside.
pub(crate) fn nested_types() -> Vec<(&'static str, DataType)> {
    let list = |element: DataType, nullable| {
        DataType::List(Arc::new(Field::new("item", element, nullable)))
    };
    let pair = DataType::Struct(Fields::from(vec![
        Field::new("a", DataType::Int32, false),
        Field::new("b", DataType::Utf8, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Second, None), true),
    ]));
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", list(DataType::Float64, true), true),
    ]);
    vec![
        ("ints", list(DataType::Int32, true)),
        ("firm", list(DataType::Utf8, false)),
        ("pair", pair.clone()),
        ("pairs", list(pair, true)),
        (
            "deep",
            list(list(DataType::FixedSizeBinary(16), true), true),
        ),
        (
            "map",
            DataType::Map(
                Arc::new(Field::new("entries", DataType::Struct(entries), false)),
                false,
            ),
        ),
    ]
}

/// Columns of the given types; every third one is NOT NULL.
pub(crate) fn columns_of(types: &[(&str, DataType)]) -> Vec<Column> {
    let fields = types
        .iter()
        .enumerate()
        .map(|(at, (name, data_type))| Field::new(*name, data_type.clone(), at % 3 != 2));
    assign_columns(&Schema::new(fields.collect::<Vec<_>>())).unwrap()
}

/// Random rows; `spread` tells how far values lie apart (small: many equal ones).
pub(crate) fn random_batch(
    schema: &Arc<Schema>,
    rows: usize,
    spread: i64,
    rng: &mut StdRng,
) -> RecordBatch {
    let arrays = schema
        .fields()
        .iter()
        .map(|field| random_array(field, rows, spread, rng))
        .collect();
    RecordBatch::try_new(Arc::clone(schema), arrays).unwrap()
}

pub(crate) fn seeded(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn random_array(field: &Field, rows: usize, spread: i64, rng: &mut StdRng) -> ArrayRef {
    let nulls = || NullBuffer::from(vec![true; rows]);
    let nulls = if field.is_nullable() {
        NullBuffer::from(
            (0..rows)
                .map(|_| rng.random_range(0..5) != 0)
                .collect::<Vec<_>>(),
        )
    } else {
        nulls()
    };
    match field.data_type() {
        DataType::List(element) => {
            let offsets = random_offsets(rows, rng);
            let values = random_array(element, *offsets.last().unwrap() as usize, spread, rng);
            Arc::new(ListArray::new(
                Arc::clone(element),
                offsets,
                values,
                Some(nulls),
            ))
        }
        DataType::Map(entries, sorted) => {
            let offsets = random_offsets(rows, rng);
            let values = random_array(entries, *offsets.last().unwrap() as usize, spread, rng);
            let values = values
                .as_any()
                .downcast_ref::<StructArray>()
                .unwrap()
                .clone();
            let entries = Arc::clone(entries);
            Arc::new(MapArray::new(
                entries,
                offsets,
                values,
                Some(nulls),
                *sorted,
            ))
        }
        DataType::Struct(fields) => {
            let children = fields
                .iter()
                .map(|field| random_array(field, rows, spread, rng));
            Arc::new(StructArray::new(
                fields.clone(),
                children.collect(),
                Some(nulls),
            ))
        }
        data_type => {
            if rows == 0 {
                return new_empty_array(data_type);
            }
            let null = ScalarValue::try_from(data_type).unwrap();
            let values = (0..rows).map(|row| match nulls.is_valid(row) {
                true => random_scalar(data_type, spread, rng),
                false => null.clone(),
            });
            ScalarValue::iter_to_array(values.collect::<Vec<_>>()).unwrap()
        }
    }
}

fn random_offsets(rows: usize, rng: &mut StdRng) -> OffsetBuffer<i32> {
    OffsetBuffer::from_lengths((0..rows).map(|_| rng.random_range(0..4_usize)))
}

/// A value of a canonical scalar type, now and then one of its extremes.
pub(crate) fn random_scalar(data_type: &DataType, spread: i64, rng: &mut StdRng) -> ScalarValue {
    let extreme = rng.random_range(0..20) == 0;
    let n = rng.random_range(-spread..=spread);
    match data_type {
        DataType::Boolean => ScalarValue::Boolean(Some(n % 2 == 0)),
        DataType::Float32 => ScalarValue::Float32(Some(random_float(n, extreme, rng) as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(random_float(n, extreme, rng))),
        DataType::Decimal128(precision, scale) => {
            let max = 10_i128.pow(u32::from(*precision)) - 1;
            let value = if extreme {
                max * i128::from(n.signum())
            } else {
                i128::from(n)
            };
            ScalarValue::Decimal128(Some(value.clamp(-max, max)), *precision, *scale)
        }
        DataType::Utf8 => ScalarValue::Utf8(Some(random_string(n, extreme, rng))),
        DataType::Binary => {
            let fill = [0, 0x7F, u8::MAX][rng.random_range(0..3)];
            let mut bytes = n.to_be_bytes()[6..].to_vec();
            if extreme {
                bytes = vec![fill; rng.random_range(0..600)];
            }
            ScalarValue::Binary(Some(bytes))
        }
        DataType::FixedSizeBinary(16) => {
            let fill = if n < 0 { u8::MAX } else { 0 };
            let mut bytes = vec![fill; 8];
            bytes.extend(n.to_be_bytes());
            ScalarValue::FixedSizeBinary(16, Some(bytes))
        }
        DataType::Time64(_) => {
            let day = 86_400_000_000;
            ScalarValue::Time64Microsecond(Some(if extreme { day - 1 } else { n.rem_euclid(day) }))
        }
        DataType::Date32 => {
            let days = if extreme { n.signum() * 4_000_000 } else { n };
            ScalarValue::Date32(Some(i32::try_from(days).unwrap()))
        }
        DataType::Timestamp(unit, zone) => random_timestamp(*unit, zone.clone(), n, extreme),
        integer => {
            let number = ScalarValue::Int64(Some(if extreme { n.signum() * 255 } else { n }));
            let null = || number_in_range(integer, n);
            number
                .cast_to(integer)
                .ok()
                .filter(|v| !v.is_null())
                .unwrap_or_else(null)
        }
    }
}

fn number_in_range(data_type: &DataType, n: i64) -> ScalarValue {
    let number = ScalarValue::Int64(Some(n.rem_euclid(128)));
    number.cast_to(data_type).unwrap()
}

fn random_timestamp(unit: TimeUnit, zone: Option<Arc<str>>, n: i64, extreme: bool) -> ScalarValue {
    match unit {
        // Beyond what text bounds can say, and as far as milliseconds can hold it.
        TimeUnit::Second => {
            let value = if extreme {
                n.signum() * (i64::MAX / 1000)
            } else {
                n * 86_400
            };
            ScalarValue::TimestampSecond(Some(value), zone)
        }
        TimeUnit::Millisecond => {
            let value = if extreme {
                n.signum() * i64::MAX
            } else {
                n * 1001
            };
            ScalarValue::TimestampMillisecond(Some(value), zone)
        }
        TimeUnit::Microsecond => {
            let value = if extreme {
                n.signum() * i64::MAX
            } else {
                n * 86_400_001
            };
            ScalarValue::TimestampMicrosecond(Some(value), zone)
        }
        TimeUnit::Nanosecond => {
            let value = if extreme { n.signum() * i64::MAX } else { n };
            ScalarValue::TimestampNanosecond(Some(value), zone)
        }
    }
}

fn random_float(n: i64, extreme: bool, rng: &mut StdRng) -> f64 {
    let odd = [
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        f64::MIN_POSITIVE,
    ];
    if extreme {
        odd[rng.random_range(0..odd.len())]
    } else {
        n as f64 / 4.0
    }
}

fn random_string(n: i64, extreme: bool, rng: &mut StdRng) -> String {
    if !extreme {
        return format!("s{n:+05}");
    }
    match rng.random_range(0..6) {
        0 => String::new(),
        1 => format!("nul\0{n}"),
        2 => "é".repeat(rng.random_range(100..300)),
        3 => char::MAX.to_string().repeat(rng.random_range(1..100)),
        4 => format!("{}{n}", "z".repeat(256)),
        _ => format!("{}\u{D7FF}", "a".repeat(253)),
    }
}
