//! Why a file was not loaded.

use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::cli::client::ClientError;

/// A file that was not loaded; nothing of it is in the table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The name does not tell what the file is.
    #[error("{}: the name does not tell what it is; add --format ({known})", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What can be loaded.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is not usable: {source}{hint}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: ArrowError,
        /// What to do, or nothing.
        hint: &'static str,
    },
    /// The file is not a Parquet file.
    #[error("{} is not a usable Parquet file: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: ParquetError,
    },
    /// The file lacks something or has too much.
    #[error("{}: {message}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What, and what to do.
        message: String,
    },
    /// The server refused the file.
    #[error("{} was not loaded: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The server counted other rows than were sent.
    #[error(
        "{}: {sent} rows were sent and the server counted {counted}; compare table and file",
        path.display()
    )]
    Count {
        /// The file.
        path: PathBuf,
        /// Rows read from it.
        sent: u64,
        /// Rows the server acknowledged.
        counted: u64,
    },
    /// The file's reader stopped without an error, which is a bug.
    #[error("{}: reading it stopped too early; nothing was loaded from it", path.display())]
    Reader {
        /// The file.
        path: PathBuf,
    },
    /// Some files were loaded before one failed.
    #[error(
        "{source}; {loaded} of {files} files are loaded, and once this is mended the same command \
         loads the rest"
    )]
    Stopped {
        /// What happened to the file that failed first.
        #[source]
        source: Box<LoadError>,
        /// Files in the table, including those loaded before.
        loaded: usize,
        /// Files given.
        files: usize,
    },
    /// Another connection could not be made.
    #[error(transparent)]
    Connect(ClientError),
}
