//! Bounds in DuckLake's text form: how they compare, and how those of segments become those of a
//! table.
//!
//! Bounds may be loose but must bound. Wherever a text is not understood the bound is given up,
//! never guessed.

use std::cmp::Ordering;

use arrow::datatypes::DataType;

use crate::ids::ColumnId;
use crate::leaf_index::LeafIndex;
use crate::segment::ColumnStats;

#[cfg(test)]
mod tests;

/// The statistics of a leaf column over all segments of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumnStats {
    /// The leaf column.
    pub column_id: ColumnId,
    /// Whether any value is null.
    pub contains_null: bool,
    /// Whether any value is NaN; `None` where that cannot be or is unknown.
    pub contains_nan: Option<bool>,
    /// What is known about the smallest value.
    pub min: Bound,
    /// What is known about the greatest value.
    pub max: Bound,
}

/// One end of the range of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// There are no values yet, so any later bound is a bound of all.
    NoValues,
    /// There are values of which some segment does not know the bound.
    Unknown,
    /// A bound of all values.
    Known(String),
}

impl Bound {
    /// The text, if known.
    pub fn known(&self) -> Option<&str> {
        match self {
            Self::Known(text) => Some(text),
            Self::NoValues | Self::Unknown => None,
        }
    }

    fn of(stats: &ColumnStats, text: Option<&String>) -> Self {
        match text {
            Some(text) => Self::Known(text.clone()),
            // Nulls alone. Other writers count neither where they know nothing.
            None if stats.value_count == 0 && stats.null_count > 0 => Self::NoValues,
            None => Self::Unknown,
        }
    }

    /// The bound of both; `wanted` is the order in which the other one replaces this one.
    fn merge(&mut self, other: Self, data_type: &DataType, wanted: Ordering) {
        let merged = match (&*self, &other) {
            (_, Self::NoValues) => return,
            (Self::NoValues, _) => other,
            (Self::Known(mine), Self::Known(theirs)) => {
                match compare_bounds(data_type, theirs, mine) {
                    Some(order) if order == wanted => other,
                    Some(_) => return,
                    None => Self::Unknown,
                }
            }
            _ => Self::Unknown,
        };
        *self = merged;
    }
}

/// Adds one segment's statistics to those of its table.
pub(crate) fn merge_stats(
    table: &mut Vec<TableColumnStats>,
    leaves: &LeafIndex<'_>,
    segment: &[ColumnStats],
) {
    for stats in segment {
        let Some(leaf) = leaves.get(stats.column_id) else {
            continue;
        };
        let min = Bound::of(stats, stats.min.as_ref());
        let max = Bound::of(stats, stats.max.as_ref());
        let contains_null = stats.null_count > 0;
        match table.binary_search_by_key(&stats.column_id, |merged| merged.column_id) {
            Err(position) => {
                let (column_id, contains_nan) = (stats.column_id, stats.contains_nan);
                let merged = TableColumnStats {
                    column_id,
                    contains_null,
                    contains_nan,
                    min,
                    max,
                };
                table.insert(position, merged);
            }
            Ok(position) => {
                let merged = &mut table[position];
                merged.contains_null |= contains_null;
                merged.contains_nan = either(merged.contains_nan, stats.contains_nan);
                merged
                    .min
                    .merge(min, &leaf.column.data_type, Ordering::Less);
                merged
                    .max
                    .merge(max, &leaf.column.data_type, Ordering::Greater);
            }
        }
    }
}

/// Logical or, where unknown is not the same as no.
fn either(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

/// The order of two bounds of a column; `None` if either is not in the form of its type.
pub(crate) fn compare_bounds(data_type: &DataType, a: &str, b: &str) -> Option<Ordering> {
    parse_bound(data_type, a)?.compare(&parse_bound(data_type, b)?)
}

/// Whether a text has the form that bounds of the type have.
pub(crate) fn is_bound(data_type: &DataType, text: &str) -> bool {
    parse_bound(data_type, text).is_some()
}

enum ParsedBound<'a> {
    Integer(i128),
    Float(f64),
    /// The year, then the rest in a form that compares as text.
    Dated(i64, String),
    Text(&'a str),
}

impl ParsedBound<'_> {
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Dated(a, rest_a), Self::Dated(b, rest_b)) => {
                Some(a.cmp(b).then_with(|| rest_a.cmp(rest_b)))
            }
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

fn parse_bound<'a>(data_type: &DataType, text: &'a str) -> Option<ParsedBound<'a>> {
    match data_type {
        DataType::Boolean => {
            matches!(text, "0" | "1").then(|| ParsedBound::Integer(i128::from(text == "1")))
        }
        DataType::Decimal128(_, scale) => parse_decimal(text, *scale).map(ParsedBound::Integer),
        DataType::Float32 | DataType::Float64 => {
            let value: f64 = text.parse().ok()?;
            (!value.is_nan()).then_some(ParsedBound::Float(value))
        }
        DataType::Date32 | DataType::Timestamp(_, _) => parse_dated(text),
        DataType::Time64(_) | DataType::Utf8 | DataType::FixedSizeBinary(_) => {
            Some(ParsedBound::Text(text))
        }
        DataType::Binary => {
            let is_hex = text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
            is_hex.then_some(ParsedBound::Text(text))
        }
        integer if integer.is_integer() => text.parse().ok().map(ParsedBound::Integer),
        // Intervals and whatever comes later: other readers do not agree on an order.
        _ => None,
    }
}

/// A decimal as a multiple of its last digit.
fn parse_decimal(text: &str, scale: i8) -> Option<i128> {
    let scale = usize::try_from(scale).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > scale || !is_number(whole) || !is_number(fraction) || digits.is_empty() {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction:0<scale$}").parse().ok()?;
    Some(if negative { -unscaled } else { unscaled })
}

/// A date, with or without a time. Years have four digits or more, those before year 1 are marked
/// with `(BC)`, so the text as a whole does not sort.
fn parse_dated(text: &str) -> Option<ParsedBound<'static>> {
    match text {
        "infinity" => return Some(ParsedBound::Dated(i64::MAX, String::new())),
        "-infinity" => return Some(ParsedBound::Dated(i64::MIN, String::new())),
        _ => {}
    }
    let (digits, rest) = text.split_once('-')?;
    let year: i64 = digits.parse().ok()?;
    let plain = rest.replacen(" (BC)", "", 1);
    let year = if plain.len() == rest.len() {
        year
    } else {
        1 - year
    };
    Some(ParsedBound::Dated(year, plain))
}
