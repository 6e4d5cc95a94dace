//! Changes applied to a version: all rules about what a commit may do are checked here.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use uuid::{Builder, Uuid};

use super::{CatalogVersion, Stamp};
use crate::change::Change;
use crate::column::{Column, columns_to_schema};
use crate::error::{CatalogError, Result};
use crate::ids::{SchemaId, TableId};
use crate::names::{check_object_name, directory, fold};
use crate::table::{NewTable, SchemaVersion, TableVersion};

mod alter;
mod restore;
mod segments;

/// The schema that every catalog has from its first snapshot on.
const MAIN_SCHEMA: SchemaId = SchemaId(0);

pub(super) fn apply(
    base: &CatalogVersion,
    changes: &[Change],
    stamp: Stamp,
) -> Result<CatalogVersion> {
    let mut version = base.clone();
    version.snapshot_id = stamp.snapshot_id;
    version.snapshot_time_micros = stamp.snapshot_time_micros;
    if changes.iter().any(Change::is_ddl) {
        version.schema_version += 1;
    }
    for change in changes {
        match change {
            Change::CreateSchema { schema_id, name } => {
                create_schema(&mut version, *schema_id, name)?;
            }
            Change::DropSchema { schema_id } => drop_schema(&mut version, *schema_id)?,
            Change::CreateTable(table) => create_table(&mut version, table)?,
            Change::DropTable { table_id, .. } => drop_table(&mut version, *table_id)?,
            Change::AlterTable {
                table_id,
                alteration,
            } => alter::alter(&mut version, *table_id, alteration)?,
            Change::AppendSegments { table_id, segments } => {
                segments::append(&mut version, *table_id, segments)?;
            }
            Change::DeleteRows {
                table_id,
                deletions,
            } => segments::delete_rows(&mut version, *table_id, deletions)?,
            Change::ReplaceSegments {
                table_id,
                sources,
                segments,
                form,
            } => segments::replace(&mut version, *table_id, sources, segments, *form)?,
            Change::RestoreTable(restored) => restore::restore(&mut version, restored)?,
            Change::Truncate { table_id } => segments::truncate(&mut version, *table_id)?,
        }
    }
    Ok(version)
}

fn create_schema(version: &mut CatalogVersion, id: SchemaId, name: &str) -> Result<()> {
    check_object_name("schema", name)?;
    if version.schema(name).is_some() {
        return Err(CatalogError::AlreadyExists {
            what: "schema",
            name: name.to_owned(),
        });
    }
    check_unused_id(version, id.0)?;
    let schema = SchemaVersion {
        id,
        uuid: object_uuid(version.catalog_uuid, id.0),
        name: name.to_owned(),
        path: directory(name, 's', id.0),
        created_snapshot: version.snapshot_id,
        tables: BTreeMap::new(),
    };
    Arc::make_mut(&mut version.schemas).insert(fold(name), Arc::new(schema));
    Ok(())
}

fn drop_schema(version: &mut CatalogVersion, id: SchemaId) -> Result<()> {
    let schema = version
        .schema_by_id(id)
        .ok_or_else(|| CatalogError::not_found("schema", &id))?;
    let name = schema.name.clone();
    if id == MAIN_SCHEMA {
        return Err(CatalogError::NotDroppable {
            what: "schema",
            name,
        });
    }
    if !schema.tables.is_empty() {
        return Err(CatalogError::SchemaNotEmpty {
            name,
            table_count: schema.tables.len(),
        });
    }
    Arc::make_mut(&mut version.schemas).remove(&fold(&name));
    Ok(())
}

fn create_table(version: &mut CatalogVersion, table: &NewTable) -> Result<()> {
    check_object_name("table", &table.name)?;
    let schema = version
        .schema_by_id(table.schema_id)
        .ok_or_else(|| CatalogError::not_found("schema", &table.schema_id))?;
    if schema.table_id(&table.name).is_some() {
        return Err(CatalogError::AlreadyExists {
            what: "table",
            name: table.name.clone(),
        });
    }
    check_unused_id(version, table.table_id.0)?;
    check_columns(table)?;
    let created = TableVersion {
        id: table.table_id,
        uuid: object_uuid(version.catalog_uuid, table.table_id.0),
        schema_id: schema.id,
        schema_name: schema.name.clone(),
        name: table.name.clone(),
        path: format!(
            "{}{}",
            schema.path,
            directory(&table.name, 't', table.table_id.0)
        ),
        columns: table.columns.clone(),
        arrow_schema: Arc::new(columns_to_schema(&table.columns)),
        sort_key: table.sort_key.clone(),
        segments: Arc::default(),
        record_count: 0,
        file_size_bytes: 0,
        next_row_id: 0,
        flushed_sequence: 0,
        created_snapshot: version.snapshot_id,
        altered_snapshot: None,
        last_column_id: last_column_id(&table.columns),
        column_stats: Arc::default(),
    };
    with_schema(version, &created.schema_name, |schema| {
        schema.tables.insert(fold(&table.name), table.table_id);
    });
    version.tables.insert(created.id, Arc::new(created));
    Ok(())
}

/// The highest id of columns and what is below them.
pub(crate) fn last_column_id(columns: &[Column]) -> i64 {
    let all = columns.iter().flat_map(Column::preorder);
    all.map(|column| column.id.0).max().unwrap_or(0)
}

fn drop_table(version: &mut CatalogVersion, id: TableId) -> Result<()> {
    let table = version
        .tables
        .remove(&id)
        .ok_or_else(|| CatalogError::not_found("table", &id))?;
    with_schema(version, &table.schema_name, |schema| {
        schema.tables.remove(&fold(&table.name));
    });
    Ok(())
}

fn with_schema(version: &mut CatalogVersion, name: &str, change: impl FnOnce(&mut SchemaVersion)) {
    if let Some(schema) = Arc::make_mut(&mut version.schemas).get_mut(&fold(name)) {
        change(Arc::make_mut(schema));
    }
}

/// Schemas and tables draw their ids from one counter.
fn check_unused_id(version: &CatalogVersion, id: i64) -> Result<()> {
    let is_used =
        version.schema_by_id(SchemaId(id)).is_some() || version.table_by_id(TableId(id)).is_some();
    if is_used || id <= 0 {
        return Err(invalid_commit("new objects have new ids", &id));
    }
    Ok(())
}

fn check_columns(table: &NewTable) -> Result<()> {
    let mut ids = HashSet::new();
    let all = table.columns.iter().flat_map(Column::preorder);
    let is_unique = all
        .into_iter()
        .all(|column| column.id.0 > 0 && ids.insert(column.id));
    if table.columns.is_empty() || !is_unique {
        return Err(invalid_commit("columns have ids of their own", &table.name));
    }
    let is_column = |sort: &crate::SortColumn| {
        table
            .columns
            .iter()
            .any(|column| column.id == sort.column_id && column.is_leaf())
    };
    if !table.sort_key.iter().all(is_column) {
        return Err(invalid_commit(
            "sort columns are plain columns of the table",
            &table.name,
        ));
    }
    Ok(())
}

fn invalid_commit(rule: &'static str, detail: &(impl ToString + ?Sized)) -> CatalogError {
    CatalogError::InvalidCommit {
        rule,
        detail: detail.to_string(),
    }
}

/// The identity of a schema or table: fixed by the catalog and the id, so that applying a change
/// twice gives the same object.
fn object_uuid(catalog_uuid: Uuid, id: i64) -> Uuid {
    let mut bytes = *catalog_uuid.as_bytes();
    for (byte, id_byte) in bytes[8..].iter_mut().zip(id.to_be_bytes()) {
        *byte ^= id_byte;
    }
    Builder::from_custom_bytes(bytes).into_uuid()
}
