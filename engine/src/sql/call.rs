//! `CALL system.…`: procedures.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

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
        match Procedure::of(procedure, arguments)? {
            Procedure::Flush => self.flush_call().await,
        }
    }

    /// Everything committed so far is in segments afterwards; rows of open transactions are not.
    async fn flush_call(&self) -> Result<RecordBatch> {
        let outcome = self.engine.flush(&self.tenant).await?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![outcome.snapshot_id.0])),
            Arc::new(UInt64Array::from(vec![outcome.segment_count])),
            Arc::new(UInt64Array::from(vec![outcome.row_count])),
        ];
        Ok(RecordBatch::try_new(Procedure::Flush.schema(), columns)?)
    }
}

/// Schema of what a procedure returns.
///
/// # Errors
/// As those of [`StatementContext::call`], before anything has happened.
pub fn procedure_schema(procedure: &[String], arguments: &[CallArgument]) -> Result<SchemaRef> {
    Ok(Procedure::of(procedure, arguments)?.schema())
}

/// What can be called.
#[derive(Debug, Clone, Copy)]
enum Procedure {
    Flush,
}

impl Procedure {
    fn of(procedure: &[String], arguments: &[CallArgument]) -> Result<Self> {
        let name = procedure.join(".");
        match name.as_str() {
            "system.flush" | "flush" if arguments.is_empty() => Ok(Self::Flush),
            "system.flush" | "flush" => {
                Err(EngineError::invalid("system.flush() takes no arguments"))
            }
            _ => Err(EngineError::NotFound {
                what: format!("procedure {name}"),
            }),
        }
    }

    fn schema(self) -> SchemaRef {
        let fields = match self {
            Self::Flush => [
                ("snapshot_id", DataType::Int64),
                ("segment_count", DataType::UInt64),
                ("record_count", DataType::UInt64),
            ],
        };
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        Arc::new(Schema::new(fields.to_vec()))
    }
}
