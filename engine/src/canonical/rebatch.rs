//! Puts result batches under the schema that was promised.
//!
//! Guarantees: every batch of a result has exactly the schema its client was told, whatever the
//! operators below made of it. Does not copy columns that have their type already.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::adapter::explain;
use super::apply::{NULL_REFUSED, apply, first_null};
use super::budget::Budget;
use super::conversion::{Matching, plan_fields};
use crate::error::{EngineError, Result};

/// The batch with the names, types, nullability and metadata of `schema`, matched by position.
///
/// # Errors
/// `Internal` when the batch does not fit the promise; `InvalidArgument` when it cannot be
/// decoded within the limits.
pub(crate) fn logical_rebatch(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if Arc::ptr_eq(batch.schema_ref(), schema) || batch.schema_ref() == schema {
        return Ok(batch);
    }
    let sources = plan_fields(
        batch.schema_ref().fields(),
        schema.fields(),
        Matching::ByPosition,
        "",
    )
    .map_err(|error| broken_promise(&error))?;
    let budget = Budget::new();
    let mut columns = Vec::with_capacity(sources.len());
    for ((field, source), column) in schema.fields().iter().zip(&sources).zip(batch.columns()) {
        let column = apply(&source.conversion, column, None, &budget)
            .map_err(|refusal| explain(refusal, field.name(), None))?;
        if !field.is_nullable() && first_null(&column, None).is_some() {
            return Err(broken_promise(&format!(
                "column '{}' {NULL_REFUSED}",
                field.name()
            )));
        }
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

fn broken_promise(why: &dyn std::fmt::Display) -> EngineError {
    EngineError::internal(format!("a result does not fit its promised schema: {why}"))
}

#[cfg(test)]
mod tests;
