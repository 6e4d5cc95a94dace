//! Applies conversions to arrays.
//!
//! Guarantees: the result has exactly the wanted type and the same values, or the first row that
//! cannot be kept is named. Bytes behind NULLs are never looked at: they may be anything.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, GenericByteArray,
    GenericByteViewArray, Int64Array, PrimitiveArray, StringArray, StructArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options, nullif, take};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, BinaryViewType, ByteArrayType, ByteViewType, DataType,
    Decimal128Type, Fields, Int16Type, Int32Type, Int64Type, LargeBinaryType, LargeUtf8Type,
    RunEndIndexType, StringViewType, UInt64Type,
};

use super::budget::{Budget, null_bytes, value_bytes};
use super::conversion::{Conversion, Factor, Source};
use super::lists;
use super::schema::join;
use crate::error::{EngineError, Result};

/// Why an array cannot be converted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A value cannot be kept.
    Value {
        /// Index of the value in the array that was given.
        row: usize,
        /// Path below the column, empty for the column itself.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The array as a whole cannot be converted.
    Whole(EngineError),
}

impl Refusal {
    pub(super) fn value(row: usize, reason: impl Into<String>) -> Self {
        Self::Value {
            row,
            path: String::new(),
            reason: reason.into(),
        }
    }

    /// The same refusal, seen from the parent of a nested column.
    pub(super) fn below(self, name: &str, parent_row: impl Fn(usize) -> usize) -> Self {
        match self {
            Self::Value { row, path, reason } => {
                let path = if path.is_empty() {
                    name.to_owned()
                } else {
                    join(name, &path)
                };
                Self::Value {
                    row: parent_row(row),
                    path,
                    reason,
                }
            }
            whole @ Self::Whole(_) => whole,
        }
    }
}

impl<E: Into<EngineError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Whole(error.into())
    }
}

pub(super) type Applied<T> = Result<T, Refusal>;

/// Converts `array`. Rows that `hidden_by` has as NULL (a parent's NULLs) become NULL.
pub(super) fn apply(
    conversion: &Conversion,
    array: &ArrayRef,
    hidden_by: Option<&NullBuffer>,
    budget: &Budget,
) -> Applied<ArrayRef> {
    if let Conversion::Decode { values } = conversion {
        let decoded = decode(array, budget)?;
        return apply(values, &decoded, hidden_by, budget);
    }
    if let Conversion::Nulls { to } = conversion {
        return Ok(nulls(to, array.len(), budget)?);
    }
    let array = &hide(array, hidden_by)?;
    match conversion {
        Conversion::Same | Conversion::Decode { .. } | Conversion::Nulls { .. } => {
            Ok(Arc::clone(array))
        }
        Conversion::CheckDecimal { precision } => check_decimal(array, *precision),
        Conversion::Cast { to } => Ok(cast_with_options(
            array,
            to,
            &CastOptions {
                safe: false,
                ..Default::default()
            },
        )?),
        Conversion::Ticks { to, factor } => convert_ticks(array, to, *factor),
        Conversion::Bytes { to } => convert_bytes(array, to, budget),
        Conversion::Struct { to, children } => Ok(Arc::new(convert_struct(
            array.as_struct(),
            to,
            children,
            budget,
        )?)),
        Conversion::List { to, child, .. } => lists::convert_list(array, to, child, budget),
        Conversion::Map {
            to,
            sorted,
            entries,
        } => lists::convert_map(array.as_map(), to, *sorted, entries, budget),
    }
}

/// `rows` NULLs of a type, counted against the budget.
pub(super) fn nulls(to: &DataType, rows: usize, budget: &Budget) -> Result<ArrayRef> {
    budget.charge(null_bytes(to, rows))?;
    Ok(new_null_array(to, rows))
}

/// The first row that is NULL although its parent (if there is one) is not.
pub(super) fn first_null(array: &dyn Array, parent: Option<&NullBuffer>) -> Option<usize> {
    let nulls = array
        .logical_nulls()
        .filter(|nulls| nulls.null_count() > 0)?;
    (0..array.len()).find(|&row| nulls.is_null(row) && parent.is_none_or(|p| p.is_valid(row)))
}

pub(super) const NULL_REFUSED: &str = "is NOT NULL, but the value is NULL";

fn hide(array: &ArrayRef, hidden_by: Option<&NullBuffer>) -> Applied<ArrayRef> {
    match hidden_by.filter(|nulls| nulls.null_count() > 0) {
        None => Ok(Arc::clone(array)),
        Some(nulls) => Ok(nullif(array, &BooleanArray::new(!nulls.inner(), None))?),
    }
}

pub(super) fn convert_struct(
    array: &StructArray,
    to: &Fields,
    sources: &[Source],
    budget: &Budget,
) -> Applied<StructArray> {
    let parent = array.nulls();
    let mut columns = Vec::with_capacity(to.len());
    for (field, source) in to.iter().zip(sources) {
        let column = match source.index {
            None => nulls(field.data_type(), array.len(), budget)?,
            Some(index) => apply(&source.conversion, array.column(index), parent, budget)
                .map_err(|refusal| refusal.below(field.name(), |row| row))?,
        };
        if !field.is_nullable()
            && let Some(row) = first_null(&column, parent)
        {
            return Err(Refusal::value(row, NULL_REFUSED).below(field.name(), |row| row));
        }
        columns.push(column);
    }
    let converted =
        StructArray::try_new_with_length(to.clone(), columns, parent.cloned(), array.len())?;
    Ok(converted)
}

fn check_decimal(array: &ArrayRef, precision: u8) -> Applied<ArrayRef> {
    let decimals: &Decimal128Array = array.as_primitive::<Decimal128Type>();
    let limit = 10_u128
        .checked_pow(u32::from(precision))
        .unwrap_or(u128::MAX);
    let is_bad = |value: i128| value.unsigned_abs() >= limit;
    // Most arrays hold no bad value, not even behind NULLs: look at all of them at once first.
    if decimals.values().iter().any(|value| is_bad(*value))
        && let Some(row) = find_valid(decimals, is_bad)
    {
        return Err(Refusal::value(
            row,
            format!("has more than {precision} digits"),
        ));
    }
    Ok(Arc::clone(array))
}

fn convert_ticks(array: &ArrayRef, to: &DataType, factor: Factor) -> Applied<ArrayRef> {
    let ticks = as_ticks(array)?;
    let ticks: &Int64Array = ticks.as_primitive::<Int64Type>();
    let convert = |value: i64| match factor {
        Factor::Multiply(by) => value.checked_mul(by),
        Factor::Divide(by) => (value % by == 0).then_some(value / by),
    };
    let converted = match factor {
        Factor::Multiply(1) => ticks.clone(),
        _ => ticks
            .try_unary(|value| convert(value).ok_or(()))
            .map_err(|()| {
                let row = find_valid(ticks, |value| convert(value).is_none()).unwrap_or(0);
                let reason = match factor {
                    Factor::Multiply(_) => format!("lies outside the range of {to}"),
                    Factor::Divide(_) => {
                        format!("has digits that {to} cannot keep: round it first")
                    }
                };
                Refusal::value(row, reason)
            })?,
    };
    from_ticks(&converted, to)
}

fn as_ticks(array: &ArrayRef) -> Applied<ArrayRef> {
    match array.data_type() {
        DataType::Date32 | DataType::Time32(_) => {
            Ok(cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?)
        }
        _ => Ok(cast(array, &DataType::Int64)?),
    }
}

fn from_ticks(ticks: &Int64Array, to: &DataType) -> Applied<ArrayRef> {
    if !matches!(to, DataType::Date32 | DataType::Time32(_)) {
        return Ok(cast(ticks, to)?);
    }
    let narrow = ticks
        .try_unary::<_, Int32Type, ()>(|value| i32::try_from(value).map_err(|_| ()))
        .map_err(|()| {
            let row = find_valid(ticks, |value| i32::try_from(value).is_err()).unwrap_or(0);
            Refusal::value(row, format!("lies outside the range of {to}"))
        })?;
    Ok(cast(&narrow, to)?)
}

fn find_valid<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    is_bad: impl Fn(T::Native) -> bool,
) -> Option<usize> {
    (0..array.len()).find(|&row| array.is_valid(row) && is_bad(array.value(row)))
}

fn convert_bytes(array: &ArrayRef, to: &DataType, budget: &Budget) -> Applied<ArrayRef> {
    match array.data_type() {
        DataType::LargeUtf8 => {
            let (offsets, values, nulls) = narrow(array.as_bytes::<LargeUtf8Type>())?;
            Ok(Arc::new(StringArray::try_new(offsets, values, nulls)?))
        }
        DataType::LargeBinary => {
            let (offsets, values, nulls) = narrow(array.as_bytes::<LargeBinaryType>())?;
            Ok(Arc::new(BinaryArray::try_new(offsets, values, nulls)?))
        }
        DataType::Utf8View => {
            charge_views(array.as_byte_view::<StringViewType>(), budget)?;
            Ok(cast(array, to)?)
        }
        DataType::BinaryView => {
            charge_views(array.as_byte_view::<BinaryViewType>(), budget)?;
            Ok(cast(array, to)?)
        }
        DataType::FixedSizeBinary(size) => {
            let bytes = u64::try_from(*size)
                .unwrap_or(0)
                .saturating_mul(array.len() as u64);
            check_offsets(bytes)?;
            budget.charge(4 * array.len() as u64)?;
            Ok(cast(array, to)?)
        }
        other => Err(EngineError::internal(format!("{other} is not a layout of bytes")).into()),
    }
}

type ByteParts = (OffsetBuffer<i32>, Buffer, Option<NullBuffer>);

/// 64-bit offsets as 32-bit ones, counted from the first byte of this slice.
fn narrow<T: ByteArrayType>(array: &GenericByteArray<T>) -> Applied<ByteParts> {
    let offsets = array.value_offsets();
    let first = offsets.first().map_or(0, |offset| offset.as_usize());
    let last = offsets.last().map_or(0, |offset| offset.as_usize());
    check_offsets((last - first) as u64)?;
    // Checked above: no distance is longer than the whole.
    let narrow: Vec<i32> = offsets
        .iter()
        .map(|o| (o.as_usize() - first) as i32)
        .collect();
    let values = array.values().slice_with_length(first, last - first);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(narrow));
    Ok((offsets, values, array.nulls().cloned()))
}

/// Views may share bytes: what they stand for is counted before it is written out.
fn charge_views<T: ByteViewType>(array: &GenericByteViewArray<T>, budget: &Budget) -> Applied<()> {
    let bytes: u64 = array.lengths().map(u64::from).sum();
    check_offsets(bytes)?;
    let present: u64 = array
        .data_buffers()
        .iter()
        .map(|buffer| buffer.len() as u64)
        .sum();
    budget.charge(bytes.saturating_sub(present))?;
    Ok(())
}

/// Refuses what 32-bit offsets cannot reach.
pub(super) fn check_offsets(length: u64) -> Result<()> {
    if length > i32::MAX as u64 {
        return Err(EngineError::invalid(format!(
            "a column of one batch holds {length} bytes or list elements, at most {} are allowed: \
             send smaller batches",
            i32::MAX
        )));
    }
    Ok(())
}

/// The values a dictionary or runs stand for.
fn decode(array: &ArrayRef, budget: &Budget) -> Applied<ArrayRef> {
    if let DataType::Dictionary(_, _) = array.data_type() {
        let dictionary = array.as_any_dictionary();
        let keys = cast(dictionary.keys(), &DataType::UInt64)?;
        let keys: &PrimitiveArray<UInt64Type> = keys.as_primitive();
        let costs = value_bytes(dictionary.values())?;
        let bytes = keys.iter().flatten().fold(0_u64, |sum, key| {
            sum.saturating_add(costs.get(key as usize).copied().unwrap_or(0))
        });
        budget.charge(bytes.saturating_add(8 * array.len() as u64))?;
        return Ok(take(dictionary.values(), keys, None)?);
    }
    let DataType::RunEndEncoded(ends, values) = array.data_type() else {
        return Err(EngineError::internal("only dictionaries and runs are decoded").into());
    };
    let bytes = match ends.data_type() {
        DataType::Int16 => run_bytes::<Int16Type>(array)?,
        DataType::Int32 => run_bytes::<Int32Type>(array)?,
        _ => run_bytes::<Int64Type>(array)?,
    };
    budget.charge(bytes.saturating_add((array.len() as u64).saturating_mul(8)))?;
    Ok(cast(array, values.data_type())?)
}

/// Bytes the runs of an array stand for.
fn run_bytes<R: RunEndIndexType>(array: &ArrayRef) -> Result<u64> {
    let Some(runs) = array.as_run_opt::<R>() else {
        return Err(EngineError::internal(
            "run ends of another type than declared",
        ));
    };
    let costs = value_bytes(runs.values())?;
    let mut from = runs.offset() as u64;
    let to = from + runs.len() as u64;
    let mut bytes = 0_u64;
    for (end, cost) in runs.run_ends().values().iter().zip(costs) {
        let end = (end.as_usize() as u64).min(to);
        bytes = bytes.saturating_add(end.saturating_sub(from).saturating_mul(cost));
        from = from.max(end);
    }
    Ok(bytes)
}
