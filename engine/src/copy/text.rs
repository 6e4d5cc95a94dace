//! Values from texts: what CSV fields and JSON tokens mean in a column's type.
//!
//! Guarantees: a text that is no value of the type is refused with its row; whole numbers are
//! never cut, decimals are rounded to the column's scale and timestamps to its unit as SQL casts
//! do.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, FixedSizeBinaryBuilder, StringArray, UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use uuid::Uuid;

use crate::canonical::short;
use crate::error::EngineError;

/// A text that is not a value.
#[derive(Debug)]
pub(super) struct BadText {
    /// Its row in the array.
    pub(super) row: usize,
    /// What is wrong.
    pub(super) reason: String,
}

/// The type a JSON column is decoded as before its texts are parsed: the same shape with texts at
/// its leaves, because the decoder would cut 2.5 to 2 for an integer.
pub(super) fn json_texts(data_type: &DataType, is_nested: bool) -> DataType {
    let child = |field: &FieldRef| {
        let data_type = json_texts(field.data_type(), true);
        Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
    };
    match data_type {
        DataType::List(element) => DataType::List(child(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect()),
        DataType::Map(entries, sorted) => DataType::Map(child(entries), *sorted),
        // The decoder reads these from hexadecimal texts by itself.
        DataType::Binary | DataType::FixedSizeBinary(_) if is_nested => data_type.clone(),
        _ => DataType::Utf8,
    }
}

/// Parses every text of `texts` (whose leaves are texts) as a value of `to`.
pub(super) fn parse(texts: &ArrayRef, to: &DataType) -> Result<ArrayRef, BadText> {
    match to {
        to if to == texts.data_type() => Ok(Arc::clone(texts)),
        DataType::Binary => parse_binary(texts.as_string()),
        DataType::FixedSizeBinary(size) => parse_fixed(texts.as_string(), *size),
        to => {
            let options = CastOptions {
                safe: false,
                ..Default::default()
            };
            cast_with_options(texts, to, &options).map_err(|error| {
                // A slice of a list would be cast with the elements of all its neighbours.
                let is_bad = |row: &usize| {
                    let row = UInt64Array::from(vec![*row as u64]);
                    let one = take(texts, &row, None);
                    one.is_ok_and(|one| cast_with_options(&one, to, &options).is_err())
                };
                let row = (0..texts.len()).find(is_bad).unwrap_or(0);
                let reason = match texts.as_string_opt::<i32>() {
                    Some(texts) => not_a(texts.value(row), to),
                    None => EngineError::from(error).to_string(),
                };
                BadText { row, reason }
            })
        }
    }
}

fn not_a(text: &str, to: &DataType) -> String {
    format!("'{}' is not a value of type {to}", short(text))
}

fn parse_binary(texts: &StringArray) -> Result<ArrayRef, BadText> {
    let mut builder = BinaryBuilder::with_capacity(texts.len(), texts.value_data().len() / 2);
    for (row, text) in texts.iter().enumerate() {
        match text.map(|text| (text, hex(text.strip_prefix("\\x").unwrap_or(text)))) {
            None => builder.append_null(),
            Some((_, Some(bytes))) => builder.append_value(bytes),
            Some((text, None)) => {
                let reason = format!("'{}' is not a row of hexadecimal digits", short(text));
                return Err(BadText { row, reason });
            }
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn parse_fixed(texts: &StringArray, size: i32) -> Result<ArrayRef, BadText> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.len(), size);
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            builder.append_null();
            continue;
        };
        let bytes = match Uuid::try_parse(text) {
            Ok(uuid) if size == 16 => Some(uuid.as_bytes().to_vec()),
            _ => hex(text),
        };
        if bytes.is_none_or(|bytes| builder.append_value(bytes).is_err()) {
            let reason = format!("'{}' is not a UUID or {size} bytes in hex", short(text));
            return Err(BadText { row, reason });
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect()
}
