//! Torn tails are cut, damage is refused, a repair cuts there; wrong data never comes out.

use super::*;
use crate::storage_fs::simulated::Faults;

const FILE_BYTES: u64 = 4096;

/// Frames of several sizes, synced one by one; `mark` covers them all.
fn log_with_frames(sizes: &[usize], mark: bool) -> (SimulatedFs, Vec<(Lsn, u8, Vec<u8>)>) {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    let mut expected = Vec::new();
    for size in sizes {
        let lsn = log.files.written_lsn() + 1;
        let sent = numbered(lsn, *size);
        log.write_synced(std::slice::from_ref(&sent));
        expected.push((lsn, sent.kind, payload(&sent)));
    }
    if mark {
        log.core.write_mark().unwrap();
    }
    fs.crash();
    (fs, expected)
}

/// Where each frame ends in its file.
fn ends(sizes: &[usize]) -> Vec<usize> {
    let end = |at: &mut usize, size: &usize| {
        *at += 64 + size.next_multiple_of(64);
        Some(*at)
    };
    sizes.iter().scan(64, end).collect()
}

fn only_file(fs: &SimulatedFs) -> PathBuf {
    let files = paths(fs, ".wal");
    assert_eq!(files.len(), 1);
    files[0].clone()
}

fn is_corrupt<T>(result: &Result<T, WalError>) -> bool {
    matches!(result, Err(WalError::Corrupt { .. }))
}

#[test]
fn a_tail_cut_at_any_byte_leaves_the_frames_before_it() {
    let sizes = [0, 100, 64, 1, 700, 333];
    let (fs, expected) = log_with_frames(&sizes, false);
    let path = only_file(&fs);
    let content = fs.content(&path).unwrap();
    let ends = ends(&sizes);
    for cut in 0..=*ends.last().unwrap() {
        for tail in [None, Some(0), Some(0xff)] {
            let torn = fs.fork(cut as u64);
            let mut bytes = content.clone();
            bytes.truncate(cut);
            bytes.resize(tail.map_or(cut, |_| content.len()), tail.unwrap_or(0));
            let unharmed = bytes == content;
            let header_harmed = bytes.get(..64) != content.get(..64);
            torn.overwrite(&path, bytes);
            let result = open(&torn, FILE_BYTES, 2);
            if header_harmed {
                assert!(is_corrupt(&result), "a file header is never torn");
                continue;
            }
            let found = result.unwrap().found();
            let whole = ends.iter().filter(|end| **end <= cut).count();
            // What the tail is filled with may happen to be what was there.
            assert!(found.len() >= whole || unharmed, "cut at {cut}");
            assert_eq!(found, expected[..found.len()], "cut at {cut}");
            assert!(found.len() <= whole + 1);
            // A second start finds the same, behind whatever the first wrote.
            torn.crash();
            assert_eq!(open(&torn, FILE_BYTES, 3).unwrap().found(), found);
        }
    }
}

#[test]
fn any_flipped_bit_of_a_marked_file_is_refused_or_harmless() {
    let sizes = [10, 100, 64];
    let (fs, expected) = log_with_frames(&sizes, true);
    let path = only_file(&fs);
    let content = fs.content(&path).unwrap();
    let last_end = *ends(&sizes).last().unwrap();
    for bit in 0..last_end * 8 {
        let rotten = fs.fork(bit as u64);
        let mut bytes = content.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        rotten.overwrite(&path, bytes);
        let result = open(&rotten, FILE_BYTES, 2);
        if let Ok(log) = &result {
            assert_eq!(log.found(), expected, "bit {bit} is in padding");
        } else {
            assert!(is_corrupt(&result), "bit {bit}");
            let log = repair(&rotten, FILE_BYTES, 3).unwrap();
            let found = log.found();
            assert_eq!(found, expected[..found.len()], "bit {bit}");
            assert!(found.len() < expected.len());
        }
    }
}

#[test]
fn any_flipped_bit_of_an_unmarked_tail_leaves_a_prefix() {
    let sizes = [10, 100, 64];
    let (fs, expected) = log_with_frames(&sizes, false);
    let path = only_file(&fs);
    let content = fs.content(&path).unwrap();
    let (first_end, last_end) = (ends(&sizes)[0], *ends(&sizes).last().unwrap());
    let mut refused = 0;
    for bit in 64 * 8..last_end * 8 {
        let rotten = fs.fork(bit as u64);
        let mut bytes = content.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        rotten.overwrite(&path, bytes);
        match open(&rotten, FILE_BYTES, 2) {
            Ok(log) => {
                let found = log.found();
                assert_eq!(found, expected[..found.len()], "bit {bit}");
                assert!(
                    found.len() > 1 || bit / 8 >= first_end,
                    "the next frame knows of it"
                );
            }
            Err(error) => {
                assert!(matches!(error, WalError::Corrupt { .. }));
                refused += 1;
            }
        }
    }
    assert!(
        refused > 0,
        "frames that a later one knows to be durable are missed"
    );
}

#[test]
fn damage_in_a_sealed_file_is_refused_and_repaired() {
    let sizes = [900; 12];
    let (fs, expected) = log_with_frames(&sizes, false);
    let files = paths(&fs, ".wal");
    assert_eq!(files.len(), 3 + 1);
    let mut bytes = fs.content(&files[1]).unwrap();
    // The second frame of the second file.
    bytes[64 + 1024 + 500] ^= 1;
    fs.overwrite(&files[1], bytes);

    let error = open(&fs, FILE_BYTES, 2).unwrap_err();
    let WalError::Corrupt { path, offset, lsn } = &error else {
        unreachable!("{error}")
    };
    assert_eq!((path, *offset, *lsn), (&files[1], 64 + 1024, 5));
    assert!(error.to_string().contains("--repair"));
    assert!(
        is_corrupt(&open(&fs, FILE_BYTES, 3)),
        "refusing changes nothing"
    );

    let mut log = repair(&fs, FILE_BYTES, 4).unwrap();
    assert_eq!(log.found(), expected[..4]);
    assert_eq!(log.stats.dropped_frames, 8);
    assert_eq!(log.write_synced(&[numbered(5, 10)]), 5);
    assert_eq!(paths(&fs, ".dropped").len(), 2);
    fs.crash();
    let log = open(&fs, FILE_BYTES, 5).unwrap();
    let found = log.found();
    assert_eq!(found[..4], expected[..4]);
    assert_eq!(found[4..], [(5, 5, payload(&numbered(5, 10)))]);
}

#[test]
fn a_missing_file_is_told_from_a_released_one() {
    let sizes = [900; 12];
    let (fs, expected) = log_with_frames(&sizes, false);
    let files = paths(&fs, ".wal");
    let released = fs.fork(2);
    released.erase(&files[0]);
    assert_eq!(
        open(&released, FILE_BYTES, 2).unwrap().found(),
        expected[3..]
    );
    for missing in [1, 2] {
        let lossy = fs.fork(3);
        lossy.erase(&files[missing]);
        assert!(is_corrupt(&open(&lossy, FILE_BYTES, 2)));
        let log = repair(&lossy, FILE_BYTES, 3).unwrap();
        assert_eq!(log.found(), expected[..missing * 3]);
    }
}

#[test]
fn another_version_is_refused_even_in_a_repair() {
    let (fs, _) = log_with_frames(&[10], true);
    let path = only_file(&fs);
    let mut bytes = fs.content(&path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..64]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs.overwrite(&path, bytes.clone());
    for repair in [false, true] {
        let error = open_with(&fs, FILE_BYTES, 2, repair).unwrap_err();
        assert!(matches!(error, WalError::Version { version: 2, .. }));
        assert_eq!(fs.content(&path).unwrap(), bytes);
    }
}

#[test]
fn a_log_of_which_nothing_is_left_can_be_repaired() {
    let (fs, _) = log_with_frames(&[900; 12], true);
    let files = paths(&fs, ".wal");
    fs.overwrite(&files[0], vec![9; 4096]);
    assert!(is_corrupt(&open(&fs, FILE_BYTES, 2)));
    let mut log = repair(&fs, FILE_BYTES, 3).unwrap();
    assert!(log.found.is_empty());
    log.write_synced(&[numbered(1, 10)]);
    fs.crash();
    assert_eq!(open(&fs, FILE_BYTES, 4).unwrap().found().len(), 1);
}

#[test]
fn an_interrupted_repair_can_be_run_again() {
    let (fs, expected) = log_with_frames(&[900; 12], true);
    let files = paths(&fs, ".wal");
    let mut bytes = fs.content(&files[1]).unwrap();
    bytes[64 + 1024 + 500] ^= 1;
    fs.overwrite(&files[1], bytes);
    let mut finished_by_itself = 0;
    for seed in 0..300 {
        let fs = fs.fork(seed);
        fs.set_faults(Faults {
            write: 150,
            sync: 150,
            sync_dir: 250,
            name: 250,
            disk_bytes: None,
        });
        let _ = repair(&fs, FILE_BYTES, seed);
        fs.set_faults(Faults::default());
        fs.crash();
        let result = open(&fs, FILE_BYTES, seed + 1000);
        let log = match result {
            Ok(log) => {
                finished_by_itself += 1;
                log
            }
            Err(error) => {
                assert!(matches!(error, WalError::Corrupt { .. }), "{error}");
                repair(&fs, FILE_BYTES, seed + 2000).unwrap()
            }
        };
        assert_eq!(log.found(), expected[..4]);
        assert_eq!(log.files.written_lsn(), 4);
    }
    assert!((1..300).contains(&finished_by_itself));
}
