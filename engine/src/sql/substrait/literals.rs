//! Constants of plans.

use arrow::datatypes::{IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;
use quiver_proto::substrait::{Decimal, IntervalDayToSecond, Literal, LiteralType, Precise};

use super::types::{arrow_type, decimal_digits, unit};
use super::{invalid, unsupported};
use crate::error::{EngineError, Result};

/// Variations of texts and binaries that say how they lie in memory, as DataFusion writes them.
const LAYOUTS_MAX: u32 = 2;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MICRO: i64 = 1000;

/// The value of a constant.
pub(super) fn scalar(literal: &Literal) -> Result<ScalarValue> {
    let value = literal.value.as_ref();
    let value = value.ok_or_else(|| unsupported("literal of an unknown kind"))?;
    let layouts = match value {
        LiteralType::String(_) | LiteralType::Binary(_) => LAYOUTS_MAX,
        _ => 0,
    };
    if literal.variation > layouts {
        let variation = literal.variation;
        return Err(unsupported(format_args!(
            "literal of type variation {variation}"
        )));
    }
    Ok(match value {
        LiteralType::Boolean(value) => ScalarValue::Boolean(Some(*value)),
        LiteralType::I8(value) => ScalarValue::Int8(Some(small(*value)?)),
        LiteralType::I16(value) => ScalarValue::Int16(Some(small(*value)?)),
        LiteralType::I32(value) => ScalarValue::Int32(Some(*value)),
        LiteralType::I64(value) => ScalarValue::Int64(Some(*value)),
        LiteralType::Fp32(value) => ScalarValue::Float32(Some(*value)),
        LiteralType::Fp64(value) => ScalarValue::Float64(Some(*value)),
        LiteralType::String(text) | LiteralType::FixedChar(text) => {
            ScalarValue::from(text.as_str())
        }
        LiteralType::VarChar(text) => ScalarValue::from(text.value.as_str()),
        LiteralType::Binary(bytes) => ScalarValue::Binary(Some(bytes.clone())),
        LiteralType::FixedBinary(bytes) => fixed(bytes)?,
        LiteralType::Date(days) => ScalarValue::Date32(Some(*days)),
        LiteralType::Decimal(value) => decimal(value)?,
        LiteralType::Null(kind) => ScalarValue::try_from(&arrow_type(kind)?)?,
        LiteralType::Timestamp(micros) => ScalarValue::TimestampMicrosecond(Some(*micros), None),
        LiteralType::TimestampTz(micros) => {
            ScalarValue::TimestampMicrosecond(Some(*micros), Some("UTC".into()))
        }
        LiteralType::Time(micros) => time(*micros, TimeUnit::Microsecond)?,
        LiteralType::PrecisionTimestamp(value) => timestamp(value, false)?,
        LiteralType::PrecisionTimestampTz(value) => timestamp(value, true)?,
        LiteralType::PrecisionTime(value) => time(scaled(value)?, unit(value.precision)?)?,
        LiteralType::IntervalYearToMonth(interval) => {
            let months = interval.years.checked_mul(12);
            let months = months.and_then(|months| months.checked_add(interval.months));
            ScalarValue::IntervalYearMonth(Some(months.ok_or_else(too_large)?))
        }
        LiteralType::IntervalDayToSecond(interval) => day_to_second(interval)?,
        LiteralType::Struct(_) => return Err(unsupported("literal of a struct")),
        LiteralType::Map(_) | LiteralType::EmptyMap(_) => {
            return Err(unsupported("literal of a map"));
        }
        LiteralType::List(_) | LiteralType::EmptyList(_) => {
            return Err(unsupported("literal of a list"));
        }
        LiteralType::Uuid(_) => return Err(unsupported("literal of a uuid")),
        LiteralType::UserDefined(_) => return Err(unsupported("literal of a user_defined type")),
        LiteralType::IntervalCompound(_) => {
            return Err(unsupported("literal of an interval_compound"));
        }
    })
}

fn small<T: TryFrom<i32>>(value: i32) -> Result<T> {
    T::try_from(value).map_err(|_| too_large())
}

fn fixed(bytes: &[u8]) -> Result<ScalarValue> {
    let length = i32::try_from(bytes.len()).map_err(|_| too_large())?;
    if length == 0 {
        return Err(invalid("a binary of fixed length 0"));
    }
    Ok(ScalarValue::FixedSizeBinary(length, Some(bytes.to_vec())))
}

fn decimal(decimal: &Decimal) -> Result<ScalarValue> {
    let (digits, places) = decimal_digits(decimal.precision, decimal.scale)?;
    let bytes: [u8; 16] = decimal
        .value
        .as_slice()
        .try_into()
        .map_err(|_| invalid("a decimal that has not 16 bytes"))?;
    let value = i128::from_le_bytes(bytes);
    let limit = 10_u128.pow(u32::from(digits));
    if value.unsigned_abs() >= limit {
        return Err(too_large());
    }
    Ok(ScalarValue::Decimal128(Some(value), digits, places))
}

/// In the unit that [`unit`] gives for its precision.
fn scaled(value: &Precise) -> Result<i64> {
    let digits = match unit(value.precision)? {
        TimeUnit::Nanosecond => 9,
        _ => 6,
    };
    let missing = u32::try_from(digits - value.precision).unwrap_or_default();
    let scaled = value.value.checked_mul(10_i64.pow(missing));
    scaled.ok_or_else(too_large)
}

fn timestamp(value: &Precise, is_utc: bool) -> Result<ScalarValue> {
    let scaled = Some(scaled(value)?);
    let zone = is_utc.then(|| "UTC".into());
    Ok(match unit(value.precision)? {
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(scaled, zone),
        _ => ScalarValue::TimestampMicrosecond(scaled, zone),
    })
}

fn time(value: i64, unit: TimeUnit) -> Result<ScalarValue> {
    let (nanos, time) = match unit {
        TimeUnit::Nanosecond => (Some(value), ScalarValue::Time64Nanosecond(Some(value))),
        _ => (
            value.checked_mul(NANOS_PER_MICRO),
            ScalarValue::Time64Microsecond(Some(value)),
        ),
    };
    match nanos {
        Some(nanos) if (0..24 * 3600 * NANOS_PER_SECOND).contains(&nanos) => Ok(time),
        _ => Err(invalid("a time that no day has")),
    }
}

fn day_to_second(interval: &IntervalDayToSecond) -> Result<ScalarValue> {
    let precision = u32::try_from(interval.precision).ok();
    let missing = precision.and_then(|precision| 9_u32.checked_sub(precision));
    let missing = missing.ok_or_else(|| unsupported("interval of more than 9 digits"))?;
    let seconds = i64::from(interval.seconds) * NANOS_PER_SECOND;
    let micros = i64::from(interval.microseconds) * NANOS_PER_MICRO;
    let below = interval.subseconds.checked_mul(10_i64.pow(missing));
    let nanos = below
        .and_then(|below| seconds.checked_add(below))
        .and_then(|nanos| nanos.checked_add(micros));
    let interval = IntervalMonthDayNano::new(0, interval.days, nanos.ok_or_else(too_large)?);
    Ok(ScalarValue::IntervalMonthDayNano(Some(interval)))
}

fn too_large() -> EngineError {
    invalid("a constant that is too large for its type")
}
