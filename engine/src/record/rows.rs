//! Rows records: one Arrow record batch of one stream as a WAL payload.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | length of the prost header, little endian |
//! | 4..8 | length of the IPC message header |
//! | 8..16 | length of the IPC body |
//! | 16.. | prost header, IPC message header, zeros up to a multiple of 64, IPC body |

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{self, MetadataVersion, root_as_message};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use uuid::Uuid;

use super::message::RowsHeader;
use crate::error::{EngineError, Result};

#[cfg(test)]
mod tests;

const PREFIX_BYTES: usize = 16;
const ALIGNMENT_BYTES: usize = 64;

/// A rows record as replay finds it; the batch is decoded only once its commit is known.
#[derive(Debug, Clone)]
pub(crate) struct RowsRecord {
    pub(crate) tenant_id: u64,
    pub(crate) table_id: i64,
    pub(crate) stream_id: Uuid,
    pub(crate) batch_index: u32,
    pub(crate) row_count: u64,
    /// The schema, in a stream's first record.
    pub(crate) schema: Option<SchemaRef>,
    ipc_header: Bytes,
    ipc_body: Bytes,
}

/// A record batch as an Arrow IPC message: uncompressed, without dictionaries.
#[derive(Debug, Clone)]
pub struct IpcBatch {
    /// The flatbuffer `Message`.
    pub header: Bytes,
    /// The buffers it points into.
    pub body: Bytes,
}

impl IpcBatch {
    /// Encodes `batch`: one copy of its buffers.
    pub(crate) fn encode(batch: &RecordBatch) -> Result<Self> {
        let (dictionaries, encoded) = IpcDataGenerator::default().encode(
            batch,
            &mut DictionaryTracker::new(true),
            &IpcWriteOptions::default(),
            &mut IpcWriteContext::default(),
        )?;
        if !dictionaries.is_empty() {
            return Err(EngineError::internal(
                "a dictionary reached the log: canonical types have none",
            ));
        }
        Ok(Self {
            header: encoded.ipc_message.into(),
            body: encoded.arrow_data.into(),
        })
    }
}

/// Where a rows record belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowsPlace {
    pub(crate) tenant_id: u64,
    pub(crate) table_id: i64,
    pub(crate) stream_id: Uuid,
    pub(crate) batch_index: u32,
}

/// The parts of a rows record, to be written one after the other without being joined.
pub(crate) fn encode_rows(
    place: RowsPlace,
    schema: &SchemaRef,
    row_count: u64,
    ipc: IpcBatch,
) -> Vec<Bytes> {
    let schema = if place.batch_index == 0 {
        encode_schema(schema)
    } else {
        vec![]
    };
    let header = RowsHeader {
        tenant_id: place.tenant_id,
        table_id: place.table_id,
        stream_id: place.stream_id.as_bytes().to_vec(),
        batch_index: place.batch_index,
        row_count,
        schema,
    };
    vec![prefix(&header, &ipc.header, ipc.body.len()), ipc.body]
}

fn encode_schema(schema: &SchemaRef) -> Vec<u8> {
    let mut tracker = DictionaryTracker::new(true);
    let options = IpcWriteOptions::default();
    IpcDataGenerator::default()
        .schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options)
        .ipc_message
}

fn prefix(header: &RowsHeader, ipc_header: &[u8], body_bytes: usize) -> Bytes {
    let header_bytes = header.encoded_len();
    let used = PREFIX_BYTES + header_bytes + ipc_header.len();
    let padded = used.next_multiple_of(ALIGNMENT_BYTES);
    let mut prefix = BytesMut::with_capacity(padded);
    prefix.put_u32_le(header_bytes as u32);
    prefix.put_u32_le(ipc_header.len() as u32);
    prefix.put_u64_le(body_bytes as u64);
    prefix.put_slice(&header.encode_to_vec());
    prefix.put_slice(ipc_header);
    prefix.put_bytes(0, padded - used);
    prefix.freeze()
}

/// Takes a rows record apart; slices of `payload`, nothing copied but the schema.
///
/// # Errors
/// `Corruption` for anything that [`encode_rows`] does not write.
pub(crate) fn decode_rows(payload: &Bytes) -> Result<RowsRecord> {
    let [header, ipc_header, ipc_body] =
        split(payload).ok_or_else(|| malformed("its lengths do not add up"))?;
    let header = RowsHeader::decode(header).map_err(malformed)?;
    let schema = match header.schema.as_slice() {
        [] => None,
        bytes => Some(Arc::new(guarded(|| decode_schema(bytes))?)),
    };
    Ok(RowsRecord {
        tenant_id: header.tenant_id,
        table_id: header.table_id,
        stream_id: Uuid::from_slice(&header.stream_id).map_err(malformed)?,
        batch_index: header.batch_index,
        row_count: header.row_count,
        schema,
        ipc_header,
        ipc_body,
    })
}

/// Header, IPC header and IPC body, if they fill the payload exactly.
fn split(payload: &Bytes) -> Option<[Bytes; 3]> {
    let mut prefix = payload.get(..PREFIX_BYTES)?;
    let header_bytes = usize::try_from(prefix.get_u32_le()).ok()?;
    let ipc_bytes = usize::try_from(prefix.get_u32_le()).ok()?;
    let body_bytes = usize::try_from(prefix.get_u64_le()).ok()?;
    let ipc_at = PREFIX_BYTES.checked_add(header_bytes)?;
    let ipc_end = ipc_at.checked_add(ipc_bytes)?;
    let body_at = ipc_end.checked_next_multiple_of(ALIGNMENT_BYTES)?;
    (body_at.checked_add(body_bytes)? == payload.len()).then(|| {
        [
            payload.slice(PREFIX_BYTES..ipc_at),
            payload.slice(ipc_at..ipc_end),
            payload.slice(body_at..),
        ]
    })
}

fn decode_schema(message: &[u8]) -> Result<Schema> {
    let mut framed = Vec::with_capacity(message.len() + 8);
    framed.extend_from_slice(&u32::MAX.to_le_bytes());
    framed.extend_from_slice(&(message.len() as u32).to_le_bytes());
    framed.extend_from_slice(message);
    try_schema_from_ipc_buffer(&framed).map_err(malformed)
}

fn malformed(why: impl fmt::Display) -> EngineError {
    EngineError::Corruption {
        message: format!("a rows record in the WAL cannot be taken apart: {why}"),
    }
}

/// Arrow's decoder takes some malformed messages for bugs of its caller and panics.
fn guarded<T>(decode: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(malformed("the decoder gave up on it")))
}

/// Whether a message is of the kind that [`IpcBatch`] describes, and within its body. Nothing in
/// it can then make the decoder allocate more than the body holds.
fn is_plain(batch: ipc::RecordBatch<'_>, body_bytes: usize) -> bool {
    let inside = |buffer: &ipc::Buffer| {
        let end = buffer.offset().checked_add(buffer.length());
        let within = end.and_then(|end| usize::try_from(end).ok());
        buffer.offset() >= 0 && buffer.length() >= 0 && within.is_some_and(|e| e <= body_bytes)
    };
    batch.compression().is_none()
        && batch.variadicBufferCounts().is_none_or(|c| c.is_empty())
        && batch.buffers().into_iter().flatten().all(inside)
}

impl RowsRecord {
    /// The rows, under the schema of their stream; arrays are slices of the log's own bytes.
    ///
    /// # Errors
    /// `Corruption` if the rows are not of that schema, or not as they were written.
    pub(crate) fn batch(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        let message = root_as_message(&self.ipc_header).map_err(malformed)?;
        let header = message
            .header_as_record_batch()
            .filter(|header| is_plain(*header, self.ipc_body.len()))
            .ok_or_else(|| malformed("it holds no plain record batch"))?;
        let batch = guarded(|| {
            read_record_batch(
                &Buffer::from(self.ipc_body.clone()),
                header,
                Arc::clone(schema),
                &HashMap::new(),
                None,
                &MetadataVersion::V5,
            )
            .map_err(malformed)
        })?;
        if batch.num_rows() as u64 != self.row_count {
            return Err(malformed("it has another number of rows"));
        }
        Ok(batch)
    }
}
