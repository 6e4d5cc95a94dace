//! Canonical and logical schemas.

use arrow::datatypes::Schema;

use crate::error::{EngineError, Result};

/// The schema of a table made from an incoming schema.
pub(crate) fn canonical_schema(_schema: &Schema) -> Result<Schema> {
    Err(EngineError::Unsupported { what: "canonical schemas".into() })
}

/// The schema under which results of `schema` are sent: no views, dictionaries or large lists.
pub(crate) fn logical_schema(schema: &Schema) -> Schema {
    schema.clone()
}
