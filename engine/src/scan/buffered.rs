//! The part of a scan that reads rows still in memory.

use std::sync::{Arc, LazyLock};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;

use crate::batch_bytes::slice_bytes;

/// Rows of a merged batch, about.
const MERGED_ROWS: usize = 8192;
/// Bytes of a merged batch, about: wide rows are not copied by the gigabyte.
const MERGED_BYTES: usize = 8 * 1024 * 1024;
/// Rows of a batch at most; larger ones are sliced, which copies nothing.
const BATCH_ROWS_MAX: usize = 65_536;

/// Rows of a table that are in no segment, collected when somebody first wants them: planning alone
/// must not cost more the more rows there are.
pub(crate) type BufferedRows =
    LazyLock<Vec<RecordBatch>, Box<dyn FnOnce() -> Vec<RecordBatch> + Send>>;

/// How buffered rows are to be read.
#[derive(Debug)]
pub(crate) struct BufferedScan<'a> {
    /// Schema after the projection.
    pub(crate) schema: SchemaRef,
    /// Columns of the table, in this order; all of them if `None`.
    pub(crate) projection: Option<&'a [usize]>,
    /// Rows that are enough.
    pub(crate) limit: Option<usize>,
    /// Partitions at most.
    pub(crate) partitions_max: usize,
    /// Batches below this many rows are merged.
    pub(crate) merge_below_rows: usize,
}

impl BufferedScan<'_> {
    /// A plan that returns the rows of `batches`.
    pub(crate) fn plan(&self, batches: &[RecordBatch]) -> Result<Arc<dyn ExecutionPlan>> {
        let batches = self.merge(&self.project(batches)?)?;
        let partitions = spread(batches, self.partitions_max);
        let source = MemorySourceConfig::try_new(&partitions, Arc::clone(&self.schema), None)?
            .with_limit(self.limit);
        Ok(DataSourceExec::from_data_source(source))
    }

    /// Projected batches, cut to what the limit needs.
    fn project(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let mut wanted = self.limit.unwrap_or(usize::MAX);
        let mut projected = Vec::with_capacity(batches.len());
        for batch in batches {
            if wanted == 0 {
                break;
            }
            let rows = batch.num_rows().min(wanted);
            wanted -= rows;
            projected.push(self.project_one(&batch.slice(0, rows))?);
        }
        Ok(projected)
    }

    fn project_one(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = match self.projection {
            Some(projection) => projection
                .iter()
                .map(|at| Arc::clone(batch.column(*at)))
                .collect(),
            None => batch.columns().to_vec(),
        };
        // Under the table's own schema: field metadata a producer sent along stays inside.
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    /// Merges runs of small batches and slices large ones. The order of rows stays.
    fn merge(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let mut merged = Vec::new();
        let mut small: Vec<&RecordBatch> = Vec::new();
        let (mut small_rows, mut small_bytes) = (0, 0);
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let is_small = batch.num_rows() < self.merge_below_rows;
            if is_small {
                small_rows += batch.num_rows();
                small_bytes += slice_bytes(batch);
                small.push(batch);
            }
            let is_full = small_rows >= MERGED_ROWS || small_bytes >= MERGED_BYTES;
            if !small.is_empty() && (is_full || !is_small) {
                merged.push(concat_batches(&self.schema, small.drain(..))?);
                (small_rows, small_bytes) = (0, 0);
            }
            if !is_small {
                merged.extend(slices(batch));
            }
        }
        if !small.is_empty() {
            merged.push(concat_batches(&self.schema, small.drain(..))?);
        }
        Ok(merged)
    }
}

fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let starts = (0..rows).step_by(BATCH_ROWS_MAX);
    starts.map(move |start| batch.slice(start, BATCH_ROWS_MAX.min(rows - start)))
}

/// Consecutive batches over as many partitions as they are worth.
fn spread(batches: Vec<RecordBatch>, partitions_max: usize) -> Vec<Vec<RecordBatch>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let partitions = rows
        .div_ceil(BATCH_ROWS_MAX)
        .clamp(1, partitions_max.max(1));
    let rows_each = rows.div_ceil(partitions).max(1);
    let mut spread = vec![Vec::new(); partitions];
    let mut row = 0;
    for batch in batches {
        let partition = (row / rows_each).min(partitions - 1);
        row += batch.num_rows();
        spread[partition].push(batch);
    }
    spread
}
