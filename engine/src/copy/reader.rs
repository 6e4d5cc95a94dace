//! Reads files batch by batch.
//!
//! Guarantees: what is wrong with a file is said in one line that names the file and, for text
//! formats, the line. Bounded memory for text formats and Parquet; Arrow files hold as much as
//! one of their own batches.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::metadata::ParquetMetaData;

use super::text_reader::{self, TextReader};
use super::{CopyOptions, FileFormat, file_name};
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// Most rows of a batch.
pub(super) const BATCH_ROWS_MAX: usize = 8_192;
/// How many bytes of a file go into a batch, about.
pub(super) const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// Batches of a file, read as they are asked for.
pub(crate) type BatchIterator = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Opens a file for reading. CSV and JSON are parsed as the types of `expected` (the table's
/// schema), or as types guessed from the first rows without it; other formats carry their schema.
/// The schema of the batches is the file's: adapt them to the table's.
///
/// # Errors
/// `InvalidArgument` for files of another format and for texts that are no values, `NotFound`
/// when the file has gone, `Unsupported` for types a format cannot hold, `Io`.
pub(crate) fn open(
    path: &Path,
    options: &CopyOptions,
    expected: Option<SchemaRef>,
) -> Result<(SchemaRef, BatchIterator)> {
    let name = file_name(path);
    let file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => EngineError::NotFound {
            what: format!("file '{name}'"),
        },
        _ => EngineError::Io {
            action: "open",
            path: name.clone().into(),
            source,
        },
    })?;
    match options.format {
        FileFormat::Parquet => open_parquet(file, name),
        FileFormat::ArrowFile => {
            let reader = FileReader::try_new(BufReader::new(file), None)
                .map_err(|error| unreadable(&name, "an Arrow file", error))?;
            Ok((reader.schema(), explained(reader, name, "an Arrow file")))
        }
        FileFormat::ArrowStream => {
            let reader = StreamReader::try_new(BufReader::new(file), None)
                .map_err(|error| unreadable(&name, "an Arrow stream", error))?;
            Ok((reader.schema(), explained(reader, name, "an Arrow stream")))
        }
        FileFormat::Csv => opened(
            text_reader::open_csv(file, name.clone(), options, expected)?,
            name,
        ),
        FileFormat::NdJson => opened(text_reader::open_json(file, name.clone(), expected)?, name),
    }
}

fn opened(reader: TextReader, name: String) -> Result<(SchemaRef, BatchIterator)> {
    Ok((reader.schema(), guarded(reader, name)))
}

fn open_parquet(file: File, name: String) -> Result<(SchemaRef, BatchIterator)> {
    const WHAT: &str = "Parquet";
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|error| unreadable(&name, WHAT, error.into()))?;
    let schema = SchemaRef::clone(builder.schema());
    let rows = batch_rows(builder.metadata());
    let reader = builder
        .with_batch_size(rows)
        .build()
        .map_err(|error| unreadable(&name, WHAT, error.into()))?;
    Ok((schema, explained(reader, name, WHAT)))
}

/// How many rows make a batch of about `BATCH_BYTES`, by the widest row group.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let row_bytes = metadata
        .row_groups()
        .iter()
        .filter(|group| group.num_rows() > 0)
        .map(|group| {
            let bytes = u64::try_from(group.total_byte_size()).unwrap_or(0);
            bytes / u64::try_from(group.num_rows()).unwrap_or(1)
        });
    let widest = row_bytes.max().unwrap_or(1).max(1);
    usize::try_from(BATCH_BYTES / widest)
        .unwrap_or(1)
        .clamp(1, BATCH_ROWS_MAX)
}

fn explained<R>(reader: R, name: String, what: &'static str) -> BatchIterator
where
    R: Iterator<Item = Result<RecordBatch, ArrowError>> + Send + 'static,
{
    let file = name.clone();
    guarded(
        reader.map(move |batch| batch.map_err(|error| unreadable(&file, what, error))),
        name,
    )
}

/// Ends after the first error: a reader that failed may be anywhere in its file.
fn guarded<R>(mut reader: R, name: String) -> BatchIterator
where
    R: Iterator<Item = Result<RecordBatch>> + Send + 'static,
{
    let mut failed = false;
    Box::new(std::iter::from_fn(move || {
        if failed {
            return None;
        }
        // A panic would end the thread, which must not look like the end of the file.
        let batch = catch_unwind(AssertUnwindSafe(|| reader.next())).unwrap_or_else(|_| {
            let message = format!("file '{name}' cannot be read: its content is damaged");
            Some(Err(EngineError::invalid(message)))
        })?;
        failed = batch.is_err();
        Some(batch)
    }))
}

fn unreadable(name: &str, what: &str, error: ArrowError) -> EngineError {
    match error {
        ArrowError::IoError(_, source) if !shows_bad_content(source.kind()) => EngineError::Io {
            action: "read",
            path: name.into(),
            source,
        },
        error => EngineError::invalid(format!(
            "file '{name}' cannot be read as {what}: {}",
            short(&error.to_string())
        )),
    }
}

/// A reader that takes nonsense for lengths and offsets asks the system for nonsense.
fn shows_bad_content(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData
    )
}

#[cfg(test)]
mod tests;
