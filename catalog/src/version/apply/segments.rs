//! Changes of the rows of a table: which segments it has, and which of their rows are deleted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::invalid_commit;
use crate::change::{Deletion, Replacement};
use crate::error::{CatalogError, Result};
use crate::ids::TableId;
use crate::leaf_index::LeafIndex;
use crate::segment::{NewDeleteFile, NewSegment, RowIds, Segment};
use crate::segment_check::{check_file, check_segment};
use crate::stats::merge_stats;
use crate::table::TableVersion;
use crate::version::CatalogVersion;

pub(super) fn append(
    version: &mut CatalogVersion,
    id: TableId,
    segments: &[NewSegment],
) -> Result<()> {
    let table = table(version, id)?;
    let leaves = LeafIndex::new(&table.columns);
    let begin_snapshot = version.snapshot_id;
    let mut all = table.segments.as_ref().clone();
    let mut column_stats = table.column_stats.as_ref().clone();
    let mut next_row_id = table.next_row_id;
    for segment in segments {
        check_segment(&table, &leaves, segment)?;
        merge_stats(&mut column_stats, &leaves, &segment.column_stats);
        let mut stats = segment.column_stats.clone();
        stats.sort_by_key(|stats| stats.column_id);
        let row_id_start = match segment.row_ids {
            RowIds::InFile => None,
            RowIds::New => {
                let first = next_row_id;
                next_row_id = i64::try_from(segment.record_count)
                    .ok()
                    .and_then(|count| first.checked_add(count))
                    .ok_or_else(|| {
                        invalid_commit("row ids stay below 2^63", &table.qualified_name())
                    })?;
                Some(first)
            }
        };
        all.push(Arc::new(Segment {
            id: version.next_segment_id(),
            begin_snapshot,
            row_id_start,
            partial_max: None,
            path: segment.path.clone(),
            record_count: segment.record_count,
            file_size_bytes: segment.file_size_bytes,
            footer_size: segment.footer_size,
            deletes: None,
            column_stats: stats,
        }));
    }
    if let Some(table) = version.table_mut(id) {
        table.set_segments(all);
        table.column_stats = Arc::new(column_stats);
        table.next_row_id = next_row_id;
    }
    Ok(())
}

/// Statistics stay as they are: they still bound what is left.
pub(super) fn delete_rows(
    version: &mut CatalogVersion,
    id: TableId,
    deletions: &[Deletion],
) -> Result<()> {
    let table = table(version, id)?;
    let mut by_path: HashMap<&str, &Deletion> = deletions
        .iter()
        .map(|deletion| (deletion.segment.as_str(), deletion))
        .collect();
    if by_path.len() != deletions.len() {
        return Err(invalid_commit(
            "a commit deletes rows of a segment once",
            &table.qualified_name(),
        ));
    }
    let mut left = Vec::with_capacity(table.segments.len());
    for segment in table.segments.iter() {
        let Some(deletion) = by_path.remove(segment.path.as_str()) else {
            left.push(Arc::clone(segment));
            continue;
        };
        if let Some(file) = &deletion.file {
            check_deletes(&table, segment, file)?;
            let id = version.next_segment_id();
            let deletes = file.registered(id, version.snapshot_id);
            left.push(Arc::new(Segment {
                deletes: Some(Arc::new(deletes)),
                ..segment.as_ref().clone()
            }));
        }
    }
    if let Some(path) = by_path.into_keys().next() {
        return Err(CatalogError::not_found("segment", path));
    }
    if let Some(table) = version.table_mut(id) {
        table.set_segments(left);
    }
    Ok(())
}

/// A later list of a segment holds what the earlier ones held, and leaves some row.
fn check_deletes(table: &TableVersion, segment: &Segment, file: &NewDeleteFile) -> Result<()> {
    let sizes = [file.delete_count, file.file_size_bytes, file.footer_size];
    let reason = if let Some(reason) = check_file(&file.path, sizes) {
        reason
    } else if file.delete_count <= segment.delete_count() {
        "it lists no more rows than the one before".to_owned()
    } else if file.delete_count >= segment.record_count {
        "it lists every row of its segment".to_owned()
    } else {
        return Ok(());
    };
    Err(CatalogError::InvalidSegment {
        table: table.qualified_name(),
        path: file.path.clone(),
        reason,
    })
}

pub(super) fn replace(
    version: &mut CatalogVersion,
    id: TableId,
    sources: &[String],
    segments: &[NewSegment],
    form: Replacement,
) -> Result<()> {
    let table = table(version, id)?;
    let rule = |rule| invalid_commit(rule, &table.qualified_name());
    let mut wanted: HashSet<&str> = sources.iter().map(String::as_str).collect();
    let (gone, mut left): (Vec<_>, Vec<_>) = table
        .segments
        .iter()
        .map(Arc::clone)
        .partition(|segment| wanted.remove(segment.path.as_str()));
    if let Some(path) = wanted.into_iter().next() {
        return Err(CatalogError::not_found("segment", path));
    }
    let before: u64 = gone.iter().map(|segment| segment.live_count()).sum();
    let after: u64 = segments.iter().map(|segment| segment.record_count).sum();
    if before != after {
        return Err(rule("segments hold the rows of those that they replace"));
    }
    let (begin_snapshot, partial_max) = match form {
        Replacement::Rewrite => (version.snapshot_id, None),
        Replacement::Merge => {
            if gone.iter().any(|segment| segment.deletes.is_some()) {
                return Err(rule("segments with deleted rows are not merged"));
            }
            let first = gone.iter().map(|segment| segment.begin_snapshot).min();
            let last = gone.iter().map(|segment| segment.last_snapshot()).max();
            (first.ok_or_else(|| rule("a merge has sources"))?, last)
        }
    };
    let leaves = LeafIndex::new(&table.columns);
    for segment in segments {
        check_segment(&table, &leaves, segment)?;
        if segment.row_ids != RowIds::InFile {
            return Err(rule("rows that are moved have their ids with them"));
        }
        let mut column_stats = segment.column_stats.clone();
        column_stats.sort_by_key(|stats| stats.column_id);
        left.push(Arc::new(Segment {
            id: version.next_segment_id(),
            begin_snapshot,
            row_id_start: None,
            partial_max,
            path: segment.path.clone(),
            record_count: segment.record_count,
            file_size_bytes: segment.file_size_bytes,
            footer_size: segment.footer_size,
            deletes: None,
            column_stats,
        }));
    }
    if let Some(table) = version.table_mut(id) {
        table.set_segments(left);
    }
    Ok(())
}

pub(super) fn truncate(version: &mut CatalogVersion, id: TableId) -> Result<()> {
    table(version, id)?;
    if let Some(table) = version.table_mut(id) {
        table.set_segments(vec![]);
    }
    Ok(())
}

fn table(version: &CatalogVersion, id: TableId) -> Result<Arc<TableVersion>> {
    version
        .table_by_id(id)
        .map(Arc::clone)
        .ok_or_else(|| CatalogError::not_found("table", &id))
}
