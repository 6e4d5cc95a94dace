//! Changes of what a table is like.

use std::sync::Arc;

use super::{check_object_name, fold, invalid_commit, with_schema};
use crate::change::Alteration;
use crate::column::{self, Column, columns_to_schema};
use crate::error::{CatalogError, Result};
use crate::ids::{ColumnId, TableId};
use crate::leaf_index::LeafIndex;
use crate::table::TableVersion;
use crate::version::CatalogVersion;

pub(super) fn alter(
    version: &mut CatalogVersion,
    id: TableId,
    alteration: &Alteration,
) -> Result<()> {
    if let Alteration::Rename { name } = alteration {
        return rename(version, id, name);
    }
    let at = version.snapshot_id;
    let table = version
        .table_mut(id)
        .ok_or_else(|| CatalogError::not_found("table", &id))?;
    if let Alteration::SetSortKey { sort_key } = alteration {
        let is_plain = |id: ColumnId| {
            let mut columns = table.columns.iter();
            columns.any(|column| column.id == id && column.is_leaf())
        };
        if !sort_key.iter().all(|sort| is_plain(sort.column_id)) {
            let rule = "sort columns are plain columns of the table";
            return Err(invalid_commit(rule, &table.qualified_name()));
        }
        table.sort_key.clone_from(sort_key);
        return Ok(());
    }
    let mut columns = table.columns.clone();
    let mut next_id = table.last_column_id + 1;
    match alteration {
        Alteration::AddColumn {
            parent,
            field,
            default,
        } => {
            let required = !field.is_nullable() && default.initial.is_none();
            if required && !table.segments.is_empty() {
                return Err(CatalogError::InvalidColumn {
                    column: field.name().clone(),
                    reason: "rows that are there would have NULL in it: give it a DEFAULT",
                });
            }
            column::add(&mut columns, *parent, field, default, &mut next_id)?;
        }
        Alteration::DropColumn { column_id } => {
            check_unsorted(table, *column_id)?;
            column::remove(&mut columns, *column_id)?;
        }
        Alteration::RenameColumn { column_id, name } => {
            Column::rename(&mut columns, *column_id, name)?;
        }
        Alteration::WidenColumn {
            column_id,
            data_type,
        } => column::edit(&mut columns, *column_id, &mut |column| {
            column::check_widening(column, data_type)?;
            column.data_type = data_type.clone();
            Ok(())
        })?,
        Alteration::SetNullable {
            column_id,
            nullable,
        } => {
            if !nullable {
                check_no_nulls(table, *column_id)?;
            }
            column::edit(&mut columns, *column_id, &mut |column| {
                column.nullable = *nullable;
                Ok(())
            })?;
        }
        Alteration::SetDefault { column_id, value } => {
            column::edit(&mut columns, *column_id, &mut |column| {
                column.default.value.clone_from(value);
                Ok(())
            })?;
        }
        Alteration::Rename { .. } | Alteration::SetSortKey { .. } => {}
    }
    if columns == table.columns {
        return Ok(());
    }
    table.arrow_schema = Arc::new(columns_to_schema(&columns));
    table.columns = columns;
    table.last_column_id = next_id - 1;
    table.altered_snapshot = Some(at);
    let leaves = LeafIndex::new(&table.columns);
    let stats = table.column_stats.iter();
    let stats = stats.filter(|stats| leaves.get(stats.column_id).is_some());
    table.column_stats = Arc::new(stats.cloned().collect());
    // A list of its own: what is known of the values of the same list is about other columns.
    table.set_segments(table.segments.to_vec());
    Ok(())
}

fn check_unsorted(table: &TableVersion, id: ColumnId) -> Result<()> {
    let sorted = |sort: &crate::SortColumn| sort.column_id == id;
    if !table.sort_key.iter().any(sorted) {
        return Ok(());
    }
    let column = table.column_by_id(id).map(|column| column.name.clone());
    Err(CatalogError::InvalidColumn {
        column: column.unwrap_or_default(),
        reason: "the table is sorted by it: set another sort key first",
    })
}

/// What the segments say; rows that are deleted count.
fn check_no_nulls(table: &TableVersion, id: ColumnId) -> Result<()> {
    let column = table
        .column_by_id(id)
        .ok_or_else(|| CatalogError::not_found("column", &id))?;
    let has_none = |segment: &Arc<crate::Segment>| match segment.stats(id) {
        Some(stats) => stats.null_count == 0 && stats.value_count == segment.record_count,
        // It was added later.
        None => column.default.initial.is_some() && !table.has_current_columns(segment),
    };
    let is_top_level = table.columns.iter().any(|top| top.id == id);
    if column.is_leaf() && is_top_level && table.segments.iter().all(has_none) {
        return Ok(());
    }
    Err(CatalogError::InvalidColumn {
        column: column.name.clone(),
        reason: "it may hold NULLs: UPDATE or DELETE those rows, then CALL system.compact",
    })
}

fn rename(version: &mut CatalogVersion, id: TableId, name: &str) -> Result<()> {
    check_object_name("table", name)?;
    let table = version
        .table_by_id(id)
        .ok_or_else(|| CatalogError::not_found("table", &id))?;
    let (schema_name, old) = (table.schema_name.clone(), table.name.clone());
    if version
        .table(&schema_name, name)
        .is_some_and(|other| other.id != id)
    {
        return Err(CatalogError::AlreadyExists {
            what: "table",
            name: name.to_owned(),
        });
    }
    with_schema(version, &schema_name, |schema| {
        schema.tables.remove(&fold(&old));
        schema.tables.insert(fold(name), id);
    });
    if let Some(table) = version.table_mut(id) {
        name.clone_into(&mut table.name);
    }
    Ok(())
}
