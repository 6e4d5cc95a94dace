//! Names, and what there is to do with the files.

use std::sync::Arc;
use std::sync::mpsc::channel;

use super::*;

fn file(number: u64, lsns: std::ops::Range<Lsn>) -> LogFile {
    LogFile {
        number,
        first_lsn: lsns.start,
        end_lsn: lsns.end,
        used_bytes: 640,
    }
}

fn spare(number: u64) -> Spare {
    Spare {
        number,
        filled_bytes: 64,
    }
}

/// Files with the frames 1..10 and 10..20, the current one empty, and one spare ready.
fn files() -> LogFiles {
    let sealed = [file(1, 1..10), file(2, 10..20)];
    LogFiles::new(sealed.into(), file(3, 20..20), vec![spare(4)], 5)
}

#[test]
fn names_have_twenty_digits() {
    assert_eq!(log_name(7), "00000000000000000007.wal");
    assert_eq!(spare_name(7), "00000000000000000007.spare");
    assert_eq!(dropped_name(7), "00000000000000000007.wal.dropped");
    for number in [1, u64::MAX] {
        assert_eq!(parse_name(&log_name(number)), Some((number, FileRole::Log)));
        let spare = parse_name(&spare_name(number));
        assert_eq!(spare, Some((number, FileRole::Spare)));
        assert_eq!(parse_name(&dropped_name(number)), None);
        assert_eq!(name_number(&dropped_name(number)), Some(number));
    }
    for foreign in [
        "7.wal",
        "000000000000000000007.wal",
        "+0000000000000000007.wal",
        "99999999999999999999.wal",
        "00000000000000000007",
        "wal",
    ] {
        assert_eq!(parse_name(foreign), None, "{foreign}");
        assert_eq!(name_number(foreign), None, "{foreign}");
    }
}

#[test]
fn a_release_is_a_chore_once() {
    let files = files();
    assert_eq!(files.next_chore(), None, "one spare is ready");
    files.ask_release(5);
    assert_eq!(files.next_chore(), Some(Chore::Release));
    assert_eq!(files.next_chore(), None);
    files.ask_release(5);
    assert_eq!(files.next_chore(), None, "nothing has changed");
}

#[test]
fn a_file_is_released_when_its_last_frame_is_not_wanted() {
    let files = files();
    files.ask_release(9);
    assert_eq!(files.releasable(8), None);
    files.ask_release(10);
    assert_eq!(files.releasable(8), Some((file(1, 1..10), true)));
    files.ask_release(3);
    assert_eq!(files.releasable(8), Some((file(1, 1..10), true)));
    files.released(None);
    assert_eq!(files.releasable(8), None);
    assert_eq!(files.bytes(), 2 * 640);
}

#[test]
fn spares_are_kept_up_to_a_number_but_one_always() {
    let files = files();
    files.ask_release(20);
    for (most, reuse) in [(0, false), (1, false), (2, true)] {
        assert_eq!(files.releasable(most).map(|(_, reuse)| reuse), Some(reuse));
    }
    assert_eq!(files.take_ready(), Some(spare(4)));
    assert_eq!(files.releasable(0).map(|(_, reuse)| reuse), Some(true));
    files.released(Some(spare(1)));
    assert_eq!(files.releasable(1).map(|(_, reuse)| reuse), Some(false));
    assert_eq!(files.status(false).recycled_files, 1);
}

#[test]
fn a_file_is_sealed_when_the_next_one_starts_and_may_then_be_released() {
    let files = files();
    files.set_written(25, 1000);
    files.ask_release(25);
    assert_eq!(files.next_chore(), Some(Chore::Release));
    for number in [1, 2] {
        assert_eq!(files.releasable(8).map(|(f, _)| f.number), Some(number));
        files.released(None);
    }
    assert_eq!(files.releasable(8), None, "it is still being written");
    files.start_file(file(5, 25..25));
    // Nobody has to ask again.
    assert_eq!(files.next_chore(), Some(Chore::Release));
    let sealed = LogFile {
        used_bytes: 1000,
        ..file(3, 20..25)
    };
    assert_eq!(files.releasable(8), Some((sealed, true)));
    assert_eq!(files.bytes(), 1000 + 640);
    assert_eq!(files.written_lsn(), 24);
}

#[test]
fn a_spare_is_prepared_when_none_is_ready_or_one_was_released() {
    let files = files();
    assert_eq!(files.to_prepare(), None);
    files.released(Some(spare(1)));
    assert_eq!(files.next_chore(), Some(Chore::Prepare));
    assert_eq!(files.to_prepare(), Some(Some(spare(1))));
    files.add_ready(spare(1));
    assert_eq!(files.next_chore(), None);
    assert_eq!(files.take_ready(), Some(spare(1)));
    assert_eq!(files.next_chore(), None);
    assert_eq!(files.take_ready(), Some(spare(4)));
    assert!(!files.has_ready());
    assert_eq!(files.next_chore(), Some(Chore::Prepare));
    assert_eq!(files.to_prepare(), Some(None), "a new file has to be made");
}

#[test]
fn a_failed_preparation_rests_until_something_changes() {
    let files = files();
    files.take_ready();
    let fail = || {
        assert_eq!(files.next_chore(), Some(Chore::Prepare));
        files.prepare_failed();
        assert_eq!(files.next_chore(), None);
    };
    fail();
    assert_eq!(files.take_ready(), None);
    fail();
    files.ask_release(10);
    assert_eq!(files.next_chore(), Some(Chore::Release));
    fail();
    files.stop();
    assert!(files.is_stopping());
    assert_eq!(files.next_chore(), Some(Chore::Stop));
    assert_eq!(files.next_chore(), Some(Chore::Stop));
}

#[test]
fn a_file_that_is_prepared_in_part_rests_and_is_gone_on_with() {
    let files = files();
    files.take_ready();
    let part = Spare {
        number: 9,
        filled_bytes: 123,
    };
    files.prepare_later(part);
    assert_eq!(files.next_chore(), None);
    assert_eq!(files.take_ready(), None);
    assert_eq!(files.next_chore(), Some(Chore::Prepare));
    assert_eq!(files.to_prepare(), Some(Some(part)));
}

type Wake = fn(&LogFiles);

#[test]
#[expect(clippy::disallowed_methods, reason = "on a test's own thread")]
fn whoever_waits_for_a_chore_is_woken() {
    let wakers: [(Wake, Chore); 4] = [
        (LogFiles::stop, Chore::Stop),
        (|files| files.ask_release(5), Chore::Release),
        (|files| files.start_file(file(5, 20..20)), Chore::Release),
        (|files| _ = files.take_ready(), Chore::Prepare),
    ];
    for (wake, chore) in wakers {
        let files = Arc::new(files());
        let (sender, receiver) = channel();
        let waiting = Arc::clone(&files);
        std::thread::spawn(move || sender.send(waiting.wait_for_chore()));
        // So that it does wait, most of the time.
        std::thread::sleep(Duration::from_millis(20));
        wake(&files);
        let woken = receiver.recv_timeout(Duration::from_secs(20));
        assert_eq!(woken, Ok(chore));
    }
}
