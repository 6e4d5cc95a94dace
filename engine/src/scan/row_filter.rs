//! Decides whether a scan filters rows while it decodes them.
//!
//! Decoding the filter columns first and the others only for matching rows pays when few rows match
//! and the others are wide; otherwise the bookkeeping costs more than it saves. The estimate errs
//! towards not doing it.

use std::collections::BTreeSet;

use arrow::array::UInt64Array;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use quiver_catalog::TableVersion;

use super::statistics::SegmentStatistics;

/// Literals of an `IN` list that still counts as selective.
const SELECTIVE_LIST_MAX: usize = 16;
/// Stored bytes per row from which a column is taken to have many different values: columns with
/// few are stored as a fraction of a byte per row.
const MANY_VALUES_BYTES_PER_ROW: f64 = 2.0;
/// As many values as make an equality selective.
const MANY_VALUES: usize = 10_000;
/// How many times larger than the filter columns the others must be.
const OTHERS_FACTOR: u64 = 2;

/// Whether filtering while decoding is estimated to pay for a scan of `projection` with `filters`.
pub(crate) fn pays(
    table: &TableVersion,
    statistics: &SegmentStatistics,
    projection: Option<&[usize]>,
    filters: &[Expr],
) -> bool {
    let schema = &table.arrow_schema;
    let bytes = |index: usize| {
        statistics
            .column(table, index)
            .map_or(0, |c| c.stored_bytes)
    };
    let rows = table
        .segments
        .iter()
        .map(|segment| segment.record_count)
        .sum::<u64>()
        .max(1);
    let has_many_values = |index: &usize| {
        can_have_many_values(schema.field(*index).data_type())
            && (bytes(*index) as f64 / rows as f64 >= MANY_VALUES_BYTES_PER_ROW
                || is_far_apart(table, statistics, *index))
    };
    let conjuncts = || filters.iter().flat_map(split_conjunction);
    let selective = conjuncts()
        .filter_map(|expr| searched_column(expr, schema))
        .any(|at| has_many_values(&at));
    if !selective {
        return false;
    }
    let filtered: BTreeSet<usize> = conjuncts()
        .flat_map(Expr::column_refs)
        .filter_map(|column| schema.index_of(&column.name).ok())
        .collect();
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let others = projection
        .unwrap_or(&all)
        .iter()
        .filter(|index| !filtered.contains(index));
    let others: u64 = others.map(|index| bytes(*index)).sum();
    others >= OTHERS_FACTOR * filtered.iter().map(|index| bytes(*index)).sum::<u64>()
}

/// Whether whole numbers from the smallest to the largest value would be many.
fn is_far_apart(table: &TableVersion, statistics: &SegmentStatistics, index: usize) -> bool {
    let all = UInt64Array::from_iter_values(0..table.segments.len() as u64);
    let summary = statistics.summary(table, &all, &|wanted| wanted == index);
    let column = &summary.column_statistics[index];
    let (min, max) = (column.min_value.get_value(), column.max_value.get_value());
    let distance = min.zip(max).and_then(|(min, max)| max.distance(min));
    distance.is_some_and(|distance| distance >= MANY_VALUES)
}

/// The column of `column = literal` or of a short `column IN (literals)`.
fn searched_column(expr: &Expr, schema: &SchemaRef) -> Option<usize> {
    let column = match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(..))
            | (Expr::Literal(..), Expr::Column(column)) => column,
            _ => return None,
        },
        Expr::InList(list) if !list.negated && list.list.len() <= SELECTIVE_LIST_MAX => {
            match list.expr.as_ref() {
                Expr::Column(column) => column,
                _ => return None,
            }
        }
        _ => return None,
    };
    schema.index_of(&column.name).ok()
}

fn can_have_many_values(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Boolean | DataType::Int8 | DataType::UInt8
    ) && !data_type.is_nested()
}
