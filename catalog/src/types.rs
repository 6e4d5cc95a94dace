//! Arrow types and DuckLake type names, both ways.
//!
//! A column keeps two texts: DuckLake's type, for other readers, and the exact Arrow type, because
//! several Arrow types share one DuckLake type (time zones, units). Nested types are
//! spelled by their children, so only the outermost layer is written here.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use crate::error::{CatalogError, Result};

#[cfg(test)]
mod tests;

/// The `column_type` that DuckLake has for a canonical Arrow type.
///
/// # Errors
/// `UnsupportedType` for every type that is not canonical.
pub fn ducklake_type(data_type: &DataType) -> Result<String> {
    let name = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 => "int8",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 => "uint8",
        DataType::UInt16 => "uint16",
        DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Utf8 => "varchar",
        DataType::Binary => "blob",
        DataType::Date32 => "date",
        DataType::Time64(TimeUnit::Microsecond) => "time",
        DataType::Timestamp(TimeUnit::Second, None) => "timestamp_s",
        DataType::Timestamp(TimeUnit::Millisecond, None) => "timestamp_ms",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp",
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "timestamp_ns",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        DataType::Interval(IntervalUnit::MonthDayNano) => "interval",
        DataType::FixedSizeBinary(16) => "uuid",
        DataType::List(_) => "list",
        DataType::Struct(_) => "struct",
        DataType::Map(_, _) => "map",
        DataType::Decimal128(precision, scale) if decimal_fits(*precision, *scale) => {
            return Ok(format!("decimal({precision},{scale})"));
        }
        _ => return Err(unsupported(data_type)),
    };
    Ok(name.to_owned())
}

/// The outermost layer of a canonical Arrow type as text; [`Shape::parse`] reads it back.
pub(crate) fn exact_type(data_type: &DataType) -> Result<String> {
    Ok(match data_type {
        DataType::Timestamp(unit, Some(zone)) => {
            format!("timestamptz({},{zone})", unit_name(*unit))
        }
        DataType::Map(_, true) => "map_sorted".to_owned(),
        other => ducklake_type(other)?,
    })
}

/// The outermost layer of a type, read back from text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Leaf(DataType),
    List,
    Struct,
    Map { sorted: bool },
}

impl Shape {
    /// Reads an exact type or a plain DuckLake type; `None` if it is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let leaf = match text {
            "list" => return Some(Self::List),
            "struct" => return Some(Self::Struct),
            "map" => return Some(Self::Map { sorted: false }),
            "map_sorted" => return Some(Self::Map { sorted: true }),
            "boolean" => DataType::Boolean,
            "int8" => DataType::Int8,
            "int16" => DataType::Int16,
            "int32" => DataType::Int32,
            "int64" => DataType::Int64,
            "uint8" => DataType::UInt8,
            "uint16" => DataType::UInt16,
            "uint32" => DataType::UInt32,
            "uint64" => DataType::UInt64,
            "float32" => DataType::Float32,
            "float64" => DataType::Float64,
            // JSON is text in the file too.
            "varchar" | "json" => DataType::Utf8,
            "blob" => DataType::Binary,
            "date" => DataType::Date32,
            "time" => DataType::Time64(TimeUnit::Microsecond),
            "timestamp_s" => DataType::Timestamp(TimeUnit::Second, None),
            "timestamp_ms" => DataType::Timestamp(TimeUnit::Millisecond, None),
            "timestamp" | "timestamp_us" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "timestamp_ns" => DataType::Timestamp(TimeUnit::Nanosecond, None),
            "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
            "uuid" => DataType::FixedSizeBinary(16),
            other => parse_with_arguments(other)?,
        };
        Some(Self::Leaf(leaf))
    }
}

fn parse_with_arguments(text: &str) -> Option<DataType> {
    let (name, arguments) = text.strip_suffix(')')?.split_once('(')?;
    let (first, second) = arguments.split_once(',')?;
    match name {
        "decimal" => {
            let (precision, scale) = (first.parse().ok()?, second.parse().ok()?);
            decimal_fits(precision, scale).then_some(DataType::Decimal128(precision, scale))
        }
        "timestamptz" => Some(DataType::Timestamp(
            parse_unit(first)?,
            Some(Arc::from(second)),
        )),
        _ => None,
    }
}

/// DuckLake's decimals have no negative scale.
fn decimal_fits(precision: u8, scale: i8) -> bool {
    (1..=38).contains(&precision) && u8::try_from(scale).is_ok_and(|scale| scale <= precision)
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

fn parse_unit(text: &str) -> Option<TimeUnit> {
    let units = [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ];
    units.into_iter().find(|unit| unit_name(*unit) == text)
}

fn unsupported(data_type: &DataType) -> CatalogError {
    CatalogError::UnsupportedType {
        column: String::new(),
        data_type: data_type.clone(),
    }
}
