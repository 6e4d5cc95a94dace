//! The gate that every new segment passes before it can become durable: what it says about itself
//! must be possible and complete. Wrong statistics would make queries skip rows.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::error::{CatalogError, Result};
use crate::leaf_index::{Leaf, LeafIndex};
use crate::segment::{ColumnStats, NewSegment};
use crate::stats::{compare_bounds, is_bound};
use crate::table::TableVersion;

pub(crate) fn check_segment(
    table: &TableVersion,
    leaves: &LeafIndex<'_>,
    segment: &NewSegment,
) -> Result<()> {
    let broken = find_fault(leaves, segment);
    broken.map_or(Ok(()), |reason| {
        let (table, path) = (table.qualified_name(), segment.path.clone());
        Err(CatalogError::InvalidSegment {
            table,
            path,
            reason,
        })
    })
}

/// What is wrong with a file by its path, and the numbers of its rows, its bytes and those of its
/// footer.
pub(crate) fn check_file(path: &str, sizes: [u64; 3]) -> Option<String> {
    let [record_count, file_size_bytes, footer_size] = sizes;
    let is_file_name = !path.is_empty() && !path.contains(['/', '\\']);
    if !is_file_name {
        return Some("its path is not a file name".to_owned());
    }
    if record_count == 0 {
        return Some("it has no rows".to_owned());
    }
    if sizes.iter().any(|size| i64::try_from(*size).is_err()) {
        return Some("a size is out of range".to_owned());
    }
    (footer_size >= file_size_bytes).then(|| "its footer is larger than the file".to_owned())
}

fn find_fault(leaves: &LeafIndex<'_>, segment: &NewSegment) -> Option<String> {
    let sizes = [
        segment.record_count,
        segment.file_size_bytes,
        segment.footer_size,
    ];
    if let Some(fault) = check_file(&segment.path, sizes) {
        return Some(fault);
    }
    let known: HashSet<_> = segment
        .column_stats
        .iter()
        .map(|stats| stats.column_id)
        .collect();
    if known.len() != segment.column_stats.len() {
        return Some("a column has two sets of statistics".to_owned());
    }
    // Other readers take a missing row of statistics for "no value can match".
    if let Some(missing) = leaves.ids().find(|id| !known.contains(id)) {
        return Some(format!("column {missing} has no statistics"));
    }
    segment.column_stats.iter().find_map(|stats| {
        let Some(leaf) = leaves.get(stats.column_id) else {
            return Some(format!(
                "column {} is not a leaf of the table",
                stats.column_id
            ));
        };
        let (id, name) = (leaf.column.id, &leaf.column.name);
        find_stats_fault(leaf, stats, segment.record_count)
            .map(|fault| format!("column {id} ({name}) {fault}"))
    })
}

fn find_stats_fault(leaf: Leaf<'_>, stats: &ColumnStats, rows: u64) -> Option<String> {
    let Leaf {
        column,
        is_top_level,
    } = leaf;
    let sizes = [stats.column_size_bytes, stats.value_count, stats.null_count];
    if sizes.iter().any(|size| i64::try_from(*size).is_err()) {
        return Some("has a count out of range".to_owned());
    }
    if is_top_level {
        let counted = stats.value_count + stats.null_count;
        if counted != rows {
            return Some(format!("counts {counted} values and nulls in {rows} rows"));
        }
        if !column.nullable && stats.null_count > 0 {
            return Some("counts nulls but allows none".to_owned());
        }
    }
    for bound in [&stats.min, &stats.max].into_iter().flatten() {
        if !is_bound(&column.data_type, bound) {
            return Some(format!(
                "has a bound that is not of type {}",
                column.data_type
            ));
        }
    }
    if let (Some(min), Some(max)) = (&stats.min, &stats.max)
        && compare_bounds(&column.data_type, min, max) == Some(Ordering::Greater)
    {
        return Some("has a lower bound above its upper bound".to_owned());
    }
    None
}
