//! Files come and go: release, recycling, spares, numbers.

use super::*;
use crate::storage_fs::simulated::Stop;

const FILE_BYTES: u64 = 4096;

/// Fills files with three frames each, synced.
fn fill(log: &mut Driven, frames: u64) {
    for _ in 0..frames {
        let lsn = log.files.written_lsn() + 1;
        log.write_synced(&[numbered(lsn, 900)]);
    }
}

#[test]
fn files_below_the_release_are_recycled_or_removed() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    fill(&mut log, 16);
    assert_eq!(paths(&fs, ".wal").len(), 6);
    log.release(3);
    assert_eq!(paths(&fs, ".wal").len(), 6, "frame 3 is still wanted");
    log.release(4);
    assert_eq!(
        (paths(&fs, ".wal").len(), paths(&fs, ".spare").len()),
        (5, 1)
    );
    log.release(2);
    assert_eq!(paths(&fs, ".wal").len(), 5, "a release never goes back");
    log.release(100);
    // Two spares are kept; the current file stays although nothing in it is wanted.
    assert_eq!(
        (paths(&fs, ".wal").len(), paths(&fs, ".spare").len()),
        (1, 2)
    );
    let status = log.files.status(false);
    assert_eq!((status.files.len(), status.recycled_files), (1, 2));
    assert_eq!(
        (status.files[0].first_lsn, status.files[0].last_lsn),
        (16, 16)
    );
    fs.crash();
    let log = open(&fs, FILE_BYTES, 2).unwrap();
    assert_eq!(log.found(), [(16, 16, payload(&numbered(16, 900)))]);
}

#[test]
fn frames_of_a_recycled_file_do_not_come_back() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    fill(&mut log, 12);
    log.release(10);
    while !log.files.has_ready() {
        log.housekeeper.prepare();
    }
    fill(&mut log, 2);
    let files = paths(&fs, ".wal");
    let newest = fs.content(files.last().unwrap()).unwrap();
    let stale = numbered(2, 900);
    let old = |content: &[u8]| content.windows(900).any(|bytes| bytes == payload(&stale));
    assert!(
        old(&newest)
            || paths(&fs, ".spare")
                .iter()
                .any(|p| old(&fs.content(p).unwrap()))
    );
    fs.crash();
    let log = open(&fs, FILE_BYTES, 2).unwrap();
    let expected: Vec<_> = (10..15)
        .map(|lsn| (lsn, lsn as u8, payload(&numbered(lsn, 900))))
        .collect();
    assert_eq!(log.found(), expected);
    assert_eq!(log.stats.cut_bytes, 0, "stale frames are not a torn tail");
}

#[test]
fn a_spare_whose_name_is_not_durable_keeps_its_bytes() {
    for (seed, changes) in (0..20).flat_map(|seed| (0..8).map(move |changes| (seed, changes))) {
        let fs = SimulatedFs::new(seed);
        let mut log = open(&fs, FILE_BYTES, 1).unwrap();
        fill(&mut log, 7);
        // A release that is killed before it syncs the folder.
        let oldest = paths(&fs, ".wal").remove(0);
        fs.rename(&oldest, &oldest.with_extension("spare")).unwrap();
        fs.kill();
        fs.stop_at(Stop::AfterChanges(changes), Box::new(|| ()));
        let _interrupted = open(&fs, FILE_BYTES, 2);
        fs.crash();
        let log = open(&fs, FILE_BYTES, 3).unwrap();
        assert_eq!(
            log.found().last().map(|frame| frame.0),
            Some(7),
            "seed {seed}"
        );
    }
}

#[test]
fn a_spare_is_kept_ready_and_used_early_by_an_unprepared_file() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    fill(&mut log, 1);
    log.housekeeper.prepare();
    assert!(log.files.has_ready());
    log.housekeeper.prepare();
    assert_eq!(paths(&fs, ".spare").len(), 1, "one is enough");
    fill(&mut log, 1);
    assert_eq!(
        log.files.status(false).files.len(),
        2,
        "the first file had no written blocks"
    );
    log.housekeeper.prepare();
    fill(&mut log, 1);
    assert_eq!(log.files.status(false).files.len(), 2, "the second one has");
    assert!(
        paths(&fs, ".spare")
            .iter()
            .all(|p| fs.content(p).unwrap() == [0; 4096])
    );
}

#[test]
fn spares_survive_a_start_unless_they_are_unfinished_or_too_many() {
    let fs = SimulatedFs::new(1);
    drop(open(&fs, FILE_BYTES, 1).unwrap());
    for (number, bytes) in [(91, 4096), (92, 100), (93, 4096), (94, 4096), (95, 9000)] {
        fs.overwrite(
            &Path::new(DIR).join(format!("{number:020}.spare")),
            vec![1; bytes],
        );
    }
    fs.overwrite(
        &Path::new(DIR).join(format!("{:020}.wal.dropped", 99)),
        vec![],
    );
    fs.overwrite(&Path::new(DIR).join("notes.txt"), vec![]);
    let log = open(&fs, FILE_BYTES, 2).unwrap();
    assert_eq!(log.files.status(false).recycled_files, 1);
    let names: Vec<_> = fs
        .list(Path::new(DIR))
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    let number = |number: u64, suffix: &str| format!("{number:020}.{suffix}");
    // One of the two that were kept is the new file, with a number that no file ever had.
    let expected = [
        number(91, "spare"),
        number(99, "wal.dropped"),
        number(100, "wal"),
    ];
    assert_eq!(names[..3], expected);
    assert_eq!(names[3..], ["notes.txt"]);
    let newest = Path::new(DIR).join(&names[2]);
    assert_eq!(fs.content(&newest).unwrap().len() as u64, FILE_BYTES);
}

#[test]
fn a_file_that_cannot_be_renamed_is_released_later() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    fill(&mut log, 9);
    let faults = crate::storage_fs::simulated::Faults {
        name: 1000,
        ..Default::default()
    };
    fs.set_faults(faults);
    log.release(9);
    assert_eq!(paths(&fs, ".wal").len(), 3);
    fs.set_faults(Default::default());
    log.release(10);
    assert_eq!(paths(&fs, ".wal").len(), 1);
}

#[test]
fn a_full_disk_leaves_no_half_made_spare() {
    let fs = SimulatedFs::new(1);
    let log = open(&fs, FILE_BYTES, 1).unwrap();
    let faults = crate::storage_fs::simulated::Faults {
        disk_bytes: Some(5000),
        ..Default::default()
    };
    fs.set_faults(faults);
    log.housekeeper.prepare();
    assert!(!log.files.has_ready());
    assert!(paths(&fs, ".spare").is_empty());
    assert_eq!(log.files.next_chore(), None, "it would fail again at once");
}

#[test]
fn released_files_of_another_size_are_grown_or_removed() {
    for (before, now, grown) in [(4096, 8192, true), (8192, 4096, false)] {
        let fs = SimulatedFs::new(1);
        let mut log = open(&fs, before, 1).unwrap();
        fill(&mut log, 1);
        drop(log);
        let log = open(&fs, now, 2).unwrap();
        log.release(2);
        assert_eq!(paths(&fs, ".wal").len(), 1);
        assert_eq!(paths(&fs, ".spare").len(), usize::from(grown));
        log.housekeeper.prepare();
        let [spare] = &paths(&fs, ".spare")[..] else {
            unreachable!("one is prepared in any case")
        };
        assert_eq!(fs.content(spare).unwrap().len() as u64, now);
        let stale = payload(&numbered(1, 900));
        let content = fs.content(spare).unwrap();
        assert_eq!(content[128..].starts_with(&stale), grown);
    }
}

#[test]
fn a_spare_is_durable_zeros_before_it_is_ready() {
    let fs = SimulatedFs::new(1);
    let log = open(&fs, FILE_BYTES, 1).unwrap();
    let syncs = fs.syncs();
    log.housekeeper.prepare();
    assert!(log.files.has_ready());
    assert_eq!(fs.syncs(), syncs + 1);
}

#[test]
fn a_log_that_is_closing_prepares_nothing() {
    let fs = SimulatedFs::new(1);
    let log = open(&fs, FILE_BYTES, 1).unwrap();
    log.files.stop();
    log.housekeeper.prepare();
    assert!(!log.files.has_ready());
    // What was begun is not a whole spare: the next start removes it.
    assert_eq!(paths(&fs, ".spare").len(), 1);
    drop(log);
    let log = open(&fs, FILE_BYTES, 2).unwrap();
    assert!(paths(&fs, ".spare").is_empty());
    assert_eq!(log.files.status(false).recycled_files, 0);
}

#[test]
fn a_writer_that_writes_much_is_busy() {
    let fs = SimulatedFs::new(1);
    let log = open(&fs, FILE_BYTES, 1).unwrap();
    let mut seen = log.files.position();
    assert!(!log.housekeeper.writer_is_busy(&mut seen));
    log.files.set_written(2, seen.1 + (1 << 20));
    assert!(!log.housekeeper.writer_is_busy(&mut seen), "a little");
    log.files.set_written(3, seen.1 + (5 << 20));
    assert!(log.housekeeper.writer_is_busy(&mut seen));
    assert!(!log.housekeeper.writer_is_busy(&mut seen), "not any more");
}

#[test]
fn at_least_one_spare_survives_a_start() {
    let fs = SimulatedFs::new(1);
    drop(open(&fs, FILE_BYTES, 1).unwrap());
    let spare = |number| Path::new(DIR).join(format!("{number:020}.spare"));
    fs.overwrite(&spare(5), vec![1; FILE_BYTES as usize]);
    fs.overwrite(&spare(6), vec![1; FILE_BYTES as usize]);
    let settings = WalSettings {
        recycled_files_max: 0,
        ..settings(FILE_BYTES)
    };
    let opened = recovery::open(settings, Arc::new(fs.clone()), 2, false).unwrap();
    // One was kept, and is now the new file.
    assert!(paths(&fs, ".spare").is_empty());
    assert!(!opened.files.has_ready());
    let newest = paths(&fs, ".wal").pop().unwrap();
    assert_eq!(fs.content(&newest).unwrap()[64..], [1; 4096 - 64]);
}

#[test]
fn the_folder_of_a_new_log_is_durable() {
    for seed in 0..20 {
        let fs = SimulatedFs::new(seed);
        let mut log = open(&fs, FILE_BYTES, 1).unwrap();
        fill(&mut log, 1);
        fs.crash();
        assert_eq!(open(&fs, FILE_BYTES, 2).unwrap().found.len(), 1);
    }
}

#[test]
fn starts_without_writes_leave_one_file() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    fill(&mut log, 4);
    log.release(4);
    assert_eq!(paths(&fs, ".wal").len(), 1, "frame 4 is in the second file");
    let expected = [(4, 4, payload(&numbered(4, 900)))];
    for seed in 2..6 {
        fs.crash();
        log = open(&fs, FILE_BYTES, seed).unwrap();
        assert_eq!(log.found(), expected);
        assert_eq!(paths(&fs, ".wal").len(), 2);
    }
    // Also when nothing is left that a new file could follow.
    log.release(5);
    for seed in 6..9 {
        fs.crash();
        log = open(&fs, FILE_BYTES, seed).unwrap();
        assert_eq!(log.found(), []);
        assert_eq!(paths(&fs, ".wal").len(), 1);
    }
    assert_eq!(log.write_synced(&[numbered(5, 900)]), 5, "numbers go on");
}

#[test]
fn a_start_that_was_interrupted_is_cleaned_up_by_the_next() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    fill(&mut log, 1);
    drop(open(&fs, FILE_BYTES, 2).unwrap());
    let unused = paths(&fs, ".wal").pop().unwrap();
    let content = fs.content(&unused).unwrap();
    drop(open(&fs, FILE_BYTES, 3).unwrap());
    assert_eq!(fs.content(&unused), None);
    // As if the power had gone before the removal.
    fs.overwrite(&unused, content);
    let mut log = open(&fs, FILE_BYTES, 4).unwrap();
    assert_eq!(log.stats.dropped_frames, 0);
    assert_eq!(fs.content(&unused), None);
    assert_eq!(paths(&fs, ".dropped"), [] as [PathBuf; 0]);
    fill(&mut log, 1);
    fs.crash();
    let numbers: Vec<_> = open(&fs, FILE_BYTES, 5).unwrap().found();
    assert_eq!(
        numbers.iter().map(|found| found.0).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn a_repair_removes_nothing_that_looks_unused() {
    let fs = SimulatedFs::new(1);
    let mut log = open(&fs, FILE_BYTES, 1).unwrap();
    fill(&mut log, 4);
    drop(log);
    let files = paths(&fs, ".wal");
    assert_eq!(files.len(), 2);
    for path in &files {
        // The first frame of each: of the second file that is the only one.
        let mut content = fs.content(path).unwrap();
        content[64..128].fill(0xee);
        fs.overwrite(path, content);
    }
    assert!(open(&fs, FILE_BYTES, 2).is_err());
    repair(&fs, FILE_BYTES, 3).unwrap();
    assert_eq!(paths(&fs, ".dropped").len(), 1, "the second file is kept");
}
