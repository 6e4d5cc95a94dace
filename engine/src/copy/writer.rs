//! Writes files that appear only when they are complete.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::CopyOptions;
use crate::error::{EngineError, Result};

/// A file being written; dropped without `finish`, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct FileWriter {}

impl FileWriter {
    /// Starts a file that `finish` will put at `path`.
    pub(crate) fn create(
        _path: &Path,
        _schema: &SchemaRef,
        _options: &CopyOptions,
    ) -> Result<Self> {
        Err(EngineError::Unsupported { what: "COPY TO".into() })
    }

    /// Adds the rows of `batch`, which has the writer's schema.
    pub(crate) fn write(&mut self, _batch: &RecordBatch) -> Result<()> {
        Err(EngineError::Unsupported { what: "COPY TO".into() })
    }

    /// Makes the file durable under its name. Returns the rows written.
    pub(crate) fn finish(self) -> Result<u64> {
        Err(EngineError::Unsupported { what: "COPY TO".into() })
    }
}
