//! Converts lists of every kind to lists with 32-bit offsets, and maps.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray,
    OffsetSizeTrait, StructArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{filter, take};
use arrow::datatypes::{DataType, FieldRef};

use super::apply::{Applied, NULL_REFUSED, Refusal, apply, check_offsets, first_null};
use super::budget::{Budget, value_bytes};
use super::conversion::Conversion;
use crate::error::{EngineError, Result};

pub(super) fn convert_list(
    array: &ArrayRef,
    to: &FieldRef,
    child: &Conversion,
    budget: &Budget,
) -> Applied<ArrayRef> {
    let (offsets, values) = gather(array, budget)?;
    let parent_row = |row: usize| parent_of(&offsets, row);
    let values = apply(child, &values, None, budget)
        .map_err(|refusal| refusal.below(to.name(), parent_row))?;
    if !to.is_nullable()
        && let Some(row) = first_null(&values, None)
    {
        return Err(Refusal::value(row, NULL_REFUSED).below(to.name(), parent_row));
    }
    let nulls = array.nulls().cloned();
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(to),
        offsets,
        values,
        nulls,
    )?))
}

pub(super) fn convert_map(
    map: &MapArray,
    to: &FieldRef,
    sorted: bool,
    entries: &Conversion,
    budget: &Budget,
) -> Applied<ArrayRef> {
    let all: ArrayRef = Arc::new(map.entries().clone());
    let ranges = offset_ranges(map.value_offsets(), map.nulls());
    let (offsets, values) = compact(&ranges, &all, budget)?;
    let values = apply(entries, &values, None, budget)
        .map_err(|refusal| refusal.below("", |row| parent_of(&offsets, row)))?;
    if let Some(row) = first_null(&values, None) {
        return Err(Refusal::value(
            parent_of(&offsets, row),
            "has an entry that is NULL",
        ));
    }
    let entries: StructArray = values.as_struct().clone();
    let nulls = map.nulls().cloned();
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(to),
        offsets,
        entries,
        nulls,
        sorted,
    )?))
}

/// The list that holds element `row`.
fn parent_of(offsets: &OffsetBuffer<i32>, row: usize) -> usize {
    offsets
        .partition_point(|&offset| offset as usize <= row)
        .saturating_sub(1)
}

/// Start and length of every list; NULL lists have length 0, whatever lies behind them.
type Ranges = Vec<(usize, usize)>;

fn gather(array: &ArrayRef, budget: &Budget) -> Result<(OffsetBuffer<i32>, ArrayRef)> {
    let nulls = array.nulls();
    let (ranges, values) = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            (offset_ranges(list.value_offsets(), nulls), list.values())
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            (offset_ranges(list.value_offsets(), nulls), list.values())
        }
        DataType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            (
                view_ranges(list.value_offsets(), list.value_sizes(), nulls),
                list.values(),
            )
        }
        DataType::LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            (
                view_ranges(list.value_offsets(), list.value_sizes(), nulls),
                list.values(),
            )
        }
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            // Children of the Null type take no space, so their number says nothing.
            budget.charge((array.len() as u64).saturating_mul(24))?;
            let starts = (0..array.len()).map(|row| (row * size, size));
            (
                hide_nulls(starts, nulls),
                array.as_fixed_size_list().values(),
            )
        }
        other => return Err(EngineError::internal(format!("{other} is not a list"))),
    };
    compact(&ranges, values, budget)
}

fn offset_ranges<O: OffsetSizeTrait>(offsets: &[O], nulls: Option<&NullBuffer>) -> Ranges {
    let ranges = offsets
        .windows(2)
        .map(|w| (w[0].as_usize(), w[1].as_usize() - w[0].as_usize()));
    hide_nulls(ranges, nulls)
}

fn view_ranges<O: OffsetSizeTrait>(
    offsets: &[O],
    sizes: &[O],
    nulls: Option<&NullBuffer>,
) -> Ranges {
    let ranges = offsets
        .iter()
        .zip(sizes)
        .map(|(start, size)| (start.as_usize(), size.as_usize()));
    hide_nulls(ranges, nulls)
}

fn hide_nulls(ranges: impl Iterator<Item = (usize, usize)>, nulls: Option<&NullBuffer>) -> Ranges {
    let is_null = |row| nulls.is_some_and(|nulls| nulls.is_null(row));
    ranges
        .enumerate()
        .map(|(row, (start, n))| (start, if is_null(row) { 0 } else { n }))
        .collect()
}

/// The elements of all lists one after the other: a slice where they lie like that already, else
/// a copy.
fn compact(
    ranges: &[(usize, usize)],
    values: &ArrayRef,
    budget: &Budget,
) -> Result<(OffsetBuffer<i32>, ArrayRef)> {
    let total = ranges
        .iter()
        .fold(0_u64, |sum, (_, n)| sum.saturating_add(*n as u64));
    check_offsets(total)?;
    let offsets = OffsetBuffer::<i32>::from_lengths(ranges.iter().map(|(_, n)| *n));
    let filled = || ranges.iter().copied().filter(|(_, n)| *n > 0);
    let first = filled().next().map_or(0, |(start, _)| start);
    let (mut next, mut has_gaps, mut in_order) = (first, false, true);
    for (start, n) in filled() {
        has_gaps |= start > next;
        in_order &= start >= next;
        next = start + n;
    }
    let values = match (in_order, has_gaps) {
        (true, false) => values.slice(first, next - first),
        (true, true) => filter(values, &mask(filled(), values.len()))?,
        (false, _) => take_ranges(filled(), total, values, budget)?,
    };
    Ok((offsets, values))
}

fn mask(ranges: impl Iterator<Item = (usize, usize)>, len: usize) -> BooleanArray {
    let mut bits = BooleanBufferBuilder::new(len);
    for (start, n) in ranges {
        bits.append_n(start - bits.len(), false);
        bits.append_n(n, true);
    }
    bits.append_n(len - bits.len(), false);
    BooleanArray::new(bits.finish(), None)
}

/// Views may show the same elements many times: the growth is counted before it happens.
fn take_ranges(
    ranges: impl Iterator<Item = (usize, usize)> + Clone,
    total: u64,
    values: &ArrayRef,
    budget: &Budget,
) -> Result<ArrayRef> {
    budget.charge(total.saturating_mul(8))?;
    let costs = value_bytes(values)?;
    let bytes = ranges
        .clone()
        .flat_map(|(start, n)| &costs[start..start + n]);
    budget.charge(bytes.fold(0, |sum: u64, cost| sum.saturating_add(*cost)))?;
    let indices: ScalarBuffer<u64> = ranges
        .flat_map(|(start, n)| start as u64..(start + n) as u64)
        .collect();
    Ok(take(values, &UInt64Array::new(indices, None), None)?)
}
