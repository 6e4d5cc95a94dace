//! Turns the batches of one stream into a table's schema.
//!
//! Guarantees: what `adapt` returns has exactly the table's schema and the same values, or the
//! column and the row of the stream that cannot be kept are named. Columns that have their type
//! already are not copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::common::ScalarValue;

use super::apply::{NULL_REFUSED, Refusal, apply, first_null, nulls};
use super::budget::Budget;
use super::conversion::{Matching, Source, keep_places, plan_fields};
use super::schema::{FIELDS_MAX, NESTING_MAX, join};
use super::text::short;
use crate::error::{EngineError, Result};

/// The conversion of one incoming stream into a table's schema, checked once per stream.
///
/// It counts the rows it has adapted, so that errors name the row of the stream: use one adapter
/// per stream, and give it every batch in order.
#[derive(Debug)]
pub(crate) struct Adapter {
    incoming: Fields,
    table: SchemaRef,
    sources: Vec<Source>,
    /// By column of the table; what stands for those that the stream does not have.
    defaults: Vec<Option<ScalarValue>>,
    is_identity: bool,
    rows: AtomicU64,
}

impl Adapter {
    /// Checks that batches of `incoming` can become rows of `table` without loss. Columns match
    /// by name, exactly or else without regard to case.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the first column that is unknown, missing though NOT NULL, or
    /// of a type that cannot be kept.
    pub(crate) fn new(incoming: &Schema, table: &SchemaRef) -> Result<Self> {
        Self::with_defaults(incoming, table, vec![])
    }

    /// The same, with values for columns of the table that the stream may leave out.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn with_defaults(
        incoming: &Schema,
        table: &SchemaRef,
        defaults: Vec<Option<ScalarValue>>,
    ) -> Result<Self> {
        check_size(incoming.fields(), 0, &mut 0)?;
        let may_miss = |(at, field): (usize, &FieldRef)| match defaults.get(at) {
            Some(Some(_)) => Arc::new(field.as_ref().clone().with_nullable(true)),
            _ => Arc::clone(field),
        };
        let wanted = match defaults.iter().any(Option::is_some) {
            true => table.fields().iter().enumerate().map(may_miss).collect(),
            false => table.fields().clone(),
        };
        let sources = plan_fields(incoming.fields(), &wanted, Matching::ByName, "")?;
        let is_identity = incoming.fields().len() == table.fields().len()
            && keep_places(&sources)
            && !tightens_nested(incoming.fields(), table.fields());
        Ok(Self {
            incoming: incoming.fields().clone(),
            table: Arc::clone(table),
            sources,
            defaults,
            is_identity,
            rows: AtomicU64::new(0),
        })
    }

    /// The batch under the table's exact schema.
    ///
    /// # Errors
    /// `InvalidArgument`, naming column and row (counted from 1 over the whole stream), for NULL
    /// in NOT NULL and for values that cannot be kept; also for batches of another schema than
    /// `incoming`, and for batches that grow too much when decoded.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the batch's buffers are free as soon as they are converted"
    )]
    pub(crate) fn adapt(&self, batch: RecordBatch) -> Result<RecordBatch> {
        self.check_batch(&batch)?;
        let rows_before = self
            .rows
            .fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        let budget = Budget::new();
        let mut columns = Vec::with_capacity(self.sources.len());
        let fields = self.table.fields().iter();
        for (at, (field, source)) in fields.zip(&self.sources).enumerate() {
            let default = self.defaults.get(at).and_then(Option::as_ref);
            let column = adapt_column(&batch, field, source, default, &budget)
                .map_err(|refusal| explain(refusal, field.name(), Some(rows_before)))?;
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.table),
            columns,
            &options,
        )?)
    }

    /// Whether every column arrives at its place with the layout of its final type, so that the
    /// body of the message decodes under the table's schema and may be logged as it is. `adapt`
    /// must be called even so: it checks values (NOT NULL, digits of decimals).
    pub(crate) fn is_identity(&self) -> bool {
        self.is_identity
    }

    fn check_batch(&self, batch: &RecordBatch) -> Result<()> {
        let schema = batch.schema_ref();
        let as_planned = schema.fields().len() == self.incoming.len()
            && schema
                .fields()
                .iter()
                .zip(&self.incoming)
                .all(|(given, planned)| given.data_type() == planned.data_type());
        if as_planned {
            return Ok(());
        }
        Err(EngineError::invalid(
            "a batch has another schema than its stream: send one schema",
        ))
    }
}

fn adapt_column(
    batch: &RecordBatch,
    field: &Field,
    source: &Source,
    default: Option<&ScalarValue>,
    budget: &Budget,
) -> Result<ArrayRef, Refusal> {
    let column = match (source.index, default) {
        (None, Some(value)) => {
            let values = value.to_array_of_size(batch.num_rows());
            values.map_err(|error| Refusal::Whole(error.into()))?
        }
        (None, None) => nulls(field.data_type(), batch.num_rows(), budget)?,
        (Some(index), _) => apply(&source.conversion, batch.column(index), None, budget)?,
    };
    if !field.is_nullable()
        && let Some(row) = first_null(&column, None)
    {
        return Err(Refusal::value(row, NULL_REFUSED));
    }
    Ok(column)
}

/// A refusal as an error that names the column and, where rows are counted, the row.
pub(super) fn explain(refusal: Refusal, column: &str, rows_before: Option<u64>) -> EngineError {
    match refusal {
        Refusal::Value { row, path, reason } => {
            let column = if path.is_empty() {
                column.to_owned()
            } else {
                join(column, &path)
            };
            let row = rows_before.unwrap_or(0) + row as u64 + 1;
            EngineError::invalid(format!("column '{}', row {row}: {reason}", short(&column)))
        }
        Refusal::Whole(EngineError::Arrow(error)) => EngineError::invalid(format!(
            "column '{}' cannot be converted: {}",
            short(column),
            short(&error.to_string())
        )),
        Refusal::Whole(error) => error,
    }
}

/// Whether some nested field must not be NULL in the table though it may be in the data. Its
/// buffers may then show NULLs below NULL parents, which are dropped when they are adapted but
/// would be refused when a logged message is decoded.
fn tightens_nested(from: &Fields, to: &Fields) -> bool {
    from.iter()
        .zip(to)
        .any(|(from, to)| tightens(from.data_type(), to.data_type()))
}

fn tightens(from: &DataType, to: &DataType) -> bool {
    let tightens_field = |from: &Field, to: &Field| {
        (from.is_nullable() && !to.is_nullable()) || tightens(from.data_type(), to.data_type())
    };
    match (from, to) {
        (DataType::List(from), DataType::List(to)) => tightens_field(from, to),
        (DataType::Map(from, _), DataType::Map(to, _)) => tightens_field(from, to),
        (DataType::Struct(from), DataType::Struct(to)) => from
            .iter()
            .zip(to)
            .any(|(from, to)| tightens_field(from, to)),
        _ => false,
    }
}

/// Bounds what the functions that walk a schema have to do, whatever a client sends.
fn check_size(fields: &Fields, depth: usize, count: &mut usize) -> Result<()> {
    *count += fields.len();
    if *count > FIELDS_MAX {
        return Err(EngineError::invalid(format!(
            "the data has more than {FIELDS_MAX} columns (nested ones included): send fewer \
             columns at once"
        )));
    }
    fields
        .iter()
        .try_for_each(|field| check_type_size(field, field.data_type(), depth, count))
}

fn check_type_size(
    field: &FieldRef,
    data_type: &DataType,
    depth: usize,
    count: &mut usize,
) -> Result<()> {
    if depth > NESTING_MAX {
        return Err(EngineError::invalid(format!(
            "column '{}' is nested deeper than {NESTING_MAX} levels: flatten it",
            short(field.name())
        )));
    }
    match data_type {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::ListView(child)
        | DataType::LargeListView(child)
        | DataType::Map(child, _)
        | DataType::RunEndEncoded(_, child) => {
            *count += 1;
            check_type_size(child, child.data_type(), depth + 1, count)
        }
        DataType::Struct(fields) => check_size(fields, depth + 1, count),
        DataType::Dictionary(_, values) => check_type_size(field, values, depth + 1, count),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
