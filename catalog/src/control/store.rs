//! The control catalog's tables.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::{SqliteConnection, raw_sql};
use uuid::Uuid;

use super::directory::Directory;
use super::{BegunBy, SessionMark, Tenant, User};
use crate::error::{CatalogError, Result, storage};
use crate::ids::{TenantId, UserId};
use crate::names::fold;
use crate::sqlite::{self, sql_int, unsigned};

const FORMAT: &str = "2";

/// What format 1 did not have.
const FROM_FORMAT_1: &str = "
ALTER TABLE user ADD COLUMN password_version INTEGER NOT NULL DEFAULT 1;
UPDATE control_meta SET value = '2' WHERE key = 'format';
";

/// `AUTOINCREMENT` keeps ids from being used again, even those of deleted rows.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS control_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tenant (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
  directory TEXT NOT NULL UNIQUE, created_micros INTEGER NOT NULL, dropped_micros INTEGER,
  folded_name TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS tenant_name ON tenant (folded_name)
  WHERE dropped_micros IS NULL;
CREATE TABLE IF NOT EXISTS user (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id INTEGER NOT NULL,
  name TEXT NOT NULL, folded_name TEXT NOT NULL, password_hash TEXT NOT NULL,
  node_admin INTEGER NOT NULL, created_micros INTEGER NOT NULL,
  password_version INTEGER NOT NULL DEFAULT 1, UNIQUE (tenant_id, folded_name));
CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session_mark (session_id BLOB PRIMARY KEY, tenant_id INTEGER NOT NULL,
  by_sql INTEGER NOT NULL) WITHOUT ROWID;
";

/// Makes the file before `SQLite` would, which knows no mode; its side files take the same mode.
pub(super) async fn create_private_file(path: &Path) -> Result<()> {
    let path = path.to_owned();
    let created = tokio::task::spawn_blocking(move || {
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
        {
            Ok(_) => Ok(Some(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(source) => Err(CatalogError::Io {
                action: "create",
                path,
                source,
            }),
        }
    });
    let stopping = |_| CatalogError::Stopping {
        action: "create the control catalog",
    };
    match created.await.map_err(stopping)?? {
        Some(path) => crate::open::sync_parent(&path).await,
        None => Ok(()),
    }
}

pub(super) async fn prepare(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let mut transaction = sqlite::begin(connection).await?;
    let failed = || storage("create the control tables");
    raw_sql(TABLES)
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
    sqlx::query("INSERT OR IGNORE INTO control_meta (key, value) VALUES ('format', ?)")
        .bind(FORMAT)
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
    let format: String = sqlx::query_scalar("SELECT value FROM control_meta WHERE key = 'format'")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed())?;
    match format.as_str() {
        FORMAT => {}
        "1" => {
            let upgraded = raw_sql(FROM_FORMAT_1).execute(&mut *transaction).await;
            upgraded.map_err(storage("upgrade the control tables"))?;
        }
        _ => {
            let reason = format!("it has format {format}, only {FORMAT} is known");
            return Err(CatalogError::UnsupportedCatalog {
                path: path.to_owned(),
                reason,
            });
        }
    }
    transaction.commit().await.map_err(failed())
}

type TenantColumns = (i64, String, String, i64, Option<i64>);
type UserColumns = (i64, i64, String, String, i64, i64, i64);

pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Directory> {
    let mut directory = Directory::default();
    let tenants: Vec<TenantColumns> =
        sqlx::query_as("SELECT id, name, directory, created_micros, dropped_micros FROM tenant")
            .fetch_all(&mut *connection)
            .await
            .map_err(storage("read the tenants"))?;
    for (id, name, folder, created_micros, dropped_micros) in tenants {
        let id = TenantId(unsigned(id, "tenant id")?);
        let tenant = Tenant {
            id,
            name,
            directory: folder,
            created_micros,
        };
        match dropped_micros {
            Some(_) => directory.add_dropped_tenant(tenant),
            None => directory.add_tenant(tenant),
        }
    }
    let users: Vec<UserColumns> = sqlx::query_as(
        "SELECT id, tenant_id, name, password_hash, node_admin, password_version, created_micros \
         FROM user",
    )
    .fetch_all(connection)
    .await
    .map_err(storage("read the users"))?;
    for (id, tenant_id, name, password_hash, node_admin, password_version, created_micros) in users
    {
        let user = User {
            id: UserId(unsigned(id, "user id")?),
            tenant_id: TenantId(unsigned(tenant_id, "tenant id")?),
            name,
            node_admin: node_admin != 0,
            password_version: unsigned(password_version, "password version")?,
            created_micros,
        };
        directory.add_user(user, password_hash);
    }
    Ok(directory)
}

pub(super) async fn next_tenant_id(connection: &mut SqliteConnection) -> Result<TenantId> {
    next_id(connection, "tenant").await.map(TenantId)
}

pub(super) async fn next_user_id(connection: &mut SqliteConnection) -> Result<UserId> {
    next_id(connection, "user").await.map(UserId)
}

async fn next_id(connection: &mut SqliteConnection, table: &str) -> Result<u64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = ?")
        .bind(table)
        .fetch_optional(connection)
        .await
        .map_err(storage("read the last id"))?;
    unsigned(last.unwrap_or(0) + 1, "id")
}

pub(super) async fn insert_tenant(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO tenant (id, name, folded_name, directory, created_micros) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(sql_int(tenant.id.0))
    .bind(tenant.name.as_str())
    .bind(fold(&tenant.name))
    .bind(tenant.directory.as_str())
    .bind(tenant.created_micros)
    .execute(connection)
    .await
    .map_err(storage("create a tenant"))?;
    Ok(())
}

pub(super) async fn drop_tenant(
    connection: &mut SqliteConnection,
    id: TenantId,
    now_micros: i64,
) -> Result<()> {
    let failed = || storage("drop a tenant");
    sqlx::query("UPDATE tenant SET dropped_micros = ? WHERE id = ?")
        .bind(now_micros)
        .bind(sql_int(id.0))
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    sqlx::query("DELETE FROM user WHERE tenant_id = ?")
        .bind(sql_int(id.0))
        .execute(connection)
        .await
        .map_err(failed())?;
    Ok(())
}

pub(super) async fn insert_user(
    connection: &mut SqliteConnection,
    user: &User,
    password_hash: &str,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO user (id, tenant_id, name, folded_name, password_hash, node_admin, \
         password_version, created_micros) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(sql_int(user.id.0))
    .bind(sql_int(user.tenant_id.0))
    .bind(user.name.as_str())
    .bind(fold(&user.name))
    .bind(password_hash)
    .bind(i64::from(user.node_admin))
    .bind(sql_int(user.password_version))
    .bind(user.created_micros)
    .execute(connection)
    .await
    .map_err(storage("create a user"))?;
    Ok(())
}

pub(super) async fn delete_user(connection: &mut SqliteConnection, id: UserId) -> Result<()> {
    sqlx::query("DELETE FROM user WHERE id = ?")
        .bind(sql_int(id.0))
        .execute(connection)
        .await
        .map_err(storage("drop a user"))?;
    Ok(())
}

pub(super) async fn update_password(
    connection: &mut SqliteConnection,
    id: UserId,
    password_hash: &str,
) -> Result<()> {
    let change = "UPDATE user SET password_hash = ?, password_version = password_version + 1 \
                  WHERE id = ?";
    sqlx::query(change)
        .bind(password_hash)
        .bind(sql_int(id.0))
        .execute(connection)
        .await
        .map_err(storage("change a password"))?;
    Ok(())
}

pub(super) async fn session_marks(connection: &mut SqliteConnection) -> Result<Vec<SessionMark>> {
    let rows: Vec<(Vec<u8>, i64, i64)> =
        sqlx::query_as("SELECT session_id, tenant_id, by_sql FROM session_mark")
            .fetch_all(connection)
            .await
            .map_err(storage("read the sessions"))?;
    let mark = |(session_id, tenant_id, by_sql): (Vec<u8>, i64, i64)| {
        let session_id = Uuid::from_slice(&session_id);
        Ok(SessionMark {
            session_id: session_id
                .map_err(|_| CatalogError::corruption("a session id is no UUID"))?,
            tenant_id: TenantId(unsigned(tenant_id, "tenant id")?),
            begun_by: match by_sql {
                0 => BegunBy::Protocol,
                _ => BegunBy::Sql,
            },
        })
    };
    rows.into_iter().map(mark).collect()
}

pub(super) async fn insert_session_mark(
    connection: &mut SqliteConnection,
    mark: SessionMark,
) -> Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO session_mark (session_id, tenant_id, by_sql) VALUES (?, ?, ?)",
    )
    .bind(mark.session_id.as_bytes().as_slice())
    .bind(sql_int(mark.tenant_id.0))
    .bind(i64::from(mark.begun_by == BegunBy::Sql))
    .execute(connection)
    .await
    .map_err(storage("mark a session"))?;
    Ok(())
}

pub(super) async fn delete_session_mark(
    connection: &mut SqliteConnection,
    session_id: Uuid,
) -> Result<()> {
    sqlx::query("DELETE FROM session_mark WHERE session_id = ?")
        .bind(session_id.as_bytes().as_slice())
        .execute(connection)
        .await
        .map_err(storage("unmark a session"))?;
    Ok(())
}

pub(super) async fn setting(
    connection: &mut SqliteConnection,
    key: &str,
) -> Result<Option<String>> {
    sqlx::query_scalar("SELECT value FROM setting WHERE key = ?")
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(storage("read a setting"))
}

pub(super) async fn set_setting(
    connection: &mut SqliteConnection,
    key: &str,
    value: &str,
) -> Result<()> {
    sqlx::query("INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)")
        .bind(key)
        .bind(value)
        .execute(connection)
        .await
        .map_err(storage("write a setting"))?;
    Ok(())
}
