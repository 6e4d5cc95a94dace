//! Rows in the formats of `--format`.

#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::{FileWriter, StreamWriter};
use arrow::json::WriterBuilder as JsonBuilder;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::Format;
use super::table::TableWriter;

/// Where rows end up as bytes.
pub(crate) type Out = Box<dyn Write + Send>;

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    /// The destination failed.
    #[error("cannot write the rows: {source}")]
    Io {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A value has no place in the format.
    #[error("cannot write the rows in this format: {source}; try --format ndjson")]
    Arrow {
        /// Why.
        #[source]
        source: ArrowError,
    },
    /// A value has no place in Parquet.
    #[error("cannot write the rows as Parquet: {source}; try --format arrow")]
    Parquet {
        /// Why.
        #[source]
        source: ParquetError,
    },
}

/// Writes one result in one format.
pub(crate) enum RowWriter {
    /// For people.
    Table(TableWriter<Out>),
    /// With a header, also when there are no rows.
    Csv(Box<arrow::csv::Writer<Out>>, SchemaRef),
    /// One array.
    Json(Box<arrow::json::Writer<Out, JsonArray>>),
    /// One object per line.
    Ndjson(Box<arrow::json::Writer<Out, LineDelimited>>),
    /// A stream, for pipes.
    ArrowStream(Box<StreamWriter<Out>>),
    /// A file with a footer.
    ArrowFile(Box<FileWriter<Out>>),
    /// Zstandard-compressed.
    Parquet(Box<ArrowWriter<Out>>),
}

impl RowWriter {
    /// Starts a result; `is_file` chooses the Arrow file format over the stream.
    ///
    /// # Errors
    /// When the format cannot hold the columns or writing fails.
    pub(crate) fn new(
        format: Format,
        schema: &SchemaRef,
        out: Out,
        is_file: bool,
    ) -> Result<Self, FormatError> {
        // Nulls are written: an object without the key would lose the column.
        let json = || JsonBuilder::new().with_explicit_nulls(true);
        Ok(match format {
            Format::Table => Self::Table(TableWriter::new(out, Arc::clone(schema))),
            Format::Csv => Self::csv(schema, out)?,
            Format::Json => Self::Json(Box::new(json().build(out))),
            Format::Ndjson => Self::Ndjson(Box::new(json().build(out))),
            Format::Arrow if is_file => {
                Self::ArrowFile(Box::new(FileWriter::try_new(out, schema)?))
            }
            Format::Arrow => Self::ArrowStream(Box::new(StreamWriter::try_new(out, schema)?)),
            Format::Parquet => {
                let compression = Compression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder()
                    .set_compression(compression)
                    .build();
                let writer = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties))?;
                Self::Parquet(Box::new(writer))
            }
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When the format cannot hold a value or writing fails.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        match self {
            Self::Table(writer) => writer.write(batch)?,
            Self::Csv(writer, schema) => writer.write(&flat(batch, schema)?)?,
            Self::Json(writer) => writer.write(batch)?,
            Self::Ndjson(writer) => writer.write(batch)?,
            Self::ArrowStream(writer) => writer.write(batch)?,
            Self::ArrowFile(writer) => writer.write(batch)?,
            Self::Parquet(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// Completes the result and lets go of the destination, flushed.
    ///
    /// # Errors
    /// When writing fails.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        let mut out = match self {
            Self::Table(writer) => writer.finish()?,
            Self::Csv(writer, _) => writer.into_inner(),
            Self::Json(mut writer) => {
                writer.finish()?;
                let mut out = writer.into_inner();
                out.write_all(b"\n")
                    .map_err(|source| FormatError::Io { source })?;
                out
            }
            Self::Ndjson(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Self::ArrowStream(writer) => writer.into_inner()?,
            Self::ArrowFile(writer) => writer.into_inner()?,
            Self::Parquet(writer) => {
                // Flushes, too; taking the destination back would make text of its errors.
                writer.close()?;
                return Ok(());
            }
        };
        out.flush().map_err(|source| FormatError::Io { source })
    }

    fn csv(schema: &SchemaRef, out: Out) -> Result<Self, FormatError> {
        let fields = schema
            .fields()
            .iter()
            .map(|field| match field.data_type().is_nested() {
                true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
                false => Arc::clone(field),
            });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut writer = arrow::csv::WriterBuilder::new()
            .with_header(true)
            .build(out);
        // Writes the header.
        writer.write(&RecordBatch::new_empty(Arc::clone(&schema)))?;
        Ok(Self::Csv(Box::new(writer), schema))
    }
}

impl From<ArrowError> for FormatError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, source) => Self::Io { source },
            source => Self::Arrow { source },
        }
    }
}

impl From<ParquetError> for FormatError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
                Ok(source) => Self::Io { source: *source },
                Err(cause) => Self::Parquet {
                    source: ParquetError::External(cause),
                },
            },
            source => Self::Parquet { source },
        }
    }
}

/// A batch with its nested columns as text, since CSV has no nesting.
fn flat(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| {
        if column.data_type().is_nested() {
            as_text(column)
        } else {
            Ok(Arc::clone(column))
        }
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

fn as_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let mut text = StringBuilder::new();
    for row in 0..column.len() {
        match column.is_null(row) {
            true => text.append_null(),
            false => text.append_value(formatter.value(row).try_to_string()?),
        }
    }
    Ok(Arc::new(text.finish()))
}
