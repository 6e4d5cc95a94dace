//! The simulated disk does to data what it says.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::IoSlice;
use std::path::Path;

use super::*;
use crate::storage_fs::LocalFs;

fn write(file: &dyn StorageFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let mut parts = [IoSlice::new(left), IoSlice::new(&[]), IoSlice::new(right)];
    file.write_at(offset, &mut parts)
}

/// What any file system has to do, whatever else it does.
fn check_contract(fs: &dyn StorageFs, dir: &Path) {
    fs.create_dir_all(dir).unwrap();
    let (a, b) = (dir.join("a"), dir.join("b"));
    let file = fs.create(&a).unwrap();
    write(&*file, 3, b"hello").unwrap();
    file.allocate(20).unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.len().unwrap(), 20);
    let mut buffer = [1; 30];
    assert_eq!(file.read_at(0, &mut buffer).unwrap(), 20);
    assert_eq!(&buffer[..9], b"\0\0\0hello\0");
    let many = vec![b"xy".to_vec(); 3000];
    let mut slices: Vec<_> = many.iter().map(|part| IoSlice::new(part)).collect();
    file.write_at(0, &mut slices).unwrap();
    assert_eq!(file.len().unwrap(), 6000);
    fs.rename(&a, &b).unwrap();
    fs.sync_dir(dir).unwrap();
    assert_eq!(
        fs.list(dir).unwrap(),
        [FileEntry {
            name: "b".into(),
            bytes: 6000
        }]
    );
    assert_eq!(fs.open(&a).unwrap_err().kind(), io::ErrorKind::NotFound);
    fs.remove(&b).unwrap();
    assert!(fs.list(dir).unwrap().is_empty());
}

#[test]
fn both_file_systems_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    check_contract(&LocalFs, &dir.path().join("x/y"));
    check_contract(&SimulatedFs::new(1), Path::new("/x/y"));
}

#[test]
fn a_crash_keeps_what_was_synced_and_some_of_the_rest() {
    let (mut lost, mut kept, mut mixed) = (0, 0, 0);
    for seed in 0..200 {
        let fs = SimulatedFs::new(seed);
        let path = Path::new("/d/a");
        let file = fs.create(path).unwrap();
        write(&*file, 0, &[1; 2048]).unwrap();
        file.sync_data().unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        write(&*file, 0, &[2; 2048]).unwrap();
        fs.crash();
        assert!(file.sync_data().is_err());
        let content = fs.content(path).unwrap();
        match content.iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            2048 => kept += 1,
            _ => mixed += 1,
        }
        assert!(content.iter().all(|byte| [1, 2].contains(byte)));
    }
    assert!(lost > 10 && kept > 10 && mixed > 10);
}

#[test]
fn a_failed_sync_loses_writes_that_stay_visible() {
    let mut lost = 0;
    for seed in 0..50 {
        let fs = SimulatedFs::new(seed);
        let path = Path::new("/d/a");
        let file = fs.create(path).unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        write(&*file, 0, &[2; 2048]).unwrap();
        fs.set_faults(Faults {
            sync: 1000,
            ..Faults::default()
        });
        assert!(file.sync_data().is_err());
        fs.set_faults(Faults::default());
        file.sync_data().unwrap();
        assert_eq!(fs.content(path).unwrap(), [2; 2048]);
        fs.crash();
        lost += usize::from(fs.content(path).unwrap() != [2; 2048]);
    }
    assert!(lost > 20);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let fs = SimulatedFs::new(1);
    fs.set_faults(Faults {
        disk_bytes: Some(1000),
        ..Faults::default()
    });
    let file = fs.create(Path::new("/d/a")).unwrap();
    let error = write(&*file, 0, &[2; 2048]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 1000);
    write(&*file, 0, &[3; 1000]).unwrap();
}

#[test]
fn a_folder_that_nobody_synced_may_be_lost_with_all_that_is_in_it() {
    let mut lost = 0;
    for (seed, synced) in (0..50).flat_map(|seed| [(seed, false), (seed, true)]) {
        let fs = SimulatedFs::new(seed);
        let dir = Path::new("/disk/folder");
        fs.create_dir_all(dir).unwrap();
        let file = fs.create(&dir.join("a")).unwrap();
        file.sync_data().unwrap();
        fs.sync_dir(dir).unwrap();
        if synced {
            fs.sync_dir(Path::new("/disk")).unwrap();
        }
        fs.crash();
        let gone = fs.list(dir).unwrap().is_empty();
        assert!(!(gone && synced));
        lost += usize::from(gone);
    }
    assert!((10..50).contains(&lost));
}
