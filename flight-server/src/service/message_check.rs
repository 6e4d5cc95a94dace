//! What the messages of an upload must be before anything decodes them.
//!
//! The decoder trusts what a message says about itself: sizes to allocate, places in the body, how
//! often a part of it is used. A few hundred bytes could make it allocate without end, which no
//! error handling survives. After this check, what decoding allocates is bounded by
//! `decoded_bytes_max` for a message and again for the dictionaries that a stream keeps.

use std::collections::HashMap;

use arrow_flight::FlightData;
use arrow_ipc::{Field, KeyValue, Message, MessageHeader, RecordBatch, Schema, root_as_message};

#[cfg(test)]
mod tests;

/// Columns of a schema, nested ones included.
const FIELDS_MAX: usize = 100_000;
/// Names and metadata of a schema, in bytes. Parts may be shared: each use counts.
const SCHEMA_TEXT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Values that a batch may have without a byte behind each: columns of nulls, runs, structs.
const FREE_VALUES_MAX: u64 = 16 * 1024 * 1024;
/// Values for each byte of body: bits, and structs around them.
const VALUES_PER_BYTE: u64 = 64;
/// A compressed buffer begins with its decompressed length.
const LENGTH_PREFIX_BYTES: usize = 8;
/// Instead of a length: the buffer is not compressed.
const NOT_COMPRESSED: i64 = -1;

/// Checks the messages of one upload, in their order.
#[derive(Debug)]
pub(crate) struct MessageCheck {
    decoded_bytes_max: u64,
    has_schema: bool,
    dictionary_bytes: HashMap<i64, u64>,
}

impl MessageCheck {
    /// A message may take up to `decoded_bytes_max` once it is decompressed.
    pub(crate) fn new(decoded_bytes_max: u64) -> Self {
        Self {
            decoded_bytes_max,
            has_schema: false,
            dictionary_bytes: HashMap::new(),
        }
    }

    /// # Errors
    /// What is wrong with the message, for its sender.
    pub(crate) fn check(&mut self, message: &FlightData) -> Result<(), String> {
        let header = root_as_message(&message.data_header).map_err(|error| error.to_string())?;
        match header.header_type() {
            MessageHeader::Schema => self.check_schema(&header),
            MessageHeader::RecordBatch => {
                let batch = header
                    .header_as_record_batch()
                    .ok_or("its batch has no header")?;
                self.check_batch(&batch, &message.data_body).map(|_| ())
            }
            MessageHeader::DictionaryBatch => self.check_dictionary(&header, &message.data_body),
            _ => Err("its header is neither a schema nor a batch".to_owned()),
        }
    }

    /// A second schema would give later batches other columns than those that were adapted.
    fn check_schema(&mut self, header: &Message<'_>) -> Result<(), String> {
        if std::mem::replace(&mut self.has_schema, true) {
            return Err("it is a second schema".to_owned());
        }
        let schema = header
            .header_as_schema()
            .ok_or("its schema has no header")?;
        SchemaSize::default().add_schema(&schema)
    }

    fn check_dictionary(&mut self, header: &Message<'_>, body: &[u8]) -> Result<(), String> {
        let dictionary = header
            .header_as_dictionary_batch()
            .ok_or("its dictionary has no header")?;
        let values = dictionary.data().ok_or("its dictionary has no values")?;
        let bytes = self.check_batch(&values, body)?;
        let kept = self.dictionary_bytes.entry(dictionary.id()).or_default();
        *kept = match dictionary.isDelta() {
            true => kept.saturating_add(bytes),
            false => bytes,
        };
        let kept = self
            .dictionary_bytes
            .values()
            .fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
        if kept > self.decoded_bytes_max {
            return Err(format!(
                "the dictionaries of the upload take {kept} bytes, over the limit of {} \
                 (server.message_bytes_max)",
                self.decoded_bytes_max
            ));
        }
        Ok(())
    }

    /// Returns the bytes that the batch takes when decoded.
    fn check_batch(&self, batch: &RecordBatch<'_>, body: &[u8]) -> Result<u64, String> {
        let compressed = batch.compression().is_some();
        let (mut stored, mut decoded) = (0_u64, 0_u64);
        for buffer in batch.buffers().into_iter().flatten() {
            let bytes = slice(body, buffer.offset(), buffer.length()).ok_or_else(|| {
                format!("a buffer lies outside of its {} bytes of body", body.len())
            })?;
            stored = stored.saturating_add(bytes.len() as u64);
            decoded = decoded.saturating_add(match compressed {
                true => decompressed_bytes(bytes)?,
                false => bytes.len() as u64,
            });
        }
        if stored > body.len() as u64 {
            return Err("its buffers overlap".to_owned());
        }
        if decoded > self.decoded_bytes_max {
            return Err(format!(
                "it takes {decoded} bytes when decompressed, over the limit of {} \
                 (server.message_bytes_max): send smaller batches",
                self.decoded_bytes_max
            ));
        }
        check_values(batch, decoded)?;
        Ok(decoded)
    }
}

/// Rows cost memory although they may cost no bytes: a column of nulls gets its type's values.
fn check_values(batch: &RecordBatch<'_>, decoded_bytes: u64) -> Result<(), String> {
    let max = FREE_VALUES_MAX + decoded_bytes.saturating_mul(VALUES_PER_BYTE);
    let nodes = batch.nodes().into_iter().flatten();
    let lengths = nodes.map(|node| node.length());
    let values = std::iter::once(batch.length())
        .chain(lengths)
        .try_fold(0_u64, |sum, length| {
            sum.checked_add(u64::try_from(length).ok()?)
        });
    match values {
        Some(values) if values <= max => Ok(()),
        Some(values) => Err(format!(
            "it has {values} values in {decoded_bytes} bytes: send smaller batches"
        )),
        None => Err("a number of its rows is negative".to_owned()),
    }
}

fn slice(body: &[u8], offset: i64, length: i64) -> Option<&[u8]> {
    let offset = usize::try_from(offset).ok()?;
    let end = offset.checked_add(usize::try_from(length).ok()?)?;
    body.get(offset..end)
}

fn decompressed_bytes(buffer: &[u8]) -> Result<u64, String> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let prefix = buffer
        .first_chunk::<LENGTH_PREFIX_BYTES>()
        .ok_or("a compressed buffer is shorter than its length")?;
    match i64::from_le_bytes(*prefix) {
        NOT_COMPRESSED => Ok((buffer.len() - LENGTH_PREFIX_BYTES) as u64),
        length => u64::try_from(length)
            .map_err(|_| "the length of a compressed buffer is negative".to_owned()),
    }
}

/// The size of a schema when parts that are used several times are written out.
#[derive(Debug, Default)]
struct SchemaSize {
    fields: usize,
    text_bytes: usize,
}

impl SchemaSize {
    fn add_schema(&mut self, schema: &Schema<'_>) -> Result<(), String> {
        for field in schema.fields().into_iter().flatten() {
            self.add_field(&field)?;
        }
        self.add_metadata(schema.custom_metadata().into_iter().flatten())
    }

    /// As deep as the verifier of the header allows: it has refused deeper ones.
    fn add_field(&mut self, field: &Field<'_>) -> Result<(), String> {
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(format!("it has more than {FIELDS_MAX} columns"));
        }
        self.add_text(field.name())?;
        self.add_metadata(field.custom_metadata().into_iter().flatten())?;
        for child in field.children().into_iter().flatten() {
            self.add_field(&child)?;
        }
        Ok(())
    }

    fn add_metadata<'a>(
        &mut self,
        mut entries: impl Iterator<Item = KeyValue<'a>>,
    ) -> Result<(), String> {
        entries.try_for_each(|entry| {
            self.add_text(entry.key())?;
            self.add_text(entry.value())
        })
    }

    fn add_text(&mut self, text: Option<&str>) -> Result<(), String> {
        // One more for each: many empty texts are work, too.
        self.text_bytes += text.map_or(0, str::len) + 1;
        match self.text_bytes <= SCHEMA_TEXT_BYTES_MAX {
            true => Ok(()),
            false => Err(format!(
                "its names and metadata take more than {SCHEMA_TEXT_BYTES_MAX} bytes"
            )),
        }
    }
}
