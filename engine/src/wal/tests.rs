//! The log without threads on a simulated disk: helpers, and what a log does from start to end.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::core::{self, WalCore};
use super::files::LogFiles;
use super::housekeeping::Housekeeper;
use super::recovery::{self, Opened};
use super::replay::ReplayStats;
use super::*;
use crate::storage_fs::StorageFs;
use crate::storage_fs::simulated::SimulatedFs;

mod damage;
mod files;
mod repair;
mod simulation;

const DIR: &str = "/data/wal";

/// A log that a test drives call by call.
#[derive(Debug)]
struct Driven {
    core: WalCore,
    housekeeper: Housekeeper,
    files: Arc<LogFiles>,
    /// What the log held when it was opened.
    found: Vec<(Lsn, Frame)>,
    stats: ReplayStats,
}

fn settings(file_bytes: u64) -> WalSettings {
    WalSettings {
        file_bytes,
        recycled_files_max: 2,
        ..WalSettings::new(DIR)
    }
}

fn open(fs: &SimulatedFs, file_bytes: u64, seed: u64) -> Result<Driven, WalError> {
    open_with(fs, file_bytes, seed, false)
}

fn repair(fs: &SimulatedFs, file_bytes: u64, seed: u64) -> Result<Driven, WalError> {
    open_with(fs, file_bytes, seed, true)
}

fn open_with(
    fs: &SimulatedFs,
    file_bytes: u64,
    seed: u64,
    repair: bool,
) -> Result<Driven, WalError> {
    let fs: Arc<dyn StorageFs> = Arc::new(fs.clone());
    let Opened {
        core,
        housekeeper,
        replay,
        files,
    } = recovery::open(settings(file_bytes), fs, seed, repair)?;
    let mut found = Vec::new();
    let stats = replay.run(|lsn, kind, payload| {
        assert_eq!(payload.as_ptr().align_offset(64), 0, "payloads are aligned");
        found.push((
            lsn,
            Frame {
                kind,
                parts: vec![payload],
            },
        ));
        Ok::<_, WalError>(())
    })?;
    Ok(Driven {
        core,
        housekeeper,
        files,
        found,
        stats,
    })
}

impl Driven {
    fn write(&mut self, frames: &[Frame]) -> Result<Lsn, WalError> {
        self.core.write(&frames.iter().collect::<Vec<_>>())
    }

    fn write_synced(&mut self, frames: &[Frame]) -> Lsn {
        let lsn = self.write(frames).unwrap();
        self.core.sync().unwrap();
        lsn
    }

    fn release(&self, keep_from: Lsn) {
        self.files.ask_release(keep_from);
        self.housekeeper.release().unwrap();
    }

    /// Payloads found at the start, with their kinds and numbers.
    fn found(&self) -> Vec<(Lsn, u8, Vec<u8>)> {
        self.found
            .iter()
            .map(|(lsn, frame)| (*lsn, frame.kind, payload(frame)))
            .collect()
    }
}

fn frame(kind: u8, payload: &[u8]) -> Frame {
    Frame {
        kind,
        parts: vec![Bytes::copy_from_slice(payload)],
    }
}

fn payload(frame: &Frame) -> Vec<u8> {
    frame.parts.concat()
}

/// A payload of its own for each number.
fn numbered(lsn: Lsn, bytes: usize) -> Frame {
    let pattern = |at: usize| (lsn as usize * 31 + at * 7) as u8;
    frame(lsn as u8, &(0..bytes).map(pattern).collect::<Vec<_>>())
}

/// Files of the log with a suffix, sorted.
fn paths(fs: &SimulatedFs, suffix: &str) -> Vec<PathBuf> {
    let dir = Path::new(DIR);
    let entries = fs.list(dir).unwrap().into_iter();
    entries
        .filter(|e| e.name.ends_with(suffix))
        .map(|e| dir.join(e.name))
        .collect()
}

#[test]
fn a_log_gives_back_what_it_took_over_files_and_starts() {
    let fs = SimulatedFs::new(1);
    let mut expected = Vec::new();
    for start in 0..4 {
        let mut log = open(&fs, 4096, start).unwrap();
        assert_eq!(log.found(), expected);
        for size in [0, 1, 63, 64, 65, 200, 1000] {
            let lsn = log.files.written_lsn() + 1;
            let sent = numbered(lsn, size);
            assert_eq!(log.write_synced(std::slice::from_ref(&sent)), lsn);
            expected.push((lsn, sent.kind, payload(&sent)));
        }
        fs.crash();
    }
    let log = open(&fs, 4096, 9).unwrap();
    assert_eq!(log.found(), expected);
    assert_eq!(log.stats.frames, 28);
    assert_eq!(log.stats.bytes, 4 * 1393);
    assert_eq!((log.stats.cut_bytes, log.stats.dropped_frames), (0, 0));
}

#[test]
fn parts_are_one_payload_and_a_group_spans_files() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, 4096, 1).unwrap();
    let parts = vec![
        Bytes::from_static(b"ab"),
        Bytes::new(),
        Bytes::from_static(b"cde"),
    ];
    let mut frames = vec![Frame { kind: 5, parts }];
    frames.extend((2..20).map(|lsn| numbered(lsn, 900)));
    assert_eq!(log.write_synced(&frames), 1);
    assert_eq!(log.files.status(false).files.len(), 6);
    fs.crash();
    let log = open(&fs, 4096, 2).unwrap();
    let expected: Vec<_> = (1..20)
        .zip(&frames)
        .map(|(lsn, frame)| (lsn, frame.kind, payload(frame)))
        .collect();
    assert_eq!(log.found(), expected);
    assert_eq!(log.found()[0], (1, 5, b"abcde".to_vec()));
}

#[test]
fn a_frame_too_large_fails_alone() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, 4096, 1).unwrap();
    let bytes_max = core::payload_bytes_max(&settings(4096));
    let error = log
        .write(&[numbered(1, bytes_max as usize + 1)])
        .unwrap_err();
    assert!(matches!(
        error,
        WalError::FrameTooLarge {
            bytes: 3969,
            bytes_max: 3968
        }
    ));
    assert_eq!(log.write_synced(&[numbered(1, bytes_max as usize)]), 1);
    fs.crash();
    assert_eq!(open(&fs, 4096, 2).unwrap().found.len(), 1);
}

#[test]
fn status_tells_what_is_written_and_what_is_durable() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, 4096, 1).unwrap();
    log.write(&[numbered(1, 100), numbered(2, 0)]).unwrap();
    let status = log.files.status(false);
    assert_eq!((status.written_lsn, status.durable_lsn), (2, 0));
    assert_eq!(status.bytes, 64 + 64 + 128 + 64);
    log.core.sync().unwrap();
    assert_eq!(log.files.durable_lsn(), 2);
    let syncs = fs.syncs();
    log.core.sync().unwrap();
    assert_eq!(fs.syncs(), syncs, "nothing new, nothing to sync");
}

#[test]
fn a_failed_sync_or_write_stops_the_log() {
    for (write, sync) in [(0, 1000), (1000, 0)] {
        let fs = SimulatedFs::new(1);
        let mut log = open(&fs, 4096, 1).unwrap();
        log.write_synced(&[numbered(1, 10)]);
        fs.set_faults(crate::storage_fs::simulated::Faults {
            write,
            sync,
            ..Default::default()
        });
        let failed = log.write(&[numbered(2, 10)]).and_then(|_| log.core.sync());
        assert!(matches!(failed, Err(WalError::Poisoned { .. })));
        fs.set_faults(Default::default());
        assert!(matches!(
            log.write(&[numbered(3, 10)]),
            Err(WalError::Poisoned { .. })
        ));
        assert!(matches!(log.core.sync(), Err(WalError::Poisoned { .. })));
        assert_eq!(log.files.durable_lsn(), 1);
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let fs = SimulatedFs::new(1);
    let error = open(&fs, 100, 1).unwrap_err();
    assert!(matches!(
        error,
        WalError::Settings {
            setting: "file_bytes",
            value: 100,
            ..
        }
    ));
}
