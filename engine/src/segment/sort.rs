//! Brings a segment's rows into the order of the table's sort key.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{
    SortColumn as SortOn, SortOptions, concat, interleave_record_batch, lexsort_to_indices,
};
use quiver_catalog::{Column, SortColumn};

use crate::error::{EngineError, Result};

/// Rows of several batches in the order of a sort key.
///
/// Besides the batches themselves this holds a copy of the key columns while sorting and four bytes
/// per row afterwards; the ordered rows exist one chunk at a time.
#[derive(Debug)]
pub(crate) struct SortedRows<'a> {
    batches: Vec<&'a RecordBatch>,
    /// Row number (over all batches) at which each batch starts.
    starts: Vec<usize>,
    order: UInt32Array,
}

impl<'a> SortedRows<'a> {
    /// Sorts; `None` when the rows are in order already or there is nothing to sort by.
    ///
    /// # Errors
    /// `Internal` when the key names a column the table does not have.
    pub(crate) fn sort(
        batches: &'a [RecordBatch],
        columns: &[Column],
        sort_key: &[SortColumn],
    ) -> Result<Option<Self>> {
        let batches: Vec<&RecordBatch> = batches
            .iter()
            .filter(|batch| batch.num_rows() > 0)
            .collect();
        if sort_key.is_empty() || batches.is_empty() {
            return Ok(None);
        }
        let order = lexsort_to_indices(&key_columns(&batches, columns, sort_key)?, None)?;
        if order.values().is_sorted() {
            return Ok(None);
        }
        let mut starts = Vec::with_capacity(batches.len());
        let mut row = 0;
        for batch in &batches {
            starts.push(row);
            row += batch.num_rows();
        }
        Ok(Some(Self {
            batches,
            starts,
            order,
        }))
    }

    /// The rows in order, `chunk_rows` at a time.
    pub(crate) fn chunks(&self, chunk_rows: usize) -> impl Iterator<Item = Result<RecordBatch>> {
        self.order.values().chunks(chunk_rows.max(1)).map(|rows| {
            let places: Vec<(usize, usize)> = rows.iter().map(|row| self.place(*row)).collect();
            Ok(interleave_record_batch(&self.batches, &places)?)
        })
    }

    fn place(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        let batch = self.starts.partition_point(|start| *start <= row) - 1;
        (batch, row - self.starts[batch])
    }
}

fn key_columns(
    batches: &[&RecordBatch],
    columns: &[Column],
    sort_key: &[SortColumn],
) -> Result<Vec<SortOn>> {
    let key = sort_key.iter().map(|key| {
        let at = columns.iter().position(|column| column.id == key.column_id);
        let at = at.ok_or_else(|| EngineError::internal("the sort key names an unknown column"))?;
        let parts: Vec<ArrayRef> = batches
            .iter()
            .map(|batch| ArrayRef::clone(batch.column(at)))
            .collect();
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        let options = SortOptions {
            descending: key.descending,
            nulls_first: key.nulls_first,
        };
        Ok(SortOn {
            values: concat(&parts)?,
            options: Some(options),
        })
    });
    key.collect()
}
