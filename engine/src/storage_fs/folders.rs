//! Folders that survive a power cut.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::StorageFs;

/// Makes folders below one that is durable itself.
///
/// That a folder is there says nothing: whoever made it may have died before its name was synced.
/// So each is synced once by everybody who is going to put files into it.
#[derive(Debug)]
pub(crate) struct Folders {
    fs: Arc<dyn StorageFs>,
    root: PathBuf,
    durable: Mutex<HashSet<PathBuf>>,
}

impl Folders {
    /// Folders below `root`, which is durable.
    pub(crate) fn new(fs: Arc<dyn StorageFs>, root: impl Into<PathBuf>) -> Self {
        Self {
            fs,
            root: root.into(),
            durable: Mutex::default(),
        }
    }

    /// Where they are.
    pub(crate) fn fs(&self) -> &Arc<dyn StorageFs> {
        &self.fs
    }

    /// Makes `folder` and what is missing above it; all names are durable when this returns.
    pub(crate) fn create(&self, folder: &Path) -> io::Result<()> {
        if self.durable.lock().contains(folder) {
            return Ok(());
        }
        self.fs.create_dir_all(folder)?;
        let below_root = folder.ancestors().take_while(|path| *path != self.root);
        for parent in below_root.filter_map(Path::parent) {
            let unnamed = parent.as_os_str().is_empty();
            self.fs
                .sync_dir(if unnamed { Path::new(".") } else { parent })?;
        }
        self.durable.lock().insert(folder.to_path_buf());
        Ok(())
    }
}
