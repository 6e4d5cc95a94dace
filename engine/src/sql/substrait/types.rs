//! Types of plans.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use quiver_proto::substrait::{DecimalType, Kind, Type};

use super::{invalid, need, unsupported};
use crate::error::Result;

/// Digits of the widest decimal.
const DECIMAL_DIGITS_MAX: u8 = 38;
/// Bytes of a binary of fixed length: each NULL takes as many.
const FIXED_BYTES_MAX: i32 = 4096;
/// Variations of texts and binaries that say how they lie in memory, as DataFusion writes them.
const LAYOUTS_MAX: u32 = 2;

/// Types that can stand for each other in a `base_schema`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Class {
    Boolean,
    Number,
    Text,
    Binary,
    Date,
    Time,
    Timestamp,
    Interval,
    Struct,
    List,
    Map,
    Other,
}

impl Class {
    pub(super) fn of_type(kind: &Type) -> Result<Self> {
        Ok(match kind_of(kind)? {
            Kind::Bool(_) => Self::Boolean,
            Kind::I8(_) | Kind::I16(_) | Kind::I32(_) | Kind::I64(_) => Self::Number,
            Kind::Fp32(_) | Kind::Fp64(_) | Kind::Decimal(_) => Self::Number,
            Kind::String(_) | Kind::FixedChar(_) | Kind::Varchar(_) => Self::Text,
            Kind::Binary(_) | Kind::FixedBinary(_) | Kind::Uuid(_) => Self::Binary,
            Kind::Date(_) => Self::Date,
            Kind::Time(_) | Kind::PrecisionTime(_) => Self::Time,
            Kind::Timestamp(_) | Kind::PrecisionTimestamp(_) => Self::Timestamp,
            Kind::TimestampTz(_) | Kind::PrecisionTimestampTz(_) => Self::Timestamp,
            Kind::IntervalYear(_) | Kind::IntervalDay(_) | Kind::IntervalCompound(_) => {
                Self::Interval
            }
            Kind::Struct(_) => Self::Struct,
            Kind::List(_) => Self::List,
            Kind::Map(_) => Self::Map,
            other => return Err(unsupported(format_args!("type {}", name_of(other)))),
        })
    }

    pub(super) fn of_arrow(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            kind if kind.is_numeric() => Self::Number,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Binary,
            DataType::FixedSizeBinary(_) => Self::Binary,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(..) => Self::Timestamp,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Struct(_) => Self::Struct,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Self::List,
            DataType::Map(..) => Self::Map,
            DataType::Dictionary(_, value) => Self::of_arrow(value),
            _ => Self::Other,
        }
    }
}

/// How many names of nested fields come after the name of a column of this type.
pub(super) fn names_in(kind: &Type) -> usize {
    let of = |kind: &Option<Box<Type>>| kind.as_deref().map_or(0, names_in);
    match &kind.kind {
        Some(Kind::Struct(fields)) => fields.types.iter().map(|kind| 1 + names_in(kind)).sum(),
        Some(Kind::List(list)) => of(&list.item),
        Some(Kind::Map(map)) => of(&map.key) + of(&map.value),
        _ => 0,
    }
}

/// The type of values: of a constant, a cast, a parameter.
pub(super) fn arrow_type(kind: &Type) -> Result<DataType> {
    let kind = kind_of(kind)?;
    refuse_variation(kind)?;
    Ok(match kind {
        Kind::Bool(_) => DataType::Boolean,
        Kind::I8(_) => DataType::Int8,
        Kind::I16(_) => DataType::Int16,
        Kind::I32(_) => DataType::Int32,
        Kind::I64(_) => DataType::Int64,
        Kind::Fp32(_) => DataType::Float32,
        Kind::Fp64(_) => DataType::Float64,
        Kind::String(_) | Kind::FixedChar(_) | Kind::Varchar(_) => DataType::Utf8,
        Kind::Binary(_) => DataType::Binary,
        Kind::FixedBinary(binary) if (1..=FIXED_BYTES_MAX).contains(&binary.size) => {
            DataType::FixedSizeBinary(binary.size)
        }
        Kind::FixedBinary(binary) => {
            return Err(invalid(format_args!("a binary of {} bytes", binary.size)));
        }
        Kind::Date(_) => DataType::Date32,
        Kind::Time(_) => DataType::Time64(TimeUnit::Microsecond),
        Kind::PrecisionTime(time) => DataType::Time64(unit(time.size)?),
        Kind::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::TimestampTz(_) => utc(TimeUnit::Microsecond),
        Kind::PrecisionTimestamp(time) => DataType::Timestamp(unit(time.size)?, None),
        Kind::PrecisionTimestampTz(time) => utc(unit(time.size)?),
        Kind::IntervalYear(_) => DataType::Interval(IntervalUnit::YearMonth),
        Kind::IntervalDay(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        Kind::Decimal(decimal) => decimal_type(decimal)?,
        Kind::List(list) => {
            let item = arrow_type(need(list.item.as_deref(), "the item of a list type")?)?;
            DataType::List(Arc::new(Field::new_list_field(item, true)))
        }
        other => return Err(unsupported(format_args!("type {} here", name_of(other)))),
    })
}

/// Points in time are microseconds wherever these are enough.
pub(super) fn unit(precision: i32) -> Result<TimeUnit> {
    match precision {
        0..=6 => Ok(TimeUnit::Microsecond),
        7..=9 => Ok(TimeUnit::Nanosecond),
        _ => Err(unsupported(format_args!("time of precision {precision}"))),
    }
}

pub(super) fn utc(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

/// Digits and places of a decimal, if there can be such a one.
pub(super) fn decimal_digits(precision: i32, scale: i32) -> Result<(u8, i8)> {
    let digits = u8::try_from(precision).ok();
    let digits = digits.filter(|digits| (1..=DECIMAL_DIGITS_MAX).contains(digits));
    let places = i8::try_from(scale).ok();
    let places = places.filter(|places| *places >= 0 && scale <= precision);
    match (digits, places) {
        (Some(digits), Some(places)) => Ok((digits, places)),
        _ => Err(invalid(format_args!("a decimal({precision}, {scale})"))),
    }
}

fn decimal_type(decimal: &DecimalType) -> Result<DataType> {
    let (digits, places) = decimal_digits(decimal.precision, decimal.scale)?;
    Ok(DataType::Decimal128(digits, places))
}

fn kind_of(kind: &Type) -> Result<&Kind> {
    let unknown = || unsupported("type of an unknown kind");
    kind.kind.as_ref().ok_or_else(unknown)
}

fn refuse_variation(kind: &Kind) -> Result<()> {
    let (variation, max) = match kind {
        Kind::String(kind) | Kind::Binary(kind) => (kind.variation, LAYOUTS_MAX),
        Kind::Bool(kind) | Kind::I8(kind) | Kind::I16(kind) | Kind::I32(kind) => {
            (kind.variation, 0)
        }
        Kind::I64(kind) | Kind::Fp32(kind) | Kind::Fp64(kind) => (kind.variation, 0),
        Kind::Date(kind) | Kind::Time(kind) | Kind::Timestamp(kind) => (kind.variation, 0),
        Kind::TimestampTz(kind) | Kind::IntervalYear(kind) => (kind.variation, 0),
        Kind::IntervalDay(kind) | Kind::Uuid(kind) => (kind.variation, 0),
        Kind::FixedChar(kind) | Kind::Varchar(kind) => (kind.variation, 0),
        Kind::FixedBinary(kind) | Kind::PrecisionTime(kind) => (kind.variation, 0),
        Kind::PrecisionTimestamp(kind) | Kind::PrecisionTimestampTz(kind) => (kind.variation, 0),
        Kind::Decimal(kind) => (kind.variation, 0),
        _ => (0, 0),
    };
    match variation > max {
        true => Err(unsupported(format_args!(
            "variation {variation} of type {}",
            name_of(kind)
        ))),
        false => Ok(()),
    }
}

fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Struct(_) => "struct",
        Kind::Map(_) => "map",
        Kind::Uuid(_) => "uuid",
        Kind::UserDefined(_) | Kind::UserDefinedReference(_) => "user_defined",
        Kind::IntervalCompound(_) => "interval_compound",
        Kind::Alias(_) => "alias",
        Kind::Func(_) => "func",
        Kind::I8(_) | Kind::I16(_) | Kind::I32(_) | Kind::I64(_) => "integer",
        _ => "value",
    }
}
