//! The data directory: made at the first start, locked while it is in use.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Written by a development server; its directory must not become a real one by accident.
pub(crate) const DEV_MARK: &str = "dev-mode";
/// Holds the first administrator's password until it is changed.
pub(crate) const ADMIN_PASSWORD_FILE: &str = "admin-password";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// A file system call failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// Verb.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another quiver process: stop it first", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Made by a server of the other kind.
    #[error("{} was made {made}: start it {made}, or choose another --data-dir", path.display())]
    OtherMode {
        /// The directory.
        path: PathBuf,
        /// `with --dev` or `without --dev`.
        made: &'static str,
    },
}

/// A locked data directory; unlocked when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory if needed and locks it.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub(crate) fn open(path: &Path, dev: bool) -> Result<Self, DataDirError> {
        if !path.is_dir() {
            // Others on the machine have no business in it, and it must outlive a power cut as
            // whole as what is in it.
            let mut private = DirBuilder::new();
            let made = private.recursive(true).mode(0o700).create(path);
            made.map_err(io("create", path))?;
            sync_entry(path).map_err(io("sync the parent of", path))?;
        }
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io("open", &lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            DataDirError::InUse {
                path: path.to_owned(),
            }
        })?;
        check_mode(path, dev)?;
        Ok(Self { _lock: lock })
    }

    /// Writes a secret for the owner's eyes only.
    pub(crate) fn write_secret(path: &Path, secret: &str) -> Result<(), DataDirError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(io("create", path))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
            .map_err(io("protect", path))?;
        file.write_all(format!("{secret}\n").as_bytes())
            .map_err(io("write", path))?;
        file.sync_all().map_err(io("sync", path))
    }
}

/// Development data has a well-known password: it must never be served as if it had not.
fn check_mode(path: &Path, dev: bool) -> Result<(), DataDirError> {
    let mark = path.join(DEV_MARK);
    let is_new = !path
        .join("control.sqlite")
        .try_exists()
        .map_err(io("look at", path))?;
    let made_by_dev = mark.try_exists().map_err(io("look at", &mark))?;
    if is_new && dev {
        return std::fs::write(&mark, "this directory was made by quiver serve --dev\n")
            .map_err(io("write", &mark));
    }
    if !is_new && made_by_dev != dev {
        let made = if made_by_dev {
            "with --dev"
        } else {
            "without --dev"
        };
        return Err(DataDirError::OtherMode {
            path: path.to_owned(),
            made,
        });
    }
    Ok(())
}

fn io(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io {
        action,
        path: path.clone(),
        source,
    }
}

/// Makes the name of `path` in its parent folder durable.
fn sync_entry(path: &Path) -> std::io::Result<()> {
    let path = std::path::absolute(path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
