//! Rows records: one Arrow record batch of one stream as a WAL payload.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | length of the prost header, little endian |
//! | 4..8 | length of the IPC message header |
//! | 8..16 | length of the IPC body |
//! | 16.. | prost header, IPC message header, zeros up to a multiple of 64, IPC body |

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{MetadataVersion, root_as_message};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use uuid::Uuid;

use super::message::RowsHeader;
use crate::error::{EngineError, Result};

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
pub(crate) fn decode_rows(payload: &Bytes) -> Result<RowsRecord> {
    let read_u32 = |at: usize| -> Option<usize> {
        Some(u32::from_le_bytes(payload.get(at..at + 4)?.try_into().ok()?) as usize)
    };
    let parts = || -> Option<(Bytes, Bytes, Bytes)> {
        let header_bytes = read_u32(0)?;
        let ipc_bytes = read_u32(4)?;
        let body_bytes = u64::from_le_bytes(payload.get(8..16)?.try_into().ok()?) as usize;
        let ipc_at = PREFIX_BYTES + header_bytes;
        let body_at = (ipc_at + ipc_bytes).next_multiple_of(ALIGNMENT_BYTES);
        (payload.len() == body_at + body_bytes).then(|| {
            (
                payload.slice(PREFIX_BYTES..ipc_at),
                payload.slice(ipc_at..ipc_at + ipc_bytes),
                payload.slice(body_at..),
            )
        })
    };
    let (header, ipc_header, ipc_body) = parts().ok_or_else(malformed)?;
    let header = RowsHeader::decode(header).map_err(|_| malformed())?;
    let schema = match header.schema.as_slice() {
        [] => None,
        bytes => Some(Arc::new(decode_schema(bytes)?)),
    };
    Ok(RowsRecord {
        tenant_id: header.tenant_id,
        table_id: header.table_id,
        stream_id: Uuid::from_slice(&header.stream_id).map_err(|_| malformed())?,
        batch_index: header.batch_index,
        row_count: header.row_count,
        schema,
        ipc_header,
        ipc_body,
    })
}

fn decode_schema(message: &[u8]) -> Result<Schema> {
    let mut framed = Vec::with_capacity(message.len() + 8);
    framed.extend_from_slice(&u32::MAX.to_le_bytes());
    framed.extend_from_slice(&(message.len() as u32).to_le_bytes());
    framed.extend_from_slice(message);
    Ok(try_schema_from_ipc_buffer(&framed)?)
}

fn malformed() -> EngineError {
    EngineError::Corruption {
        message: "a rows record in the WAL cannot be taken apart".to_owned(),
    }
}

impl RowsRecord {
    /// The rows, under the schema of their stream; arrays are slices of the log's own bytes.
    pub(crate) fn batch(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        let message = root_as_message(&self.ipc_header).map_err(|_| malformed())?;
        let header = message.header_as_record_batch().ok_or_else(malformed)?;
        let batch = read_record_batch(
            &Buffer::from(self.ipc_body.clone()),
            header,
            Arc::clone(schema),
            &HashMap::new(),
            None,
            &MetadataVersion::V5,
        )?;
        if batch.num_rows() as u64 != self.row_count {
            return Err(malformed());
        }
        Ok(batch)
    }
}
