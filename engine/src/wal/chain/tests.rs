//! Which files make up a log, whatever lies in its folder.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::Lsn;
use super::super::files::log_name;
use super::*;
use crate::storage_fs::simulated::SimulatedFs;

const DIR: &str = "/wal";
const FILE_BYTES: u64 = 640;

/// Header of a file that follows the one with the next lower number.
fn header(number: u64) -> FileHeader {
    FileHeader {
        number,
        salt: number * 100,
        first_lsn: number * 10,
        predecessor_number: number - 1,
        predecessor_salt: (number - 1) * 100,
        predecessor_bytes: if number == 1 { 0 } else { FILE_BYTES },
    }
}

fn path(number: u64) -> PathBuf {
    Path::new(DIR).join(log_name(number))
}

fn put(fs: &SimulatedFs, number: u64, header: &FileHeader) {
    let mut content = header.encode().to_vec();
    content.resize(FILE_BYTES as usize, 0);
    fs.overwrite(&path(number), content);
}

fn log_of(numbers: &[u64]) -> SimulatedFs {
    let fs = SimulatedFs::new(1);
    for number in numbers {
        put(&fs, *number, &header(*number));
    }
    fs
}

/// Numbers of the files in the log, and of those left over.
fn find(fs: &SimulatedFs, repair: bool) -> Result<(Vec<u64>, Vec<u64>), WalError> {
    let chain = find_chain(fs, Path::new(DIR), repair)?;
    let files = chain.files.iter().map(|(file, header)| {
        assert_eq!(file.number, header.number);
        assert_eq!(
            (&file.path, file.file_bytes),
            (&path(file.number), FILE_BYTES)
        );
        file.number
    });
    let mut leftovers: Vec<_> = chain.leftovers.iter().map(|file| file.number).collect();
    leftovers.sort_unstable();
    Ok((files.collect(), leftovers))
}

/// Damage is reported at file `at`; a repair keeps `kept` and leaves the rest over.
fn assert_damaged(fs: &SimulatedFs, (at, first_lsn): (u64, Lsn), kept: &[u64], left: &[u64]) {
    let error = find(fs, false).unwrap_err();
    let WalError::Corrupt {
        path: file,
        offset: 0,
        lsn,
    } = error
    else {
        unreachable!("{error}")
    };
    assert_eq!((file, lsn), (path(at), first_lsn));
    assert_eq!(find(fs, true).unwrap(), (kept.to_vec(), left.to_vec()));
}

#[test]
fn a_log_is_followed_from_its_newest_file() {
    assert_eq!(find(&log_of(&[]), false).unwrap(), (vec![], vec![]));
    assert_eq!(find(&log_of(&[1]), false).unwrap(), (vec![1], vec![]));
    let all = find(&log_of(&[1, 2, 3]), false).unwrap();
    assert_eq!(all, (vec![1, 2, 3], vec![]));
    let released = find(&log_of(&[3, 4]), false).unwrap();
    assert_eq!(released, (vec![3, 4], vec![]));
}

#[test]
fn a_file_that_was_used_anew_is_not_the_predecessor() {
    let fs = log_of(&[1, 2, 3]);
    let salt = header(2).salt + 1;
    put(&fs, 2, &FileHeader { salt, ..header(2) });
    assert_damaged(&fs, (2, 20), &[1], &[2, 3]);
}

#[test]
fn a_file_that_starts_behind_its_successor_is_not_the_predecessor() {
    let fs = log_of(&[1, 2, 3]);
    let starting_at = |first_lsn| FileHeader {
        first_lsn,
        ..header(2)
    };
    put(&fs, 2, &starting_at(30));
    let empty = find(&fs, false).unwrap();
    assert_eq!(empty, (vec![1, 2, 3], vec![]), "a file may hold no frame");
    put(&fs, 2, &starting_at(31));
    assert_damaged(&fs, (2, 31), &[1], &[2, 3]);
}

#[test]
fn a_file_shorter_than_its_successor_says_is_damaged() {
    let fs = log_of(&[1, 2, 3]);
    let longer = FileHeader {
        predecessor_bytes: FILE_BYTES + 1,
        ..header(3)
    };
    put(&fs, 3, &longer);
    assert_damaged(&fs, (2, 20), &[1], &[2, 3]);
}

#[test]
fn a_missing_file_is_reported_at_its_successor() {
    let fs = log_of(&[1, 2, 4]);
    assert_damaged(&fs, (4, 40), &[1, 2], &[4]);
}

#[test]
fn a_file_under_the_name_of_another_is_damaged() {
    let fs = log_of(&[1, 2, 3]);
    put(&fs, 4, &header(3));
    assert_damaged(&fs, (4, 0), &[1, 2, 3], &[4]);
}

#[test]
fn a_damaged_header_is_reported_wherever_it_is() {
    for (damaged, kept, left) in [
        (1, vec![], vec![1, 2, 3]),
        (2, vec![1], vec![2, 3]),
        (3, vec![1, 2], vec![3]),
    ] {
        let fs = log_of(&[1, 2, 3]);
        fs.overwrite(&path(damaged), vec![0; FILE_BYTES as usize]);
        assert_damaged(&fs, (damaged, 0), &kept, &left);
    }
}

#[test]
fn files_that_an_interrupted_repair_gave_up_are_left_over() {
    let fs = log_of(&[1, 2, 3, 4]);
    let after_repair = |number, predecessor: u64| FileHeader {
        predecessor_number: predecessor,
        predecessor_salt: predecessor * 100,
        predecessor_bytes: predecessor.min(1) * FILE_BYTES,
        ..header(number)
    };
    put(&fs, 5, &after_repair(5, 2));
    let cut = (vec![1, 2, 5], vec![3, 4]);
    assert_eq!(find(&fs, false).unwrap(), cut);

    let released = log_of(&[3, 4]);
    put(&released, 5, &after_repair(5, 2));
    let behind_a_released_one = (vec![5], vec![3, 4]);
    assert_eq!(find(&released, false).unwrap(), behind_a_released_one);

    put(&fs, 6, &after_repair(6, 0));
    let of_everything = (vec![6], vec![1, 2, 3, 4, 5]);
    assert_eq!(find(&fs, false).unwrap(), of_everything);
}

#[test]
fn only_names_of_the_log_count() {
    let fs = log_of(&[1]);
    for name in [
        "2.wal",
        "+0000000000000000002.wal",
        "00000000000000000002.wal.dropped",
        "00000000000000000002.spare",
        "00000000000000000002.WAL",
        "notes.txt",
    ] {
        fs.overwrite(&Path::new(DIR).join(name), vec![1; 640]);
    }
    assert_eq!(find(&fs, false).unwrap(), (vec![1], vec![]));
}
