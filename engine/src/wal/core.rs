//! The writing half of the log without threads: groups, syncs, marks, and the step to a new file.
//!
//! Guarantees that a frame is counted durable only after a successful sync of its file, that a new
//! file starts only when all frames before it are durable, and that nothing is written after a
//! failure. One caller at a time; every call blocks on the disk.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::error::WalError;
use super::files::{LogFile, LogFiles, Spare, log_name, spare_name};
use super::format::{
    BLOCK_BYTES, Block, FileHeader, FrameHeader, frame_bytes, next_salt, payload_crc,
};
use super::{Frame, Lsn, WalSettings};
use crate::storage_fs::{StorageFile, StorageFs};

#[cfg(test)]
mod tests;

/// Padding comes from here.
static ZEROS: Block = [0; BLOCK_BYTES];

/// The log as its one writer sees it.
#[derive(Debug)]
pub(super) struct WalCore {
    fs: Arc<dyn StorageFs>,
    settings: WalSettings,
    files: Arc<LogFiles>,
    seed: u64,
    current: CurrentFile,
    next_lsn: Lsn,
    durable_lsn: Lsn,
    failure: Option<WalError>,
}

/// The file being written.
#[derive(Debug)]
struct CurrentFile {
    file: Box<dyn StorageFile>,
    number: u64,
    salt: u64,
    /// Where the next frame goes.
    offset: u64,
    /// Whether its blocks had been written before, so that a sync needs no metadata.
    prepared: bool,
    /// The last frame that is not a mark; 0 if there is none in this file.
    last_data_lsn: Lsn,
    /// The highest durable frame that a frame in this file names.
    marked_lsn: Lsn,
}

/// Where a new file stands in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) first_lsn: Lsn,
    /// Number, salt and bytes in use; zeros if there is none.
    pub(super) predecessor: (u64, u64, u64),
}

/// The largest payload that fits in a file.
pub(super) fn payload_bytes_max(settings: &WalSettings) -> u64 {
    let block = BLOCK_BYTES as u64;
    let frames = settings.file_bytes / block * block - block;
    (frames - block).min(u64::from(u32::MAX) / block * block)
}

impl WalCore {
    /// Starts writing at `position` in a new file. Everything before must be durable.
    pub(super) fn start(
        fs: Arc<dyn StorageFs>,
        settings: WalSettings,
        files: Arc<LogFiles>,
        seed: u64,
        position: Position,
    ) -> Result<Self, WalError> {
        let current = open_file(&*fs, &settings, &files, seed, position)?;
        Ok(Self {
            fs,
            settings,
            files,
            seed,
            current,
            next_lsn: position.first_lsn,
            durable_lsn: position.first_lsn - 1,
            failure: None,
        })
    }

    /// The file being written, as the log's list has it.
    pub(super) fn current_file(&self) -> LogFile {
        LogFile {
            number: self.current.number,
            first_lsn: self.next_lsn,
            end_lsn: self.next_lsn,
            used_bytes: self.current.offset,
        }
    }

    /// Writes frames one after the other and returns the number of the first. They are durable
    /// after the next [`WalCore::sync`]. After an error the log takes no more.
    pub(super) fn write(&mut self, frames: &[&Frame]) -> Result<Lsn, WalError> {
        self.check_usable()?;
        let bytes_max = payload_bytes_max(&self.settings);
        if let Some(large) = frames
            .iter()
            .map(|f| f.payload_bytes())
            .find(|b| *b > bytes_max)
        {
            return Err(WalError::FrameTooLarge {
                bytes: large,
                bytes_max,
            });
        }
        let first = self.next_lsn;
        let result = self.write_frames(frames);
        self.keep_failure(result)?;
        Ok(first)
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) -> Result<(), WalError> {
        self.check_usable()?;
        let result = self.sync_current();
        self.keep_failure(result)
    }

    /// Whether the last frames are not yet covered by a durable mark in the log itself.
    pub(super) fn mark_due(&self) -> bool {
        self.failure.is_none() && self.current.last_data_lsn > self.current.marked_lsn
    }

    /// Makes everything durable and writes that down, so that later damage to the last frames is
    /// told from a torn tail.
    pub(super) fn write_mark(&mut self) -> Result<(), WalError> {
        self.check_usable()?;
        let result = self.write_mark_inner();
        self.keep_failure(result)
    }

    fn check_usable(&self) -> Result<(), WalError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn keep_failure<T>(&mut self, result: Result<T, WalError>) -> Result<T, WalError> {
        if let Err(error) = &result {
            self.failure = Some(error.clone());
        }
        result
    }

    fn write_frames(&mut self, mut frames: &[&Frame]) -> Result<(), WalError> {
        if !self.current.prepared && self.files.has_ready() {
            // Syncs of a file with written blocks are much cheaper.
            self.roll()?;
        }
        while !frames.is_empty() {
            let fit = self.fit(frames);
            if fit == 0 {
                self.roll()?;
                continue;
            }
            let (now, later) = frames.split_at(fit);
            self.write_run(now, false)?;
            self.current.last_data_lsn = self.next_lsn - 1;
            frames = later;
        }
        Ok(())
    }

    /// How many of the frames fit in the current file.
    fn fit(&self, frames: &[&Frame]) -> usize {
        let mut room = self.settings.file_bytes.saturating_sub(self.current.offset);
        let fits = |frame: &&&Frame| match room.checked_sub(frame_bytes(frame.payload_bytes())) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        frames.iter().take_while(fits).count()
    }

    fn write_run(&mut self, frames: &[&Frame], is_mark: bool) -> Result<(), WalError> {
        let headers: Vec<Block> = frames
            .iter()
            .zip(self.next_lsn..)
            .map(|(frame, lsn)| self.header(frame, lsn, is_mark).encode())
            .collect();
        let mut slices = Vec::with_capacity(frames.len() * 3);
        let mut bytes = 0;
        for (frame, header) in frames.iter().zip(&headers) {
            slices.push(IoSlice::new(header));
            slices.extend(
                frame
                    .parts
                    .iter()
                    .filter(|p| !p.is_empty())
                    .map(|p| IoSlice::new(p)),
            );
            let payload_bytes = frame.payload_bytes();
            let padding = payload_bytes.next_multiple_of(BLOCK_BYTES as u64) - payload_bytes;
            if padding > 0 {
                slices.push(IoSlice::new(&ZEROS[..padding as usize]));
            }
            bytes += frame_bytes(payload_bytes);
        }
        let file = &self.current.file;
        file.write_at(self.current.offset, &mut slices)
            .map_err(poison("write"))?;
        self.current.offset += bytes;
        self.current.marked_lsn = self.durable_lsn;
        self.next_lsn += frames.len() as u64;
        self.files.set_written(self.next_lsn, self.current.offset);
        Ok(())
    }

    fn header(&self, frame: &Frame, lsn: Lsn, is_mark: bool) -> FrameHeader {
        FrameHeader {
            salt: self.current.salt,
            payload_crc: payload_crc(&frame.parts),
            // Checked against `payload_bytes_max` before.
            payload_bytes: frame.payload_bytes() as u32,
            lsn,
            durable_lsn: self.durable_lsn,
            kind: frame.kind,
            is_mark,
        }
    }

    fn write_mark_inner(&mut self) -> Result<(), WalError> {
        self.sync_current()?;
        let mark = Frame {
            kind: 0,
            parts: Vec::new(),
        };
        if self.fit(&[&mark]) == 0 {
            // The next file's header says the same.
            return self.roll();
        }
        self.write_run(&[&mark], true)?;
        self.sync_current()
    }

    fn sync_current(&mut self) -> Result<(), WalError> {
        if self.durable_lsn + 1 == self.next_lsn {
            return Ok(());
        }
        self.current.file.sync_data().map_err(poison("sync"))?;
        self.durable_lsn = self.next_lsn - 1;
        self.files.set_durable(self.durable_lsn);
        Ok(())
    }

    /// Goes on in a new file.
    fn roll(&mut self) -> Result<(), WalError> {
        self.sync_current()?;
        let predecessor = (self.current.number, self.current.salt, self.current.offset);
        let position = Position {
            first_lsn: self.next_lsn,
            predecessor,
        };
        self.current = open_file(&*self.fs, &self.settings, &self.files, self.seed, position)?;
        self.files.start_file(self.current_file());
        Ok(())
    }
}

/// Turns a spare, or a new file if there is none, into the log's next file.
fn open_file(
    fs: &dyn StorageFs,
    settings: &WalSettings,
    files: &LogFiles,
    seed: u64,
    position: Position,
) -> Result<CurrentFile, WalError> {
    let number = files.next_number();
    let spare = files.take_ready();
    let (predecessor_number, predecessor_salt, predecessor_bytes) = position.predecessor;
    let header = FileHeader {
        number,
        salt: next_salt(seed, number, predecessor_salt),
        first_lsn: position.first_lsn,
        predecessor_number,
        predecessor_salt,
        predecessor_bytes,
    };
    let file = place_file(fs, settings, spare, &header).map_err(poison("start a new file"))?;
    Ok(CurrentFile {
        file,
        number,
        salt: header.salt,
        offset: BLOCK_BYTES as u64,
        prepared: spare.is_some(),
        last_data_lsn: 0,
        marked_lsn: position.first_lsn - 1,
    })
}

/// The header must be durable before the name is, and the name before the first frame: a file of
/// the log with a bad header is then always damage.
fn place_file(
    fs: &dyn StorageFs,
    settings: &WalSettings,
    spare: Option<Spare>,
    header: &FileHeader,
) -> io::Result<Box<dyn StorageFile>> {
    let dir: &Path = &settings.dir;
    let spare_path = dir.join(spare_name(
        spare.map_or(header.number, |spare| spare.number),
    ));
    let file = if spare.is_some() {
        fs.open(&spare_path)?
    } else {
        let file = fs.create(&spare_path)?;
        file.allocate(settings.file_bytes)?;
        file
    };
    file.write_at(0, &mut [IoSlice::new(&header.encode())])?;
    file.sync_data()?;
    fs.rename(&spare_path, &dir.join(log_name(header.number)))?;
    fs.sync_dir(dir)?;
    Ok(file)
}

fn poison(action: &'static str) -> impl FnOnce(io::Error) -> WalError {
    move |error| WalError::poisoned(action, error)
}
