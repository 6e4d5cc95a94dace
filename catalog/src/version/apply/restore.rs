//! Tables that are made what they were.

use std::sync::Arc;

use super::{invalid_commit, segments, with_schema};
use crate::change::{RestoredTable, SegmentCopy};
use crate::column::columns_to_schema;
use crate::error::{CatalogError, Result};
use crate::leaf_index::LeafIndex;
use crate::names::{check_object_name, fold};
use crate::segment::Segment;
use crate::segment_check::check_file;
use crate::stats::merge_stats;
use crate::table::TableVersion;
use crate::version::CatalogVersion;

pub(super) fn restore(version: &mut CatalogVersion, restored: &RestoredTable) -> Result<()> {
    check_object_name("table", &restored.name)?;
    let schema = version
        .schema_by_id(restored.schema_id)
        .map(Arc::clone)
        .ok_or_else(|| CatalogError::not_found("schema", &restored.schema_id))?;
    if schema
        .table_id(&restored.name)
        .is_some_and(|other| other != restored.table_id)
    {
        return Err(CatalogError::AlreadyExists {
            what: "table",
            name: restored.name.clone(),
        });
    }
    let current = version.table_by_id(restored.table_id).map(Arc::clone);
    let name = format!("{}.{}", schema.name, restored.name);
    let rule = |rule| invalid_commit(rule, &name);
    if let Some(current) = &current {
        if current.name != restored.name || current.path != restored.path {
            return Err(rule("a table that is there keeps its name and its place"));
        }
        if restored.next_row_id < current.next_row_id {
            return Err(rule("row ids are used once"));
        }
    }
    if !restored.deletions.is_empty() {
        segments::delete_rows(version, restored.table_id, &restored.deletions)?;
    }
    let current = version.table_by_id(restored.table_id).map(Arc::clone);
    let mut segments = vec![];
    for path in &restored.kept {
        let kept = current.as_ref().and_then(|current| current.segment(path));
        let kept = kept.ok_or_else(|| CatalogError::not_found("segment", path))?;
        segments.push(Arc::clone(kept));
    }
    for copy in &restored.copies {
        segments.push(Arc::new(copied(version, &name, copy)?));
    }
    let beyond = |segment: &Arc<Segment>| {
        let count = i64::try_from(segment.record_count).unwrap_or(i64::MAX);
        let first = segment.row_id_start;
        first.is_some_and(|first| first.saturating_add(count) > restored.next_row_id)
    };
    if segments.iter().any(beyond) {
        return Err(rule("row ids are used once"));
    }
    segments.sort_unstable_by_key(|segment| segment.id);
    let leaves = LeafIndex::new(&restored.columns);
    let mut column_stats = vec![];
    for segment in &segments {
        merge_stats(&mut column_stats, &leaves, &segment.column_stats);
    }
    let at = version.snapshot_id;
    let has_others = |current: &Arc<TableVersion>| current.columns != restored.columns;
    let brings_older = !restored.copies.is_empty() || current.as_ref().is_some_and(has_others);
    let mut table = TableVersion {
        id: restored.table_id,
        uuid: restored.uuid,
        schema_id: schema.id,
        schema_name: schema.name.clone(),
        name: restored.name.clone(),
        path: restored.path.clone(),
        arrow_schema: Arc::new(columns_to_schema(&restored.columns)),
        columns: restored.columns.clone(),
        sort_key: restored.sort_key.clone(),
        segments: Arc::default(),
        record_count: 0,
        file_size_bytes: 0,
        next_row_id: restored.next_row_id,
        flushed_sequence: current.as_ref().map_or(0, |table| table.flushed_sequence),
        created_snapshot: current.as_ref().map_or(at, |table| table.created_snapshot),
        altered_snapshot: match &current {
            Some(current) if !brings_older => current.altered_snapshot,
            // Nobody can tell any more which segments have these columns.
            Some(_) => restored.was_altered.then_some(at),
            None => Some(at),
        },
        last_column_id: restored.last_column_id,
        column_stats: Arc::new(column_stats),
    };
    table.set_segments(segments);
    with_schema(version, &schema.name, |schema| {
        schema
            .tables
            .insert(fold(&restored.name), restored.table_id);
    });
    version.tables.insert(table.id, Arc::new(table));
    Ok(())
}

/// The segment under a new id and name. Its rows are there from now on, whatever its file says of
/// their snapshots.
fn copied(version: &mut CatalogVersion, table: &str, copy: &SegmentCopy) -> Result<Segment> {
    let SegmentCopy { of, path, deletes } = copy;
    let refused = |path: &str, reason: String| CatalogError::InvalidSegment {
        table: table.to_owned(),
        path: path.to_owned(),
        reason,
    };
    let sizes = [of.record_count, of.file_size_bytes, of.footer_size];
    if let Some(reason) = check_file(path, sizes) {
        return Err(refused(path, reason));
    }
    let id = version.next_segment_id();
    let deletes = match deletes {
        None => None,
        Some(file) => {
            let sizes = [file.delete_count, file.file_size_bytes, file.footer_size];
            if let Some(reason) = check_file(&file.path, sizes) {
                return Err(refused(&file.path, reason));
            }
            if file.delete_count >= of.record_count {
                let reason = "it lists every row of its segment".to_owned();
                return Err(refused(&file.path, reason));
            }
            let id = version.next_segment_id();
            Some(Arc::new(file.registered(id, version.snapshot_id)))
        }
    };
    Ok(Segment {
        id,
        begin_snapshot: version.snapshot_id,
        partial_max: None,
        path: path.clone(),
        deletes,
        ..of.clone()
    })
}
