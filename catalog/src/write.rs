//! The rows of a commit. Everything here runs inside the commit's one transaction.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::column::Column;
use crate::commit::Plan;
use crate::diff::Diff;
use crate::error::{CatalogError, Result, storage};
use crate::ids::SnapshotId;
use crate::load::quoted;
use crate::private;
use crate::sqlite::{INSERT_ROWS, insert_rows, sql_int};
use crate::table::{SchemaVersion, TableVersion};
use crate::tenant_catalog::TenantCatalog;
use crate::time_text;
use crate::types::{ducklake_type, exact_type};

mod segments;

pub(crate) async fn write(
    connection: &mut SqliteConnection,
    catalog: &TenantCatalog,
    plan: &Plan,
) -> Result<()> {
    check_no_foreign_commit(connection, plan.base.snapshot_id).await?;
    let after = plan.state.version.as_ref();
    let diff = Diff::between(&plan.base, after);
    if !diff.is_empty() {
        assert_eq!(
            after.snapshot_id.0,
            plan.base.snapshot_id.0 + 1,
            "snapshots have no gaps"
        );
        end_dropped(connection, &diff, after.snapshot_id).await?;
        write_schemas(connection, &diff.created_schemas).await?;
        write_tables(connection, &diff.created_tables, after.schema_version).await?;
        write_sort_keys(connection, catalog, &diff.created_tables).await?;
        segments::write(connection, &diff.appended).await?;
        // Last: writing sort keys takes catalog ids.
        write_snapshot(connection, catalog, plan, &diff).await?;
    }
    write_private(connection, plan).await
}

async fn check_no_foreign_commit(
    connection: &mut SqliteConnection,
    expected: SnapshotId,
) -> Result<()> {
    let found: i64 = sqlx::query_scalar("SELECT max(snapshot_id) FROM ducklake_snapshot")
        .fetch_one(connection)
        .await
        .map_err(storage("read the last snapshot"))?;
    if found != expected.0 {
        return Err(CatalogError::ForeignCommit {
            expected,
            found: SnapshotId(found),
        });
    }
    Ok(())
}

async fn write_snapshot(
    connection: &mut SqliteConnection,
    catalog: &TenantCatalog,
    plan: &Plan,
    diff: &Diff<'_>,
) -> Result<()> {
    let after = plan.state.version.as_ref();
    let schemas = diff.created_schemas.iter().map(|schema| schema.id.0);
    let tables = diff.created_tables.iter().map(|table| table.id.0);
    let highest_id = schemas.chain(tables).max().unwrap_or(0);
    sqlx::query(
        "INSERT INTO ducklake_snapshot \
         (snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(after.snapshot_id.0)
    .bind(time_text::to_text(after.snapshot_time_micros))
    .bind(after.schema_version)
    .bind(catalog.next_catalog_id_above(highest_id))
    .bind(after.next_file_id)
    .execute(&mut *connection)
    .await
    .map_err(storage("write the snapshot"))?;
    sqlx::query(
        "INSERT INTO ducklake_snapshot_changes \
         (snapshot_id, changes_made, author, commit_message, commit_extra_info) \
         VALUES (?, ?, ?, ?, NULL)",
    )
    .bind(after.snapshot_id.0)
    .bind(diff.changes_made())
    .bind(plan.commit.author.as_deref())
    .bind(plan.commit.message.as_deref())
    .execute(connection)
    .await
    .map_err(storage("write the snapshot's changes"))?;
    Ok(())
}

/// Dropped objects stay visible to older snapshots, with everything that belongs to them.
async fn end_dropped(
    connection: &mut SqliteConnection,
    diff: &Diff<'_>,
    at: SnapshotId,
) -> Result<()> {
    const BY_TABLE: [&str; 7] = [
        "ducklake_table",
        "ducklake_column",
        "ducklake_data_file",
        "ducklake_delete_file",
        "ducklake_sort_info",
        "ducklake_partition_info",
        "ducklake_column_tag",
    ];
    let tables: Vec<i64> = diff.dropped_tables.iter().map(|table| table.id.0).collect();
    let schemas: Vec<i64> = diff
        .dropped_schemas
        .iter()
        .map(|schema| schema.id.0)
        .collect();
    for table in BY_TABLE {
        end_rows(connection, table, "table_id", &tables, at).await?;
    }
    end_rows(connection, "ducklake_tag", "object_id", &tables, at).await?;
    end_rows(connection, "ducklake_schema", "schema_id", &schemas, at).await
}

async fn end_rows(
    connection: &mut SqliteConnection,
    table: &'static str,
    key: &'static str,
    ids: &[i64],
    at: SnapshotId,
) -> Result<()> {
    for chunk in ids.chunks(INSERT_ROWS) {
        let mut builder = QueryBuilder::<Sqlite>::new("UPDATE ");
        builder
            .push(table)
            .push(" SET end_snapshot = ")
            .push_bind(at.0);
        builder
            .push(" WHERE end_snapshot IS NULL AND ")
            .push(key)
            .push(" IN (");
        let mut list = builder.separated(", ");
        for id in chunk {
            list.push_bind(*id);
        }
        builder.push(")");
        builder
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await
            .map_err(storage("end what is dropped"))?;
    }
    Ok(())
}

async fn write_schemas(
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

async fn write_tables(
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

async fn write_sort_keys(
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

async fn write_private(connection: &mut SqliteConnection, plan: &Plan) -> Result<()> {
    let after = plan.state.version.as_ref();
    private::write_flushed(connection, &plan.commit.flushed).await?;
    private::write_dropped(connection, &plan.dropped).await?;
    private::write_idempotency(connection, &plan.commit.idempotency).await?;
    if let Some((commit_id, sequence)) = plan.commit.commit_id {
        private::write_commit_id(connection, commit_id, sequence, after.snapshot_id.0).await?;
    }
    let last_sequence = sql_int(plan.state.last_sequence).to_string();
    private::set_meta(connection, private::LAST_SEQUENCE, &last_sequence).await?;
    private::set_meta(connection, private::COMMIT_TOKEN, &plan.token.to_string()).await
}
