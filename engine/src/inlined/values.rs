//! Columns of values that DuckDB keeps in the catalog: whole numbers and bytes as they are, anything
//! else as text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Int64Array, ListArray, MapArray, StringArray, StructArray,
    new_empty_array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use quiver_catalog::{Column, InlinedValue};

use super::notation::{Value, nested_value};
use crate::canonical::short;
use crate::segment::default_value;

/// What is wrong, in words.
type Result<T> = std::result::Result<T, String>;

fn refused(text: &str, data_type: &DataType) -> String {
    format!("'{}' is no {data_type}", short(text))
}

/// The values of a column.
///
/// # Errors
/// Names the value that is none of the column.
pub(super) fn array_of(column: &Column, values: Vec<InlinedValue>) -> Result<ArrayRef> {
    let data_type = &column.data_type;
    if values.iter().all(|value| *value == InlinedValue::Null) {
        return Ok(new_null_array(data_type, values.len()));
    }
    let whole = |value: &InlinedValue| match value {
        InlinedValue::Null => Some(None),
        InlinedValue::Integer(number) => Some(Some(*number)),
        _ => None,
    };
    if let Some(numbers) = values.iter().map(whole).collect::<Option<Vec<_>>>() {
        let numbers = Int64Array::from(numbers);
        let cast = cast(&numbers, data_type).ok();
        let cast = cast.filter(|cast| cast.null_count() == numbers.null_count());
        return cast.ok_or_else(|| format!("whole numbers beyond {data_type}"));
    }
    let bytes = |value: &InlinedValue| match value {
        InlinedValue::Null => Some(None),
        InlinedValue::Bytes(bytes) => Some(Some(bytes.clone())),
        _ => None,
    };
    if let Some(bytes) = values.iter().map(bytes).collect::<Option<Vec<_>>>() {
        let bytes: BinaryArray = bytes.into_iter().collect();
        return cast(&bytes, data_type).map_err(|error| error.to_string());
    }
    let texts = values.into_iter().map(|value| match value {
        InlinedValue::Null => Ok(None),
        InlinedValue::Text(text) => Ok(Some(text)),
        InlinedValue::Integer(number) => Ok(Some(number.to_string())),
        InlinedValue::Bytes(_) => Err("bytes among texts".to_owned()),
    });
    of_texts(column, texts.collect::<Result<_>>()?)
}

fn of_texts(column: &Column, texts: Vec<Option<String>>) -> Result<ArrayRef> {
    if column.is_leaf() {
        return leaves(&column.data_type, texts);
    }
    let values = texts.into_iter().map(|text| match text {
        None => Ok(Value::Null),
        Some(text) => nested_value(column, &text).ok_or_else(|| refused(&text, &column.data_type)),
    });
    of_values(column, values.collect::<Result<_>>()?)
}

fn leaves(data_type: &DataType, texts: Vec<Option<String>>) -> Result<ArrayRef> {
    if *data_type == DataType::Utf8 {
        return Ok(Arc::new(StringArray::from(texts)));
    }
    if texts.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let none = ScalarValue::try_from(data_type).map_err(|error| error.to_string())?;
    let values = texts.iter().map(|text| match text {
        None => Ok(none.clone()),
        Some(text) => default_value(text, data_type).map_err(|_| refused(text, data_type)),
    });
    let values: Vec<ScalarValue> = values.collect::<Result<_>>()?;
    ScalarValue::iter_to_array(values).map_err(|error| error.to_string())
}

/// The notation gives a column only what its type has.
fn of_values(column: &Column, values: Vec<Value>) -> Result<ArrayRef> {
    let is_there = values.iter().map(|value| *value != Value::Null);
    let nulls = NullBuffer::from_iter(is_there);
    let failed = |error: ArrowError| error.to_string();
    match (&column.data_type, column.children.as_slice()) {
        (DataType::List(field), [element]) => {
            let (lengths, items) = flattened(values, |value| match value {
                Value::Items(items) => items,
                _ => vec![],
            });
            let items = of_values(element, items)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            let list = ListArray::try_new(Arc::clone(field), offsets, items, Some(nulls));
            Ok(Arc::new(list.map_err(failed)?))
        }
        (DataType::Map(entries, is_sorted), [key, value]) => {
            let (lengths, pairs) = flattened(values, |value| match value {
                Value::Pairs(pairs) => pairs,
                _ => vec![],
            });
            let (keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let arrays = vec![of_values(key, keys)?, of_values(value, values)?];
            let DataType::Struct(fields) = entries.data_type() else {
                return Err("a map without entries".to_owned());
            };
            let pairs = StructArray::try_new(fields.clone(), arrays, None).map_err(failed)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            let field = Arc::clone(entries);
            let map = MapArray::try_new(field, offsets, pairs, Some(nulls), *is_sorted);
            Ok(Arc::new(map.map_err(failed)?))
        }
        (DataType::Struct(fields), children) => {
            let mut columns: Vec<Vec<Value>> = vec![vec![]; children.len()];
            for value in values {
                let row = match value {
                    Value::Fields(row) => row,
                    _ => vec![Value::Null; children.len()],
                };
                for (column, value) in columns.iter_mut().zip(row) {
                    column.push(value);
                }
            }
            let columns = children.iter().zip(columns);
            let arrays = columns.map(|(child, values)| of_values(child, values));
            let arrays = arrays.collect::<Result<_>>()?;
            let structs = StructArray::try_new(fields.clone(), arrays, Some(nulls));
            Ok(Arc::new(structs.map_err(failed)?))
        }
        (data_type, _) => {
            let texts = values.into_iter().map(|value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            });
            leaves(data_type, texts.collect())
        }
    }
}

/// The parts of all values, one after the other, and how many each has.
fn flattened<T>(values: Vec<Value>, parts: impl Fn(Value) -> Vec<T>) -> (Vec<usize>, Vec<T>) {
    let (mut lengths, mut all) = (vec![], vec![]);
    for value in values {
        let parts = parts(value);
        lengths.push(parts.len());
        all.extend(parts);
    }
    (lengths, all)
}

#[cfg(test)]
mod tests;
