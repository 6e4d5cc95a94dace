//! The key by which the server recognises a file it has loaded already.
//!
//! The same file (place, size, time of change, first and last MiB) for the same table always gives
//! the same key, in every version of this program. It is a name, not a proof: whoever can write to
//! the table can use any key.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use quiver_proto::keyed_digest;

use super::{LoadError, TableName};

/// How much of each end of the file is looked at, in bytes.
const SAMPLE_BYTES: u64 = 1024 * 1024;
/// Separates these digests from others; changing it makes every file new.
const DOMAIN: &[u8; 32] = b"quiver load: idempotency key, v1";
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
    let place = path.canonicalize().map_err(failed)?;
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let size = metadata.len();
    let first = sample(&mut file, 0).map_err(failed)?;
    let last = sample(&mut file, size.saturating_sub(SAMPLE_BYTES)).map_err(failed)?;
    let digest = keyed_digest(
        DOMAIN,
        &[
            place.as_os_str().as_bytes(),
            &size.to_le_bytes(),
            &metadata.mtime().to_le_bytes(),
            &metadata.mtime_nsec().to_le_bytes(),
            &first,
            &last,
            table.schema.as_bytes(),
            table.name.as_bytes(),
            run.unwrap_or_default().as_bytes(),
        ],
    );
    let hex: String = digest[..KEY_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!("load-{hex}"))
}

fn sample(file: &mut File, from: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(SAMPLE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
