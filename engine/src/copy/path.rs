//! Paths inside a tenant's area.
//!
//! Guarantees: what is resolved lies inside the area after following every symbolic link, and is
//! a plain file (or, for writing, does not exist yet). Errors show the path as the user wrote it
//! and never another path of the machine.
//! Does not know: who else may change the area meanwhile. Tenants cannot make symbolic links
//! through Quiver; whoever can is the operator of the machine.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::canonical::short;
use crate::error::{EngineError, Result};

/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 1_024;
/// What to do about a path that is refused.
const WHERE: &str = "files are named relative to the tenant's folder 'files', such as 'in/a.csv'";

/// The file of the tenant's `area` that a user's path names. For writing, folders that are
/// missing are not an error: the writer makes them.
///
/// # Errors
/// `InvalidArgument` for paths that are not plain relative paths or leave the area, `NotFound`
/// for files that do not exist.
pub(crate) fn resolve(area: &Path, user_path: &str, for_write: bool) -> Result<PathBuf> {
    let names = plain_names(user_path)?;
    let file = Walk {
        user_path,
        for_write,
    };
    let area = match area.canonicalize() {
        Ok(area) => area,
        Err(error) if error.kind() == io::ErrorKind::NotFound && for_write => {
            return Ok(names
                .iter()
                .fold(area.to_path_buf(), |path, name| path.join(name)));
        }
        Err(error) => return Err(file.failed(error)),
    };
    file.follow(&area, &names)
}

/// The components of a relative path without anything that means more than a name.
fn plain_names(user_path: &str) -> Result<Vec<&str>> {
    let refused =
        |why: &str| EngineError::invalid(format!("the path '{}' {why}: {WHERE}", short(user_path)));
    if user_path.is_empty() {
        return Err(refused("is empty"));
    }
    if user_path.len() > PATH_BYTES_MAX {
        return Err(refused("is too long"));
    }
    if user_path.chars().any(char::is_control) {
        return Err(refused("has control characters"));
    }
    if user_path.contains("://") || user_path.starts_with("file:") {
        return Err(refused("is a URL"));
    }
    if user_path.contains('\\') {
        return Err(refused("has a backslash, use '/'"));
    }
    if user_path.as_bytes().get(1) == Some(&b':') {
        return Err(refused("names a drive"));
    }
    if user_path.contains(['*', '?', '[', ']']) {
        return Err(refused("is a pattern, name one file"));
    }
    if user_path.starts_with('~') {
        return Err(refused("starts with '~'"));
    }
    if user_path.ends_with('/') {
        return Err(refused("names a folder"));
    }
    let mut names = Vec::new();
    for component in Path::new(user_path).components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or_else(|| refused("?"))?),
            Component::CurDir => {}
            Component::ParentDir => return Err(refused("goes up with '..'")),
            Component::RootDir | Component::Prefix(_) => return Err(refused("is absolute")),
        }
    }
    if names.is_empty() {
        return Err(refused("names a folder"));
    }
    Ok(names)
}

/// One walk from the area down to the file.
struct Walk<'a> {
    user_path: &'a str,
    for_write: bool,
}

impl Walk<'_> {
    fn follow(&self, area: &Path, names: &[&str]) -> Result<PathBuf> {
        let mut path = area.to_path_buf();
        for (place, name) in names.iter().enumerate() {
            let is_last = place + 1 == names.len();
            path.push(name);
            match self.entry(area, &mut path)? {
                Some(entry) if is_last && entry.is_file() => {}
                Some(entry) if !is_last && entry.is_dir() => {}
                Some(_) if is_last => return Err(self.refused("is not a file")),
                Some(_) => return Err(self.refused("goes through something that is no folder")),
                None if self.for_write => {
                    names[place + 1..].iter().for_each(|name| path.push(name));
                    return Ok(path);
                }
                None => return Err(self.not_found()),
            }
        }
        Ok(path)
    }

    /// What is at `path`; a symbolic link is replaced by what it leads to, inside the area.
    fn entry(&self, area: &Path, path: &mut PathBuf) -> Result<Option<Metadata>> {
        let entry = match fs::symlink_metadata(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        if !entry.is_symlink() {
            return Ok(Some(entry));
        }
        // Whether a link leads outside or nowhere is answered alike: nobody learns what exists.
        match path.canonicalize() {
            Ok(real) if real.starts_with(area) => *path = real,
            _ => return Err(self.refused("is a link that leads outside of the tenant's folder")),
        }
        fs::metadata(path)
            .map(Some)
            .map_err(|error| self.failed(error))
    }

    fn refused(&self, why: &str) -> EngineError {
        EngineError::invalid(format!(
            "the path '{}' {why}: {WHERE}",
            short(self.user_path)
        ))
    }

    fn not_found(&self) -> EngineError {
        EngineError::NotFound {
            what: format!("file '{}'", short(self.user_path)),
        }
    }

    fn failed(&self, source: io::Error) -> EngineError {
        match source.kind() {
            io::ErrorKind::NotFound => self.not_found(),
            io::ErrorKind::InvalidFilename => self.refused("has a name that is too long"),
            _ => EngineError::Io {
                action: "look up",
                path: self.user_path.into(),
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests;
