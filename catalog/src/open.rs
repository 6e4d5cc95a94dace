//! Opening a catalog database: making it if asked to, checking that it can be used, moving it to
//! where it lies now, counting up its epoch.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use sqlx::{SqliteConnection, raw_sql};

use crate::clock::Clock;
use crate::connections::{Connections, Owner, Role};
use crate::ddl::{DUCKLAKE_TABLES, DUCKLAKE_VERSION, QUIVER_FORMAT, QUIVER_TABLES};
use crate::error::{CatalogError, Result, storage};
use crate::ids::{TableId, random_uuid};
use crate::tenant_catalog::{CatalogOptions, State};
use crate::{load, private, sqlite, time_text};

pub(crate) struct Opened {
    pub(crate) epoch: u64,
    pub(crate) next_catalog_id: i64,
    pub(crate) state: State,
}

/// Opens the catalog that `connections` knows as `number`; its connection stays there.
pub(crate) async fn open(
    options: &CatalogOptions,
    clock: &dyn Clock,
    connections: &Connections,
    number: u64,
) -> Result<Opened> {
    let data_path = data_path_text(&options.data_path)?;
    let is_new = !options.path.exists();
    if is_new && !options.create {
        return Err(CatalogError::not_found("catalog", &options.path.display()));
    }
    let owner = Owner {
        catalog: number,
        role: Role::Write,
    };
    let mut lent = connections
        .lend(owner, &options.path, options.create)
        .await?;
    let connection = lent.get()?;
    let epoch = prepare(connection, options, &data_path, clock).await?;
    if is_new {
        sync_parent(&options.path).await?;
    }
    let loaded = load::current(connection, &options.path).await?;
    let tombstones = private::dropped(connection).await?;
    let last_sequence = private::last_sequence(connection).await?;
    // A table that came and went within one commit left a tombstone but no snapshot.
    let highest_dropped = tombstones.keys().map(|id| id.0).max().unwrap_or(0);
    let next_catalog_id = loaded.next_catalog_id.max(highest_dropped + 1);
    check_sequences(&loaded.version, &tombstones, last_sequence)?;
    let state = State {
        version: Arc::new(loaded.version),
        last_sequence,
        dropped: Arc::new(tombstones),
    };
    lent.keep();
    Ok(Opened {
        epoch,
        next_catalog_id,
        state,
    })
}

/// One transaction, so that a crash leaves either no catalog or a complete one.
async fn prepare(
    connection: &mut SqliteConnection,
    options: &CatalogOptions,
    data_path: &str,
    clock: &dyn Clock,
) -> Result<u64> {
    let mut transaction = sqlite::begin(connection).await?;
    if !has_catalog(&mut transaction).await? {
        if !options.create {
            return Err(CatalogError::not_found("catalog", &options.path.display()));
        }
        initialise(&mut transaction, clock.now_micros()).await?;
    }
    check_format(&mut transaction, &options.path).await?;
    raw_sql(QUIVER_TABLES)
        .execute(&mut *transaction)
        .await
        .map_err(storage("create the private tables"))?;
    set_metadata(&mut transaction, "data_path", data_path).await?;
    // Other writers would otherwise keep few rows in tables that nothing here reads.
    set_metadata(&mut transaction, "data_inlining_row_limit", "0").await?;
    let epoch = private::begin_epoch(&mut transaction, &options.path, QUIVER_FORMAT).await?;
    transaction
        .commit()
        .await
        .map_err(storage("commit the opening of the catalog"))?;
    Ok(epoch)
}

async fn has_catalog(connection: &mut SqliteConnection) -> Result<bool> {
    let query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' \
                 AND name = 'ducklake_metadata'";
    let count: i64 = sqlx::query_scalar(query)
        .fetch_one(connection)
        .await
        .map_err(storage("read the catalog database"))?;
    Ok(count > 0)
}

/// The first snapshot: an empty schema `main`.
async fn initialise(connection: &mut SqliteConnection, now_micros: i64) -> Result<()> {
    let failed = || storage("create the catalog tables");
    raw_sql(DUCKLAKE_TABLES)
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    let created_by = concat!("Quiver ", env!("CARGO_PKG_VERSION"));
    for (key, value) in [
        ("version", DUCKLAKE_VERSION),
        ("created_by", created_by),
        ("encrypted", "false"),
    ] {
        set_metadata(connection, key, value).await?;
    }
    sqlx::query("INSERT INTO ducklake_snapshot VALUES (0, ?, 0, 1, 0)")
        .bind(time_text::to_text(now_micros))
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    sqlx::query(
        "INSERT INTO ducklake_snapshot_changes \
         VALUES (0, 'created_schema:\"main\"', NULL, NULL, NULL)",
    )
    .execute(&mut *connection)
    .await
    .map_err(failed())?;
    sqlx::query("INSERT INTO ducklake_schema VALUES (0, ?, 0, NULL, 'main', 'main/', 1)")
        .bind(random_uuid().to_string())
        .execute(connection)
        .await
        .map_err(failed())?;
    Ok(())
}

async fn check_format(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let unsupported = |reason: String| CatalogError::UnsupportedCatalog {
        path: path.to_owned(),
        reason,
    };
    let version = metadata(connection, "version").await?;
    match version.as_deref() {
        Some(DUCKLAKE_VERSION) => {}
        Some(other) => {
            let reason = format!("it has DuckLake version {other}, only 1.0 is known");
            return Err(unsupported(reason));
        }
        None => return Err(CatalogError::corruption("it states no DuckLake version")),
    }
    if metadata(connection, "encrypted").await?.as_deref() == Some("true") {
        return Err(unsupported("its segments are encrypted".to_owned()));
    }
    Ok(())
}

async fn metadata(connection: &mut SqliteConnection, key: &str) -> Result<Option<String>> {
    sqlx::query_scalar("SELECT value FROM ducklake_metadata WHERE key = ? AND scope IS NULL")
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(storage("read the catalog's metadata"))
}

async fn set_metadata(connection: &mut SqliteConnection, key: &str, value: &str) -> Result<()> {
    if metadata(connection, key).await?.as_deref() == Some(value) {
        return Ok(());
    }
    let failed = || storage("write the catalog's metadata");
    sqlx::query("DELETE FROM ducklake_metadata WHERE key = ? AND scope IS NULL")
        .bind(key)
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    sqlx::query("INSERT INTO ducklake_metadata (key, value) VALUES (?, ?)")
        .bind(key)
        .bind(value)
        .execute(connection)
        .await
        .map_err(failed())?;
    Ok(())
}

/// The data path as DuckLake wants it: absolute, with a slash at its end.
fn data_path_text(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .filter(|_| path.is_absolute())
        .ok_or_else(|| {
            let reason = format!("{} is not an absolute path in UTF-8", path.display());
            CatalogError::InvalidArgument {
                what: "data path",
                reason,
            }
        })?;
    Ok(format!("{}/", text.trim_end_matches('/')))
}

/// Makes the name of a new database durable. Opens the directory only: opening the file itself
/// would, on closing it, drop the locks that `SQLite` holds in this process.
pub(crate) async fn sync_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent().map(Path::to_owned) else {
        return Ok(());
    };
    let synced = tokio::task::spawn_blocking(move || {
        let result = File::open(&parent).and_then(|directory| directory.sync_all());
        result.map_err(|source| CatalogError::Io {
            action: "sync",
            path: parent,
            source,
        })
    });
    synced.await.map_err(|_| CatalogError::Stopping {
        action: "sync a directory",
    })?
}

fn check_sequences(
    version: &crate::CatalogVersion,
    dropped: &HashMap<TableId, u64>,
    last_sequence: u64,
) -> Result<()> {
    for table in version.tables() {
        if table.flushed_sequence > last_sequence || dropped.contains_key(&table.id) {
            let reason = format!(
                "table {} is flushed or dropped beyond the last commit",
                table.id
            );
            return Err(CatalogError::corruption(reason));
        }
    }
    Ok(())
}
