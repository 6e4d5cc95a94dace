//! Finds the files that make up the log: the newest, and from it back over the predecessor links.
//!
//! Names alone do not decide: an interrupted repair leaves files that no link leads to, and a
//! missing file must be told from a released one. Reads headers only.

use std::path::{Path, PathBuf};

use super::error::WalError;
use super::files::{FileRole, parse_name};
use super::format::{BLOCK_BYTES, BadHeader, FileHeader};
use crate::storage_fs::StorageFs;

#[cfg(test)]
mod tests;

/// A file with the role of a log file.
#[derive(Debug, Clone)]
pub(super) struct ChainFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Length of the file, not of its content.
    pub(super) file_bytes: u64,
    /// Its header, unless that is damaged.
    pub(super) header: Option<FileHeader>,
}

/// The log's files and those that do not belong to it.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// In order, oldest first.
    pub(super) files: Vec<(ChainFile, FileHeader)>,
    /// Left by a repair, this one or an interrupted one: to be set aside.
    pub(super) leftovers: Vec<ChainFile>,
}

/// Finds the log in `dir`.
///
/// # Errors
/// `Corrupt` if a header is damaged or a file in the middle is missing, unless `repair` is set:
/// then the log ends before that file and it and all later ones are left over.
pub(super) fn find_chain(fs: &dyn StorageFs, dir: &Path, repair: bool) -> Result<Chain, WalError> {
    let mut candidates = read_headers(fs, dir)?;
    let mut leftovers = Vec::new();
    loop {
        match link(&candidates) {
            Ok(mut chain) => {
                chain.leftovers.append(&mut leftovers);
                return Ok(chain);
            }
            Err(broken) if repair => {
                leftovers.extend(candidates.split_off(broken));
            }
            Err(broken) => {
                let file = &candidates[broken];
                let lsn = file.header.map_or(0, |header| header.first_lsn);
                return Err(WalError::Corrupt {
                    path: file.path.clone(),
                    offset: 0,
                    lsn,
                });
            }
        }
    }
}

/// The files with a name of the log; in the order of their numbers, as names sort like numbers.
fn read_headers(fs: &dyn StorageFs, dir: &Path) -> Result<Vec<ChainFile>, WalError> {
    let entries = fs
        .list(dir)
        .map_err(|error| WalError::io("list", dir, error))?;
    let mut files = Vec::new();
    for entry in entries {
        let Some((number, FileRole::Log)) = parse_name(&entry.name) else {
            continue;
        };
        let path = dir.join(&entry.name);
        let header = read_header(fs, &path)?.filter(|header| header.number == number);
        files.push(ChainFile {
            number,
            path,
            file_bytes: entry.bytes,
            header,
        });
    }
    Ok(files)
}

fn read_header(fs: &dyn StorageFs, path: &Path) -> Result<Option<FileHeader>, WalError> {
    let mut block = [0; BLOCK_BYTES];
    let read = fs
        .open(path)
        .and_then(|file| file.read_at(0, &mut block))
        .map_err(|error| WalError::io("read", path, error))?;
    if read < BLOCK_BYTES {
        return Ok(None);
    }
    match FileHeader::decode(&block) {
        Ok(header) => Ok(Some(header)),
        Err(BadHeader::Damaged) => Ok(None),
        Err(BadHeader::Version(version)) => Err(WalError::Version {
            path: path.into(),
            version,
        }),
    }
}

/// Follows the links from the newest file back; the error is the index of the first file that
/// cannot be part of the log.
fn link(candidates: &[ChainFile]) -> Result<Chain, usize> {
    let mut chain = Chain::default();
    let Some(mut at) = candidates.len().checked_sub(1) else {
        return Ok(chain);
    };
    loop {
        let file = &candidates[at];
        let header = file.header.ok_or(at)?;
        chain.files.push((file.clone(), header));
        let before = candidates[..at]
            .iter()
            .rposition(|f| f.number <= header.predecessor_number);
        let Some(before) = before else {
            // The predecessor was released, or this is the first file of a log. Files lose their
            // names from the oldest on: what is still older was given up by a repair.
            chain.leftovers.extend_from_slice(&candidates[..at]);
            break;
        };
        check_link(&candidates[before], &header).map_err(|broken| {
            if broken == Broken::Predecessor {
                before
            } else {
                at
            }
        })?;
        chain
            .leftovers
            .extend_from_slice(&candidates[before + 1..at]);
        at = before;
    }
    chain.files.reverse();
    Ok(chain)
}

#[derive(Debug, PartialEq, Eq)]
enum Broken {
    /// The older file is not what it was when the newer one was opened.
    Predecessor,
    /// The file between the two is missing.
    Successor,
}

fn check_link(file: &ChainFile, successor: &FileHeader) -> Result<(), Broken> {
    if file.number != successor.predecessor_number {
        return Err(Broken::Successor);
    }
    let header = file.header.ok_or(Broken::Predecessor)?;
    let fits = header.salt == successor.predecessor_salt
        && header.first_lsn <= successor.first_lsn
        && successor.predecessor_bytes <= file.file_bytes;
    if fits {
        Ok(())
    } else {
        Err(Broken::Predecessor)
    }
}
