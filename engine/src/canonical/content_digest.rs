//! A digest of rows that does not depend on how they are cut into batches.
//!
//! Guarantees: streams with the same rows in the same order have the same digest, however they
//! are cut; columns without any value do not count, so that a column added to the table later
//! does not change the digest of a repeated stream. Bytes behind NULLs do not count either.
//! The digest is stored: a change of what is hashed needs a new `DOMAIN`.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Field, Fields, Schema, Utf8Type};
use sha2::{Digest, Sha256};

use crate::error::{EngineError, Result};

/// Names what is hashed and how.
const DOMAIN: &[u8] = b"quiver-content-1";

/// SHA-256 over the rows of a stream of canonical batches.
#[derive(Debug)]
pub(crate) struct ContentDigest {
    rows: u64,
    columns: Vec<Column>,
}

impl ContentDigest {
    /// An empty digest of rows of `schema`, which is canonical (a table's schema).
    pub(crate) fn new(schema: &Schema) -> Self {
        Self {
            rows: 0,
            columns: Column::of_fields(schema.fields()),
        }
    }

    /// Adds the rows of `batch`.
    ///
    /// # Errors
    /// `Internal` when the batch does not have the digest's canonical schema.
    pub(crate) fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            return Err(EngineError::internal(
                "a digest got a batch of another schema",
            ));
        }
        self.rows += batch.num_rows() as u64;
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.add(array)?;
        }
        Ok(())
    }

    /// The digest of all rows added.
    pub(crate) fn finish(self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(self.rows.to_le_bytes());
        finish_columns(self.columns, &mut hash);
        hash.finalize().into()
    }
}

/// The hashes of one column: streams of their own, so that the cuts between batches leave no trace.
#[derive(Debug)]
struct Column {
    name: String,
    /// Alternating runs of values and NULLs.
    validity: Runs,
    /// Lengths of texts, bytes, lists and maps.
    lengths: Sha256,
    /// The bytes of values.
    values: Sha256,
    has_values: bool,
    children: Vec<Column>,
}

impl Column {
    fn of_fields(fields: &Fields) -> Vec<Self> {
        fields.iter().map(|field| Self::of_field(field)).collect()
    }

    fn of_field(field: &Field) -> Self {
        let children = match field.data_type() {
            DataType::Struct(fields) => Self::of_fields(fields),
            DataType::List(child) | DataType::Map(child, _) => vec![Self::of_field(child)],
            _ => Vec::new(),
        };
        Self {
            name: field.name().clone(),
            validity: Runs::default(),
            lengths: Sha256::new(),
            values: Sha256::new(),
            has_values: false,
            children,
        }
    }

    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else {
            return self.add_valid(array);
        };
        let mut seen = 0;
        for (start, end) in nulls.valid_slices() {
            self.validity.push(false, start - seen);
            self.add_valid(&array.slice(start, end - start))?;
            seen = end;
        }
        self.validity.push(false, array.len() - seen);
        Ok(())
    }

    /// Adds an array without NULLs.
    fn add_valid(&mut self, array: &ArrayRef) -> Result<()> {
        if array.is_empty() {
            return Ok(());
        }
        self.validity.push(true, array.len());
        self.has_values = true;
        match array.data_type() {
            DataType::Boolean => {
                let bits: Vec<u8> = array.as_boolean().values().iter().map(u8::from).collect();
                self.values.update(bits);
            }
            DataType::Utf8 => self.add_bytes::<Utf8Type>(array),
            DataType::Binary => self.add_bytes::<BinaryType>(array),
            DataType::FixedSizeBinary(_) => {
                array
                    .as_fixed_size_binary()
                    .iter()
                    .flatten()
                    .for_each(|v| self.values.update(v));
            }
            DataType::Struct(_) => {
                for (child, column) in self.children.iter_mut().zip(array.as_struct().columns()) {
                    child.add(column)?;
                }
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                self.add_elements(list.value_offsets(), list.values())?;
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
                self.add_elements(map.value_offsets(), &entries)?;
            }
            data_type => match data_type.primitive_width() {
                Some(width) => self.add_fixed(array, width)?,
                None => {
                    return Err(EngineError::internal(format!(
                        "{data_type} is not canonical"
                    )));
                }
            },
        }
        Ok(())
    }

    fn add_fixed(&mut self, array: &ArrayRef, width: usize) -> Result<()> {
        let data = array.to_data();
        let bytes = data
            .buffers()
            .first()
            .and_then(|b| b.get(data.offset() * width..(data.offset() + data.len()) * width))
            .ok_or_else(|| EngineError::internal("a column is shorter than it says"))?;
        self.values.update(bytes);
        Ok(())
    }

    fn add_bytes<T: ByteArrayType>(&mut self, array: &ArrayRef) {
        let array = array.as_bytes::<T>();
        let (first, last) = self.add_lengths(array.value_offsets());
        self.values.update(&array.values()[first..last]);
    }

    fn add_elements(&mut self, offsets: &[i32], values: &ArrayRef) -> Result<()> {
        let (first, last) = self.add_lengths(offsets);
        match self.children.first_mut() {
            Some(child) => child.add(&values.slice(first, last - first)),
            None => Err(EngineError::internal(
                "a digest got a batch of another schema",
            )),
        }
    }

    /// Adds the distances between offsets; returns the first and the last offset.
    fn add_lengths<O: OffsetSizeTrait>(&mut self, offsets: &[O]) -> (usize, usize) {
        let lengths: Vec<u8> = offsets
            .windows(2)
            .flat_map(|pair| ((pair[1].as_usize() - pair[0].as_usize()) as u64).to_le_bytes())
            .collect();
        self.lengths.update(lengths);
        let at = |offset: Option<&O>| offset.map_or(0, |offset| offset.as_usize());
        (at(offsets.first()), at(offsets.last()))
    }

    fn finish(self, hash: &mut Sha256) {
        hash.update((self.name.len() as u64).to_le_bytes());
        hash.update(self.name.as_bytes());
        hash.update(self.validity.finish());
        hash.update(self.lengths.finalize());
        hash.update(self.values.finalize());
        finish_columns(self.children, hash);
    }
}

/// Columns that never had a value look like columns that were never there.
fn finish_columns(columns: Vec<Column>, hash: &mut Sha256) {
    let present = columns.into_iter().filter(|column| column.has_values);
    let present: Vec<Column> = present.collect();
    hash.update((present.len() as u64).to_le_bytes());
    present.into_iter().for_each(|column| column.finish(hash));
}

/// A sequence of bits as the lengths of its runs: long runs cost nothing.
#[derive(Debug, Default)]
struct Runs {
    hash: Sha256,
    valid: bool,
    length: u64,
}

impl Runs {
    fn push(&mut self, valid: bool, length: usize) {
        if length == 0 {
            return;
        }
        if valid != self.valid {
            self.close();
            self.valid = valid;
        }
        self.length += length as u64;
    }

    /// The first run is one of NULLs, perhaps empty, so the lengths alone tell the bits.
    fn close(&mut self) {
        self.hash.update(self.length.to_le_bytes());
        self.length = 0;
    }

    fn finish(mut self) -> [u8; 32] {
        self.close();
        self.hash.finalize().into()
    }
}

#[cfg(test)]
mod tests;
