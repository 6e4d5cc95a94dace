//! What a repair keeps is as durable as what was never damaged.

use std::io::IoSlice;

use super::super::files::dropped_name;
use super::super::format::FileHeader;
use super::*;
use crate::storage_fs::simulated::Faults;

const FILE_BYTES: u64 = 4096;
const FRAME_BYTES: usize = 64 + 960;
/// Three frames and the header.
const USED_BYTES: usize = 64 + 3 * FRAME_BYTES;

/// Four files of three frames each; nothing in a file says that its own frames are durable.
fn four_files() -> (SimulatedFs, Vec<(Lsn, u8, Vec<u8>)>) {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    let frames: Vec<_> = (1..13).map(|lsn| numbered(lsn, 900)).collect();
    log.write_synced(&frames);
    fs.crash();
    assert_eq!(paths(&fs, ".wal").len(), 4);
    let found = (1..).zip(&frames).map(|(lsn, f)| (lsn, f.kind, payload(f)));
    (fs, found.collect())
}

fn refused_at(result: Result<Driven, WalError>) -> (PathBuf, u64, Lsn) {
    match result.map(|log| log.found()) {
        Err(WalError::Corrupt { path, offset, lsn }) => (path, offset, lsn),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn frames_kept_of_a_file_in_the_middle_survive_the_next_power_cut() {
    let (fs, expected) = four_files();
    let files = paths(&fs, ".wal");
    let good = fs.content(&files[1]).unwrap();
    let mut damaged = good.clone();
    damaged[64..].fill(0);
    fs.overwrite(&files[1], damaged);
    // An operator puts two of its frames back, but nobody syncs, or the sync fails.
    for (seed, sync_fails) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let fs = fs.fork(seed);
        let file = fs.open(&files[1]).unwrap();
        let two = 64..64 + 2 * FRAME_BYTES;
        file.write_at(64, &mut [IoSlice::new(&good[two])]).unwrap();
        if sync_fails {
            fs.set_faults(Faults {
                sync: 1000,
                ..Faults::default()
            });
            file.sync_data().unwrap_err();
            fs.set_faults(Faults::default());
        }
        assert_eq!(repair(&fs, FILE_BYTES, 2).unwrap().found(), expected[..5]);
        fs.crash();
        assert_eq!(open(&fs, FILE_BYTES, 3).unwrap().found(), expected[..5]);
    }
}

#[test]
fn files_that_a_repair_gave_up_do_not_come_back() {
    let (fs, expected) = four_files();
    let files = paths(&fs, ".wal");
    let mut damaged = fs.content(&files[1]).unwrap();
    damaged[64 + FRAME_BYTES + 100] ^= 1;
    fs.overwrite(&files[1], damaged);
    let given_up: Vec<_> = [3, 4]
        .map(|number| Path::new(DIR).join(dropped_name(number)))
        .into();
    let contents = [fs.content(&files[2]), fs.content(&files[3])];
    for seed in 0..20 {
        let fs = fs.fork(seed);
        let log = repair(&fs, FILE_BYTES, 2).unwrap();
        assert_eq!(log.found(), expected[..4]);
        // One intact header lies behind the damage, and six frames in later files.
        assert_eq!(log.stats.dropped_frames, 2 + 6);
        fs.crash();
        assert_eq!(paths(&fs, ".dropped"), given_up);
        let kept = given_up.iter().map(|path| fs.content(path));
        assert!(kept.eq(contents.clone()), "the operator can look at them");
    }
}

#[test]
fn until_the_new_file_is_there_a_repair_takes_nothing_away() {
    let (fs, _) = four_files();
    let files = paths(&fs, ".wal");
    let mut damaged = fs.content(&files[1]).unwrap();
    damaged[64 + FRAME_BYTES + 100] ^= 1;
    fs.overwrite(&files[1], damaged);
    fs.set_faults(Faults {
        disk_bytes: Some(0),
        ..Faults::default()
    });
    let error = repair(&fs, FILE_BYTES, 2).unwrap_err();
    assert!(matches!(error, WalError::Poisoned { .. }), "{error}");
    fs.set_faults(Faults::default());
    fs.crash();
    assert_eq!(paths(&fs, ".wal"), files);
    let damage = (files[1].clone(), (64 + FRAME_BYTES) as u64, 5);
    assert_eq!(refused_at(open(&fs, FILE_BYTES, 3)), damage);
}

#[test]
fn a_repair_counts_frames_and_opening_counts_bytes() {
    let (fs, expected) = four_files();
    let files = paths(&fs, ".wal");
    let mut torn = fs.content(&files[3]).unwrap();
    torn[64 + FRAME_BYTES + 100] ^= 1;
    fs.overwrite(&files[3], torn);
    let log = open(&fs, FILE_BYTES, 2).unwrap();
    assert_eq!(log.found(), expected[..10]);
    let (cut, dropped) = (log.stats.cut_bytes, log.stats.dropped_frames);
    assert_eq!((cut, dropped), (2 * FRAME_BYTES as u64, 0));
    assert_eq!(log.stats.files, 4);
}

/// Rewrites how much of its predecessor the third file says there is.
fn third_file_says(fs: &SimulatedFs, change: impl FnOnce(&mut FileHeader)) -> PathBuf {
    let files = paths(fs, ".wal");
    let mut content = fs.content(&files[2]).unwrap();
    let mut header = FileHeader::decode(content[..64].try_into().unwrap()).unwrap();
    assert_eq!(header.predecessor_bytes, USED_BYTES as u64);
    change(&mut header);
    content[..64].copy_from_slice(&header.encode());
    fs.overwrite(&files[2], content);
    files[1].clone()
}

#[test]
fn a_file_must_hold_every_frame_its_successor_counts_on() {
    let (fs, expected) = four_files();
    let second = third_file_says(&fs, |header| {
        header.predecessor_bytes -= FRAME_BYTES as u64;
    });
    let end = (USED_BYTES - FRAME_BYTES) as u64;
    assert_eq!(refused_at(open(&fs, FILE_BYTES, 2)), (second, end, 6));
    assert_eq!(repair(&fs, FILE_BYTES, 3).unwrap().found(), expected[..5]);
}

#[test]
fn a_file_must_hold_every_byte_its_successor_counts_on() {
    let (fs, expected) = four_files();
    let second = third_file_says(&fs, |header| header.predecessor_bytes += 64);
    let end = USED_BYTES as u64;
    assert_eq!(refused_at(open(&fs, FILE_BYTES, 2)), (second, end, 7));
    assert_eq!(repair(&fs, FILE_BYTES, 3).unwrap().found(), expected[..6]);
}

#[test]
fn a_frame_that_lies_where_another_belongs_is_refused() {
    let (fs, expected) = four_files();
    let files = paths(&fs, ".wal");
    let mut content = fs.content(&files[1]).unwrap();
    // The third frame of the file over the second, as a misdirected write would.
    content.copy_within(64 + 2 * FRAME_BYTES..USED_BYTES, 64 + FRAME_BYTES);
    fs.overwrite(&files[1], content);
    let damage = (files[1].clone(), (64 + FRAME_BYTES) as u64, 5);
    assert_eq!(refused_at(open(&fs, FILE_BYTES, 2)), damage);
    assert_eq!(repair(&fs, FILE_BYTES, 3).unwrap().found(), expected[..4]);
}

#[test]
fn a_file_changed_between_opening_and_replay_is_refused() {
    let (fs, _) = four_files();
    let shared: Arc<dyn StorageFs> = Arc::new(fs.clone());
    let opened = recovery::open(settings(FILE_BYTES), shared, 2, false).unwrap();
    let files = paths(&fs, ".wal");
    let mut content = fs.content(&files[1]).unwrap();
    content[64 + FRAME_BYTES + 100] ^= 1;
    fs.overwrite(&files[1], content);
    let mut last = 0;
    let replayed = opened.replay.run(|lsn, _, _| {
        last = lsn;
        Ok::<_, WalError>(())
    });
    assert!(matches!(replayed, Err(WalError::Corrupt { lsn: 5, .. })));
    assert_eq!(last, 4);
}
