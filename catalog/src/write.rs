//! The rows of a commit. Everything here runs inside the commit's one transaction.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::commit::Plan;
use crate::diff::Diff;
use crate::error::{CatalogError, Result, storage};
use crate::ids::SnapshotId;
use crate::private;
use crate::sqlite::{INSERT_ROWS, sql_int};
use crate::tenant_catalog::TenantCatalog;
use crate::time_text;

mod objects;
mod segments;

pub(crate) use segments::insert_file_stats;

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
        objects::write_schemas(connection, &diff.created_schemas).await?;
        objects::write_tables(connection, &diff.created_tables, after.schema_version).await?;
        objects::write_altered(connection, &diff.altered, after).await?;
        let resorted = diff
            .altered
            .iter()
            .filter(|altered| altered.is_sorted_anew());
        let resorted = resorted.map(|altered| altered.after);
        let sorted: Vec<_> = diff
            .created_tables
            .iter()
            .copied()
            .chain(resorted)
            .collect();
        objects::write_sort_keys(connection, catalog, &sorted, after.snapshot_id).await?;
        segments::write(connection, &diff.changed, after, plan.commit.replacement()).await?;
        // Last: writing sort keys takes catalog ids.
        write_snapshot(connection, catalog, plan, &diff).await?;
    }
    write_private(connection, plan).await
}

pub(crate) async fn check_no_foreign_commit(
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
    .bind(diff.changes_made(plan.commit.replacement()))
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

pub(crate) async fn end_rows(
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

async fn write_private(connection: &mut SqliteConnection, plan: &Plan) -> Result<()> {
    let after = plan.state.version.as_ref();
    private::write_flushed(connection, &plan.commit.flushed).await?;
    private::write_dropped(connection, &plan.dropped).await?;
    private::write_idempotency(connection, &plan.commit.idempotency).await?;
    private::write_producers(connection, &plan.commit.producers).await?;
    if let Some((commit_id, sequence)) = plan.commit.commit_id {
        private::write_commit_id(connection, commit_id, sequence, after.snapshot_id.0).await?;
    }
    let last_sequence = sql_int(plan.state.last_sequence).to_string();
    private::set_meta(connection, private::LAST_SEQUENCE, &last_sequence).await?;
    private::set_meta(connection, private::COMMIT_TOKEN, &plan.token.to_string()).await
}
