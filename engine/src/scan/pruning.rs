//! Leaves out the segments that cannot hold a matching row, without opening them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use quiver_catalog::TableVersion;

use super::statistics::SegmentStatistics;

/// Values of an `IN` list that are still compared one by one with the bounds of all segments.
const IN_LIST_MAX: usize = 256;

/// Places of the segments of `table` that may hold a row for which `predicate` is true.
pub(crate) fn prune(
    table: &TableVersion,
    statistics: &SegmentStatistics,
    predicate: Option<&Arc<dyn PhysicalExpr>>,
) -> UInt64Array {
    let all = 0..table.segments.len() as u64;
    let Some(predicate) = predicate else {
        return UInt64Array::from_iter_values(all);
    };
    let may_match = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(&table.arrow_schema))
        .with_max_in_list_size(IN_LIST_MAX)
        .try_build(Arc::clone(predicate))
        .and_then(|predicate| predicate.prune(&Bounds { table, statistics }));
    match may_match {
        Ok(may_match) => {
            let kept = all.zip(may_match).filter(|(_, may_match)| *may_match);
            UInt64Array::from_iter_values(kept.map(|(at, _)| at))
        }
        Err(error) => {
            // Reading too much is never wrong.
            tracing::debug!(%error, "segments could not be pruned");
            UInt64Array::from_iter_values(all)
        }
    }
}

/// The statistics of all segments of a table at once.
struct Bounds<'a> {
    table: &'a TableVersion,
    statistics: &'a SegmentStatistics,
}

impl Bounds<'_> {
    fn column(&self, column: &Column) -> Option<&super::statistics::ColumnBounds> {
        let index = self.table.arrow_schema.index_of(column.name()).ok()?;
        self.statistics.column(self.table, index).map(AsRef::as_ref)
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column).map(|bounds| Arc::clone(&bounds.min))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column).map(|bounds| Arc::clone(&bounds.max))
    }

    fn num_containers(&self) -> usize {
        self.statistics.row_counts().len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column)
            .map(|bounds| Arc::clone(&bounds.null_counts) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::clone(self.statistics.row_counts()) as ArrayRef)
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
