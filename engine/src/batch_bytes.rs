//! How large a batch is.

use arrow::array::{Array, RecordBatch};

/// Bytes that the rows of a batch take by themselves, whatever they are a slice of.
///
/// arrow's own measure counts what is behind a buffer as often as it is used: of a batch that was
/// decoded from a message it counts the whole message once for each buffer.
#[must_use]
pub fn slice_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter().map(|column| {
        let data = column.to_data();
        data.get_slice_memory_size()
            .unwrap_or_else(|_| data.get_array_memory_size())
    });
    columns.sum()
}
