//! Directories that survive a power cut.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{EngineError, Result};

/// Creates `directory` with its missing parents and syncs each parent that got a new entry.
///
/// # Errors
/// `Io` naming the directory.
pub(crate) fn create_synced(directory: &Path) -> Result<()> {
    let missing: Vec<PathBuf> = directory
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.is_dir())
        .map(Path::to_path_buf)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(directory).map_err(|source| io_error("create", directory, source))?;
    missing
        .iter()
        .filter_map(|path| path.parent())
        .try_for_each(sync_directory)
}

/// Makes the entries of `directory` durable.
///
/// # Errors
/// `Io` naming the directory.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    let path = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|source| io_error("sync", directory, source))
}

/// An [`EngineError::Io`].
pub(crate) fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> EngineError {
    EngineError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}
