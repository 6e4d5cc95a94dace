//! What can go wrong in a catalog, and which kind of failure that is.

use std::path::PathBuf;

use argon2::password_hash;
use arrow::datatypes::DataType;

use crate::error_kind::ErrorKind;
use crate::ids::SnapshotId;

/// Result of a catalog call.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// A failed catalog call. [`CatalogError::kind`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// A name that no object may have.
    #[error("invalid {what} name {name:?}: {reason}")]
    InvalidName {
        /// Kind of object.
        what: &'static str,
        /// The refused name.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A column list that cannot become a table.
    #[error("invalid column {column:?}: {reason}")]
    InvalidColumn {
        /// Path of the column, nested parts joined by dots.
        column: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A column type that the catalog format cannot hold.
    #[error(
        "column {column:?} has type {data_type}, which cannot be kept: cast it to another type"
    )]
    UnsupportedType {
        /// Path of the column, nested parts joined by dots; empty when only a type was asked about.
        column: String,
        /// The refused type.
        data_type: DataType,
    },
    /// Another argument that makes no sense.
    #[error("invalid {what}: {reason}")]
    InvalidArgument {
        /// The argument.
        what: &'static str,
        /// The rule it breaks.
        reason: String,
    },
    /// The object does not exist.
    #[error("{what} {name:?} does not exist")]
    NotFound {
        /// Kind of object.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// The name is taken; names that differ only in case count as equal.
    #[error("{what} {name:?} exists already")]
    AlreadyExists {
        /// Kind of object.
        what: &'static str,
        /// The name that is taken.
        name: String,
    },
    /// Only empty schemas can be dropped.
    #[error("schema {name:?} still holds {table_count} tables: drop them first")]
    SchemaNotEmpty {
        /// The schema.
        name: String,
        /// Its tables.
        table_count: usize,
    },
    /// The object must not be dropped.
    #[error("{what} {name:?} cannot be dropped")]
    NotDroppable {
        /// Kind of object.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A segment contradicts its table or itself; nothing was committed.
    #[error("segment {path:?} of table {table:?} is inconsistent: {reason}")]
    InvalidSegment {
        /// Qualified name of the table.
        table: String,
        /// File name of the segment.
        path: String,
        /// What does not fit.
        reason: String,
    },
    /// A commit contradicts what is committed already; nothing was committed.
    #[error("commit breaks the rule that {rule}: {detail}")]
    InvalidCommit {
        /// The rule.
        rule: &'static str,
        /// The values that break it.
        detail: String,
    },
    /// User name or password is wrong; deliberately does not say which.
    #[error("wrong user name or password")]
    WrongCredentials,
    /// Another program committed to this catalog while it was open here.
    #[error("another program committed snapshot {found} after {expected}: restart to read it")]
    ForeignCommit {
        /// The last snapshot known here.
        expected: SnapshotId,
        /// The last snapshot in the database.
        found: SnapshotId,
    },
    /// The catalog is fine, but uses what this version cannot handle.
    #[error("cannot use catalog {}: {reason}", path.display())]
    UnsupportedCatalog {
        /// The database file.
        path: PathBuf,
        /// The feature.
        reason: String,
    },
    /// The catalog contradicts itself.
    #[error("catalog is damaged: {reason}: restore it from a backup")]
    Corruption {
        /// What contradicts what.
        reason: String,
    },
    /// A file of the catalog could not be handled.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The database refused a statement.
    #[error("cannot {action}")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A password could not be hashed.
    #[error("cannot hash the password")]
    PasswordHash {
        /// The cause.
        #[source]
        source: password_hash::Error,
    },
    /// The catalog was closed before.
    #[error("the catalog is closed: its tenant was dropped or the server is stopping")]
    Closed,
    /// A background computation was stopped because the process is ending.
    #[error("cannot {action}: the process is shutting down")]
    Stopping {
        /// What was tried.
        action: &'static str,
    },
}

impl CatalogError {
    /// What the failure means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidName { .. }
            | Self::InvalidColumn { .. }
            | Self::UnsupportedType { .. }
            | Self::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::SchemaNotEmpty { .. }
            | Self::NotDroppable { .. }
            | Self::ForeignCommit { .. } => ErrorKind::Precondition,
            Self::InvalidSegment { .. } | Self::InvalidCommit { .. } => ErrorKind::Internal,
            Self::WrongCredentials => ErrorKind::Unauthenticated,
            Self::UnsupportedCatalog { .. } => ErrorKind::Unsupported,
            Self::Corruption { .. } => ErrorKind::Corruption,
            Self::Storage { source, .. } => storage_kind(source),
            Self::PasswordHash { .. } => ErrorKind::Internal,
            Self::Io { .. } | Self::Closed | Self::Stopping { .. } => ErrorKind::Unavailable,
        }
    }

    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        self.kind().retryable()
    }

    pub(crate) fn not_found(what: &'static str, name: &(impl ToString + ?Sized)) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }

    pub(crate) fn corruption(reason: impl Into<String>) -> Self {
        Self::Corruption {
            reason: reason.into(),
        }
    }
}

/// For `map_err`: what was tried when the database refused.
pub(crate) fn storage(action: &'static str) -> impl FnOnce(sqlx::Error) -> CatalogError {
    move |source| CatalogError::Storage { action, source }
}

/// `SQLite`'s primary result codes that have a meaning of their own.
const SQLITE_CORRUPT: i64 = 11;
const SQLITE_NOTADB: i64 = 26;

fn storage_kind(source: &sqlx::Error) -> ErrorKind {
    match source {
        sqlx::Error::Database(error) => {
            let code = error
                .code()
                .and_then(|code| code.parse::<i64>().ok())
                .unwrap_or(0);
            match code & 0xff {
                SQLITE_CORRUPT | SQLITE_NOTADB => ErrorKind::Corruption,
                // Busy, locked, full, read-only, I/O: the environment, which can recover.
                5 | 6 | 8 | 10 | 13 | 14 => ErrorKind::Unavailable,
                _ => ErrorKind::Internal,
            }
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => ErrorKind::Corruption,
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}
