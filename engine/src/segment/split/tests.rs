#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;

use super::split;
use crate::batch_bytes::slice_bytes;

fn texts(lengths: impl IntoIterator<Item = usize>) -> RecordBatch {
    let array = StringArray::from_iter_values(lengths.into_iter().map(|length| "x".repeat(length)));
    RecordBatch::try_from_iter([("t", Arc::new(array) as ArrayRef)]).unwrap()
}

#[test]
fn pieces_hold_all_rows_in_order_and_keep_their_size() {
    let batches = [
        texts(0..100),
        texts([]),
        texts([5000]),
        texts((0..300).rev()),
    ];
    for bytes_max in [1, 100, 1000, 6000, 1_000_000] {
        let pieces = split(batches.to_vec(), bytes_max);
        for piece in &pieces {
            let bytes: usize = piece.iter().map(slice_bytes).sum();
            let rows: usize = piece.iter().map(RecordBatch::num_rows).sum();
            assert!(
                bytes <= bytes_max || rows == 1,
                "{rows} rows of {bytes} over {bytes_max}"
            );
            assert!(rows > 0);
        }
        let schema = batches[0].schema();
        let back: Vec<_> = pieces.into_iter().flatten().collect();
        assert_eq!(
            concat_batches(&schema, &back).unwrap(),
            concat_batches(&schema, &batches).unwrap()
        );
    }
    assert!(split(vec![texts([])], 100).is_empty());
}
