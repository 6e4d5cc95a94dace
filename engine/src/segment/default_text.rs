//! Values that stand for those that nobody gave, as DuckLake writes them.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use quiver_catalog::Column;

use super::bound_text::{Side, bound_text};
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// What rows of a column have that name no value, if not NULL. What cannot be read is NULL as well.
pub(crate) fn column_default(column: &Column) -> Option<ScalarValue> {
    let text = column.default.value.as_deref()?;
    default_value(text, &column.data_type).ok()
}

/// The text of a value; `None` for NULL.
///
/// # Errors
/// `Unsupported` for types that have no text.
pub(crate) fn default_text(value: &ScalarValue) -> Result<Option<String>> {
    if value.is_null() {
        return Ok(None);
    }
    let text = match value {
        ScalarValue::Utf8(Some(text)) => Some(text.clone()),
        ScalarValue::Boolean(Some(value)) => Some(value.to_string()),
        ScalarValue::Binary(Some(bytes)) => {
            Some(bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect())
        }
        ScalarValue::Float32(Some(number)) if number.is_nan() => Some("nan".to_owned()),
        ScalarValue::Float64(Some(number)) if number.is_nan() => Some("nan".to_owned()),
        other => bound_text(other, Side::Min),
    };
    let unsupported = || EngineError::Unsupported {
        what: format!("DEFAULT for a column of type {}", value.data_type()),
    };
    // What nobody could read back is refused now.
    let text = text.ok_or_else(unsupported)?;
    match default_value(&text, &value.data_type())? == *value {
        true => Ok(Some(text)),
        false => Err(unsupported()),
    }
}

/// The value that a text stands for.
///
/// # Errors
/// `Unsupported` when it is no value of the type.
pub(crate) fn default_value(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let unreadable = || EngineError::Unsupported {
        what: format!("the default value '{}' of type {data_type}", short(text)),
    };
    if *data_type == DataType::Binary {
        let bytes = unescaped(text).ok_or_else(unreadable)?;
        return Ok(ScalarValue::Binary(Some(bytes)));
    }
    if *data_type == DataType::FixedSizeBinary(16) {
        let uuid = uuid::Uuid::parse_str(text).map_err(|_| unreadable())?;
        return Ok(ScalarValue::FixedSizeBinary(
            16,
            Some(uuid.as_bytes().to_vec()),
        ));
    }
    let value = ScalarValue::from(text).cast_to(data_type);
    value
        .ok()
        .filter(|value| !value.is_null())
        .ok_or_else(unreadable)
}

/// Bytes, each as `\xAA` or as the character that it is.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (vec![], text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        if let [b'x', high, low, tail @ ..] = tail
            && *first == b'\\'
        {
            let digits = [*high, *low];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn values_come_back_from_their_texts() {
        let utc = Some("UTC".into());
        for (value, text) in [
            (ScalarValue::from(-5_i32), "-5"),
            (ScalarValue::from("it's\\x"), "it's\\x"),
            (ScalarValue::from(true), "true"),
            (ScalarValue::from(f64::NAN), "nan"),
            (ScalarValue::from(0.1_f64), "0.1"),
            (ScalarValue::Binary(Some(vec![0xAA, 0])), "\\xAA\\x00"),
            (ScalarValue::Date32(Some(18_263)), "2020-01-02"),
            (ScalarValue::Decimal128(Some(-126), 9, 2), "-1.26"),
            (
                ScalarValue::TimestampMicrosecond(Some(1_577_934_245_600_000), None),
                "2020-01-02 03:04:05.6",
            ),
            (
                ScalarValue::TimestampMicrosecond(Some(1_577_934_245_600_000), utc),
                "2020-01-02 03:04:05.6+00",
            ),
        ] {
            assert_eq!(default_text(&value).expect("a text").as_deref(), Some(text));
            let back = default_value(text, &value.data_type()).expect("a value");
            assert_eq!(back, value);
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (text, data_type) in [
            ("seven", DataType::Int32),
            ("300", DataType::Int8),
            ("noon", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ] {
            assert!(default_value(text, &data_type).is_err(), "{text}");
        }
    }
}
