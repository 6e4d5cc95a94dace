//! Whether what left a table under an id came back under it.

use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDFImpl};

/// One of the two is missing.
pub(super) const ALONE: i64 = 1;
/// It came back with the same values.
pub(super) const SAME: i64 = 2;
/// It came back with other values.
const OTHER: i64 = 3;

/// A window function over the values of a row, in a window of all rows with one id: [`ALONE`], [`SAME`] or
/// [`OTHER`], for each of them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    signature: Signature,
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl WindowUDFImpl for Pair {
    fn name(&self) -> &'static str {
        "pair"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _arguments: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(PairEvaluator))
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Field::new(arguments.name(), DataType::Int64, false).into())
    }
}

#[derive(Debug)]
struct PairEvaluator;

impl PartitionEvaluator for PairEvaluator {
    /// All rows with the id.
    fn get_range(&self, _row: usize, row_count: usize) -> Result<Range<usize>> {
        Ok(0..row_count)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let is_same = |column: &ArrayRef| {
            let one = |at| column.slice(at, 1).to_data();
            one(range.start) == one(range.start + 1)
        };
        let kind = match range.len() {
            0 | 1 => ALONE,
            2 if values.iter().all(is_same) => SAME,
            _ => OTHER,
        };
        Ok(ScalarValue::from(kind))
    }

    fn supports_bounded_execution(&self) -> bool {
        true
    }
}
