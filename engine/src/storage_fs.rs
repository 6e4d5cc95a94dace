//! The seam between storage code and the disk: exactly the calls that durability rests on.
//!
//! [`LocalFs`] is the real one. Tests put an in-memory file system behind the same trait, which
//! loses un-synced writes, tears them and fails on demand. Nothing here retries: what a failed
//! write or sync means is for the caller to decide. Knows nothing of WAL files or segments.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

mod crash_point;
mod folders;
#[cfg(test)]
pub(crate) mod simulated;

pub(crate) use crash_point::CrashPoint;
pub(crate) use folders::Folders;

/// Most slices one `pwritev` takes (Linux `IOV_MAX`).
const SLICES_PER_CALL_MAX: usize = 1024;

/// A file system as durable storage sees it. All calls block.
pub(crate) trait StorageFs: Send + Sync + Debug {
    /// Creates an empty file for reading and writing; one that is there is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// The same, but fails with `AlreadyExists` when the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file that is there for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file that is there for reading.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Whether there is such a folder.
    fn is_dir(&self, dir: &Path) -> bool;

    /// The files (not folders) of a folder, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>>;

    /// The files below a folder, however deep, whose names end like this.
    fn find(&self, dir: &Path, suffix: &str) -> io::Result<Vec<PathBuf>>;

    /// Renames within one file system, replacing `to`. Durable after [`StorageFs::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file that nobody will change another name, in the same file system. Durable after
    /// [`StorageFs::sync_dir`].
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`StorageFs::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder and its parents; no error if it is there.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The caller has come to `point`. Tests crash here; otherwise nothing happens.
    ///
    /// # Errors
    /// The process is as good as dead: leave at once, without a further change.
    fn reached(&self, point: CrashPoint) -> io::Result<()> {
        let _ = point;
        Ok(())
    }
}

/// An open file; positions are explicit, so one handle can be shared.
pub(crate) trait StorageFile: Send + Sync + Debug {
    /// Writes all parts one after the other from `offset` on. On an error any part of the bytes
    /// may have been written. `parts` is used up: its content afterwards is unspecified.
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Reads until `buffer` is full or the file ends; returns the bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes the content durable. After an error nobody knows which writes reached the disk, and
    /// a second call may report success without them: never try again.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves disk space and extends the file to `bytes`; a no-op where that is unsupported.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
}

/// A file found by [`StorageFs::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileEntry {
    /// Name without the folder.
    pub(crate) name: String,
    /// Length in bytes.
    pub(crate) bytes: u64,
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LocalFs;

impl StorageFs for LocalFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Box::new(LocalFile { file }))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Box::new(LocalFile { file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Box::new(LocalFile { file }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = File::open(path)?;
        Ok(Box::new(LocalFile { file }))
    }

    fn is_dir(&self, dir: &Path) -> bool {
        dir.is_dir()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // A name that is not UTF-8 cannot be one of ours.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(FileEntry {
                    name,
                    bytes: metadata.len(),
                });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn find(&self, dir: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
        let (mut found, mut folders) = (vec![], vec![dir.to_path_buf()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                let matches = entry.file_name().to_string_lossy().ends_with(suffix);
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && matches {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match std::fs::hard_link(from, to) {
            Ok(()) => Ok(()),
            Err(error) if is_about_the_file(&error) => Err(error),
            // Not all file systems have links, and some have few for one file.
            Err(_) => {
                let copied = std::fs::copy(from, to).and_then(|_| File::open(to)?.sync_all());
                if copied.is_err() {
                    // What it has written of it is nobody's.
                    let _ = std::fs::remove_file(to);
                }
                copied
            }
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// Whether a copy would fail as well as a link did.
fn is_about_the_file(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, NotFound, StorageFull};
    matches!(error.kind(), NotFound | AlreadyExists | StorageFull)
}

#[derive(Debug)]
struct LocalFile {
    file: File,
}

impl StorageFile for LocalFile {
    fn write_at(&self, mut offset: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Leading empty slices would make a full write look like no progress.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let batch = &parts[..parts.len().min(SLICES_PER_CALL_MAX)];
            match rustix::io::pwritev(&self.file, batch, offset) {
                Ok(0) if batch.iter().all(|part| part.is_empty()) => {
                    let empty = batch.len();
                    parts = &mut parts[empty..];
                }
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}
