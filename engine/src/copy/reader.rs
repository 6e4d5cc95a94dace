//! Reads files batch by batch.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::CopyOptions;
use crate::error::{EngineError, Result};

/// Batches of a file, read as they are asked for.
pub(crate) type BatchIterator = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Opens a file for reading. CSV and JSON are parsed as the types of `expected` (the table's
/// schema), or as inferred types without it; other formats carry their schema.
pub(crate) fn open(
    _path: &Path,
    _options: &CopyOptions,
    _expected: Option<SchemaRef>,
) -> Result<(SchemaRef, BatchIterator)> {
    Err(EngineError::Unsupported { what: "COPY FROM".into() })
}
