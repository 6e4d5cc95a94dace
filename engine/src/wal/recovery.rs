//! Opens a log: verifies every frame of it, cuts a torn tail, and starts a new file behind it.
//!
//! Guarantees that every frame which replay will give back is durable before the new file names
//! its predecessor, so that a second crash cannot take one back that was already given out.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::chain::{Chain, ChainFile, find_chain};
use super::core::{Position, WalCore};
use super::error::WalError;
use super::files::{FileRole, LogFile, LogFiles, Spare, dropped_name, name_number, parse_name};
use super::format::FileHeader;
use super::housekeeping::Housekeeper;
use super::replay::{Replay, ReplayFile};
use super::scan::{Scan, read_aligned};
use super::{Lsn, WalSettings};
use crate::storage_fs::StorageFs;

/// A log that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) core: WalCore,
    pub(super) housekeeper: Housekeeper,
    pub(super) replay: Replay,
    pub(super) files: Arc<LogFiles>,
}

/// Opens the log in `settings.dir`. With `repair`, a damaged log is cut at the damage.
///
/// # Errors
/// `Corrupt` for damage, `Version` for another format, `Io` and `Poisoned` for a failing disk.
pub(super) fn open(
    settings: WalSettings,
    fs: Arc<dyn StorageFs>,
    seed: u64,
    repair: bool,
) -> Result<Opened, WalError> {
    settings.validate()?;
    create_dir(&*fs, &settings.dir)?;
    let mut chain = find_chain(&*fs, &settings.dir, repair)?;
    let mut found = verify(&*fs, &mut chain, repair)?;
    // What a repair gives up is kept for the operator, though it may look like nothing.
    let (unused, leftovers) = match repair {
        true => (vec![], chain.leftovers),
        false => partition_unused(&*fs, chain.leftovers),
    };
    let mut unused: Vec<_> = unused.into_iter().map(|file| file.path).collect();
    let replaced = match found.cut_bytes == 0 && leftovers.is_empty() {
        true => found.take_unused(),
        false => vec![],
    };
    unused.extend(replaced.iter().map(|file| file.path.clone()));
    let (ready, next_number) = find_spares(&*fs, &settings)?;
    // A run that was killed may have renamed files without syncing that: until it is synced, the bytes
    // of a spare may still be those of the log.
    fs.sync_dir(&settings.dir)
        .map_err(|error| WalError::io("sync", &settings.dir, error))?;

    let sealed: VecDeque<LogFile> = found.files.iter().map(sealed_file).collect();
    found.dropped_frames += count_frames(&*fs, &leftovers);
    let position = match replaced.last() {
        Some(oldest) => position_of(&oldest.header),
        None => position_after(&found.files),
    };
    // Replaced by the real one as soon as it is there; only its LSNs are read before.
    let placeholder = LogFile {
        number: 0,
        first_lsn: position.first_lsn,
        end_lsn: position.first_lsn,
        used_bytes: 0,
    };
    let files = Arc::new(LogFiles::new(sealed, placeholder, ready, next_number));
    let core = WalCore::start(
        Arc::clone(&fs),
        settings.clone(),
        Arc::clone(&files),
        seed,
        position,
    )?;
    files.set_current(core.current_file());
    // Only now: until the new file is there, the next start must find the damage again.
    set_aside(&*fs, &settings.dir, &leftovers)?;
    remove_unused(&*fs, &settings.dir, &unused)?;
    let housekeeper = Housekeeper {
        fs: Arc::clone(&fs),
        settings,
        files: Arc::clone(&files),
    };
    let replay = Replay {
        fs,
        files: found.files,
        cut_bytes: found.cut_bytes,
        dropped_frames: found.dropped_frames,
    };
    Ok(Opened {
        core,
        housekeeper,
        replay,
        files,
    })
}

fn create_dir(fs: &dyn StorageFs, dir: &Path) -> Result<(), WalError> {
    fs.create_dir_all(dir)
        .map_err(|error| WalError::io("create", dir, error))?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fs
            .sync_dir(parent)
            .map_err(|error| WalError::io("sync", parent, error)),
        None => Ok(()),
    }
}

/// What the log holds.
#[derive(Debug, Default)]
struct Found {
    files: Vec<ReplayFile>,
    cut_bytes: u64,
    dropped_frames: u64,
}

impl Found {
    /// Takes the files at the end out that have no frame, newest first: the new file takes their
    /// place, so that a server which is started again and again does not fill the disk with them.
    fn take_unused(&mut self) -> Vec<ReplayFile> {
        let mut unused = vec![];
        let is_unused = |file: &mut ReplayFile| file.end_lsn == file.header.first_lsn;
        while let Some(last) = self.files.pop_if(is_unused) {
            unused.push(last);
        }
        unused
    }
}

/// Checks all frames; makes those of the last file durable.
fn verify(fs: &dyn StorageFs, chain: &mut Chain, repair: bool) -> Result<Found, WalError> {
    let mut found = Found::default();
    let mut index = 0;
    while let Some((file, header)) = chain.files.get(index) {
        let successor = chain.files.get(index + 1).map(|(_, successor)| *successor);
        let bytes = successor.map_or(file.file_bytes, |next| next.predecessor_bytes);
        let content = read_aligned(fs, &file.path, bytes)?;
        let mut scan = Scan::new(&content, header);
        let extent = scan_file(&mut scan);
        let rest = scan.rest();
        let damaged = match successor {
            Some(next) => extent.end_lsn != next.first_lsn || extent.used_bytes != bytes,
            None => rest.durable_lsn >= extent.end_lsn,
        };
        if damaged && !repair {
            let (path, offset) = (file.path.clone(), extent.used_bytes);
            return Err(WalError::Corrupt {
                path,
                offset,
                lsn: extent.end_lsn,
            });
        }
        if successor.is_none() || damaged {
            make_durable(fs, file, &content, &extent)?;
        }
        found.files.push(ReplayFile {
            path: file.path.clone(),
            header: *header,
            end_lsn: extent.end_lsn,
            used_bytes: extent.used_bytes,
        });
        if damaged {
            tracing::warn!(file = %file.path.display(), lsn = extent.end_lsn, "WAL cut at damage");
            found.dropped_frames += rest.frames;
            let later = chain
                .files
                .split_off(index + 1)
                .into_iter()
                .map(|(file, _)| file);
            chain.leftovers.extend(later);
        } else if successor.is_none() && rest.bytes > 0 {
            tracing::warn!(file = %file.path.display(), bytes = rest.bytes, "torn WAL tail cut");
            found.cut_bytes = rest.bytes;
        }
        index += 1;
    }
    Ok(found)
}

/// The good part of a file.
#[derive(Debug)]
struct Extent {
    end_lsn: Lsn,
    used_bytes: u64,
    /// Where the frames start that no durable mark in the file covers.
    unproven_from: u64,
}

fn scan_file(scan: &mut Scan<'_>) -> Extent {
    let first_lsn = scan.lsn;
    let mut durable_lsn = 0;
    let mut offsets = Vec::new();
    for frame in scan.by_ref() {
        durable_lsn = durable_lsn.max(frame.header.durable_lsn);
        offsets.push(frame.offset);
    }
    let used_bytes = scan.offset as u64;
    let proven = (durable_lsn + 1).saturating_sub(first_lsn);
    let unproven_from = usize::try_from(proven)
        .ok()
        .and_then(|index| offsets.get(index))
        .copied();
    Extent {
        end_lsn: scan.lsn,
        used_bytes,
        unproven_from: unproven_from.unwrap_or(used_bytes),
    }
}

/// Writes the frames that may never have reached the disk once more, and syncs the file. Reading
/// them proves nothing: after a failed sync the page cache shows what the disk does not have.
fn make_durable(
    fs: &dyn StorageFs,
    file: &ChainFile,
    content: &Bytes,
    extent: &Extent,
) -> Result<(), WalError> {
    let failed = |error| WalError::io("write", &file.path, error);
    let handle = fs.open(&file.path).map_err(failed)?;
    let range = extent.unproven_from as usize..extent.used_bytes as usize;
    let unproven = content.get(range).unwrap_or_default();
    if !unproven.is_empty() {
        let offset = extent.unproven_from;
        handle
            .write_at(offset, &mut [IoSlice::new(unproven)])
            .map_err(failed)?;
    }
    handle.sync_data().map_err(failed)
}

fn sealed_file(file: &ReplayFile) -> LogFile {
    LogFile {
        number: file.header.number,
        first_lsn: file.header.first_lsn,
        end_lsn: file.end_lsn,
        used_bytes: file.used_bytes,
    }
}

fn position_after(files: &[ReplayFile]) -> Position {
    match files.last() {
        Some(last) => Position {
            first_lsn: last.end_lsn,
            predecessor: (last.header.number, last.header.salt, last.used_bytes),
        },
        None => Position {
            first_lsn: 1,
            predecessor: (0, 0, 0),
        },
    }
}

/// Where a file stood that another one is to replace.
fn position_of(header: &FileHeader) -> Position {
    Position {
        first_lsn: header.first_lsn,
        predecessor: (
            header.predecessor_number,
            header.predecessor_salt,
            header.predecessor_bytes,
        ),
    }
}

/// Tells the files without any frame, which a start that was interrupted left, from the others.
fn partition_unused(
    fs: &dyn StorageFs,
    leftovers: Vec<ChainFile>,
) -> (Vec<ChainFile>, Vec<ChainFile>) {
    let is_unused = |file: &ChainFile| {
        file.header.is_some() && count_frames(fs, std::slice::from_ref(file)) == 0
    };
    leftovers.into_iter().partition(is_unused)
}

fn count_frames(fs: &dyn StorageFs, files: &[ChainFile]) -> u64 {
    let count = |file: &ChainFile, header: &FileHeader| {
        let content = read_aligned(fs, &file.path, file.file_bytes).unwrap_or_default();
        Scan::new(&content, header).rest().frames
    };
    files
        .iter()
        .filter_map(|file| Some(count(file, file.header.as_ref()?)))
        .sum()
}

/// Takes files out of the log that a repair gave up, but keeps them for the operator.
fn set_aside(fs: &dyn StorageFs, dir: &Path, files: &[ChainFile]) -> Result<(), WalError> {
    for file in files {
        let to = dir.join(dropped_name(file.number));
        tracing::warn!(from = %file.path.display(), to = %to.display(), "WAL file set aside");
        fs.rename(&file.path, &to)
            .map_err(|error| WalError::io("rename", &file.path, error))?;
    }
    if files.is_empty() {
        return Ok(());
    }
    fs.sync_dir(dir)
        .map_err(|error| WalError::io("sync", dir, error))
}

/// Removes files that are not part of the log any more and never held a frame.
fn remove_unused(fs: &dyn StorageFs, dir: &Path, paths: &[PathBuf]) -> Result<(), WalError> {
    for path in paths {
        fs.remove(path)
            .map_err(|error| WalError::io("remove", path, error))?;
    }
    if paths.is_empty() {
        return Ok(());
    }
    fs.sync_dir(dir)
        .map_err(|error| WalError::io("sync", dir, error))
}

/// Files to be used next, and the first number that no file has. Spares that a crash left
/// unfinished, or that have another size, are removed.
fn find_spares(fs: &dyn StorageFs, settings: &WalSettings) -> Result<(Vec<Spare>, u64), WalError> {
    let dir = &settings.dir;
    let entries = fs
        .list(dir)
        .map_err(|error| WalError::io("list", dir, error))?;
    let last = entries
        .iter()
        .filter_map(|entry| name_number(&entry.name))
        .max()
        .unwrap_or(0);
    let mut spares = Vec::new();
    for entry in entries {
        let Some((number, FileRole::Spare)) = parse_name(&entry.name) else {
            continue;
        };
        let keep =
            entry.bytes == settings.file_bytes && spares.len() < settings.recycled_files_max.max(1);
        if keep {
            spares.push(Spare {
                number,
                filled_bytes: entry.bytes,
            });
            continue;
        }
        let path = dir.join(&entry.name);
        fs.remove(&path)
            .map_err(|error| WalError::io("remove", path, error))?;
    }
    Ok((spares, last + 1))
}
