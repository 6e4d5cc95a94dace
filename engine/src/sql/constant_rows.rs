//! `INSERT … VALUES` of constants and parameters: rows that need no plan.
//!
//! Such statements come by the thousand, and planning one takes longer than everything else about
//! it. What is taken here means the same as if it were planned, except that parameters become the
//! columns' types wherever no value changes by that. Everything else is left to the planner.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{can_cast_types, interleave};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::format::DEFAULT_CAST_OPTIONS;
use datafusion::logical_expr::ColumnarValue;
use datafusion::sql::sqlparser::ast::{
    Expr, Insert, ObjectName, Query, SetExpr, UnaryOperator, Value, ValueWithSpan, Values,
};

use super::mixed_numbers::nearest_float;
use super::names::normalise;
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// Digits that a 128-bit decimal holds.
const DECIMAL_DIGITS_MAX: usize = 38;

/// Most that is made at once of rows times rows of parameters.
const REPEATED_BYTES_MAX: usize = 64 << 20;

/// The rows of an `INSERT`, before parameters are known.
#[derive(Debug)]
pub(crate) struct ConstantRows {
    /// The columns they are for, as the table has them.
    fields: Vec<FieldRef>,
    /// One or more.
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
enum Cell {
    Constant(ScalarValue),
    /// The place of a parameter, from 0.
    Parameter(usize),
}

impl ConstantRows {
    /// The rows of `insert` into a table of this schema; `None` when they are for the planner, as
    /// are all statements that it refuses.
    pub(crate) fn of(insert: &Insert, table: &Schema) -> Option<Self> {
        let rows = &values(insert.source.as_deref()?)?.rows;
        let fields = match insert.columns.as_slice() {
            [] => table.fields().to_vec(),
            columns => named(columns, table)?,
        };
        let rows: Option<Vec<Vec<Cell>>> = rows
            .iter()
            .map(|row| {
                let cells = row.content.iter().zip(&fields);
                let cells = cells.map(|(value, field)| Cell::of(value, field));
                let cells: Vec<_> = cells.collect::<Option<_>>()?;
                (cells.len() == row.content.len() && cells.len() == fields.len()).then_some(cells)
            })
            .collect();
        let rows = rows.filter(|rows| !rows.is_empty())?;
        Some(Self { fields, rows })
    }

    /// Names and types of `count` parameters.
    pub(crate) fn parameters(&self, count: usize) -> SchemaRef {
        let field = |place: usize| {
            let cells = self
                .rows
                .iter()
                .flat_map(|row| row.iter().zip(&self.fields));
            let mut own =
                cells.filter(|(cell, _)| matches!(cell, Cell::Parameter(own) if *own == place));
            let data_type = own.next_back().map(|(_, field)| field.data_type());
            let data_type = data_type.unwrap_or(&DataType::Utf8).clone();
            Field::new(format!("${}", place + 1), data_type, true)
        };
        Arc::new(Schema::new((0..count).map(field).collect::<Vec<_>>()))
    }

    /// How many rows they are with these parameters.
    pub(crate) fn count(&self, parameters: Option<&RecordBatch>) -> usize {
        repeats(parameters) * self.rows.len()
    }

    /// About what is made beside the parameters.
    fn repeated_bytes(&self, repeats: usize) -> usize {
        let cells = self.rows.iter().flatten();
        let bytes: usize = cells.map(Cell::repeated_bytes).sum();
        bytes.saturating_mul(repeats)
    }

    /// All rows once per row of `parameters`; once without any. `None` when they are for the planner
    /// after all.
    ///
    /// # Errors
    /// For values that do not fit their columns.
    pub(crate) fn batch(&self, parameters: Option<&RecordBatch>) -> Result<Option<RecordBatch>> {
        let repeats = repeats(parameters);
        if repeats > 1 && self.repeated_bytes(repeats) > REPEATED_BYTES_MAX {
            // The planner's rows come one after the other.
            return Ok(None);
        }
        let mut fields = Vec::with_capacity(self.fields.len());
        let mut columns = Vec::with_capacity(self.fields.len());
        for (place, field) in self.fields.iter().enumerate() {
            let cells = self.rows.iter().map(|row| &row[place]);
            let cells: Vec<ArrayRef> = cells
                .map(|cell| cell.values(field, repeats, parameters))
                .collect::<Result<_>>()?;
            let data_type = cells[0].data_type().clone();
            if cells.iter().any(|cell| *cell.data_type() != data_type) {
                // Several rows with a parameter of a type that is none of the column's.
                return Ok(None);
            }
            columns.push(in_row_order(&cells, repeats)?);
            fields.push(Field::new(field.name(), data_type, true));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.count(parameters)));
        let schema = Arc::new(Schema::new(fields));
        Ok(Some(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?))
    }
}

/// How often the rows are inserted.
fn repeats(parameters: Option<&RecordBatch>) -> usize {
    parameters.map_or(1, RecordBatch::num_rows)
}

/// The list of an insert that is nothing but `VALUES (…), …`.
fn values(source: &Query) -> Option<&Values> {
    let Query {
        with: None,
        body,
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks,
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators,
    } = source
    else {
        return None;
    };
    match body.as_ref() {
        SetExpr::Values(values)
            if !values.value_keyword && locks.is_empty() && pipe_operators.is_empty() =>
        {
            Some(values)
        }
        _ => None,
    }
}

/// Each of the columns once.
fn named(columns: &[ObjectName], table: &Schema) -> Option<Vec<FieldRef>> {
    let mut taken = vec![false; table.fields().len()];
    let field = |name: &ObjectName| {
        let [part] = name.0.as_slice() else {
            return None;
        };
        let (place, _) = table.column_with_name(&normalise(part.as_ident()?))?;
        let is_new = !std::mem::replace(&mut taken[place], true);
        is_new.then(|| Arc::clone(&table.fields()[place]))
    };
    columns.iter().map(field).collect()
}

impl Cell {
    fn of(value: &Expr, field: &Field) -> Option<Self> {
        let (value, is_negative) = match value {
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => (expr.as_ref(), true),
            value => (value, false),
        };
        let Expr::Value(ValueWithSpan { value, .. }) = value else {
            return None;
        };
        let constant = match value {
            Value::Number(digits, false) => number(digits, is_negative)?,
            _ if is_negative => return None,
            Value::SingleQuotedString(text) => ScalarValue::Utf8(Some(text.clone())),
            Value::Boolean(value) => ScalarValue::Boolean(Some(*value)),
            Value::Null => ScalarValue::Null,
            Value::Placeholder(name) => {
                let place = name.strip_prefix('$')?.parse::<usize>().ok()?;
                return Some(Self::Parameter(place.checked_sub(1)?));
            }
            _ => return None,
        };
        let from = constant.data_type();
        let is_number_as_time = from.is_numeric() && field.data_type().is_temporal();
        let is_castable = can_cast_types(&from, field.data_type());
        (is_castable && !is_number_as_time).then_some(Self::Constant(constant))
    }

    /// Of one repetition in an array, and in the order of several rows.
    fn repeated_bytes(&self) -> usize {
        let text = match self {
            Self::Constant(ScalarValue::Utf8(Some(text))) => text.len(),
            _ => 0,
        };
        text + 2 * size_of::<usize>() + size_of::<i128>()
    }

    /// The value, as often as it is needed.
    fn values(
        &self,
        field: &Field,
        repeats: usize,
        parameters: Option<&RecordBatch>,
    ) -> Result<ArrayRef> {
        match self {
            Self::Constant(value) => {
                let value = match nearest_float(value) {
                    // By way of the decimal's digits as a number it would be rounded twice.
                    Some(float) if field.data_type().is_floating() => float,
                    _ => value.clone(),
                };
                let value = value.cast_to(field.data_type())?;
                Ok(value.to_array_of_size(repeats)?)
            }
            Self::Parameter(place) => {
                let column = parameters.and_then(|rows| rows.columns().get(*place));
                let column = column.ok_or_else(|| {
                    EngineError::invalid("the statement has parameters: bind one row of values")
                })?;
                as_column(column, field)
            }
        }
    }
}

/// The constant as DataFusion's planner reads it: the smallest type of integers and decimals.
fn number(digits: &str, is_negative: bool) -> Option<ScalarValue> {
    let sign = if is_negative { "-" } else { "" };
    if !digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    if let Ok(value) = format!("{sign}{digits}").parse::<i64>() {
        return Some(ScalarValue::Int64(Some(value)));
    }
    if !is_negative && let Ok(value) = digits.parse::<u64>() {
        return Some(ScalarValue::UInt64(Some(value)));
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || (digits.contains('.') && fraction.is_empty()) {
        return None;
    }
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').len();
    let precision = significant.max(fraction.len()).max(1);
    if precision > DECIMAL_DIGITS_MAX {
        return None;
    }
    let value = format!("{sign}{all}").parse::<i128>().ok()?;
    let (precision, scale) = (precision as u8, fraction.len() as i8);
    Some(ScalarValue::Decimal128(Some(value), precision, scale))
}

/// Cells of one column, each with a value per repetition, in the order of the rows they belong to.
fn in_row_order(cells: &[ArrayRef], repeats: usize) -> Result<ArrayRef> {
    if let [column] = cells {
        return Ok(Arc::clone(column));
    }
    let arrays: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    let places = (0..repeats).flat_map(|repeat| (0..cells.len()).map(move |row| (row, repeat)));
    Ok(interleave(&arrays, &places.collect::<Vec<_>>())?)
}

/// Parameters in the type of their column, where a value is the same in both or is written out as
/// text; others are left to be refused, or kept, as rows of an ingest are.
fn as_column(values: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let (from, to) = (values.data_type(), field.data_type());
    let is_text =
        from.is_string() && (to.is_numeric() || to.is_temporal() || *to == DataType::Boolean);
    let is_kind = (from.is_numeric() && to.is_numeric()) || (is_local(from) && is_local(to));
    if from == to || !(is_text || is_kind) || !can_cast_types(from, to) {
        return Ok(Arc::clone(values));
    }
    let cast = |values: &ArrayRef, to: &DataType| {
        let values = ColumnarValue::Array(Arc::clone(values));
        values
            .cast_to(to, Some(&DEFAULT_CAST_OPTIONS))?
            .into_array(0)
    };
    let kept = cast(values, to)?;
    if is_text {
        return Ok(kept);
    }
    let changed = distinct(&cast(&kept, from)?, values)?;
    match (0..changed.len()).find(|row| changed.value(*row)) {
        None => Ok(kept),
        Some(row) => Err(EngineError::invalid(format!(
            "column '{}': row {} of the parameters has a value that {to} cannot keep: cast it \
             first",
            short(field.name()),
            row + 1
        ))),
    }
}

/// Times without a zone.
fn is_local(data_type: &DataType) -> bool {
    use DataType::{Date32, Date64, Timestamp};
    matches!(data_type, Date32 | Date64 | Timestamp(_, None))
}
