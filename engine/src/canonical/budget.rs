//! How much a batch may grow when it is decoded.
//!
//! A dictionary, a run or a list view can stand for far more bytes than were sent. Growth is
//! counted before it happens, so that a small message cannot take the node's memory.

use std::cell::Cell;

use arrow::array::{Array, AsArray, OffsetSizeTrait};
use arrow::datatypes::{
    BinaryType, ByteArrayType, DataType, LargeBinaryType, LargeUtf8Type, Utf8Type,
};

use crate::error::{EngineError, Result};

/// Bytes one batch may grow by when dictionaries, runs, views and NULL columns are decoded.
pub(crate) const EXPANDED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is left of `EXPANDED_BYTES_MAX` for one batch.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            left: Cell::new(EXPANDED_BYTES_MAX),
        }
    }

    /// Takes `bytes` away; refuses the batch when nothing is left.
    pub(super) fn charge(&self, bytes: u64) -> Result<()> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| {
            EngineError::invalid(format!(
                "the batch grows by more than {} MiB when it is decoded: send smaller batches",
                EXPANDED_BYTES_MAX / (1024 * 1024)
            ))
        })?;
        self.left.set(left);
        Ok(())
    }
}

/// Bytes of `rows` NULL rows of a type.
pub(super) fn null_bytes(data_type: &DataType, rows: usize) -> u64 {
    let width = match data_type {
        DataType::Struct(fields) => {
            return fields.iter().fold(rows as u64, |sum, field| {
                sum.saturating_add(null_bytes(field.data_type(), rows))
            });
        }
        other => fixed_bytes(other),
    };
    (rows as u64).saturating_mul(width + 1)
}

/// Most values of a dictionary, run or list view whose sizes are looked at one by one.
const VALUES_MAX: usize = 1 << 25;
/// Sizes are cut here: beyond the budget anyway, and sums of them cannot overflow.
const VALUE_BYTES_CUT: u64 = 1 << 32;

/// Bytes each value of an array takes once decoded.
pub(super) fn value_bytes(array: &dyn Array) -> Result<Vec<u64>> {
    if array.len() > VALUES_MAX {
        return Err(EngineError::invalid(format!(
            "a dictionary or list view of one batch has {} values, at most {VALUES_MAX} are \
             allowed: send smaller batches",
            array.len()
        )));
    }
    let mut bytes = match array.data_type() {
        DataType::Utf8 => byte_lengths::<Utf8Type>(array),
        DataType::LargeUtf8 => byte_lengths::<LargeUtf8Type>(array),
        DataType::Binary => byte_lengths::<BinaryType>(array),
        DataType::LargeBinary => byte_lengths::<LargeBinaryType>(array),
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).collect(),
        DataType::BinaryView => array.as_binary_view().lengths().map(u64::from).collect(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            list_bytes(list.values(), pairs(list.value_offsets()))?
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            list_bytes(list.values(), pairs(list.value_offsets()))?
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            list_bytes(map.entries(), pairs(map.value_offsets()))?
        }
        DataType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            list_bytes(
                list.values(),
                views(list.value_offsets(), list.value_sizes()),
            )?
        }
        DataType::LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            list_bytes(
                list.values(),
                views(list.value_offsets(), list.value_sizes()),
            )?
        }
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            let ranges = (0..array.len()).map(|row| (row * size, (row + 1) * size));
            list_bytes(array.as_fixed_size_list().values(), ranges)?
        }
        DataType::Struct(_) => {
            let mut total = vec![1; array.len()];
            for child in array.as_struct().columns() {
                total
                    .iter_mut()
                    .zip(value_bytes(child)?)
                    .for_each(|(sum, bytes)| *sum += bytes);
            }
            total
        }
        // Dictionaries and runs in here are counted again when they are decoded themselves.
        other => vec![fixed_bytes(other); array.len()],
    };
    bytes
        .iter_mut()
        .for_each(|bytes| *bytes = (*bytes).min(VALUE_BYTES_CUT));
    Ok(bytes)
}

fn fixed_bytes(data_type: &DataType) -> u64 {
    match data_type {
        DataType::FixedSizeBinary(size) => u64::try_from(*size).unwrap_or(0),
        other => other.primitive_width().map_or(8, |width| width as u64),
    }
}

fn byte_lengths<T: ByteArrayType>(array: &dyn Array) -> Vec<u64> {
    let offsets = pairs(array.as_bytes::<T>().value_offsets());
    offsets
        .map(|(start, end)| 4 + (end - start) as u64)
        .collect()
}

fn pairs<O: OffsetSizeTrait>(offsets: &[O]) -> impl Iterator<Item = (usize, usize)> {
    offsets
        .windows(2)
        .map(|pair| (pair[0].as_usize(), pair[1].as_usize()))
}

fn views<O: OffsetSizeTrait>(offsets: &[O], sizes: &[O]) -> impl Iterator<Item = (usize, usize)> {
    offsets.iter().zip(sizes).map(|(start, size)| {
        let start = start.as_usize();
        (start, start + size.as_usize())
    })
}

fn list_bytes(
    values: &dyn Array,
    ranges: impl Iterator<Item = (usize, usize)>,
) -> Result<Vec<u64>> {
    let mut sums = vec![0];
    let mut total = 0;
    for bytes in value_bytes(values)? {
        total += bytes;
        sums.push(total);
    }
    Ok(ranges
        .map(|(start, end)| 4 + sums[end] - sums[start])
        .collect())
}
