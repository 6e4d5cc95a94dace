//! Bounds as the text `DuckLake` keeps: written into the catalog, read back for pruning.
//!
//! A text written here, read back here, still bounds: the minimum is never above the true one and
//! the maximum never below. Where no such text exists (years beyond four digits, types without an
//! order) there is none, which readers take for "unknown".

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, FixedSizeBinaryBuilder, StringArray, StringBuilder,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use datafusion::common::ScalarValue;
use uuid::Uuid;

use crate::error::Result;

/// Longest text or blob bound that is kept whole, in bytes.
pub(crate) const BOUND_BYTES_MAX: usize = 256;

/// Which end of a range a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The lower end: may be rounded down.
    Min,
    /// The upper end: may be rounded up.
    Max,
}

/// Whether bounds of this type can be kept at all.
pub(crate) fn has_bounds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Utf8
        | DataType::Binary
        | DataType::FixedSizeBinary(16)
        | DataType::Date32
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Timestamp(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Float32
        | DataType::Float64 => true,
        other => other.is_integer(),
    }
}

/// The text of one bound; `None` when the value is NULL or has no text that bounds it.
pub(crate) fn bound_text(value: &ScalarValue, side: Side) -> Option<String> {
    match value {
        ScalarValue::Boolean(value) => value.map(|value| u8::from(value).to_string()),
        ScalarValue::Int8(value) => value.map(|value| value.to_string()),
        ScalarValue::Int16(value) => value.map(|value| value.to_string()),
        ScalarValue::Int32(value) => value.map(|value| value.to_string()),
        ScalarValue::Int64(value) => value.map(|value| value.to_string()),
        ScalarValue::UInt8(value) => value.map(|value| value.to_string()),
        ScalarValue::UInt16(value) => value.map(|value| value.to_string()),
        ScalarValue::UInt32(value) => value.map(|value| value.to_string()),
        ScalarValue::UInt64(value) => value.map(|value| value.to_string()),
        // The debug form keeps a fraction ("1.0") and every digit, and knows "inf".
        ScalarValue::Float32(value) => value.filter(|v| !v.is_nan()).map(|v| format!("{v:?}")),
        ScalarValue::Float64(value) => value.filter(|v| !v.is_nan()).map(|v| format!("{v:?}")),
        ScalarValue::Decimal128(value, precision, scale) => {
            value.map(|value| Decimal128Type::format_decimal(value, *precision, *scale))
        }
        ScalarValue::Utf8(value) => string_text(value.as_deref()?, side),
        ScalarValue::Binary(value) => blob_text(value.as_deref()?, side),
        ScalarValue::FixedSizeBinary(16, value) => Uuid::from_slice(value.as_deref()?)
            .ok()
            .map(|uuid| uuid.hyphenated().to_string()),
        ScalarValue::Date32(value) => date_text((*value)?),
        ScalarValue::Time64Microsecond(value) => time_text((*value)?),
        ScalarValue::TimestampSecond(value, zone) => {
            timestamp_text(DateTime::from_timestamp((*value)?, 0)?, zone.is_some())
        }
        ScalarValue::TimestampMillisecond(value, zone) => {
            timestamp_text(DateTime::from_timestamp_millis((*value)?)?, zone.is_some())
        }
        ScalarValue::TimestampMicrosecond(value, zone) => {
            timestamp_text(DateTime::from_timestamp_micros((*value)?)?, zone.is_some())
        }
        ScalarValue::TimestampNanosecond(value, zone) => {
            timestamp_text(DateTime::from_timestamp_nanos((*value)?), zone.is_some())
        }
        _ => None,
    }
}

/// Reads bounds back as an array of `data_type`, NULL where there is none or where a foreign writer
/// left something that cannot be understood.
pub(crate) fn parse_bounds<'a>(
    texts: impl Iterator<Item = Option<&'a str>>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let lenient = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    match data_type {
        DataType::Utf8 => Ok(Arc::new(texts.collect::<StringArray>())),
        DataType::Boolean => Ok(Arc::new(texts.map(parse_boolean).collect::<BooleanArray>())),
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            texts.for_each(|text| builder.append_option(text.and_then(parse_hex)));
            Ok(Arc::new(builder.finish()))
        }
        DataType::FixedSizeBinary(16) => {
            let mut builder = FixedSizeBinaryBuilder::new(16);
            for text in texts {
                match text.and_then(|text| Uuid::parse_str(text).ok()) {
                    Some(uuid) => builder.append_value(uuid.as_bytes())?,
                    None => builder.append_null(),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        other if has_bounds(other) => cast_texts(texts, other, &lenient),
        other => Ok(new_null_array(other, texts.count())),
    }
}

fn cast_texts<'a>(
    texts: impl Iterator<Item = Option<&'a str>>,
    data_type: &DataType,
    options: &CastOptions<'_>,
) -> Result<ArrayRef> {
    let mut builder = StringBuilder::new();
    texts.for_each(|text| builder.append_option(text));
    Ok(cast_with_options(&builder.finish(), data_type, options)?)
}

fn parse_boolean(text: Option<&str>) -> Option<bool> {
    match text? {
        "0" | "false" => Some(false),
        "1" | "true" => Some(true),
        _ => None,
    }
}

/// A string short enough to keep, cut so that it still bounds. NUL ends a text for some readers of
/// `SQLite`, so a bound ends before it too.
fn string_text(value: &str, side: Side) -> Option<String> {
    let until_nul = value.find('\0').unwrap_or(value.len());
    let kept = value.floor_char_boundary(until_nul.min(BOUND_BYTES_MAX));
    let head = &value[..kept];
    match side {
        Side::Min => Some(head.to_owned()),
        Side::Max if kept == value.len() => Some(head.to_owned()),
        Side::Max => next_string(head),
    }
}

/// The shortest string above every string that starts with `head`, or `None` when there is none.
fn next_string(head: &str) -> Option<String> {
    let mut chars: Vec<char> = head.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = next_char(last) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn next_char(value: char) -> Option<char> {
    match u32::from(value) {
        // The surrogates are no characters.
        0xD7FF => Some('\u{E000}'),
        code => char::from_u32(code + 1),
    }
}

fn blob_text(value: &[u8], side: Side) -> Option<String> {
    let kept = value.len().min(BOUND_BYTES_MAX);
    let mut head = value[..kept].to_vec();
    if side == Side::Max && kept < value.len() {
        while head.last() == Some(&u8::MAX) {
            head.pop();
        }
        *head.last_mut()? += 1;
    }
    Some(head.iter().map(|byte| format!("{byte:02X}")).collect())
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

fn date_text(days: i32) -> Option<String> {
    let date = NaiveDate::default().checked_add_signed(TimeDelta::try_days(i64::from(days))?)?;
    has_plain_year(date).then(|| date.format("%Y-%m-%d").to_string())
}

fn time_text(micros: i64) -> Option<String> {
    let seconds = u32::try_from(micros.div_euclid(1_000_000)).ok()?;
    let nanos = u32::try_from(micros.rem_euclid(1_000_000)).ok()? * 1000;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
    Some(with_fraction(time.format("%H:%M:%S").to_string(), nanos))
}

fn timestamp_text(instant: DateTime<chrono::Utc>, zoned: bool) -> Option<String> {
    let local: NaiveDateTime = instant.naive_utc();
    if !has_plain_year(local.date()) {
        return None;
    }
    let text = local.format("%Y-%m-%d %H:%M:%S").to_string();
    let mut text = with_fraction(text, instant.timestamp_subsec_nanos());
    if zoned {
        text.push_str("+00");
    }
    Some(text)
}

/// Beyond these, readers disagree on how a year is written.
fn has_plain_year(date: NaiveDate) -> bool {
    (1..=9999).contains(&date.year())
}

fn with_fraction(mut text: String, nanos: u32) -> String {
    if nanos > 0 {
        text.push_str(format!(".{nanos:09}").trim_end_matches('0'));
    }
    text
}

#[cfg(test)]
mod tests;
