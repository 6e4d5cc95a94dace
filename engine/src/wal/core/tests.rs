//! Marks, the room in a file, and what a failure leaves behind.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::path::PathBuf;

use bytes::Bytes;

use super::*;
use crate::storage_fs::simulated::{Faults, SimulatedFs};

const FILE_BYTES: u64 = 4096;

fn settings(file_bytes: u64) -> WalSettings {
    WalSettings {
        file_bytes,
        ..WalSettings::new("/wal")
    }
}

fn start(fs: &SimulatedFs) -> Result<WalCore, WalError> {
    start_at(fs, 1)
}

fn start_at(fs: &SimulatedFs, first_lsn: Lsn) -> Result<WalCore, WalError> {
    let none = LogFile {
        number: 0,
        first_lsn,
        end_lsn: first_lsn,
        used_bytes: 0,
    };
    let files = Arc::new(LogFiles::new(VecDeque::new(), none, vec![], 1));
    let position = Position {
        first_lsn,
        predecessor: (0, 0, 0),
    };
    let fs = Arc::new(fs.clone());
    let core = WalCore::start(fs, settings(FILE_BYTES), files, 1, position)?;
    core.files.set_current(core.current_file());
    Ok(core)
}

fn frame(bytes: u64) -> Frame {
    Frame {
        kind: 1,
        parts: vec![Bytes::from(vec![1; bytes as usize])],
    }
}

fn path(number: u64) -> PathBuf {
    Path::new("/wal").join(log_name(number))
}

/// The frame header at a place in the current file.
fn header_at(core: &WalCore, fs: &SimulatedFs, offset: usize) -> FrameHeader {
    let content = fs.content(&path(core.current.number)).unwrap();
    FrameHeader::decode(&content[offset..offset + BLOCK_BYTES], core.current.salt).unwrap()
}

#[test]
fn a_mark_is_due_until_the_last_frame_is_proven() {
    let fs = SimulatedFs::new(1);
    let mut core = start(&fs).unwrap();
    assert!(!core.mark_due(), "nothing was written");
    core.write(&[&frame(0)]).unwrap();
    assert!(core.mark_due());
    core.sync().unwrap();
    assert!(core.mark_due(), "durable, but the log does not say so");
    core.write_mark().unwrap();
    assert!(!core.mark_due(), "an idle log writes one mark only");

    core.write(&[&frame(0)]).unwrap();
    core.sync().unwrap();
    core.write(&[&frame(0), &frame(0)]).unwrap();
    assert!(
        core.mark_due(),
        "the first is proven, the other two are not"
    );
    core.write_mark().unwrap();
    assert!(!core.mark_due());
}

#[test]
fn a_mark_makes_what_was_written_durable_and_says_so() {
    let fs = SimulatedFs::new(1);
    let mut core = start(&fs).unwrap();
    core.write(&[&frame(0), &frame(0)]).unwrap();
    core.write_mark().unwrap();
    assert_eq!(core.files.durable_lsn(), 3, "the mark itself as well");
    assert_eq!(core.files.written_lsn(), 3);
    let mark = header_at(&core, &fs, 3 * BLOCK_BYTES);
    assert_eq!((mark.lsn, mark.durable_lsn, mark.is_mark), (3, 2, true));
    let last = header_at(&core, &fs, 2 * BLOCK_BYTES);
    assert_eq!((last.lsn, last.durable_lsn, last.is_mark), (2, 0, false));
    assert_eq!(core.write(&[&frame(0)]).unwrap(), 4);
    assert_eq!(header_at(&core, &fs, 4 * BLOCK_BYTES).durable_lsn, 3);
}

#[test]
fn what_was_recovered_is_durable_from_the_first_frame_on() {
    let fs = SimulatedFs::new(1);
    let mut core = start_at(&fs, 10).unwrap();
    let syncs = fs.syncs();
    core.sync().unwrap();
    assert_eq!(fs.syncs(), syncs, "nothing was written");
    assert_eq!(core.write(&[&frame(0)]).unwrap(), 10);
    assert_eq!(header_at(&core, &fs, BLOCK_BYTES).durable_lsn, 9);
}

#[test]
fn a_mark_without_room_is_the_header_of_a_new_file() {
    let fs = SimulatedFs::new(1);
    let mut core = start(&fs).unwrap();
    core.write(&[&frame(payload_bytes_max(&settings(FILE_BYTES)))])
        .unwrap();
    core.write_mark().unwrap();
    assert!(!core.mark_due());
    assert_eq!(core.files.durable_lsn(), 1);
    let content = fs.content(&path(2)).unwrap();
    let header = FileHeader::decode(content[..BLOCK_BYTES].try_into().unwrap()).unwrap();
    assert_eq!((header.first_lsn, header.predecessor_number), (2, 1));
    assert_eq!(header.predecessor_bytes, FILE_BYTES);
}

#[test]
fn after_a_failed_mark_nothing_is_written_and_none_is_due() {
    let fs = SimulatedFs::new(1);
    let mut core = start(&fs).unwrap();
    core.write(&[&frame(0)]).unwrap();
    fs.set_faults(Faults {
        sync: 1000,
        ..Faults::default()
    });
    assert!(matches!(core.write_mark(), Err(WalError::Poisoned { .. })));
    fs.set_faults(Faults::default());
    assert!(!core.mark_due());
    let before = (fs.content(&path(1)), fs.syncs());
    let poisoned = |result| matches!(result, Err(WalError::Poisoned { .. }));
    assert!(poisoned(core.write_mark()));
    assert!(poisoned(core.sync()));
    assert!(poisoned(core.write(&[&frame(0)]).map(drop)));
    assert_eq!((fs.content(&path(1)), fs.syncs()), before);
}

#[test]
fn a_failed_sync_poisons_although_nothing_is_written_later() {
    let fs = SimulatedFs::new(1);
    let mut core = start(&fs).unwrap();
    core.write(&[&frame(0)]).unwrap();
    fs.set_faults(Faults {
        sync: 1000,
        ..Faults::default()
    });
    assert!(core.sync().is_err());
    fs.set_faults(Faults::default());
    assert!(
        matches!(core.sync(), Err(WalError::Poisoned { .. })),
        "a second sync would report success"
    );
    assert_eq!(core.files.durable_lsn(), 0);
}

#[test]
fn a_frame_fills_a_file_but_never_more() {
    let largest = |file_bytes| payload_bytes_max(&settings(file_bytes));
    assert_eq!(largest(4096), 4096 - 128);
    assert_eq!(largest(5000), 4992 - 128, "blocks are whole");
    assert_eq!(largest(64 << 30), u64::from(u32::MAX) - 63);
    assert_eq!(largest(64 << 30) % 64, 0);
}

#[test]
fn a_new_file_takes_its_room_at_once() {
    let fs = SimulatedFs::new(1);
    start(&fs).unwrap();
    assert_eq!(fs.content(&path(1)).unwrap().len() as u64, FILE_BYTES);
    let full = SimulatedFs::new(1);
    full.set_faults(Faults {
        disk_bytes: Some(FILE_BYTES - 1),
        ..Faults::default()
    });
    assert!(matches!(start(&full), Err(WalError::Poisoned { .. })));
    assert_eq!(full.content(&path(1)), None);
}
