//! How large a batch is.

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::datatypes::{ArrowNativeType, DataType};

/// Bytes that the rows of a batch take by themselves, whatever they are a slice of.
///
/// arrow's own measure counts what is behind a buffer as often as it is used: of a batch that was
/// decoded from a message it counts the whole message once for each buffer.
#[must_use]
pub fn slice_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns.map(|column| data_bytes(&column.to_data())).sum()
}

/// arrow counts the values of lists as a whole, however few of the lists are meant.
fn data_bytes(data: &ArrayData) -> usize {
    let validity = data.nulls().map_or(0, |_| data.len().div_ceil(8));
    let own = match data.data_type() {
        DataType::List(_) | DataType::Map(..) => list_bytes::<i32>(data),
        DataType::LargeList(_) => list_bytes::<i64>(data),
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            let values = data.child_data().iter();
            values
                .map(|values| data_bytes(&values.slice(data.offset() * size, data.len() * size)))
                .sum()
        }
        // A slice of a struct has slices of its fields.
        DataType::Struct(_) => data.child_data().iter().map(data_bytes).sum(),
        _ => {
            return data
                .get_slice_memory_size()
                .unwrap_or_else(|_| data.get_array_memory_size());
        }
    };
    validity + own
}

fn list_bytes<O: ArrowNativeType>(data: &ArrayData) -> usize {
    let offsets = data
        .buffers()
        .first()
        .map(|offsets| offsets.typed_data::<O>());
    let offsets =
        offsets.and_then(|offsets| offsets.get(data.offset()..=data.offset() + data.len()));
    // A list of no values may have no offsets at all.
    let Some(([first, ..], [.., last])) = offsets.map(|offsets| (offsets, offsets)) else {
        return 0;
    };
    let (first, last) = (first.as_usize(), last.as_usize());
    let values = data.child_data().iter();
    let values: usize = values
        .map(|values| data_bytes(&values.slice(first, last - first)))
        .sum();
    values + (data.len() + 1) * size_of::<O>()
}

#[cfg(test)]
mod tests;
