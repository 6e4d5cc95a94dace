//! What can go wrong in the engine, and which of the 14 kinds each failure is.

use std::path::PathBuf;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use quiver_catalog::{CatalogError, ErrorKind};

use crate::sql::parser::ParseError;
use crate::wal::WalError;

/// Result of an engine call.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Why an engine call failed. Messages are one line and say what to do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The request itself is wrong: SQL, schema, values, limits.
    #[error("{message}")]
    InvalidArgument {
        /// What is wrong and what to do.
        message: String,
    },
    /// A named object is not there (or belongs to another tenant).
    #[error("{what} not found")]
    NotFound {
        /// Kind and name, for example `table main.t`.
        what: String,
    },
    /// A named object is there already.
    #[error("{what} already exists")]
    AlreadyExists {
        /// Kind and name.
        what: String,
    },
    /// The state does not allow the call.
    #[error("{message}")]
    Precondition {
        /// What stands in the way and what to change.
        message: String,
    },
    /// The caller may not do this.
    #[error("{message}")]
    PermissionDenied {
        /// Who may.
        message: String,
    },
    /// A concurrent change won; the whole operation may be tried again.
    #[error("{message}; try the whole operation again")]
    Conflict {
        /// Which change won.
        message: String,
    },
    /// A budget is used up.
    #[error("{message}; try again in {retry_after_ms} ms")]
    Overloaded {
        /// Which budget.
        message: String,
        /// When trying again makes sense.
        retry_after_ms: u64,
    },
    /// Not built.
    #[error("{what} is not supported")]
    Unsupported {
        /// The feature by name.
        what: String,
    },
    /// The engine is stopping or its log is poisoned.
    #[error("{message}")]
    Unavailable {
        /// Why.
        message: String,
    },
    /// Stored bytes are not what was written.
    #[error("{message}")]
    Corruption {
        /// Where.
        message: String,
    },
    /// A broken promise inside the engine.
    #[error("{message}")]
    Internal {
        /// What was broken.
        message: String,
    },
    /// A file system call failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// Verb, for example `create`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The catalog refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The write-ahead log refused or failed.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The SQL text could not be parsed.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Planning or execution failed.
    #[error(transparent)]
    DataFusion(#[from] DataFusionError),
    /// An Arrow kernel or IPC call failed.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// A Parquet call failed.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

impl EngineError {
    /// The kind that decides the gRPC code. `DataFusion` errors are looked into by the server,
    /// which knows how to clean their texts.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidArgument { .. } | Self::Arrow(_) => ErrorKind::InvalidArgument,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::Precondition { .. } => ErrorKind::Precondition,
            Self::PermissionDenied { .. } => ErrorKind::PermissionDenied,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Corruption { .. } => ErrorKind::Corruption,
            Self::Internal { .. } | Self::Io { .. } | Self::Parquet(_) | Self::DataFusion(_) => {
                ErrorKind::Internal
            }
            Self::Catalog(error) => error.kind(),
            Self::Wal(error) => error.kind(),
            Self::Parse(error) => error.kind(),
        }
    }

    /// Of a change whose rows cannot be written: nothing is wrong with them, the disk is, or is full.
    pub(crate) fn not_stored(self) -> Self {
        match self {
            Self::Io { .. } | Self::Parquet(_) => {
                tracing::error!(error = %self, "rows cannot be written to segments");
                Self::Unavailable {
                    message: "the rows cannot be written to disk: free some of it, then try again"
                        .to_owned(),
                }
            }
            error => error,
        }
    }

    /// When a retry makes sense, for errors that know it.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Overloaded { retry_after_ms, .. } => Some(*retry_after_ms),
            _ => None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidArgument {
            message: message.into(),
        }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Internal {
            message: message.into(),
        }
    }
}
