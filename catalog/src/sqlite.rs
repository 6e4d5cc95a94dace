//! Connections to `SQLite`, and the few conversions that its types need.
//!
//! Every connection costs a thread, so a catalog keeps one for writing and opens one for reading
//! when it is first needed.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection, Transaction};

use crate::error::{CatalogError, Result, storage};

/// How long a statement waits for another process that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Rows per multi-row insert; full ones are prepared once per connection.
pub(crate) const INSERT_ROWS: usize = 100;

/// Opens a connection that commits durably.
pub(crate) async fn connect(path: &Path, create: bool) -> Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(storage("open the catalog database"))
}

/// Begins a transaction that holds the write lock from its start, so that it cannot fail half-way
/// because another program began to write.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>> {
    connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(storage("begin a catalog transaction"))
}

/// For values that were checked to be in range: `SQLite` has no unsigned integers.
pub(crate) fn sql_int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count as it is read.
pub(crate) fn unsigned(value: i64, what: &str) -> Result<u64> {
    u64::try_from(value).map_err(|_| CatalogError::corruption(format!("{what} is {value}")))
}

/// Checks an argument that has to fit the database.
pub(crate) fn check_range(what: &'static str, value: u64) -> Result<()> {
    if i64::try_from(value).is_err() {
        let reason = format!("{value} is above 2^63 - 1");
        return Err(CatalogError::InvalidArgument { what, reason });
    }
    Ok(())
}

/// A multi-row insert that is ready to run.
pub(crate) struct Insert {
    pub(crate) builder: QueryBuilder<Sqlite>,
    /// Whether its text will come again.
    pub(crate) is_full: bool,
}

pub(crate) async fn run_inserts(
    connection: &mut SqliteConnection,
    inserts: Vec<Insert>,
) -> Result<()> {
    for Insert {
        mut builder,
        is_full,
    } in inserts
    {
        builder
            .build()
            .persistent(is_full)
            .execute(&mut *connection)
            .await
            .map_err(storage("write catalog rows"))?;
    }
    Ok(())
}

/// Inserts rows with as few statements as possible.
///
/// `$into` is the statement up to `VALUES`; the body binds one row. All statements are put together
/// before the first one runs: a borrowed row that lives across an `await` would make the future of
/// a commit impossible to spawn.
macro_rules! insert_rows {
    ($connection:expr, $into:literal, $rows:expr, |$binder:ident, $row:ident| $body:block) => {{
        let mut inserts = vec![];
        for chunk in $rows.chunks($crate::sqlite::INSERT_ROWS) {
            let mut builder = sqlx::QueryBuilder::<sqlx::Sqlite>::new($into);
            builder.push_values(chunk, |mut $binder, $row| $body);
            let is_full = chunk.len() == $crate::sqlite::INSERT_ROWS;
            inserts.push($crate::sqlite::Insert { builder, is_full });
        }
        $crate::sqlite::run_inserts($connection, inserts).await
    }};
}
pub(crate) use insert_rows;
