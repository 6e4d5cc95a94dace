//! A file on its way: written from its beginning on, synced, and gone again unless it is kept.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{EngineError, Result};
use crate::storage_fs::{CrashPoint, Folders, StorageFile, StorageFs};

/// What follows the footer: its length and the magic bytes.
const TRAILER_BYTES: u64 = 8;

/// A new file; dropping this removes it.
pub(super) struct NewFile {
    fs: Arc<dyn StorageFs>,
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    is_kept: bool,
}

/// Sizes in bytes.
pub(super) struct Sizes {
    pub(super) file_bytes: u64,
    /// The footer without its length and the magic.
    pub(super) footer_bytes: u64,
}

impl NewFile {
    /// An empty file in a folder, which is made if it is missing. Never onto an existing file: what
    /// has a name is written once.
    pub(super) fn create(folders: &Folders, directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(name);
        let fs = folders.fs();
        folders
            .create(directory)
            .map_err(|source| io_error("create", directory, source))?;
        let file = fs
            .create_new(&path)
            .map_err(|source| io_error("create", &path, source))?;
        Ok(Self {
            fs: Arc::clone(fs),
            path,
            file: file.into(),
            is_kept: false,
        })
    }

    /// Where a writer puts its bytes.
    pub(super) fn sink(&self) -> FileSink {
        FileSink {
            file: Arc::clone(&self.file),
            at: 0,
        }
    }

    /// Makes the content durable, and its name when this is done. Stops where tests crash: at `written`
    /// before, and at `synced` between both.
    pub(super) fn sync(&self, written: CrashPoint, synced: Option<CrashPoint>) -> Result<Sizes> {
        self.reached(written)?;
        self.file
            .sync_data()
            .map_err(|source| io_error("sync", &self.path, source))?;
        let sizes = sizes(&*self.file)
            .map_err(|source| io_error("read back", &self.path, source))?
            .ok_or_else(|| EngineError::internal("a file was written without a footer"))?;
        if let Some(synced) = synced {
            self.reached(synced)?;
        }
        let directory = self.path.parent().unwrap_or(&self.path);
        self.fs
            .sync_dir(directory)
            .map_err(|source| io_error("sync", directory, source))?;
        Ok(sizes)
    }

    fn reached(&self, point: CrashPoint) -> Result<()> {
        let reached = self.fs.reached(point);
        reached.map_err(|source| io_error(point.name(), &self.path, source))
    }

    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is an orphan and does no harm: only catalogued files count.
            let _ = self.fs.remove(&self.path);
        }
    }
}

/// Appends to a file from its beginning on.
pub(super) struct FileSink {
    file: Arc<dyn StorageFile>,
    at: u64,
}

impl io::Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.at, &mut [IoSlice::new(bytes)])?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `None` when the file does not end as Parquet files do.
fn sizes(file: &dyn StorageFile) -> io::Result<Option<Sizes>> {
    let file_bytes = file.len()?;
    if file_bytes <= TRAILER_BYTES {
        return Ok(None);
    }
    let mut trailer = [0; TRAILER_BYTES as usize];
    if file.read_at(file_bytes - TRAILER_BYTES, &mut trailer)? < trailer.len() {
        return Ok(None);
    }
    let [a, b, c, d, magic @ ..] = trailer;
    let footer_bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    let fits = footer_bytes + TRAILER_BYTES <= file_bytes && &magic == b"PAR1";
    Ok(fits.then_some(Sizes {
        file_bytes,
        footer_bytes,
    }))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> EngineError {
    EngineError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}
