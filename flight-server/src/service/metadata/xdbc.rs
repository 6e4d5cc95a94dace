//! `GetXdbcTypeInfo`: the SQL types, as ODBC and JDBC describe types.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, IntervalUnit, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetXdbcTypeInfo, Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode,
};

use super::{bug, field};
use crate::status::Failure;

static TYPES: LazyLock<XdbcTypeInfoData> = LazyLock::new(|| {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for data_type in canonical_types() {
        builder.append(describe(&data_type));
    }
    builder
        .build()
        .expect("rows of constant types always fit their schema")
});

pub(super) fn type_info_schema() -> SchemaRef {
    TYPES.schema()
}

/// All types, or those of the one number asked for.
pub(super) fn type_info(command: CommandGetXdbcTypeInfo) -> Result<RecordBatch, Failure> {
    TYPES.record_batch(command.data_type).map_err(bug)
}

/// One of each type that a column can have.
fn canonical_types() -> Vec<DataType> {
    let utc = || Some(Arc::from("UTC"));
    let integers = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
    ];
    let unsigned = [
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
    ];
    let others = [
        DataType::Boolean,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(38, 0),
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(16),
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Timestamp(TimeUnit::Nanosecond, utc()),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        DataType::Struct(vec![Field::new("field", DataType::Utf8, true)].into()),
        DataType::Map(Arc::new(map_entries()), false),
    ];
    integers.into_iter().chain(unsigned).chain(others).collect()
}

fn map_entries() -> Field {
    let key = Field::new("key", DataType::Utf8, false);
    let value = Field::new("value", DataType::Utf8, true);
    Field::new_struct("entries", vec![key, value], false)
}

fn describe(data_type: &DataType) -> XdbcTypeInfo {
    let type_name = match data_type {
        DataType::List(_) => "ARRAY".to_owned(),
        other => field::type_name(other),
    };
    let number = type_number(data_type);
    let (prefix, suffix) = literal(data_type);
    let is_decimal = matches!(data_type, DataType::Decimal128(..));
    let is_number = data_type.is_numeric();
    XdbcTypeInfo {
        local_type_name: Some(type_name.clone()),
        type_name,
        data_type: number,
        column_size: field::precision(data_type).and_then(|size| i32::try_from(size).ok()),
        literal_prefix: prefix.map(str::to_owned),
        literal_suffix: suffix.map(str::to_owned),
        create_params: is_decimal.then(|| vec!["precision".to_owned(), "scale".to_owned()]),
        nullable: Nullable::NullabilityNullable,
        case_sensitive: matches!(data_type, DataType::Utf8),
        searchable: searchable(data_type),
        unsigned_attribute: is_number.then_some(data_type.is_unsigned_integer()),
        fixed_prec_scale: false,
        auto_increment: is_number.then_some(false),
        minimum_scale: minimum_scale(data_type),
        maximum_scale: maximum_scale(data_type),
        sql_data_type: verbose_type_number(number),
        datetime_subcode: datetime_subcode(data_type),
        num_prec_radix: is_number.then_some(10),
        interval_precision: None,
    }
}

/// Unsigned integers have the number of the next larger signed type, which holds all their values.
fn type_number(data_type: &DataType) -> XdbcDataType {
    match data_type {
        DataType::Boolean => XdbcDataType::XdbcBit,
        DataType::Int8 => XdbcDataType::XdbcTinyint,
        DataType::Int16 | DataType::UInt8 => XdbcDataType::XdbcSmallint,
        DataType::Int32 | DataType::UInt16 => XdbcDataType::XdbcInteger,
        DataType::Int64 | DataType::UInt32 => XdbcDataType::XdbcBigint,
        DataType::UInt64 => XdbcDataType::XdbcNumeric,
        DataType::Float32 => XdbcDataType::XdbcReal,
        DataType::Float64 => XdbcDataType::XdbcDouble,
        DataType::Decimal128(..) => XdbcDataType::XdbcDecimal,
        DataType::Utf8 => XdbcDataType::XdbcVarchar,
        DataType::Binary => XdbcDataType::XdbcVarbinary,
        DataType::FixedSizeBinary(_) => XdbcDataType::XdbcBinary,
        DataType::Date32 => XdbcDataType::XdbcDate,
        DataType::Time64(_) => XdbcDataType::XdbcTime,
        DataType::Timestamp(..) => XdbcDataType::XdbcTimestamp,
        DataType::Interval(_) => XdbcDataType::XdbcInterval,
        _ => XdbcDataType::XdbcUnknownType,
    }
}

/// The number of the family: the three kinds of dates and times share one, told apart by the
/// subcode.
fn verbose_type_number(number: XdbcDataType) -> XdbcDataType {
    match number {
        XdbcDataType::XdbcDate | XdbcDataType::XdbcTime | XdbcDataType::XdbcTimestamp => {
            XdbcDataType::XdbcDatetime
        }
        other => other,
    }
}

/// ODBC numbers the subcodes of dates 1, times 2, timestamps 3; Flight SQL names number 1 "year".
fn datetime_subcode(data_type: &DataType) -> Option<XdbcDatetimeSubcode> {
    match data_type {
        DataType::Date32 => Some(XdbcDatetimeSubcode::XdbcSubcodeYear),
        DataType::Time64(_) => Some(XdbcDatetimeSubcode::XdbcSubcodeTime),
        DataType::Timestamp(_, None) => Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        DataType::Timestamp(_, Some(_)) => {
            Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone)
        }
        _ => None,
    }
}

fn literal(data_type: &DataType) -> (Option<&'static str>, Option<&'static str>) {
    match data_type {
        DataType::Utf8 => (Some("'"), Some("'")),
        DataType::Binary => (Some("X'"), Some("'")),
        DataType::Date32 => (Some("DATE '"), Some("'")),
        DataType::Time64(_) => (Some("TIME '"), Some("'")),
        DataType::Timestamp(..) => (Some("TIMESTAMP '"), Some("'")),
        DataType::Interval(_) => (Some("INTERVAL '"), Some("'")),
        DataType::List(_) => (Some("["), Some("]")),
        _ => (None, None),
    }
}

fn searchable(data_type: &DataType) -> Searchable {
    match data_type {
        DataType::Utf8 => Searchable::Full,
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => Searchable::None,
        _ => Searchable::Basic,
    }
}

fn minimum_scale(data_type: &DataType) -> Option<i32> {
    field::scale(data_type).map(|_| 0)
}

fn maximum_scale(data_type: &DataType) -> Option<i32> {
    match data_type {
        DataType::Decimal128(precision, _) => Some(i32::from(*precision)),
        other => field::scale(other).and_then(|scale| i32::try_from(scale).ok()),
    }
}

#[cfg(test)]
mod tests;
