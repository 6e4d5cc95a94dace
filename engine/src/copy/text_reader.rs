//! Reads CSV and newline-delimited JSON.
//!
//! Guarantees: memory stays within `BATCH_BYTES` plus one record, and a record is refused beyond
//! `RECORD_BYTES_MAX` (a quote that is never closed would otherwise swallow the whole file).
//! Errors name the line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::reader::infer_json_schema;
use arrow::{csv, json};

use super::CopyOptions;
use super::reader::{BATCH_BYTES, BATCH_ROWS_MAX};
use super::text::{json_texts, parse};
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// Longest record of a text file, in bytes.
const RECORD_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// How much of a file is looked at to guess types, and the longest header.
const SAMPLE_BYTES: u64 = 4 * 1024 * 1024;
/// How many records are looked at to guess types.
const SAMPLE_ROWS: usize = 1_000;
const BYTE_ORDER_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// An iterator over the batches of a text file. It ends after the first error.
pub(super) struct TextReader {
    name: String,
    schema: SchemaRef,
    input: BufReader<File>,
    decoder: Decoder,
    /// What stands for NULL beside the empty text, which the decoder takes for NULL.
    null_value: Option<String>,
    limits: Limits,
    /// Lines read so far.
    lines: u64,
    /// Lines of the header, as long as it is not read.
    header_lines: u64,
    /// Bytes read since the last batch.
    bytes: u64,
    /// The line of every row since the last batch; CSV knows the first one only.
    row_lines: Vec<u64>,
    /// The bytes of the current batch: JSON only, to find the line of an error.
    raw: Vec<u8>,
    is_done: bool,
}

/// How many bytes are held at once.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// A batch ends at the first record that ends beyond this.
    batch_bytes: u64,
    /// Longest record.
    record_bytes_max: u64,
}

enum Decoder {
    Csv(Box<csv::reader::Decoder>),
    Json {
        decoder: json::reader::Decoder,
        texts: SchemaRef,
    },
}

/// Opens a CSV file. Columns are matched to `expected` by the header, or else by their place.
pub(super) fn open_csv(
    mut file: File,
    name: String,
    options: &CopyOptions,
    expected: Option<SchemaRef>,
) -> Result<TextReader> {
    let format = Format::default()
        .with_header(options.header)
        .with_delimiter(options.delimiter)
        .with_quote(options.quote);
    let sample = read_sample(&mut file, &name)?;
    let rows = if expected.is_some() { 0 } else { SAMPLE_ROWS };
    let (found, _) = format
        .infer_schema(sample.as_slice(), Some(rows))
        .map_err(|error| unreadable(&name, "its first lines", &error))?;
    let fields = match expected {
        None => guessed_types(found.fields(), options),
        Some(table) if options.header => by_header(found.fields(), &table, &name)?,
        Some(table) => table.fields().iter().map(|field| nullable(field)).collect(),
    };
    refuse_nested(&fields, &name)?;
    let texts: Fields = fields
        .iter()
        .map(|field| Field::new(field.name(), DataType::Utf8, true))
        .collect();
    let decoder = csv::ReaderBuilder::new(Arc::new(Schema::new(texts)))
        .with_format(format)
        .with_batch_size(BATCH_ROWS_MAX)
        .build_decoder();
    let mut reader = TextReader::new(file, name, fields, Decoder::Csv(Box::new(decoder)))?;
    reader.null_value = (!options.null_value.is_empty()).then(|| options.null_value.clone());
    if options.header {
        let breaks = |field: &Arc<Field>| field.name().matches('\n').count() as u64;
        reader.header_lines = 1 + found.fields().iter().map(breaks).sum::<u64>();
    }
    Ok(reader)
}

/// Opens a file of JSON objects, one per line. Keys that `expected` does not have are refused.
pub(super) fn open_json(
    mut file: File,
    name: String,
    expected: Option<SchemaRef>,
) -> Result<TextReader> {
    let sample = read_sample(&mut file, &name)?;
    let fields: Fields = match expected {
        Some(table) => table.fields().iter().map(|field| nullable(field)).collect(),
        None => {
            let (found, _) = infer_json_schema(sample.as_slice(), Some(SAMPLE_ROWS))
                .map_err(|error| unreadable(&name, "its first lines", &error))?;
            found.fields().iter().map(without_null_type).collect()
        }
    };
    let texts = fields
        .iter()
        .map(|field| Field::new(field.name(), json_texts(field.data_type(), false), true));
    let texts = Arc::new(Schema::new(texts.collect::<Fields>()));
    let decoder = Decoder::Json {
        decoder: json_decoder(&texts)?,
        texts,
    };
    TextReader::new(file, name, fields, decoder)
}

impl TextReader {
    fn new(mut file: File, name: String, fields: Fields, decoder: Decoder) -> Result<Self> {
        let mut mark = [0; 3];
        let failed = |source| EngineError::Io {
            action: "read",
            path: name.clone().into(),
            source,
        };
        let starts_with_mark = match file.read_exact(&mut mark) {
            Ok(()) => mark == BYTE_ORDER_MARK,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
            Err(source) => return Err(failed(source)),
        };
        if !starts_with_mark {
            file.rewind().map_err(failed)?;
        }
        Ok(Self {
            name,
            schema: Arc::new(Schema::new(fields)),
            input: BufReader::with_capacity(256 * 1024, file),
            decoder,
            null_value: None,
            limits: Limits {
                batch_bytes: BATCH_BYTES,
                record_bytes_max: RECORD_BYTES_MAX,
            },
            lines: 0,
            header_lines: 0,
            bytes: 0,
            row_lines: Vec::new(),
            raw: Vec::new(),
            is_done: false,
        })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn read(&mut self) -> Result<Option<RecordBatch>> {
        self.bytes = 0;
        self.row_lines.clear();
        self.raw.clear();
        let first_line = self.lines + std::mem::take(&mut self.header_lines) + 1;
        while !self.is_full() {
            if !self.feed()? {
                break;
            }
        }
        let batch = match &mut self.decoder {
            Decoder::Csv(decoder) => decoder.flush(),
            Decoder::Json { decoder, .. } => decoder.flush(),
        };
        let batch = batch.map_err(|error| self.explain_flush(&error, first_line))?;
        batch
            .map(|texts| self.parse(&texts, first_line))
            .transpose()
    }

    /// Whether the batch is complete. Only asked between records once it is large.
    fn is_full(&self) -> bool {
        match &self.decoder {
            Decoder::Csv(decoder) => decoder.capacity() == 0,
            Decoder::Json { decoder, .. } => {
                decoder.len() >= BATCH_ROWS_MAX
                    || (self.bytes >= self.limits.batch_bytes && !decoder.has_partial_record())
            }
        }
    }

    /// Gives the decoder more of the file. Returns whether the batch may go on.
    fn feed(&mut self) -> Result<bool> {
        let Limits {
            batch_bytes,
            record_bytes_max,
        } = self.limits;
        if self.bytes > batch_bytes + record_bytes_max {
            return Err(EngineError::invalid(format!(
                "file '{}', before line {}: a record is longer than {record_bytes_max} bytes: \
                 check the quotes",
                self.name,
                self.lines + 1
            )));
        }
        let input = self.input.fill_buf().map_err(|source| EngineError::Io {
            action: "read",
            path: self.name.clone().into(),
            source,
        })?;
        let is_line = !matches!(self.decoder, Decoder::Csv(_)) || self.bytes >= batch_bytes;
        let piece = if is_line {
            up_to_line_end(input)
        } else {
            input
        };
        let is_end = piece.is_empty();
        let (name, line) = (&self.name, self.lines + 1);
        let (used, ends_record) = match &mut self.decoder {
            Decoder::Csv(decoder) => {
                let fed = match is_line && !is_end {
                    true => decode_line(decoder, piece),
                    false => decoder.decode(piece).map(|used| (used, false)),
                };
                fed.map_err(|error| bad_csv(name, &error))?
            }
            Decoder::Json { decoder, .. } => {
                let before = decoder.len();
                let used = decoder
                    .decode(piece)
                    .map_err(|error| bad_line(name, line, &error.to_string()))?;
                self.row_lines.extend((before..decoder.len()).map(|_| line));
                self.raw.extend_from_slice(&piece[..used]);
                (used, false)
            }
        };
        self.lines += piece[..used].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.bytes += used as u64;
        self.input.consume(used);
        Ok(!is_end && !ends_record)
    }

    fn parse(&self, texts: &RecordBatch, first_line: u64) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(texts.num_columns());
        for (field, column) in self.schema.fields().iter().zip(texts.columns()) {
            let column = match &self.null_value {
                Some(null_value) => with_nulls(column.as_string(), null_value),
                None => Arc::clone(column),
            };
            let values = parse(&column, field.data_type()).map_err(|bad| {
                let line = self.line_of(texts, bad.row, first_line);
                let reason = format!("column '{}': {}", short(field.name()), bad.reason);
                bad_line(&self.name, line, &reason)
            })?;
            columns.push(values);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(texts.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.schema(),
            columns,
            &options,
        )?)
    }

    /// The line a row starts on. For CSV it is counted from the first one of the batch, which is
    /// exact unless there are empty lines in between.
    fn line_of(&self, texts: &RecordBatch, row: usize, first_line: u64) -> u64 {
        let Decoder::Csv(_) = self.decoder else {
            return self.row_lines.get(row).copied().unwrap_or(first_line);
        };
        let breaks = |column: &ArrayRef| {
            let texts: &StringArray = column.as_string();
            let texts = texts.iter().take(row).flatten();
            texts.map(|text| text.matches('\n').count()).sum::<usize>()
        };
        let breaks: usize = texts.columns().iter().map(breaks).sum();
        first_line + row as u64 + breaks as u64
    }

    fn explain_flush(&self, error: &ArrowError, first_line: u64) -> EngineError {
        let Decoder::Json { texts, .. } = &self.decoder else {
            return bad_csv(&self.name, error);
        };
        let mut line = first_line;
        for raw in self.raw.split_inclusive(|byte| *byte == b'\n') {
            let alone = json_decoder(texts).and_then(|mut decoder| {
                decoder.decode(raw)?;
                Ok(decoder.flush()?)
            });
            if let Err(error) = alone {
                return bad_line(&self.name, line, &error.to_string());
            }
            line += 1;
        }
        bad_line(
            &self.name,
            line.saturating_sub(1).max(1),
            &error.to_string(),
        )
    }
}

impl Iterator for TextReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let batch = self.read().transpose();
        self.is_done = !matches!(batch, Some(Ok(_)));
        batch
    }
}

fn json_decoder(texts: &SchemaRef) -> Result<json::reader::Decoder> {
    let builder = json::ReaderBuilder::new(Arc::clone(texts))
        .with_batch_size(BATCH_ROWS_MAX)
        .with_coerce_primitive(true)
        .with_strict_mode(true);
    Ok(builder.build_decoder()?)
}

fn up_to_line_end(input: &[u8]) -> &[u8] {
    let end = input.iter().position(|byte| *byte == b'\n');
    &input[..end.map_or(input.len(), |end| end + 1)]
}

/// Decodes a line. Returns the bytes used, and whether its end completed a record and nothing of
/// the next one is inside the decoder: only then may it be flushed. A line break inside of quotes
/// completes none.
fn decode_line(
    decoder: &mut csv::reader::Decoder,
    line: &[u8],
) -> Result<(usize, bool), ArrowError> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    let end = &line[body.len()..];
    let before = decoder.capacity();
    // Nothing at all would tell the decoder that the file ends.
    let used = if body.is_empty() {
        0
    } else {
        decoder.decode(body)?
    };
    if end.is_empty() || used < body.len() || decoder.capacity() < before {
        return Ok((used, false));
    }
    let used = used + decoder.decode(end)?;
    Ok((used, used == line.len() && decoder.capacity() < before))
}

/// The decoder took the empty text for NULL, but another text stands for it.
fn with_nulls(texts: &StringArray, null_value: &str) -> ArrayRef {
    let texts = texts.iter().map(|text| text.unwrap_or_default());
    Arc::new(
        texts
            .map(|text| (text != null_value).then_some(text))
            .collect::<StringArray>(),
    )
}

/// Where the first rows hold only NULL or empty lists, texts may follow.
fn without_null_type(field: &Arc<Field>) -> Arc<Field> {
    let data_type = match field.data_type() {
        DataType::Null => DataType::Utf8,
        DataType::List(child) => DataType::List(without_null_type(child)),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(without_null_type).collect())
        }
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), data_type, true))
}

fn nullable(field: &Field) -> Field {
    Field::new(field.name(), field.data_type().clone(), true)
}

/// Guessed types; with a text of its own for NULL, guesses would take it for a value.
fn guessed_types(found: &Fields, options: &CopyOptions) -> Fields {
    let keep = options.null_value.is_empty();
    let guess = |field: &Field| match field.data_type() {
        DataType::Null => DataType::Utf8,
        data_type if keep => data_type.clone(),
        _ => DataType::Utf8,
    };
    found
        .iter()
        .map(|field| Field::new(field.name(), guess(field), true))
        .collect()
}

fn by_header(found: &Fields, table: &Schema, name: &str) -> Result<Fields> {
    let column = |field: &Arc<Field>| {
        let title = field.name().trim();
        let folded = title.to_lowercase();
        let mut columns = table.fields().iter();
        columns
            .clone()
            .find(|column| column.name() == title)
            .or_else(|| columns.find(|column| column.name().to_lowercase() == folded))
            .map(|column| nullable(column))
            .ok_or_else(|| {
                EngineError::invalid(format!(
                    "file '{name}' has the column '{}', which is not in the table: check the \
                     header and the delimiter, or set HEADER false",
                    short(field.name())
                ))
            })
    };
    found.iter().map(column).collect()
}

fn refuse_nested(fields: &Fields, name: &str) -> Result<()> {
    match fields.iter().find(|field| field.data_type().is_nested()) {
        None => Ok(()),
        Some(field) => Err(EngineError::Unsupported {
            what: format!(
                "file '{name}': reading column '{}' of type {} from CSV (use JSON or Parquet)",
                short(field.name()),
                short(&field.data_type().to_string())
            ),
        }),
    }
}

/// The beginning of a file up to the end of a line.
fn read_sample(file: &mut File, name: &str) -> Result<Vec<u8>> {
    let mut sample = Vec::new();
    let read = file.by_ref().take(SAMPLE_BYTES).read_to_end(&mut sample);
    read.and_then(|_| file.rewind())
        .map_err(|source| EngineError::Io {
            action: "read",
            path: name.into(),
            source,
        })?;
    if sample.len() as u64 == SAMPLE_BYTES
        && let Some(end) = sample.iter().rposition(|byte| *byte == b'\n')
    {
        sample.truncate(end + 1);
    }
    if sample.starts_with(BYTE_ORDER_MARK) {
        sample.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(sample)
}

fn bad_line(name: &str, line: u64, reason: &str) -> EngineError {
    EngineError::invalid(format!("file '{name}', line {line}: {}", short(reason)))
}

/// The CSV decoder names the line itself.
fn bad_csv(name: &str, error: &ArrowError) -> EngineError {
    let reason = match error {
        ArrowError::CsvError(reason) => short(reason).into_owned(),
        other => short(&other.to_string()).into_owned(),
    };
    EngineError::invalid(format!("file '{name}': {reason}"))
}

fn unreadable(name: &str, place: &str, error: &ArrowError) -> EngineError {
    EngineError::invalid(format!(
        "file '{name}' cannot be read, see {place}: {}",
        short(&error.to_string())
    ))
}

#[cfg(test)]
mod tests;
