//! Writes one segment: sorted, with statistics, synced.

use std::path::Path;

use arrow::record_batch::RecordBatch;
use quiver_catalog::{Column, NewSegment, SortColumn};
use uuid::Uuid;

use super::options::SegmentOptions;
use crate::error::{EngineError, Result};

/// Writes `batches` as `<segment_id>.parquet` into `directory` and syncs file and directories.
///
/// Blocking: call it from `spawn_blocking`.
pub(crate) fn write_segment(
    directory: &Path,
    columns: &[Column],
    sort_key: &[SortColumn],
    batches: &[RecordBatch],
    segment_id: Uuid,
    options: &SegmentOptions,
) -> Result<NewSegment> {
    let _ = (directory, columns, sort_key, batches, segment_id, options);
    Err(EngineError::internal("segments cannot be written yet"))
}
