//! What the names of SQL types mean, in tables and in casts: one place for both.
//!
//! Names of PostgreSQL, DuckDB and Spark are understood where a table can hold what they promise.
//! The others are refused by name, because a cast to half of a type would answer wrongly later.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, StructField, TimezoneInfo,
};

use super::names::normalise;
use crate::canonical::short;
use crate::error::{EngineError, Result};

#[cfg(test)]
mod tests;

/// Names that people look for, for the hint of an unknown one.
const KNOWN: [&str; 35] = [
    "array",
    "bigint",
    "binary",
    "blob",
    "boolean",
    "bytea",
    "char",
    "date",
    "datetime",
    "decimal",
    "double",
    "float",
    "int",
    "integer",
    "interval",
    "json",
    "jsonb",
    "map",
    "numeric",
    "real",
    "smallint",
    "string",
    "struct",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "tinyint",
    "ubigint",
    "uinteger",
    "usmallint",
    "utinyint",
    "varbinary",
    "varchar",
    "timestamp_ms",
];
/// Digits of the widest decimal.
const DECIMAL_DIGITS_MAX: u64 = 38;
/// Digits and places of a decimal whose type says neither.
const DECIMAL_DEFAULT: (u8, i8) = (38, 10);
/// Bits of a single-precision mantissa: `FLOAT(25)` is a double.
const SINGLE_BITS_MAX: u64 = 24;

/// Plans types for DataFusion.
#[derive(Debug)]
pub(crate) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> DataFusionResult<Option<FieldRef>> {
        let data_type =
            arrow_type(sql_type).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

/// The Arrow type of an SQL type.
fn arrow_type(sql_type: &SqlType) -> Result<DataType> {
    if let Some(number) = number_type(sql_type) {
        return number;
    }
    match sql_type {
        SqlType::Boolean | SqlType::Bool => Ok(DataType::Boolean),
        SqlType::Char(_)
        | SqlType::Character(_)
        | SqlType::CharVarying(_)
        | SqlType::CharacterVarying(_)
        | SqlType::Varchar(_)
        | SqlType::Nvarchar(_)
        | SqlType::Text
        | SqlType::TinyText
        | SqlType::MediumText
        | SqlType::LongText
        | SqlType::String(_)
        | SqlType::Clob(_)
        | SqlType::CharLargeObject(_)
        | SqlType::CharacterLargeObject(_)
        // The text is kept as it is; nothing looks into it.
        | SqlType::JSON
        | SqlType::JSONB => Ok(DataType::Utf8),
        SqlType::Binary(_)
        | SqlType::Varbinary(_)
        | SqlType::Blob(_)
        | SqlType::TinyBlob
        | SqlType::MediumBlob
        | SqlType::LongBlob
        | SqlType::Bytes(_)
        | SqlType::Bytea => Ok(DataType::Binary),
        SqlType::Date | SqlType::Date32 => Ok(DataType::Date32),
        SqlType::Time(digits, zone) => time_type(sql_type, *digits, zone),
        SqlType::Timestamp(digits, zone) => {
            let zone = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
            timestamp_type(sql_type, *digits, zone)
        }
        SqlType::Datetime(digits) | SqlType::TimestampNtz(digits) => {
            timestamp_type(sql_type, *digits, false)
        }
        SqlType::Interval { fields: None, precision: None } => {
            Ok(DataType::Interval(IntervalUnit::MonthDayNano))
        }
        SqlType::Interval { .. } => Err(refused(sql_type, "write INTERVAL alone")),
        SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(..) => nested_type(sql_type),
        SqlType::Custom(name, arguments) => {
            let name = name.0.last().and_then(|part| part.as_ident()).map(normalise);
            custom_type(&name.unwrap_or_default(), arguments)
        }
        SqlType::Uuid => Err(refused(sql_type, "use TEXT")),
        SqlType::Enum(..) | SqlType::Set(_) => Err(refused(sql_type, "use TEXT")),
        SqlType::Bit(_) | SqlType::BitVarying(_) | SqlType::VarBit(_) => {
            Err(refused(sql_type, "use BYTEA"))
        }
        other => Err(refused(other, "use another type, such as TEXT")),
    }
}

/// Integers, floats and decimals; `None` for anything else.
fn number_type(sql_type: &SqlType) -> Option<Result<DataType>> {
    Some(Ok(match sql_type {
        SqlType::TinyInt(_) => DataType::Int8,
        SqlType::SmallInt(_) | SqlType::Int2(_) | SqlType::Int16 => DataType::Int16,
        SqlType::Int(_)
        | SqlType::Integer(_)
        | SqlType::Int4(_)
        | SqlType::Int32
        | SqlType::MediumInt(_) => DataType::Int32,
        SqlType::BigInt(_) | SqlType::Int8(_) | SqlType::Int64 => DataType::Int64,
        SqlType::TinyIntUnsigned(_) | SqlType::UTinyInt | SqlType::UInt8 => DataType::UInt8,
        SqlType::SmallIntUnsigned(_)
        | SqlType::Int2Unsigned(_)
        | SqlType::USmallInt
        | SqlType::UInt16 => DataType::UInt16,
        SqlType::IntUnsigned(_)
        | SqlType::IntegerUnsigned(_)
        | SqlType::Int4Unsigned(_)
        | SqlType::MediumIntUnsigned(_)
        | SqlType::UInt32 => DataType::UInt32,
        SqlType::BigIntUnsigned(_)
        | SqlType::Int8Unsigned(_)
        | SqlType::UBigInt
        | SqlType::UInt64 => DataType::UInt64,
        SqlType::Float(ExactNumberInfo::Precision(bits)) if *bits > SINGLE_BITS_MAX => {
            DataType::Float64
        }
        SqlType::Float(ExactNumberInfo::None | ExactNumberInfo::Precision(_))
        | SqlType::Real
        | SqlType::Float4
        | SqlType::Float32 => DataType::Float32,
        SqlType::Double(ExactNumberInfo::None)
        | SqlType::DoublePrecision
        | SqlType::Float8
        | SqlType::Float64 => DataType::Float64,
        SqlType::Float(_) | SqlType::Double(_) => {
            return Some(Err(refused(sql_type, "use DOUBLE or DECIMAL(p, s)")));
        }
        SqlType::Numeric(digits) | SqlType::Decimal(digits) | SqlType::Dec(digits) => {
            return Some(decimal_type(sql_type, digits));
        }
        SqlType::HugeInt | SqlType::UHugeInt | SqlType::Int128 | SqlType::UInt128 => {
            return Some(Err(refused(sql_type, "use DECIMAL(38, 0)")));
        }
        _ => return None,
    }))
}

fn decimal_type(sql_type: &SqlType, digits: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match *digits {
        ExactNumberInfo::None => {
            let (precision, scale) = DECIMAL_DEFAULT;
            return Ok(DataType::Decimal128(precision, scale));
        }
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let fits = (1..=DECIMAL_DIGITS_MAX).contains(&precision)
        && u64::try_from(scale).is_ok_and(|scale| scale <= precision);
    match (fits, u8::try_from(precision), i8::try_from(scale)) {
        (true, Ok(precision), Ok(scale)) => Ok(DataType::Decimal128(precision, scale)),
        _ => Err(refused(
            sql_type,
            "use DECIMAL(p, s) with 1 <= p <= 38 and 0 <= s <= p",
        )),
    }
}

fn time_type(sql_type: &SqlType, digits: Option<u64>, zone: &TimezoneInfo) -> Result<DataType> {
    if matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) {
        return Err(refused(sql_type, "use TIME, or TIMESTAMPTZ with a date"));
    }
    match digits {
        // Tables have one type for all of these, and DataFusion compares no other with it.
        None | Some(0..=6) => Ok(DataType::Time64(TimeUnit::Microsecond)),
        Some(_) => Err(refused(sql_type, "use TIME, which has microseconds")),
    }
}

fn timestamp_type(sql_type: &SqlType, digits: Option<u64>, zoned: bool) -> Result<DataType> {
    let unit = match digits {
        Some(0) => TimeUnit::Second,
        Some(3) => TimeUnit::Millisecond,
        // As in PostgreSQL, DuckDB and DuckLake: nanoseconds would end in the year 2262.
        None | Some(6) => TimeUnit::Microsecond,
        Some(9) => TimeUnit::Nanosecond,
        Some(_) => return Err(refused(sql_type, "the digits can be 0, 3, 6 or 9")),
    };
    Ok(DataType::Timestamp(unit, zoned.then(|| "UTC".into())))
}

fn nested_type(sql_type: &SqlType) -> Result<DataType> {
    let child = |name: &str, sql_type: &SqlType, nullable| {
        Ok::<_, EngineError>(Arc::new(Field::new(name, arrow_type(sql_type)?, nullable)))
    };
    match sql_type {
        SqlType::Array(
            ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element)
            | ArrayElemTypeDef::SquareBracket(element, _),
        ) => Ok(DataType::List(child(
            Field::LIST_FIELD_DEFAULT_NAME,
            element,
            true,
        )?)),
        SqlType::Map(key, value) => {
            let entries = [child("key", key, false)?, child("value", value, true)?];
            let entries = DataType::Struct(entries.into_iter().collect());
            Ok(DataType::Map(
                Arc::new(Field::new("entries", entries, false)),
                false,
            ))
        }
        SqlType::Struct(fields, _) if !fields.is_empty() => {
            let field = |(position, field): (usize, &StructField)| {
                let name = field.field_name.as_ref().map(normalise);
                let name = name.unwrap_or_else(|| format!("c{position}"));
                child(&name, &field.field_type, true)
            };
            let fields: Result<Fields> = fields.iter().enumerate().map(field).collect();
            Ok(DataType::Struct(fields?))
        }
        other => Err(refused(
            other,
            "say what is in it, as in INT[] or STRUCT<a INT>",
        )),
    }
}

/// Names that the grammar has no word for.
fn custom_type(name: &str, arguments: &[String]) -> Result<DataType> {
    let hint = match name {
        "uinteger" if arguments.is_empty() => return Ok(DataType::UInt32),
        "long" if arguments.is_empty() => return Ok(DataType::Int64),
        "short" if arguments.is_empty() => return Ok(DataType::Int16),
        "byte" if arguments.is_empty() => return Ok(DataType::Int8),
        // `TEXT(n)`: lengths of texts are not checked, as with VARCHAR(n).
        "text" | "bpchar" => return Ok(DataType::Utf8),
        "jsonb" => return Ok(DataType::Utf8),
        "timestamp_s" => return Ok(DataType::Timestamp(TimeUnit::Second, None)),
        "timestamp_ms" => return Ok(DataType::Timestamp(TimeUnit::Millisecond, None)),
        "timestamp_us" | "timestamp_ntz" => {
            return Ok(DataType::Timestamp(TimeUnit::Microsecond, None));
        }
        "timestamp_ns" => return Ok(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        "timestamp_ltz" => {
            return Ok(DataType::Timestamp(
                TimeUnit::Microsecond,
                Some("UTC".into()),
            ));
        }
        "hugeint" | "uhugeint" => "use DECIMAL(38, 0)".to_owned(),
        "serial" | "bigserial" | "smallserial" => "use BIGINT and give each row its number".into(),
        "money" => "use DECIMAL(18, 2)".to_owned(),
        "uuid" | "xml" | "inet" | "cidr" | "macaddr" | "citext" | "name" => "use TEXT".to_owned(),
        "variant" | "hstore" | "super" => "use JSON, which is kept as text".to_owned(),
        _ => match nearest(name) {
            Some(known) => format!("did you mean {}?", known.to_uppercase()),
            None => "use a type such as TEXT, BIGINT, DOUBLE or TIMESTAMP".to_owned(),
        },
    };
    Err(refusal(name, &hint))
}

/// The known name that takes the fewest edits; none when all are far away.
fn nearest(name: &str) -> Option<&'static str> {
    let name = short(name);
    let far = name.chars().count().div_ceil(2).max(2);
    let distance = |known: &'static str| (levenshtein(&name, known), known);
    let (edits, known) = KNOWN.into_iter().map(distance).min()?;
    (edits <= far).then_some(known)
}

fn refused(sql_type: &SqlType, hint: &str) -> EngineError {
    refusal(&sql_type.to_string(), hint)
}

fn refusal(name: &str, hint: &str) -> EngineError {
    EngineError::invalid(format!("there is no type {}: {hint}", short(name)))
}
