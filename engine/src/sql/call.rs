//! `CALL system.…`: procedures.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};

use super::context::StatementContext;
use super::parser::CallArgument;
use crate::error::{EngineError, Result};

impl StatementContext {
    /// Executes a procedure and returns its small result.
    ///
    /// # Errors
    /// `NotFound` for an unknown procedure, `InvalidArgument` for its arguments.
    pub async fn call(
        &self,
        procedure: &[String],
        arguments: &[CallArgument],
    ) -> Result<RecordBatch> {
        let name = procedure.join(".");
        match name.as_str() {
            "system.flush" | "flush" => {
                if !arguments.is_empty() {
                    return Err(EngineError::invalid("system.flush() takes no arguments"));
                }
                self.flush_call().await
            }
            _ => Err(EngineError::NotFound {
                what: format!("procedure {name}"),
            }),
        }
    }

    /// Everything committed so far is in segments afterwards; rows of open transactions are not.
    async fn flush_call(&self) -> Result<RecordBatch> {
        let outcome = self.engine.flush(&self.tenant).await?;
        let columns: [(&str, ArrayRef); 3] = [
            (
                "snapshot_id",
                Arc::new(Int64Array::from(vec![outcome.snapshot_id.0])),
            ),
            (
                "segment_count",
                Arc::new(UInt64Array::from(vec![outcome.segment_count])),
            ),
            (
                "record_count",
                Arc::new(UInt64Array::from(vec![outcome.row_count])),
            ),
        ];
        Ok(RecordBatch::try_from_iter(columns)?)
    }
}
