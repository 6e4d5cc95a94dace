//! Cuts the rows of a flush into segments of bounded size.
//!
//! Sorting copies the key columns of a segment as one array each and gathers rows into another, and
//! an array of texts ends at 2 GiB: rows that came in as many batches have to leave as several
//! segments, or they could never be flushed.

use arrow::array::RecordBatch;

use crate::batch_bytes::slice_bytes;

#[cfg(test)]
mod tests;

/// Consecutive rows in pieces of about `bytes_max`; a single row is never cut, and empty batches
/// are left out.
pub(crate) fn split(batches: Vec<RecordBatch>, bytes_max: usize) -> Vec<Vec<RecordBatch>> {
    let mut pieces = vec![];
    let (mut piece, mut piece_bytes) = (vec![], 0);
    for batch in batches.into_iter().flat_map(|batch| cut(batch, bytes_max)) {
        let bytes = slice_bytes(&batch);
        if !piece.is_empty() && piece_bytes + bytes > bytes_max {
            pieces.push(std::mem::take(&mut piece));
            piece_bytes = 0;
        }
        piece.push(batch);
        piece_bytes += bytes;
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// Halves a batch until its parts fit.
fn cut(batch: RecordBatch, bytes_max: usize) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    if rows == 0 {
        return vec![];
    }
    if rows == 1 || slice_bytes(&batch) <= bytes_max {
        return vec![batch];
    }
    let halves = [
        batch.slice(0, rows / 2),
        batch.slice(rows / 2, rows - rows / 2),
    ];
    halves
        .into_iter()
        .flat_map(|half| cut(half, bytes_max))
        .collect()
}
