//! Turns the batches of one stream into a table's schema.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use crate::error::{EngineError, Result};

/// The conversion of one incoming stream into a table's schema, checked once per stream.
#[derive(Debug)]
pub(crate) struct Adapter {
    table: SchemaRef,
}

impl Adapter {
    /// Checks that every batch of `incoming` can become rows of `table` without loss.
    pub(crate) fn new(_incoming: &Schema, table: &SchemaRef) -> Result<Self> {
        Ok(Self { table: SchemaRef::clone(table) })
    }

    /// The batch under the table's exact schema.
    pub(crate) fn adapt(&self, _batch: RecordBatch) -> Result<RecordBatch> {
        Err(EngineError::Unsupported { what: "adapting batches".into() })
    }

    /// Whether every column arrives at its place in its final type, so that the bytes of the
    /// message may be logged as they are. `adapt` must be called even so: it checks NOT NULL.
    pub(crate) fn is_identity(&self) -> bool {
        false
    }

    /// The schema of adapted batches.
    pub(crate) fn table_schema(&self) -> &SchemaRef {
        &self.table
    }
}
