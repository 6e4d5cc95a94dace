//! Statistics of a segment's leaf columns, taken from the rows themselves.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;

use super::bound_text::{Side, bound_text, has_bounds, parse_bounds};
use super::leaf::{Leaf, visit_leaves};
use super::value_sample::ValueSample;
use crate::error::{EngineError, Result};

/// What is known of one leaf column.
#[derive(Debug, Clone)]
pub(crate) struct LeafStats {
    /// Values that are not NULL.
    pub(crate) value_count: u64,
    /// NULLs, including those that stand for NULL or empty lists.
    pub(crate) null_count: u64,
    /// Smallest value that is not NaN.
    pub(crate) min: Option<ScalarValue>,
    /// Largest value that is not NaN.
    pub(crate) max: Option<ScalarValue>,
    /// Whether there is a NaN; `None` for types that have none.
    pub(crate) contains_nan: Option<bool>,
    /// Some of its values.
    pub(crate) sample: ValueSample,
}

impl LeafStats {
    fn of(values: usize, columns: usize) -> Self {
        Self {
            value_count: 0,
            null_count: 0,
            min: None,
            max: None,
            contains_nan: None,
            sample: ValueSample::of(values, columns),
        }
    }

    /// The bounds as the catalog keeps them.
    ///
    /// # Errors
    /// `Internal` when a text would not bound the values: such a segment would lose rows when read.
    pub(crate) fn bound_texts(&self) -> Result<(Option<String>, Option<String>)> {
        Ok((
            checked_text(self.min.as_ref(), Side::Min)?,
            checked_text(self.max.as_ref(), Side::Max)?,
        ))
    }

    /// Whether there is a NaN, as far as is known.
    pub(crate) fn has_nan(&self) -> bool {
        self.contains_nan == Some(true)
    }

    fn add(&mut self, leaf: &Leaf) -> Result<()> {
        let nulls = leaf.values.null_count() as u64;
        self.null_count += nulls + leaf.absent;
        self.value_count += leaf.values.len() as u64 - nulls;
        self.sample.add(&leaf.values)?;
        if !has_bounds(leaf.values.data_type()) {
            return Ok(());
        }
        let (values, nan) = without_nan(&leaf.values)?;
        if let Some(nan) = nan {
            self.contains_nan = Some(self.contains_nan.unwrap_or(false) || nan);
        }
        if values.len() > values.null_count() {
            let (min, max) = (min_of(&values)?, max_of(&values)?);
            self.sample.add_bounds(&min, max.clone());
            keep(&mut self.min, min, Ordering::Less);
            keep(&mut self.max, max, Ordering::Greater);
        }
        Ok(())
    }
}

/// Statistics of all leaf columns of `batches`, in Parquet's order of leaves.
pub(crate) fn leaf_stats(batches: &[RecordBatch], leaf_count: usize) -> Result<Vec<LeafStats>> {
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let mut stats = vec![LeafStats::of(rows, leaf_count); leaf_count];
    for batch in batches {
        add_leaf_stats(&mut stats, batch)?;
    }
    Ok(stats)
}

/// Adds those of one more batch.
pub(crate) fn add_leaf_stats(stats: &mut [LeafStats], batch: &RecordBatch) -> Result<()> {
    let mut leaves = stats.iter_mut();
    let mut visit = |leaf: Leaf| match leaves.next() {
        Some(stats) => stats.add(&leaf),
        None => Err(EngineError::internal(
            "a batch has more leaf columns than its table",
        )),
    };
    for column in batch.columns() {
        visit_leaves(column, &mut visit)?;
    }
    Ok(())
}

/// Smallest value; NULL if there is none.
pub(crate) fn min_of(values: &ArrayRef) -> Result<ScalarValue> {
    let mut accumulator = MinAccumulator::try_new(values.data_type())?;
    accumulator.update_batch(std::slice::from_ref(values))?;
    Ok(accumulator.evaluate()?)
}

/// Largest value; NULL if there is none.
pub(crate) fn max_of(values: &ArrayRef) -> Result<ScalarValue> {
    let mut accumulator = MaxAccumulator::try_new(values.data_type())?;
    accumulator.update_batch(std::slice::from_ref(values))?;
    Ok(accumulator.evaluate()?)
}

fn keep(kept: &mut Option<ScalarValue>, value: ScalarValue, wanted: Ordering) {
    let replaces = match kept {
        None => !value.is_null(),
        Some(kept) => value.partial_cmp(kept) == Some(wanted),
    };
    if replaces {
        *kept = Some(value);
    }
}

/// Float values without NaN, and whether there was one.
pub(crate) fn without_nan(values: &ArrayRef) -> Result<(ArrayRef, Option<bool>)> {
    let is_nan = match values.data_type() {
        DataType::Float32 => {
            let floats: &Float32Array = values.as_primitive::<Float32Type>();
            BooleanArray::from_unary(floats, f32::is_nan)
        }
        DataType::Float64 => {
            let floats: &Float64Array = values.as_primitive::<Float64Type>();
            BooleanArray::from_unary(floats, f64::is_nan)
        }
        _ => return Ok((ArrayRef::clone(values), None)),
    };
    if is_nan.true_count() == 0 {
        return Ok((ArrayRef::clone(values), Some(false)));
    }
    Ok((filter(values, &arrow::compute::not(&is_nan)?)?, Some(true)))
}

fn checked_text(value: Option<&ScalarValue>, side: Side) -> Result<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    let Some(text) = bound_text(value, side) else {
        return Ok(None);
    };
    let parsed = parse_bounds(std::iter::once(Some(text.as_str())), &value.data_type())?;
    let parsed = ScalarValue::try_from_array(&parsed, 0)?;
    let bounds = match (parsed.partial_cmp(value), side) {
        (Some(Ordering::Equal), _) => true,
        (Some(order), Side::Min) => order == Ordering::Less,
        (Some(order), Side::Max) => order == Ordering::Greater,
        (None, _) => false,
    };
    if bounds {
        return Ok(Some(text));
    }
    let message = format!(
        "the bound '{text}' does not bound a value of type {}",
        value.data_type()
    );
    Err(EngineError::internal(message))
}
