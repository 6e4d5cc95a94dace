//! CSV and NDJSON, whose types are not in the file.
//!
//! For a table that exists its own types are used, so that the file is read as what it will be;
//! for a new table types are found by looking at the rows, all of them unless told otherwise.

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use arrow::csv::ReaderBuilder as CsvBuilder;
use arrow::csv::reader::Format as CsvFormat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::json::ReaderBuilder as JsonBuilder;
use arrow::json::reader::infer_json_schema;

use super::LoadError;
use super::source::{BATCH_ROWS, Counted, Position, Source};

const FEW_ROWS_HINT: &str = "; the types were found in the first rows only, raise --infer-rows";

/// How text becomes values.
#[derive(Debug, Clone)]
pub(crate) struct TextOptions {
    /// The table's columns when it exists.
    pub(crate) columns: Option<SchemaRef>,
    /// Rows looked at for types; all when `None`.
    pub(crate) infer_rows: Option<usize>,
    /// CSV's separator; by the file's name when `None`.
    pub(crate) delimiter: Option<u8>,
    /// Whether CSV's first line has names.
    pub(crate) has_header: bool,
}

impl TextOptions {
    /// What to try when the file does not fit its types, or nothing.
    pub(super) fn hint(&self) -> &'static str {
        match (&self.columns, self.infer_rows) {
            (None, Some(_)) => FEW_ROWS_HINT,
            _ => "",
        }
    }

    /// Tells loads apart that take other rows from the same file.
    pub(super) fn mark(&self) -> String {
        let header = if self.has_header { "" } else { "-no-header" };
        let delimiter = self.delimiter.map(|byte| format!("-delimiter-{byte}"));
        format!("{header}{}", delimiter.unwrap_or_default())
    }

    fn csv_format(&self, path: &Path) -> CsvFormat {
        let is_tsv = path.extension().is_some_and(|extension| extension == "tsv");
        let delimiter = self.delimiter.unwrap_or(if is_tsv { b'\t' } else { b',' });
        CsvFormat::default()
            .with_header(self.has_header)
            .with_delimiter(delimiter)
    }
}

/// Opens a CSV file.
///
/// # Errors
/// When it cannot be read, has no types, or has columns the table has not.
pub(crate) fn open_csv(path: &Path, options: &TextOptions) -> Result<Source, LoadError> {
    let hint = options.hint();
    let invalid = |source| LoadError::Content {
        path: path.to_owned(),
        source,
        hint,
    };
    let format = options.csv_format(path);
    let rows = match &options.columns {
        // Only the names are wanted.
        Some(_) => Some(1),
        None => options.infer_rows,
    };
    let (file, _) = Counted::open(path)?;
    let (found, _) = format.infer_schema(file, rows).map_err(invalid)?;
    if found.fields().is_empty() {
        let message = "the file is empty; a CSV file needs at least a header".to_owned();
        return Err(LoadError::Shape {
            path: path.to_owned(),
            message,
        });
    }
    let schema: SchemaRef = match &options.columns {
        Some(table) if options.has_header => typed_by_name(path, &found, table)?,
        Some(table) => typed_by_place(path, &found, table)?,
        None => Arc::new(typed(&found)),
    };
    let (file, read) = Counted::open(path)?;
    let reader = CsvBuilder::new(Arc::clone(&schema))
        .with_format(format)
        .with_batch_size(BATCH_ROWS);
    let reader = reader.build(file).map_err(invalid)?;
    Ok(Source {
        schema,
        batches: Box::new(reader),
        position: Position::Bytes(read),
    })
}

/// Opens an NDJSON file.
///
/// # Errors
/// When it cannot be read, is a JSON array, or its rows have no common types.
pub(crate) fn open_ndjson(path: &Path, options: &TextOptions) -> Result<Source, LoadError> {
    let hint = options.hint();
    let invalid = |source| LoadError::Content {
        path: path.to_owned(),
        source,
        hint,
    };
    refuse_array(path)?;
    let schema = match &options.columns {
        Some(table) => Arc::clone(table),
        None => {
            let (file, _) = Counted::open(path)?;
            let (found, _) =
                infer_json_schema(BufReader::new(file), options.infer_rows).map_err(invalid)?;
            if found.fields().is_empty() {
                let message = "the file has no rows to take columns from; create the table first";
                let message = message.to_owned();
                return Err(LoadError::Shape {
                    path: path.to_owned(),
                    message,
                });
            }
            Arc::new(typed(&found))
        }
    };
    let (file, read) = Counted::open(path)?;
    // Strict: a key that is no column would be dropped without a word.
    let reader = JsonBuilder::new(Arc::clone(&schema))
        .with_strict_mode(true)
        .with_batch_size(BATCH_ROWS)
        .build(BufReader::new(file))
        .map_err(invalid)?;
    Ok(Source {
        schema,
        batches: Box::new(reader),
        position: Position::Bytes(read),
    })
}

fn refuse_array(path: &Path) -> Result<(), LoadError> {
    let (file, _) = Counted::open(path)?;
    for byte in BufReader::new(file).bytes() {
        let byte = byte.map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        if byte == b'[' {
            let message = "this is a JSON array; NDJSON has one object per line".to_owned();
            return Err(LoadError::Shape {
                path: path.to_owned(),
                message,
            });
        }
        if !byte.is_ascii_whitespace() {
            break;
        }
    }
    Ok(())
}

/// The file's columns in its order, with the table's types.
fn typed_by_name(path: &Path, found: &Schema, table: &Schema) -> Result<SchemaRef, LoadError> {
    let field = |column: &FieldRef| {
        let mut fields = table.fields().iter();
        let field = fields.find(|field| field.name().eq_ignore_ascii_case(column.name()));
        field.map(|field| readable(field)).ok_or_else(|| {
            let names: Vec<_> = table
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            let names = names.join(", ");
            let message = format!("the table has no column {}; it has {names}", column.name());
            LoadError::Shape {
                path: path.to_owned(),
                message,
            }
        })
    };
    let fields = found
        .fields()
        .iter()
        .map(field)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The table's columns, for a file without names.
fn typed_by_place(path: &Path, found: &Schema, table: &Schema) -> Result<SchemaRef, LoadError> {
    let (has, wants) = (found.fields().len(), table.fields().len());
    if has != wants {
        let message = format!("the file has {has} columns and the table {wants}; add a header");
        return Err(LoadError::Shape {
            path: path.to_owned(),
            message,
        });
    }
    let fields = table.fields().iter().map(|field| readable(field));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// A column of a type the CSV reader makes; the server takes text for any kind of text.
fn readable(field: &Field) -> Field {
    match field.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => field.clone().with_data_type(DataType::Utf8),
        _ => field.clone(),
    }
}

/// Found types, with text where no value was seen.
fn typed(found: &Schema) -> Schema {
    let fields = found.fields().iter().map(|field| known(field));
    Schema::new(fields.collect::<Vec<_>>())
}

fn known(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Null => DataType::Utf8,
        DataType::List(item) => DataType::List(Arc::new(known(item))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| Arc::new(known(field))).collect())
        }
        other => other.clone(),
    };
    Field::new(field.name(), data_type, true)
}
