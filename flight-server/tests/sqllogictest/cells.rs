//! Values as the test files write them.

use arrow::array::types::{Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};
use arrow::array::types::{DecimalType, Float16Type, Float32Type, Float64Type};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use bigdecimal::BigDecimal;
use sqllogictest::ColumnType;

/// Digits that are compared of a floating-point number.
const FLOAT_DIGITS: i64 = 12;

/// The letter of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellType(char);

impl CellType {
    pub(crate) fn of(field: &Field) -> Self {
        use DataType::{
            Boolean, Date32, Date64, LargeUtf8, Time32, Time64, Timestamp, Utf8, Utf8View,
        };
        Self(match field.data_type() {
            Boolean => 'B',
            Utf8 | LargeUtf8 | Utf8View => 'T',
            Timestamp(..) => 'P',
            Date32 | Date64 | Time32(_) | Time64(_) => 'D',
            integer if integer.is_integer() => 'I',
            number if number.is_floating() || number.is_decimal() => 'R',
            _ => '?',
        })
    }
}

impl ColumnType for CellType {
    fn from_char(letter: char) -> Option<Self> {
        Some(Self(if "BDIPRT".contains(letter) {
            letter
        } else {
            '?'
        }))
    }

    fn to_char(&self) -> char {
        self.0
    }
}

/// The rows of a batch. A last cell of several lines becomes several rows, numbered.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let mut rows = vec![];
    for row in 0..batch.num_rows() {
        let cells = batch.columns().iter().map(|column| cell(column, row));
        let mut cells = cells.collect::<Result<Vec<_>, _>>()?;
        match cells.last() {
            Some(last) if last.contains('\n') => {
                let lines = cells.pop().unwrap();
                rows.push(cells);
                rows.extend(lines.split('\n').enumerate().map(|(index, line)| {
                    let text = line.trim_start();
                    let indent = "-".repeat(line.len() - text.len());
                    vec![format!("{:02}){indent}{text}", index + 1)]
                }));
            }
            _ => rows.push(cells),
        }
    }
    Ok(rows)
}

fn cell(column: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    if column.is_null(row) {
        return Ok("NULL".to_owned());
    }
    Ok(match column.data_type() {
        DataType::Null => "NULL".to_owned(),
        DataType::Utf8 => text(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(column.as_string::<i64>().value(row)),
        DataType::Utf8View => text(column.as_string_view().value(row)),
        DataType::Float16 => float(column.as_primitive::<Float16Type>().value(row).into()),
        DataType::Float32 => float_text(&column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(column, row, *scale),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(column, row, *scale),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(column, row, *scale),
        DataType::Decimal256(_, scale) => decimal::<Decimal256Type>(column, row, *scale),
        _ => {
            let options = FormatOptions::default()
                .with_null("NULL")
                .with_duration_format(DurationFormat::Pretty);
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
            formatter.value(row).try_to_string()?
        }
    })
}

fn text(value: &str) -> String {
    match value {
        "" => "(empty)".to_owned(),
        value => value.trim_end_matches('\n').replace('\0', "\\0"),
    }
}

fn float(value: f64) -> String {
    float_text(&value)
}

fn float_text(value: &impl std::fmt::Display) -> String {
    match value.to_string().as_str() {
        "NaN" | "-NaN" => "NaN".to_owned(),
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        digits => plain(digits, FLOAT_DIGITS),
    }
}

fn decimal<T: DecimalType>(column: &ArrayRef, row: usize, scale: i8) -> String {
    let value = column.as_primitive::<T>().value(row);
    plain(&T::format_decimal(value, u8::MAX, scale), scale.into())
}

/// Without an exponent and without zeros at the end.
fn plain(digits: &str, scale: i64) -> String {
    let value: BigDecimal = digits.parse().unwrap();
    value.round(scale).normalized().to_plain_string()
}
