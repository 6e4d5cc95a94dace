//! The metadata by which Flight SQL clients learn a column's SQL type.
//!
//! JDBC and Spark read type name, precision and scale from it: without a precision, Spark takes
//! every decimal for `DECIMAL(38, 18)` and refuses text of length 0.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};

const CATALOG_NAME: &str = "ARROW:FLIGHT:SQL:CATALOG_NAME";
const DB_SCHEMA_NAME: &str = "ARROW:FLIGHT:SQL:DB_SCHEMA_NAME";
/// What the clients of Arrow read instead of the name in the specification.
const SCHEMA_NAME: &str = "ARROW:FLIGHT:SQL:SCHEMA_NAME";
const TABLE_NAME: &str = "ARROW:FLIGHT:SQL:TABLE_NAME";
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";
const IS_AUTO_INCREMENT: &str = "ARROW:FLIGHT:SQL:IS_AUTO_INCREMENT";
const IS_CASE_SENSITIVE: &str = "ARROW:FLIGHT:SQL:IS_CASE_SENSITIVE";
const IS_READ_ONLY: &str = "ARROW:FLIGHT:SQL:IS_READ_ONLY";
const IS_SEARCHABLE: &str = "ARROW:FLIGHT:SQL:IS_SEARCHABLE";

/// Text and bytes have no length limit of their own; this is what PostgreSQL's driver says as well.
const LENGTH_UNLIMITED: i64 = i32::MAX as i64;

/// Where a column belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) catalog: &'a str,
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
    pub(super) read_only: bool,
}

/// `schema` with SQL type name, precision and scale on each of its columns: for query results.
pub(crate) fn with_sql_types(schema: &Schema) -> Schema {
    with_entries(schema, |field| type_entries(field.data_type()))
}

/// `schema` with everything that is known of a table's columns: for `GetTables`.
pub(super) fn with_column_metadata(schema: &Schema, place: Place<'_>) -> Schema {
    with_entries(schema, |field| {
        let mut entries = type_entries(field.data_type());
        entries.extend([
            (CATALOG_NAME, place.catalog.to_owned()),
            (DB_SCHEMA_NAME, place.schema.to_owned()),
            (SCHEMA_NAME, place.schema.to_owned()),
            (TABLE_NAME, place.table.to_owned()),
            (IS_AUTO_INCREMENT, flag(false)),
            (
                IS_CASE_SENSITIVE,
                flag(matches!(field.data_type(), DataType::Utf8)),
            ),
            (IS_READ_ONLY, flag(place.read_only)),
            (IS_SEARCHABLE, flag(true)),
        ]);
        entries
    })
}

/// The name of a type as our SQL spells it.
pub(super) fn type_name(data_type: &DataType) -> String {
    let fixed = match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "DECIMAL",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA",
        DataType::FixedSizeBinary(16) => "UUID",
        DataType::FixedSizeBinary(_) => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::Struct(_) => "STRUCT",
        DataType::Map(..) => "MAP",
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => return list_name(element),
        DataType::Dictionary(_, value) => return type_name(value),
        other => return other.to_string().to_uppercase(),
    };
    fixed.to_owned()
}

/// Largest number of decimal digits, characters or bytes of a value, where the type has one.
pub(super) fn precision(data_type: &DataType) -> Option<i64> {
    Some(match data_type {
        DataType::Boolean => 1,
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        DataType::UInt64 => 20,
        DataType::Decimal32(precision, _)
        | DataType::Decimal64(precision, _)
        | DataType::Decimal128(precision, _)
        | DataType::Decimal256(precision, _) => i64::from(*precision),
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => LENGTH_UNLIMITED,
        DataType::FixedSizeBinary(bytes) => i64::from(*bytes),
        DataType::Date32 | DataType::Date64 => 10,
        DataType::Time32(unit) | DataType::Time64(unit) => with_fraction(8, *unit),
        DataType::Timestamp(unit, None) => with_fraction(19, *unit),
        DataType::Timestamp(unit, Some(_)) => with_fraction(25, *unit),
        DataType::Dictionary(_, value) => return precision(value),
        _ => return None,
    })
}

/// Digits after the decimal point, where the type has them.
pub(super) fn scale(data_type: &DataType) -> Option<i64> {
    Some(match data_type {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => 0,
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => i64::from(*scale),
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => {
            fraction_digits(*unit)
        }
        DataType::Dictionary(_, value) => return scale(value),
        _ => return None,
    })
}

fn with_entries(
    schema: &Schema,
    entries: impl Fn(&Field) -> Vec<(&'static str, String)>,
) -> Schema {
    let fields: Vec<FieldRef> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut metadata: HashMap<String, String> = field.metadata().clone();
            metadata.extend(
                entries(field)
                    .into_iter()
                    .map(|(key, text)| (key.to_owned(), text)),
            );
            Arc::new(field.as_ref().clone().with_metadata(metadata))
        })
        .collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn type_entries(data_type: &DataType) -> Vec<(&'static str, String)> {
    let mut entries = vec![(TYPE_NAME, type_name(data_type))];
    entries.extend(precision(data_type).map(|digits| (PRECISION, digits.to_string())));
    entries.extend(scale(data_type).map(|digits| (SCALE, digits.to_string())));
    entries
}

fn list_name(element: &Field) -> String {
    format!("{}[]", type_name(element.data_type()))
}

/// Characters of a time, with its point and fraction if it has one.
fn with_fraction(whole: i64, unit: TimeUnit) -> i64 {
    match fraction_digits(unit) {
        0 => whole,
        digits => whole + 1 + digits,
    }
}

fn fraction_digits(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Flight SQL writes truth values as 1 and 0.
fn flag(value: bool) -> String {
    if value { "1" } else { "0" }.to_owned()
}

#[cfg(test)]
mod tests;
