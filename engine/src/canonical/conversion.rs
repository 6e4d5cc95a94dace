//! Which conversion brings a type into another without loss.
//!
//! Does: decides once per stream, from the types alone, how each column is converted.
//! Guarantees: a conversion that could lose something is refused here, or checked for every value
//! when it is applied (digits below the target's unit, offsets beyond 32 bits).

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, IntervalUnit, TimeUnit};

use super::schema::{fold, join};
use super::text::short;
use crate::error::{EngineError, Result};

/// How an array becomes an array of the wanted type.
#[derive(Debug)]
pub(super) enum Conversion {
    /// It has the type already.
    Same,
    /// It has the type already, but its values may exceed the declared precision.
    CheckDecimal { precision: u8 },
    /// The Null type: every value is NULL.
    Nulls { to: DataType },
    /// A kernel of arrow, exact for every value by the types.
    Cast { to: DataType },
    /// Dates, times, timestamps and durations: integer ticks of another unit.
    Ticks { to: DataType, factor: Factor },
    /// Text or bytes in another layout.
    Bytes { to: DataType },
    /// A dictionary or runs, then the conversion of the values.
    Decode { values: Box<Conversion> },
    /// Any list to a list with 32-bit offsets; `from_list` when it has them already.
    List {
        to: FieldRef,
        from_list: bool,
        child: Box<Conversion>,
    },
    /// A struct, field by field.
    Struct { to: Fields, children: Vec<Source> },
    /// A map; its entries are a struct.
    Map {
        to: FieldRef,
        sorted: bool,
        entries: Box<Conversion>,
    },
}

/// Where a field of the wanted schema comes from.
#[derive(Debug)]
pub(super) struct Source {
    /// Which incoming field; `None`: it is missing and becomes NULL.
    pub(super) index: Option<usize>,
    /// What happens to it.
    pub(super) conversion: Conversion,
}

/// What integer ticks are multiplied or divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    /// To a finer or equal unit.
    Multiply(i64),
    /// To a coarser unit: refused for values that are not multiples.
    Divide(i64),
}

/// How fields find their counterparts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matching {
    /// By name, exactly or else without regard to case.
    ByName,
    /// By place; the counts must agree.
    ByPosition,
}

impl Conversion {
    /// Whether the buffers stay as they are, so that the bytes of a message decode under the
    /// wanted type too.
    pub(super) fn keeps_layout(&self) -> bool {
        match self {
            Self::Same | Self::CheckDecimal { .. } => true,
            Self::List {
                from_list, child, ..
            } => *from_list && child.keeps_layout(),
            Self::Map { entries, .. } => entries.keeps_layout(),
            Self::Struct { children, .. } => keep_places(children),
            _ => false,
        }
    }
}

/// Whether every field stays at its place with its layout.
pub(super) fn keep_places(sources: &[Source]) -> bool {
    sources
        .iter()
        .enumerate()
        .all(|(place, source)| source.index == Some(place) && source.conversion.keeps_layout())
}

/// Finds the conversion of every field in `to` from the fields in `from`.
///
/// # Errors
/// `InvalidArgument` for unknown fields, missing fields that must not be NULL, and types that
/// cannot be kept without loss.
pub(super) fn plan_fields(
    from: &Fields,
    to: &Fields,
    matching: Matching,
    parent: &str,
) -> Result<Vec<Source>> {
    let places = match matching {
        Matching::ByName => match_names(from, to, parent)?,
        Matching::ByPosition if from.len() == to.len() => (0..to.len()).map(Some).collect(),
        Matching::ByPosition => {
            return Err(EngineError::invalid(format!(
                "{} columns are given where {} are expected",
                from.len(),
                to.len()
            )));
        }
    };
    plan_places(places, from, to, matching, parent)
}

/// The same for fields whose counterparts are known; `matching` is for what is below them.
fn plan_places(
    places: Vec<Option<usize>>,
    from: &Fields,
    to: &Fields,
    matching: Matching,
    parent: &str,
) -> Result<Vec<Source>> {
    let plan_one = |(index, field): (Option<usize>, &FieldRef)| -> Result<Source> {
        let path = join(parent, field.name());
        let conversion = match index {
            Some(index) => plan(from[index].data_type(), field.data_type(), matching, &path)?,
            None if field.is_nullable() => Conversion::Nulls {
                to: field.data_type().clone(),
            },
            None => {
                return Err(EngineError::invalid(format!(
                    "column '{}' is NOT NULL but missing from the data: add it",
                    short(&path)
                )));
            }
        };
        Ok(Source { index, conversion })
    };
    places.into_iter().zip(to).map(plan_one).collect()
}

/// Finds the conversion of one type into another. `path` names the column in messages.
pub(super) fn plan(
    from: &DataType,
    to: &DataType,
    matching: Matching,
    path: &str,
) -> Result<Conversion> {
    let conversion = match (from, to) {
        (DataType::Decimal128(p, s), DataType::Decimal128(precision, scale))
            if (p, s) == (precision, scale) =>
        {
            Conversion::CheckDecimal {
                precision: *precision,
            }
        }
        (from, to) if from == to && !from.is_nested() => Conversion::Same,
        (DataType::Null, _) => Conversion::Nulls { to: to.clone() },
        (DataType::Dictionary(_, values), _) => Conversion::Decode {
            values: Box::new(plan(values, to, matching, path)?),
        },
        (DataType::RunEndEncoded(_, values), _) => {
            let values = plan(values.data_type(), to, matching, path)?;
            Conversion::Decode {
                values: Box::new(values),
            }
        }
        (DataType::Struct(given), DataType::Struct(wanted)) => Conversion::Struct {
            to: wanted.clone(),
            children: plan_fields(given, wanted, matching, path)?,
        },
        (DataType::Map(given, is_sorted), DataType::Map(wanted, sorted)) if is_sorted >= sorted => {
            let (DataType::Struct(pair), DataType::Struct(to)) =
                (given.data_type(), wanted.data_type())
            else {
                return Err(mismatch(path, from, to));
            };
            if (pair.len(), to.len()) != (2, 2) {
                return Err(mismatch(path, given.data_type(), wanted.data_type()));
            }
            // Keys and values have any names.
            let children = plan_places(vec![Some(0), Some(1)], pair, to, matching, path)?;
            Conversion::Map {
                to: Arc::clone(wanted),
                sorted: *sorted,
                entries: Box::new(Conversion::Struct {
                    to: to.clone(),
                    children,
                }),
            }
        }
        (from, DataType::List(wanted)) if list_child(from).is_some() => {
            let given = list_child(from).map_or(&DataType::Null, |child| child.data_type());
            let path = join(path, wanted.name());
            let child = plan(given, wanted.data_type(), matching, &path)?;
            Conversion::List {
                to: Arc::clone(wanted),
                from_list: matches!(from, DataType::List(_)),
                child: Box::new(child),
            }
        }
        (from, to) if from == to => Conversion::Same,
        (from, to) if is_layout_change(from, to) => Conversion::Bytes { to: to.clone() },
        (from, to) if is_exact_cast(from, to) => Conversion::Cast { to: to.clone() },
        (from, to) => match tick_factor(from, to) {
            Some(factor) => Conversion::Ticks {
                to: to.clone(),
                factor,
            },
            None => return Err(mismatch(path, from, to)),
        },
    };
    Ok(conversion)
}

fn mismatch(path: &str, from: &DataType, to: &DataType) -> EngineError {
    EngineError::invalid(format!(
        "column '{}' has type {} in the data and {} in the table, which cannot keep every value: \
         cast it first",
        short(path),
        short(&from.to_string()),
        short(&to.to_string())
    ))
}

fn match_names(from: &Fields, to: &Fields, parent: &str) -> Result<Vec<Option<usize>>> {
    let mut places = vec![None; to.len()];
    for (given, field) in from.iter().enumerate() {
        let place = to
            .iter()
            .position(|wanted| wanted.name() == field.name())
            .or_else(|| {
                to.iter()
                    .position(|wanted| fold(wanted.name()) == fold(field.name()))
            });
        let path = join(parent, field.name());
        let Some(place) = place else {
            return Err(EngineError::invalid(format!(
                "column '{}' is not in the table: leave it out, or send the header \
                 x-quiver-add-columns: true to have it added",
                short(&path)
            )));
        };
        if places[place].replace(given).is_some() {
            return Err(EngineError::invalid(format!(
                "column '{}' is in the data twice: rename one",
                short(&path)
            )));
        }
    }
    Ok(places)
}

fn list_child(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, 1..)
        | DataType::ListView(child)
        | DataType::LargeListView(child) => Some(child),
        _ => None,
    }
}

fn is_layout_change(from: &DataType, to: &DataType) -> bool {
    match to {
        DataType::Utf8 => matches!(from, DataType::LargeUtf8 | DataType::Utf8View),
        DataType::Binary => matches!(
            from,
            DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(1..)
        ),
        _ => false,
    }
}

fn is_exact_cast(from: &DataType, to: &DataType) -> bool {
    if let Some((bits, signed)) = integer(from) {
        return match to {
            DataType::Float32 => bits <= 16,
            DataType::Float64 => bits <= 32,
            DataType::Decimal128(precision, scale) => {
                integer_digits(bits, signed) <= i16::from(*precision) - i16::from(*scale)
            }
            to => match (integer(to), signed) {
                (Some((to_bits, true)), false) => to_bits > bits,
                (Some((to_bits, to_signed)), signed) => to_signed == signed && to_bits > bits,
                (None, _) => false,
            },
        };
    }
    match (from, to) {
        (DataType::Float16, DataType::Float32 | DataType::Float64)
        | (DataType::Float32, DataType::Float64)
        | (
            DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime),
            DataType::Interval(IntervalUnit::MonthDayNano),
        ) => true,
        (
            DataType::Decimal32(given, given_scale)
            | DataType::Decimal64(given, given_scale)
            | DataType::Decimal128(given, given_scale)
            | DataType::Decimal256(given, given_scale),
            DataType::Decimal128(precision, scale),
        ) => {
            let digits = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            scale >= given_scale && digits(*precision, *scale) >= digits(*given, *given_scale)
        }
        _ => false,
    }
}

fn integer(data_type: &DataType) -> Option<(u8, bool)> {
    Some(match data_type {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => return None,
    })
}

fn integer_digits(bits: u8, signed: bool) -> i16 {
    match (bits, signed) {
        (8, _) => 3,
        (16, _) => 5,
        (32, _) => 10,
        (_, true) => 19,
        (_, false) => 20,
    }
}

/// What ticks count; only ticks that count the same can be converted.
#[derive(PartialEq, Eq)]
enum Clock {
    Date,
    TimeOfDay,
    Local,
    Instant,
    Duration,
}

fn tick_factor(from: &DataType, to: &DataType) -> Option<Factor> {
    let (given, given_nanos) = ticks(from)?;
    let (wanted, wanted_nanos) = ticks(to)?;
    if given != wanted && (given != Clock::Date || wanted != Clock::Local) {
        return None;
    }
    Some(if given_nanos >= wanted_nanos {
        Factor::Multiply(given_nanos / wanted_nanos)
    } else {
        Factor::Divide(wanted_nanos / given_nanos)
    })
}

/// What a type's ticks count, and the nanoseconds of one tick.
fn ticks(data_type: &DataType) -> Option<(Clock, i64)> {
    Some(match data_type {
        DataType::Date32 => (Clock::Date, 86_400_000_000_000),
        DataType::Date64 => (Clock::Date, 1_000_000),
        DataType::Time32(unit) | DataType::Time64(unit) => (Clock::TimeOfDay, unit_nanos(*unit)),
        DataType::Timestamp(unit, None) => (Clock::Local, unit_nanos(*unit)),
        DataType::Timestamp(unit, Some(_)) => (Clock::Instant, unit_nanos(*unit)),
        DataType::Duration(unit) => (Clock::Duration, unit_nanos(*unit)),
        _ => return None,
    })
}

fn unit_nanos(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}
