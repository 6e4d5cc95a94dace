//! The one place where types are normalised.
//!
//! Does: turns incoming schemas into the canonical types tables are made of, turns incoming
//! batches into a table's exact schema, puts results under their promised schema, and digests
//! rows for idempotency.
//! Guarantees: values are kept without loss or the column is refused by name; what arrives is
//! never expanded beyond `EXPANDED_BYTES_MAX` per batch.
//! Does not know: the catalog, the write-ahead log, SQL.

mod adapter;
mod apply;
mod budget;
mod content_digest;
mod conversion;
mod lists;
mod rebatch;
mod schema;
mod text;

pub(crate) use adapter::Adapter;
pub(crate) use content_digest::ContentDigest;
pub(crate) use rebatch::logical_rebatch;
pub(crate) use schema::{canonical_schema, logical_schema};
pub(crate) use text::short;

#[cfg(test)]
mod tests;
