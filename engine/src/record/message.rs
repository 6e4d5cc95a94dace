//! Prost headers of the WAL records. Field numbers are the disk format: never reuse one.

use prost::Message;

#[cfg(test)]
mod tests;

/// Head of a rows record.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RowsHeader {
    #[prost(uint64, tag = "1")]
    pub(crate) tenant_id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) table_id: i64,
    /// 16 bytes; all batches of one ingest stream share it.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) stream_id: Vec<u8>,
    /// Position of the batch in its stream, from 0.
    #[prost(uint32, tag = "4")]
    pub(crate) batch_index: u32,
    #[prost(uint64, tag = "5")]
    pub(crate) row_count: u64,
    /// Arrow IPC schema message; present in a stream's first batch only.
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) schema: Vec<u8>,
}

/// One stream that a commit makes visible.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CommittedStream {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) stream_id: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub(crate) table_id: i64,
    #[prost(uint32, tag = "3")]
    pub(crate) batch_count: u32,
    #[prost(uint64, tag = "4")]
    pub(crate) row_count: u64,
}

/// An idempotency key that a commit settles.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct IdempotencyEntry {
    #[prost(uint64, tag = "1")]
    pub(crate) user_id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) table_id: i64,
    #[prost(string, tag = "3")]
    pub(crate) key: String,
    #[prost(string, tag = "4")]
    pub(crate) mode: String,
    #[prost(uint64, tag = "5")]
    pub(crate) record_count: u64,
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) digest: Vec<u8>,
    #[prost(int64, tag = "7")]
    pub(crate) created_micros: i64,
}

/// A producer's step that a commit settles.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProducerEntry {
    #[prost(int64, tag = "1")]
    pub(crate) table_id: i64,
    #[prost(string, tag = "2")]
    pub(crate) producer: String,
    #[prost(uint64, tag = "3")]
    pub(crate) epoch: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) producer_sequence: u64,
    #[prost(int64, tag = "5")]
    pub(crate) updated_micros: i64,
}

/// A commit of rows alone: this record is the commit point.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CommitRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) tenant_id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) sequence: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) epoch: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) streams: Vec<CommittedStream>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) idempotency: Vec<IdempotencyEntry>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) producers: Vec<ProducerEntry>,
}

/// Rows of a commit that also changes the catalog: the catalog's transaction is the commit point.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PrepareRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) tenant_id: u64,
    /// 16 bytes; the catalog stores it with the sequence when it commits.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) commit_id: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) streams: Vec<CommittedStream>,
}
