//! What the engine writes into the WAL: the payloads of its frames.
//!
//! | kind | record | meaning |
//! |---|---|---|
//! | 1 | [`RowsRecord`] | one batch of one stream, not visible by itself |
//! | 2 | [`CommitRecord`] | the streams it names are committed at its sequence |
//! | 3 | [`PrepareRecord`] | the catalog decides: committed if and only if it holds the commit id |
//!
//! A record starts with its prost header. Rows add the Arrow IPC message as it travels on the wire:
//! header, then the body at a multiple of 64 bytes, so that replay reads arrays without a copy.

mod message;
mod rows;

#[cfg(test)]
mod tests;

pub(crate) use message::{
    CommitRecord, CommittedStream, IdempotencyEntry, PrepareRecord, ProducerEntry,
};
pub use rows::IpcBatch;
pub(crate) use rows::{RowsPlace, RowsRecord, decode_rows, encode_rows};

/// Frame kind of one batch of one stream.
pub(crate) const KIND_ROWS: u8 = 1;
/// Frame kind of a commit decided by the log.
pub(crate) const KIND_COMMIT: u8 = 2;
/// Frame kind of a commit decided by the catalog.
pub(crate) const KIND_PREPARE: u8 = 3;
