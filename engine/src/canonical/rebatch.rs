//! Puts result batches under the schema that was promised.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{EngineError, Result};

/// The batch with the names, types, nullability and metadata of `schema`, matched by position.
pub(crate) fn logical_rebatch(_batch: RecordBatch, _schema: &SchemaRef) -> Result<RecordBatch> {
    Err(EngineError::Unsupported { what: "rebatching".into() })
}
