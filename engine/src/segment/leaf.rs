//! Walks the leaf columns of nested arrays, in the order in which Parquet stores them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt64Array, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;

use crate::error::Result;

/// The values of one leaf column of one batch, with the NULLs it inherits from its parents.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Values that really exist: what lies behind a NULL struct is NULL, what lies behind a NULL or
    /// empty list is absent.
    pub(crate) values: ArrayRef,
    /// Entries that stand for a NULL or empty list, which `values` does not hold.
    pub(crate) absent: u64,
}

/// Calls `visit` with every leaf below `array`, parents before children, first child first.
pub(crate) fn visit_leaves(
    array: &ArrayRef,
    visit: &mut impl FnMut(Leaf) -> Result<()>,
) -> Result<()> {
    visit_below(Arc::clone(array), 0, visit)
}

fn visit_below(
    array: ArrayRef,
    absent: u64,
    visit: &mut impl FnMut(Leaf) -> Result<()>,
) -> Result<()> {
    match array.data_type() {
        DataType::Struct(_) => visit_struct(array.as_struct(), absent, visit),
        DataType::List(_) => {
            let list: &ListArray = array.as_list();
            let (values, missing) = listed(list.values(), list.offsets(), list.nulls())?;
            visit_below(values, absent + missing, visit)
        }
        DataType::Map(_, _) => {
            let map: &MapArray = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let (values, missing) = listed(&entries, map.offsets(), map.nulls())?;
            visit_below(values, absent + missing, visit)
        }
        _ => visit(Leaf {
            values: array,
            absent,
        }),
    }
}

fn visit_struct(
    array: &StructArray,
    absent: u64,
    visit: &mut impl FnMut(Leaf) -> Result<()>,
) -> Result<()> {
    for child in array.columns() {
        visit_below(with_parent_nulls(child, array.nulls())?, absent, visit)?;
    }
    Ok(())
}

fn with_parent_nulls(child: &ArrayRef, parent: Option<&NullBuffer>) -> Result<ArrayRef> {
    if parent.is_none_or(|nulls| nulls.null_count() == 0) {
        return Ok(Arc::clone(child));
    }
    let nulls = NullBuffer::union(child.nulls(), parent);
    Ok(make_array(
        child.to_data().into_builder().nulls(nulls).build()?,
    ))
}

/// The values that the lists really hold, and how many lists hold none.
fn listed(
    values: &ArrayRef,
    offsets: &OffsetBuffer<i32>,
    nulls: Option<&NullBuffer>,
) -> Result<(ArrayRef, u64)> {
    let is_valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    let mut missing = 0;
    let mut hidden = false;
    for (row, range) in offsets.windows(2).enumerate() {
        let empty = range[0] == range[1];
        missing += u64::from(empty || !is_valid(row));
        hidden |= !empty && !is_valid(row);
    }
    if !hidden {
        let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
        return Ok((values.slice(first, last - first), missing));
    }
    // A NULL list may still point at values; those are nobody's.
    let indices: UInt64Array = offsets
        .windows(2)
        .enumerate()
        .filter(|(row, _)| is_valid(*row))
        .flat_map(|(_, range)| (range[0] as u64)..(range[1] as u64))
        .collect();
    Ok((take(values, &indices, None)?, missing))
}

#[cfg(test)]
mod tests;
