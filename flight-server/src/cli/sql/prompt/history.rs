//! Statements typed before, in a file only its owner can read.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustyline::Editor;
use rustyline::history::DefaultHistory;

use crate::cli::sql::complete::SqlHelper;

type SqlEditor = Editor<SqlHelper, DefaultHistory>;

/// Where the history is kept; nowhere when no place for it is known or usable.
pub(crate) struct History {
    path: Option<PathBuf>,
}

impl History {
    /// Makes the file when it is missing and reads it. Failing is no reason not to work.
    pub(crate) fn open(editor: &mut SqlEditor) -> Self {
        let path = path(|name| std::env::var_os(name).map(PathBuf::from));
        let path = path.filter(|path| prepare(path).is_ok());
        if let Some(path) = &path {
            let _ = editor.load_history(path);
        }
        Self { path }
    }

    /// Writes it back.
    pub(crate) fn save(&self, editor: &mut SqlEditor) {
        if let Some(path) = &self.path {
            let _ = editor.save_history(path);
            // Saving may have replaced the file.
            let _ = std::fs::set_permissions(path, Permissions::from_mode(0o600));
        }
    }
}

/// Adds what was typed, unless it may hold a password.
pub(crate) fn remember(editor: &mut SqlEditor, text: &str) {
    if may_be_remembered(text) {
        let _ = editor.add_history_entry(text.trim());
    }
}

pub(super) fn may_be_remembered(text: &str) -> bool {
    !text.to_uppercase().contains("PASSWORD")
}

/// `$XDG_STATE_HOME/quiver/history`, by default below `~/.local/state`.
pub(super) fn path(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| variable("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("quiver/history"))
}

pub(super) fn prepare(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}
