//! The key by which the server recognises a file it has loaded already.
//!
//! The same file (name without its folder, and content) for the same table always gives the same
//! key, in every version of this program: a file that was touched, copied elsewhere or fetched again
//! is the same, and one of another name is not, as two files may well have the same rows. It is a
//! name, not a proof: whoever can write to the table can use any key.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use quiver_proto::keyed_digest;

use super::{LoadError, TableName};

/// How much of the file is read at once, in bytes; part of what the digest is.
const PIECE_BYTES: u64 = 1024 * 1024;
/// Separates these digests from others; changing it makes every file new.
const DOMAIN: &[u8; 32] = b"quiver load: idempotency key, v2";
/// What all keys begin with.
pub(super) const PREFIX: &str = "load-";
/// Bytes of the digest in the key.
const KEY_BYTES: usize = 16;

/// The key of a file for a table; `run` keeps the runs of `--replace` apart.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn idempotency_key(
    path: &Path,
    table: &TableName,
    run: Option<&str>,
) -> Result<String, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let content = content_digest(path).map_err(failed)?;
    let digest = keyed_digest(
        DOMAIN,
        &[
            path.file_name().unwrap_or_default().as_bytes(),
            &content,
            table.schema.as_bytes(),
            table.name.as_bytes(),
            run.unwrap_or_default().as_bytes(),
        ],
    );
    let hex: String = digest[..KEY_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!("{PREFIX}{hex}"))
}

/// Of all bytes of the file, piece by piece.
fn content_digest(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let (mut digest, mut piece) = ([0; 32], Vec::new());
    loop {
        piece.clear();
        file.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(digest);
        }
        digest = keyed_digest(DOMAIN, &[&digest, &piece]);
    }
}
