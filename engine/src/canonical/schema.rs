//! Which schema a table gets, and under which schema results are sent.
//!
//! Guarantees: a canonical schema holds only types the catalog can keep, or the column that
//! cannot be kept is refused by name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit,
};

use super::text::short;
use crate::error::{EngineError, Result};

/// Most fields of a schema, nested ones included.
pub(crate) const FIELDS_MAX: usize = 16_384;
/// Deepest nesting of lists, structs and maps: the functions here call themselves per level.
pub(crate) const NESTING_MAX: usize = 32;
/// Longest column name, in bytes.
pub(crate) const COLUMN_NAME_BYTES_MAX: usize = 1_024;

/// Name of a list's child, as DataFusion's functions have it.
const LIST_CHILD: &str = "item";
const EXTENSION_NAME: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
const UUID: &str = "arrow.uuid";
const JSON: &str = "arrow.json";

/// The schema of a table made from an incoming schema: types normalised, metadata dropped but for
/// extension types whose storage stays.
///
/// # Errors
/// `InvalidArgument` for types that cannot be kept, for empty or equal names (without regard to
/// case), and for more than `FIELDS_MAX` fields.
pub(crate) fn canonical_schema(schema: &Schema) -> Result<Schema> {
    if schema.fields().is_empty() {
        return Err(EngineError::invalid("a table needs at least one column"));
    }
    let mut walk = Walk { fields: 0 };
    Ok(Schema::new(walk.fields(schema.fields(), "", 0)?))
}

/// The schema under which results of `schema` are sent, fit for clients that know neither views
/// nor dictionaries nor large lists. Names, nullability and metadata stay.
pub(crate) fn logical_schema(schema: &Schema) -> Schema {
    let fields: Fields = schema.fields().iter().map(logical_field).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// How names are compared: without regard to case.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn logical_field(field: &FieldRef) -> FieldRef {
    let data_type = logical_type(field.data_type());
    if &data_type == field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn logical_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => logical_type(values),
        DataType::RunEndEncoded(_, values) => logical_type(values.data_type()),
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::ListView(child)
        | DataType::LargeListView(child) => DataType::List(logical_field(child)),
        DataType::FixedSizeList(child, _) => {
            let logical = logical_field(child);
            if &logical == child {
                data_type.clone()
            } else {
                DataType::List(logical)
            }
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(logical_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(logical_field(entries), *sorted),
        other => other.clone(),
    }
}

/// One walk through an incoming schema; counts the fields it meets.
struct Walk {
    fields: usize,
}

impl Walk {
    fn fields(&mut self, fields: &Fields, parent: &str, depth: usize) -> Result<Fields> {
        let mut seen = HashSet::with_capacity(fields.len());
        let mut canonical = Vec::with_capacity(fields.len());
        for field in fields {
            check_name(field.name(), parent)?;
            let path = join(parent, field.name());
            if !seen.insert(fold(field.name())) {
                return Err(EngineError::invalid(format!(
                    "column '{}' is there twice (names are compared without regard to case): \
                     rename one",
                    short(&path)
                )));
            }
            canonical.push(Arc::new(self.field(field, field.name(), &path, depth)?));
        }
        Ok(canonical.into())
    }

    fn field(&mut self, field: &Field, name: &str, path: &str, depth: usize) -> Result<Field> {
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(EngineError::invalid(format!(
                "the schema has more than {FIELDS_MAX} columns (nested ones included): split it \
                 into several tables"
            )));
        }
        if depth > NESTING_MAX {
            return Err(EngineError::invalid(format!(
                "column '{}' is nested deeper than {NESTING_MAX} levels: flatten it",
                short(path)
            )));
        }
        let data_type = self.data_type(field, path, depth)?;
        let metadata = kept_metadata(field, &data_type);
        Ok(Field::new(name, data_type, field.is_nullable()).with_metadata(metadata))
    }

    fn data_type(&mut self, field: &Field, path: &str, depth: usize) -> Result<DataType> {
        let canonical = match field.data_type() {
            kept @ (DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Date32
            | DataType::Timestamp(_, None)) => kept.clone(),
            DataType::Float16 => DataType::Float32,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            DataType::FixedSizeBinary(16) if extension(field) == Some(UUID) => {
                DataType::FixedSizeBinary(16)
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(1..) => DataType::Binary,
            DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
            DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
            DataType::Timestamp(_, Some(zone)) => zoned_type(zone, path)?,
            DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => {
                decimal_type(*precision, *scale, path, field.data_type())?
            }
            _ => self.nested_type(field, path, depth)?,
        };
        Ok(canonical)
    }

    fn nested_type(&mut self, field: &Field, path: &str, depth: usize) -> Result<DataType> {
        match field.data_type() {
            DataType::Dictionary(_, values) => {
                let values = Field::new(field.name(), values.as_ref().clone(), true);
                self.data_type(&values, path, depth + 1)
            }
            DataType::RunEndEncoded(_, values) => self.data_type(values, path, depth + 1),
            DataType::List(child)
            | DataType::LargeList(child)
            | DataType::FixedSizeList(child, 1..)
            | DataType::ListView(child)
            | DataType::LargeListView(child) => {
                let path = join(path, LIST_CHILD);
                let child = self.field(child, LIST_CHILD, &path, depth + 1)?;
                Ok(DataType::List(Arc::new(child)))
            }
            DataType::Struct(fields) if !fields.is_empty() => {
                Ok(DataType::Struct(self.fields(fields, path, depth + 1)?))
            }
            DataType::Map(entries, _) => self.map_type(entries, path, depth),
            other => Err(refused(path, other, hint(other))),
        }
    }

    fn map_type(&mut self, entries: &Field, path: &str, depth: usize) -> Result<DataType> {
        let [key, value] = match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [key, value] => [key, value],
                _ => {
                    return Err(refused(
                        path,
                        entries.data_type(),
                        "a map has a key and a value",
                    ));
                }
            },
            other => return Err(refused(path, other, "a map has a key and a value")),
        };
        let key = self
            .field(key, "key", &join(path, "key"), depth + 1)?
            .with_nullable(false);
        let value = self.field(value, "value", &join(path, "value"), depth + 1)?;
        let entries = DataType::Struct(Fields::from(vec![key, value]));
        Ok(DataType::Map(
            Arc::new(Field::new("key_value", entries, false)),
            false,
        ))
    }
}

fn zoned_type(zone: &Arc<str>, path: &str) -> Result<DataType> {
    if zone.parse::<Tz>().is_err() {
        return Err(EngineError::invalid(format!(
            "column '{}' has the time zone '{}', which is not known: use a name such as \
             Europe/Berlin or an offset such as +02:00",
            short(path),
            short(zone)
        )));
    }
    Ok(DataType::Timestamp(
        TimeUnit::Microsecond,
        Some(Arc::clone(zone)),
    ))
}

fn decimal_type(precision: u8, scale: i8, path: &str, given: &DataType) -> Result<DataType> {
    let (precision, scale) = match scale {
        ..0 => (i16::from(precision) - i16::from(scale), 0),
        _ => (i16::from(precision), scale),
    };
    match u8::try_from(precision) {
        Ok(precision)
            if (1..=DECIMAL128_MAX_PRECISION).contains(&precision)
                && i16::from(scale) <= i16::from(precision) =>
        {
            Ok(DataType::Decimal128(precision, scale))
        }
        _ => Err(refused(path, given, "use a decimal of 38 digits at most")),
    }
}

fn hint(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "give it a type, for example CAST(NULL AS TEXT)",
        DataType::Duration(_) => "cast it to a 64-bit integer",
        DataType::Union(_, _) => "use one column for each of its types",
        DataType::Struct(_) => "give it at least one field",
        _ => "cast it to another type",
    }
}

fn refused(path: &str, data_type: &DataType, hint: &str) -> EngineError {
    EngineError::invalid(format!(
        "column '{}' has type {}, which cannot be kept: {hint}",
        short(path),
        short(&data_type.to_string())
    ))
}

fn check_name(name: &str, parent: &str) -> Result<()> {
    let place = if parent.is_empty() {
        "a column"
    } else {
        "a field of a struct"
    };
    if name.is_empty() {
        return Err(EngineError::invalid(format!(
            "{place} has no name: give every column a name"
        )));
    }
    if name.len() > COLUMN_NAME_BYTES_MAX {
        return Err(EngineError::invalid(format!(
            "{place} has a name of {} bytes, at most {COLUMN_NAME_BYTES_MAX} are allowed: \
             shorten '{}'",
            name.len(),
            short(name)
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(EngineError::invalid(format!(
            "{place} has control characters in its name: rename '{}'",
            short(name)
        )));
    }
    Ok(())
}

/// Extension types are kept when their storage is what they say: a JSON text may arrive in any
/// layout of text, others only unchanged.
fn kept_metadata(field: &Field, canonical: &DataType) -> HashMap<String, String> {
    let unchanged = field.data_type() == canonical;
    let is_json = extension(field) == Some(JSON) && canonical == &DataType::Utf8;
    if !unchanged && !is_json {
        return HashMap::new();
    }
    let mut kept = HashMap::new();
    if let Some(name) = extension(field) {
        kept.insert(EXTENSION_NAME.to_owned(), name.to_owned());
        if let Some(metadata) = field.metadata().get(EXTENSION_METADATA) {
            kept.insert(EXTENSION_METADATA.to_owned(), metadata.clone());
        }
    }
    kept
}

fn extension(field: &Field) -> Option<&str> {
    field.metadata().get(EXTENSION_NAME).map(String::as_str)
}

/// The dotted path of a nested column, for messages.
pub(super) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

#[cfg(test)]
mod tests;
