//! New schemas and tables with their columns and sort keys.

use std::collections::{HashMap, HashSet};

use sqlx::SqliteConnection;

use super::end_rows;
use crate::column::Column;
use crate::diff::AlteredTable;
use crate::error::{Result, storage};
use crate::ids::SnapshotId;
use crate::names::quoted;
use crate::sqlite::insert_rows;
use crate::table::{SchemaVersion, TableVersion};
use crate::tenant_catalog::TenantCatalog;
use crate::types::{ducklake_type, exact_type};
use crate::version::CatalogVersion;

pub(super) async fn write_schemas(
    connection: &mut SqliteConnection,
    schemas: &[&SchemaVersion],
) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT INTO ducklake_schema (schema_id, schema_uuid, begin_snapshot, schema_name, path, \
         path_is_relative) ",
        schemas,
        |binder, schema| {
            binder
                .push_bind(schema.id.0)
                .push_bind(schema.uuid.to_string())
                .push_bind(schema.created_snapshot.0)
                .push_bind(schema.name.as_str())
                .push_bind(schema.path.as_str())
                .push_bind(1_i64);
        }
    )
}

pub(super) async fn write_tables(
    connection: &mut SqliteConnection,
    tables: &[&TableVersion],
    schema_version: i64,
) -> Result<()> {
    let Some(first) = tables.first() else {
        return Ok(());
    };
    let at = first.created_snapshot;
    write_table_rows(connection, tables, at).await?;
    write_schema_versions(connection, tables, at, schema_version).await?;
    write_columns(connection, &column_rows(tables)?).await
}

/// Ends what is different now, and adds what it has become.
pub(super) async fn write_altered(
    connection: &mut SqliteConnection,
    altered: &[AlteredTable<'_>],
    after: &CatalogVersion,
) -> Result<()> {
    let at = after.snapshot_id;
    let mut ended: Vec<(i64, i64)> = vec![];
    let mut added = vec![];
    for table in altered {
        let (mut before, mut now) = (vec![], vec![]);
        for column in &table.before.columns {
            add_column_rows(table.before, column, None, at, &mut before)?;
        }
        for column in &table.after.columns {
            add_column_rows(table.after, column, None, at, &mut now)?;
        }
        let of_before: HashMap<i64, &ColumnRow<'_>> =
            before.iter().map(|row| (row.column.id.0, row)).collect();
        // The newest column says since when segments have the columns of the table.
        let all_anew = table.has_older_segments();
        let is_new = |row: &ColumnRow<'_>| {
            let known = of_before.get(&row.column.id.0);
            all_anew || known.is_none_or(|known| !known.says_the_same(row))
        };
        now.retain(is_new);
        let stays: HashSet<i64> = table
            .after
            .columns
            .iter()
            .flat_map(Column::preorder)
            .map(|column| column.id.0)
            .collect();
        let changed: HashSet<i64> = now.iter().map(|row| row.column.id.0).collect();
        let gone = before.iter().map(|row| row.column.id.0);
        let gone = gone.filter(|id| !stays.contains(id) || changed.contains(id));
        ended.extend(gone.map(|id| (table.after.id.0, id)));
        added.extend(now);
    }
    for (table_id, column_id) in ended {
        sqlx::query(
            "UPDATE ducklake_column SET end_snapshot = ? \
             WHERE table_id = ? AND column_id = ? AND end_snapshot IS NULL",
        )
        .bind(at.0)
        .bind(table_id)
        .bind(column_id)
        .execute(&mut *connection)
        .await
        .map_err(storage("end a column"))?;
    }
    write_columns(connection, &added).await?;
    let resorted = altered.iter().filter(|altered| altered.is_sorted_anew());
    let resorted: Vec<i64> = resorted.map(|altered| altered.after.id.0).collect();
    end_rows(connection, "ducklake_sort_info", "table_id", &resorted, at).await?;
    let renamed: Vec<_> = altered.iter().filter(|table| table.is_renamed()).collect();
    let ids: Vec<i64> = renamed.iter().map(|table| table.after.id.0).collect();
    end_rows(connection, "ducklake_table", "table_id", &ids, at).await?;
    let renamed: Vec<_> = renamed.iter().map(|table| table.after).collect();
    write_table_rows(connection, &renamed, at).await?;
    // An order of rows alone makes no other version of the schema.
    let versions = altered
        .iter()
        .filter(|table| table.is_renamed() || table.has_other_columns());
    let versions: Vec<_> = versions.map(|table| table.after).collect();
    write_schema_versions(connection, &versions, at, after.schema_version).await
}

async fn write_table_rows(
    connection: &mut SqliteConnection,
    tables: &[&TableVersion],
    at: SnapshotId,
) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT INTO ducklake_table (table_id, table_uuid, begin_snapshot, schema_id, table_name, \
         path, path_is_relative) ",
        tables,
        |binder, table| {
            binder
                .push_bind(table.id.0)
                .push_bind(table.uuid.to_string())
                .push_bind(at.0)
                .push_bind(table.schema_id.0)
                .push_bind(table.name.as_str())
                .push_bind(last_folder(&table.path))
                .push_bind(1_i64);
        }
    )
}

async fn write_schema_versions(
    connection: &mut SqliteConnection,
    tables: &[&TableVersion],
    at: SnapshotId,
    schema_version: i64,
) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT INTO ducklake_schema_versions (begin_snapshot, schema_version, table_id) ",
        tables,
        |binder, table| {
            binder
                .push_bind(at.0)
                .push_bind(schema_version)
                .push_bind(table.id.0);
        }
    )
}

/// The table's part of its path, with the slash.
fn last_folder(path: &str) -> &str {
    let without_slash = path.trim_end_matches('/');
    without_slash
        .rfind('/')
        .map_or(path, |slash| &path[slash + 1..])
}

struct ColumnRow<'a> {
    table: &'a TableVersion,
    column: &'a Column,
    parent: Option<i64>,
    begin: SnapshotId,
    ducklake_type: String,
    arrow_type: String,
}

impl ColumnRow<'_> {
    fn says_the_same(&self, other: &ColumnRow<'_>) -> bool {
        let (own, others) = (self.column, other.column);
        own.name == others.name
            && own.nullable == others.nullable
            && own.default == others.default
            && self.parent == other.parent
            && self.arrow_type == other.arrow_type
    }
}

fn column_rows<'a>(tables: &[&'a TableVersion]) -> Result<Vec<ColumnRow<'a>>> {
    let mut rows = vec![];
    for table in tables {
        for column in &table.columns {
            add_column_rows(table, column, None, table.created_snapshot, &mut rows)?;
        }
    }
    Ok(rows)
}

fn add_column_rows<'a>(
    table: &'a TableVersion,
    column: &'a Column,
    parent: Option<i64>,
    begin: SnapshotId,
    rows: &mut Vec<ColumnRow<'a>>,
) -> Result<()> {
    let ducklake_type = ducklake_type(&column.data_type)?;
    let arrow_type = exact_type(&column.data_type)?;
    rows.push(ColumnRow {
        table,
        column,
        parent,
        begin,
        ducklake_type,
        arrow_type,
    });
    for child in &column.children {
        add_column_rows(table, child, Some(column.id.0), begin, rows)?;
    }
    Ok(())
}

/// `column_order` is the id: new columns come last, and ids grow.
async fn write_columns(connection: &mut SqliteConnection, rows: &[ColumnRow<'_>]) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT INTO ducklake_column (column_id, begin_snapshot, table_id, column_order, \
         column_name, column_type, initial_default, default_value, nulls_allowed, parent_column, \
         default_value_type, default_value_dialect) ",
        rows,
        |binder, row| {
            binder
                .push_bind(row.column.id.0)
                .push_bind(row.begin.0)
                .push_bind(row.table.id.0)
                .push_bind(row.column.id.0)
                .push_bind(row.column.name.as_str())
                .push_bind(row.ducklake_type.as_str())
                .push_bind(row.column.default.initial.as_deref())
                .push_bind(row.column.default.value.as_deref().unwrap_or("NULL"))
                .push_bind(i64::from(row.column.nullable))
                .push_bind(row.parent)
                .push_bind(if row.column.is_leaf() { "literal" } else { "" })
                .push_bind("duckdb");
        }
    )?;
    insert_rows!(
        connection,
        "INSERT OR REPLACE INTO quiver_column (table_id, column_id, arrow_type) ",
        rows,
        |binder, row| {
            binder
                .push_bind(row.table.id.0)
                .push_bind(row.column.id.0)
                .push_bind(row.arrow_type.as_str());
        }
    )
}

pub(super) async fn write_sort_keys(
    connection: &mut SqliteConnection,
    catalog: &TenantCatalog,
    tables: &[&TableVersion],
    at: SnapshotId,
) -> Result<()> {
    for table in tables {
        if table.sort_key.is_empty() {
            continue;
        }
        let sort_id = catalog.reserve_ids(1);
        sqlx::query(
            "INSERT INTO ducklake_sort_info (sort_id, table_id, begin_snapshot) VALUES (?, ?, ?)",
        )
        .bind(sort_id)
        .bind(table.id.0)
        .bind(at.0)
        .execute(&mut *connection)
        .await
        .map_err(storage("write a sort key"))?;
        for (index, sort) in (0_i64..).zip(&table.sort_key) {
            let column = table.column_by_id(sort.column_id);
            let name = column
                .map(|column| column.name.as_str())
                .unwrap_or_default();
            sqlx::query(
                "INSERT INTO ducklake_sort_expression (sort_id, table_id, sort_key_index, \
                 expression, dialect, sort_direction, null_order) \
                 VALUES (?, ?, ?, ?, 'duckdb', ?, ?)",
            )
            .bind(sort_id)
            .bind(table.id.0)
            .bind(index)
            .bind(quoted(name))
            .bind(if sort.descending { "DESC" } else { "ASC" })
            .bind(if sort.nulls_first {
                "NULLS_FIRST"
            } else {
                "NULLS_LAST"
            })
            .execute(&mut *connection)
            .await
            .map_err(storage("write a sort key"))?;
        }
    }
    Ok(())
}
