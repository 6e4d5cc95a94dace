//! New schemas and tables with their columns and sort keys.

use sqlx::SqliteConnection;

use crate::column::Column;
use crate::error::{Result, storage};
use crate::names::quoted;
use crate::sqlite::insert_rows;
use crate::table::{SchemaVersion, TableVersion};
use crate::tenant_catalog::TenantCatalog;
use crate::types::{ducklake_type, exact_type};

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
    insert_rows!(
        connection,
        "INSERT INTO ducklake_table (table_id, table_uuid, begin_snapshot, schema_id, table_name, \
         path, path_is_relative) ",
        tables,
        |binder, table| {
            binder
                .push_bind(table.id.0)
                .push_bind(table.uuid.to_string())
                .push_bind(table.created_snapshot.0)
                .push_bind(table.schema_id.0)
                .push_bind(table.name.as_str())
                .push_bind(last_folder(&table.path))
                .push_bind(1_i64);
        }
    )?;
    insert_rows!(
        connection,
        "INSERT INTO ducklake_schema_versions (begin_snapshot, schema_version, table_id) ",
        tables,
        |binder, table| {
            binder
                .push_bind(table.created_snapshot.0)
                .push_bind(schema_version)
                .push_bind(table.id.0);
        }
    )?;
    write_columns(connection, &column_rows(tables)?).await
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
    ducklake_type: String,
    arrow_type: String,
}

fn column_rows<'a>(tables: &[&'a TableVersion]) -> Result<Vec<ColumnRow<'a>>> {
    let mut rows = vec![];
    for table in tables {
        for column in &table.columns {
            add_column_rows(table, column, None, &mut rows)?;
        }
    }
    Ok(rows)
}

fn add_column_rows<'a>(
    table: &'a TableVersion,
    column: &'a Column,
    parent: Option<i64>,
    rows: &mut Vec<ColumnRow<'a>>,
) -> Result<()> {
    let ducklake_type = ducklake_type(&column.data_type)?;
    let arrow_type = exact_type(&column.data_type)?;
    rows.push(ColumnRow {
        table,
        column,
        parent,
        ducklake_type,
        arrow_type,
    });
    for child in &column.children {
        add_column_rows(table, child, Some(column.id.0), rows)?;
    }
    Ok(())
}

/// `column_order` is the id: new columns come last, and ids grow.
async fn write_columns(connection: &mut SqliteConnection, rows: &[ColumnRow<'_>]) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT INTO ducklake_column (column_id, begin_snapshot, table_id, column_order, \
         column_name, column_type, default_value, nulls_allowed, parent_column, \
         default_value_type, default_value_dialect) ",
        rows,
        |binder, row| {
            binder
                .push_bind(row.column.id.0)
                .push_bind(row.table.created_snapshot.0)
                .push_bind(row.table.id.0)
                .push_bind(row.column.id.0)
                .push_bind(row.column.name.as_str())
                .push_bind(row.ducklake_type.as_str())
                .push_bind("NULL")
                .push_bind(i64::from(row.column.nullable))
                .push_bind(row.parent)
                .push_bind(if row.column.is_leaf() { "literal" } else { "" })
                .push_bind("duckdb");
        }
    )?;
    insert_rows!(
        connection,
        "INSERT INTO quiver_column (table_id, column_id, arrow_type) ",
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
        .bind(table.created_snapshot.0)
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
