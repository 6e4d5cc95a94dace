//! The server's secrets: keys that sign session tokens and keys that sign handles.
//!
//! Each key is a file `<data>/keys/token-<id>.key` or `handle-<id>.key` that holds 32 random bytes
//! as 64 hexadecimal digits. The highest id signs, all verify: a key is replaced by adding a file
//! with a higher id, and the old file is removed once what it signed has expired. Guarantees that
//! no key is used which another user of the machine could have read.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use quiver_proto::{Key, Signer};

use super::random;

const SECRET_BYTES: usize = 32;
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const OTHERS_MODE: u32 = 0o077;

/// Why the keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// Verb, for example `read`.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Somebody else on the machine may have read the key.
    #[error(
        "other users can read {path}; run `chmod 600 {path}`, or remove the file if it may have \
         been copied (sessions and tickets then end)",
        path = path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// The file does not hold a key.
    #[error(
        "{} does not hold 64 hexadecimal digits; restore it or remove it (sessions and tickets \
         then end)",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// All keys of the server.
pub(crate) struct Keys {
    tokens: Vec<Key>,
    signer: Signer,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keys")
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the keys in `directory`, and first makes what is missing.
    ///
    /// Blocks on the file system; called once, at start.
    ///
    /// # Errors
    /// [`KeysError`] when a file cannot be read or made, is readable by others, or is damaged.
    pub(crate) fn load_or_create(directory: &Path) -> Result<Self, KeysError> {
        create_directory(directory)?;
        let tokens = load_kind(directory, "token")?;
        let mut handles = load_kind(directory, "handle")?;
        let current = handles.pop().expect("load_kind returns at least one key");
        Ok(Self {
            tokens,
            signer: Signer::new(current, handles),
        })
    }

    /// Keys of session tokens by ascending id; the last one signs. Never empty.
    pub(super) fn tokens(&self) -> &[Key] {
        &self.tokens
    }

    /// Signs and verifies handles.
    pub(crate) fn signer(&self) -> &Signer {
        &self.signer
    }
}

/// Keys of one kind by ascending id, at least one.
fn load_kind(directory: &Path, kind: &str) -> Result<Vec<Key>, KeysError> {
    let mut paths = BTreeMap::new();
    let entries = fs::read_dir(directory).map_err(io_error("list", directory))?;
    for entry in entries {
        let path = entry.map_err(io_error("list", directory))?.path();
        if let Some(id) = key_id(&path, kind) {
            paths.insert(id, path);
        }
    }
    if paths.is_empty() {
        let path = directory.join(format!("{kind}-1.key"));
        create(directory, &path)?;
        paths.insert(1, path);
    }
    paths
        .into_iter()
        .map(|(id, path)| {
            Ok(Key {
                id,
                secret: load(&path)?,
            })
        })
        .collect()
}

/// The id in a file name such as `token-7.key`, if it is a key of this kind.
fn key_id(path: &Path, kind: &str) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(kind)?
        .strip_prefix('-')?
        .strip_suffix(".key")?
        .parse()
        .ok()
}

fn load(path: &Path) -> Result<[u8; SECRET_BYTES], KeysError> {
    let metadata = fs::metadata(path).map_err(io_error("read", path))?;
    if metadata.permissions().mode() & OTHERS_MODE != 0 {
        return Err(KeysError::Exposed {
            path: path.to_owned(),
        });
    }
    let text = fs::read(path).map_err(io_error("read", path))?;
    from_hex(text.trim_ascii()).ok_or_else(|| KeysError::Damaged {
        path: path.to_owned(),
    })
}

/// Makes a key so that a crash leaves either no file of this name or a whole one.
fn create(directory: &Path, path: &Path) -> Result<(), KeysError> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", &unfinished)(error));
        }
        _ => {}
    }
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&unfinished)?;
        writeln!(file, "{}", to_hex(&random::bytes()))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(io_error("create", path))
}

fn create_directory(directory: &Path) -> Result<(), KeysError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(io_error("create", directory))
}

fn to_hex(secret: &[u8; SECRET_BYTES]) -> String {
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &[u8]) -> Option<[u8; SECRET_BYTES]> {
    if text.len() != 2 * SECRET_BYTES {
        return None;
    }
    let mut secret = [0; SECRET_BYTES];
    for (byte, digits) in secret.iter_mut().zip(text.chunks_exact(2)) {
        let high = char::from(digits[0]).to_digit(16)?;
        let low = char::from(digits[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte");
    }
    Some(secret)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeysError {
    move |source| KeysError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
