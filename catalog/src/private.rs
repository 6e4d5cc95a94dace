//! The `quiver_*` tables: what replay and deduplication need beside the catalog itself.

use std::collections::HashMap;
use std::path::Path;

use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::change::{IdempotencyRecord, ProducerRecord};
use crate::error::{CatalogError, Result, storage};
use crate::ids::{TableId, UserId};
use crate::sqlite::{insert_rows, sql_int, unsigned};

pub(crate) const LAST_SEQUENCE: &str = "last_sequence";
pub(crate) const COMMIT_TOKEN: &str = "commit_token";
const EPOCH: &str = "epoch";
const FORMAT: &str = "format";

/// Checks the format and counts up the epoch.
pub(crate) async fn begin_epoch(
    connection: &mut SqliteConnection,
    path: &Path,
    format: &str,
) -> Result<u64> {
    match get_meta(connection, FORMAT).await? {
        None => set_meta(connection, FORMAT, format).await?,
        Some(found) if found == format => {}
        Some(found) => {
            let reason = format!("its private tables have format {found}, only {format} is known");
            return Err(CatalogError::UnsupportedCatalog {
                path: path.to_owned(),
                reason,
            });
        }
    }
    let epoch = get_number(connection, EPOCH).await? + 1;
    set_meta(connection, EPOCH, &epoch.to_string()).await?;
    Ok(epoch)
}

pub(crate) async fn last_sequence(connection: &mut SqliteConnection) -> Result<u64> {
    get_number(connection, LAST_SEQUENCE).await
}

pub(crate) async fn get_meta(
    connection: &mut SqliteConnection,
    key: &str,
) -> Result<Option<String>> {
    sqlx::query_scalar("SELECT value FROM quiver_meta WHERE key = ?")
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(storage("read the private metadata"))
}

pub(crate) async fn set_meta(
    connection: &mut SqliteConnection,
    key: &str,
    value: &str,
) -> Result<()> {
    sqlx::query("INSERT OR REPLACE INTO quiver_meta (key, value) VALUES (?, ?)")
        .bind(key)
        .bind(value)
        .execute(connection)
        .await
        .map_err(storage("write the private metadata"))?;
    Ok(())
}

async fn get_number(connection: &mut SqliteConnection, key: &str) -> Result<u64> {
    let Some(text) = get_meta(connection, key).await? else {
        return Ok(0);
    };
    text.parse()
        .map_err(|_| CatalogError::corruption(format!("{key} is {text:?}")))
}

/// Dropped tables with the sequence of their drop.
pub(crate) async fn dropped(connection: &mut SqliteConnection) -> Result<HashMap<TableId, u64>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT table_id, dropped_sequence FROM quiver_table WHERE dropped_sequence IS NOT NULL",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("read the dropped tables"))?;
    let entry = |(id, sequence)| Ok((TableId(id), unsigned(sequence, "dropped_sequence")?));
    rows.into_iter().map(entry).collect()
}

/// The flushed sequence of every table that is not dropped.
pub(crate) async fn flushed(connection: &mut SqliteConnection) -> Result<HashMap<TableId, u64>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT table_id, flushed_sequence FROM quiver_table WHERE dropped_sequence IS NULL",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("read the flushed sequences"))?;
    let entry = |(id, sequence)| Ok((TableId(id), unsigned(sequence, "flushed_sequence")?));
    rows.into_iter().map(entry).collect()
}

/// Tables with a flushed sequence are there: they may have been dropped, and be restored.
pub(crate) async fn write_flushed(
    connection: &mut SqliteConnection,
    flushed: &[(TableId, u64)],
) -> Result<()> {
    for (table_id, sequence) in flushed {
        sqlx::query(
            "INSERT INTO quiver_table (table_id, flushed_sequence) VALUES (?, ?) \
             ON CONFLICT (table_id) DO UPDATE SET flushed_sequence = excluded.flushed_sequence, \
               dropped_sequence = NULL",
        )
        .bind(table_id.0)
        .bind(sql_int(*sequence))
        .execute(&mut *connection)
        .await
        .map_err(storage("write the flushed sequences"))?;
    }
    Ok(())
}

pub(crate) async fn write_dropped(
    connection: &mut SqliteConnection,
    dropped: &[(TableId, u64)],
) -> Result<()> {
    for (table_id, sequence) in dropped {
        sqlx::query(
            "INSERT INTO quiver_table (table_id, dropped_sequence) VALUES (?, ?) \
             ON CONFLICT (table_id) DO UPDATE SET dropped_sequence = excluded.dropped_sequence",
        )
        .bind(table_id.0)
        .bind(sql_int(*sequence))
        .execute(&mut *connection)
        .await
        .map_err(storage("write the dropped tables"))?;
    }
    Ok(())
}

pub(crate) async fn write_commit_id(
    connection: &mut SqliteConnection,
    commit_id: Uuid,
    sequence: u64,
    snapshot_id: i64,
) -> Result<()> {
    sqlx::query("INSERT INTO quiver_commit (commit_id, sequence, snapshot_id) VALUES (?, ?, ?)")
        .bind(commit_id.to_string())
        .bind(sql_int(sequence))
        .bind(snapshot_id)
        .execute(connection)
        .await
        .map_err(storage("write the commit id"))?;
    Ok(())
}

pub(crate) async fn committed_sequence(
    connection: &mut SqliteConnection,
    commit_id: Uuid,
) -> Result<Option<u64>> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT sequence FROM quiver_commit WHERE commit_id = ?")
            .bind(commit_id.to_string())
            .fetch_optional(connection)
            .await
            .map_err(storage("look up a commit id"))?;
    found
        .map(|sequence| unsigned(sequence, "sequence"))
        .transpose()
}

pub(crate) async fn write_idempotency(
    connection: &mut SqliteConnection,
    records: &[IdempotencyRecord],
) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT OR REPLACE INTO quiver_idempotency (user_id, table_id, key, mode, record_count, \
         digest, sequence, created_micros) ",
        records,
        |binder, record| {
            binder
                .push_bind(sql_int(record.user_id.0))
                .push_bind(record.table_id.0)
                .push_bind(record.key.as_str())
                .push_bind(record.mode.as_str())
                .push_bind(sql_int(record.record_count))
                .push_bind(record.digest.as_slice())
                .push_bind(sql_int(record.sequence))
                .push_bind(record.created_micros);
        }
    )
}

pub(crate) async fn write_producers(
    connection: &mut SqliteConnection,
    records: &[ProducerRecord],
) -> Result<()> {
    insert_rows!(
        connection,
        "INSERT OR REPLACE INTO quiver_producer (table_id, producer, epoch, producer_sequence, \
         sequence, updated_micros) ",
        records,
        |binder, record| {
            binder
                .push_bind(record.table_id.0)
                .push_bind(record.producer.as_str())
                .push_bind(sql_int(record.epoch))
                .push_bind(sql_int(record.producer_sequence))
                .push_bind(sql_int(record.sequence))
                .push_bind(record.updated_micros);
        }
    )
}

type ProducerRow = (i64, String, i64, i64, i64, i64);

pub(crate) async fn producers(connection: &mut SqliteConnection) -> Result<Vec<ProducerRecord>> {
    let rows: Vec<ProducerRow> = sqlx::query_as(
        "SELECT table_id, producer, epoch, producer_sequence, sequence, updated_micros \
         FROM quiver_producer",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("read the producers"))?;
    rows.into_iter().map(producer_record).collect()
}

fn producer_record(row: ProducerRow) -> Result<ProducerRecord> {
    let (table_id, producer, epoch, producer_sequence, sequence, updated_micros) = row;
    Ok(ProducerRecord {
        table_id: TableId(table_id),
        producer,
        epoch: unsigned(epoch, "epoch")?,
        producer_sequence: unsigned(producer_sequence, "producer_sequence")?,
        sequence: unsigned(sequence, "sequence")?,
        updated_micros,
    })
}

type IdempotencyRow = (i64, i64, String, String, i64, Vec<u8>, i64, i64);

pub(crate) async fn idempotency(
    connection: &mut SqliteConnection,
) -> Result<Vec<IdempotencyRecord>> {
    let rows: Vec<IdempotencyRow> = sqlx::query_as(
        "SELECT user_id, table_id, key, mode, record_count, digest, sequence, created_micros \
         FROM quiver_idempotency ORDER BY created_micros, sequence, user_id, table_id, key",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("read the idempotency keys"))?;
    rows.into_iter().map(idempotency_record).collect()
}

fn idempotency_record(row: IdempotencyRow) -> Result<IdempotencyRecord> {
    let (user_id, table_id, key, mode, record_count, digest, sequence, created_micros) = row;
    Ok(IdempotencyRecord {
        user_id: UserId(unsigned(user_id, "user_id")?),
        table_id: TableId(table_id),
        key,
        mode,
        record_count: unsigned(record_count, "record_count")?,
        digest,
        sequence: unsigned(sequence, "sequence")?,
        created_micros,
    })
}

pub(crate) async fn prune_idempotency(
    connection: &mut SqliteConnection,
    older_than_micros: i64,
    keep_max: u64,
) -> Result<u64> {
    let pruned = sqlx::query(
        "DELETE FROM quiver_idempotency WHERE created_micros < ?1 \
         OR (user_id, table_id, key) IN (SELECT user_id, table_id, key FROM quiver_idempotency \
         ORDER BY created_micros DESC, sequence DESC LIMIT -1 OFFSET ?2)",
    )
    .bind(older_than_micros)
    .bind(sql_int(keep_max))
    .execute(connection)
    .await
    .map_err(storage("prune the idempotency keys"))?;
    Ok(pruned.rows_affected())
}

pub(crate) async fn forget_up_to(connection: &mut SqliteConnection, sequence: u64) -> Result<()> {
    for statement in [
        "DELETE FROM quiver_commit WHERE sequence <= ?",
        "DELETE FROM quiver_table WHERE dropped_sequence <= ?",
    ] {
        sqlx::query(statement)
            .bind(sql_int(sequence))
            .execute(&mut *connection)
            .await
            .map_err(storage("forget old drops and commit ids"))?;
    }
    Ok(())
}
