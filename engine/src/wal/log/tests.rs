//! The log on threads: order, durability as asked, back-pressure, failure, closing.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::*;
use crate::storage_fs::LocalFs;
use crate::storage_fs::simulated::{Faults, SimulatedFs};

const WAIT: Duration = Duration::from_secs(20);

fn settings(dir: &Path) -> WalSettings {
    WalSettings {
        file_bytes: 64 << 10,
        ..WalSettings::new(dir)
    }
}

fn open_local(dir: &Path, seed: u64) -> (Wal, Replay) {
    Wal::open(settings(dir), Arc::new(LocalFs), seed, false).unwrap()
}

fn open_simulated(fs: &SimulatedFs) -> Wal {
    let settings = settings(Path::new("/wal"));
    Wal::open(settings, Arc::new(fs.clone()), 1, false)
        .unwrap()
        .0
}

fn frame(kind: u8, payload: &[u8]) -> Frame {
    Frame {
        kind,
        parts: vec![Bytes::copy_from_slice(payload)],
    }
}

async fn append(wal: &Wal, frames: Vec<Frame>, sync: bool) -> Result<Lsn, WalError> {
    let (sender, receiver) = oneshot::channel();
    let reservation = wal.reserve(100).await?;
    let done = Box::new(|result| sender.send(result).unwrap());
    wal.append(reservation, frames, sync, done)?;
    receiver.await.unwrap()
}

fn replayed(replay: Replay) -> Vec<(Lsn, u8, Bytes)> {
    let mut frames = Vec::new();
    replay
        .run(|lsn, kind, payload| {
            frames.push((lsn, kind, payload));
            Ok::<_, WalError>(())
        })
        .unwrap();
    frames
}

/// Waits for something that another thread does.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "bounds a wait in a test")]
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < WAIT, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_was_appended_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, replay) = open_local(dir.path(), 1);
    assert!(replayed(replay).is_empty());
    let frames = vec![frame(1, b"a"), frame(2, b"")];
    assert_eq!(append(&wal, frames, true).await.unwrap(), 1);
    assert!(wal.status().durable_lsn >= 2);
    let reservation = wal.reserve(5000).await.unwrap();
    let patient = vec![frame(3, &[7; 5000])];
    wal.append(reservation, patient, false, Box::new(|_| {}))
        .unwrap();
    wal.close();
    assert!(wal.written_lsn() >= 3);
    assert_eq!(wal.bytes(), wal.status().bytes);
    let closed = append(&wal, vec![], true).await;
    assert!(matches!(closed, Err(WalError::Closed)));

    let (_wal, replay) = open_local(dir.path(), 2);
    let frames = replayed(replay);
    let expected = [(1, 1, &b"a"[..]), (2, 2, b""), (3, 3, &[7; 5000])];
    assert_eq!(frames.len(), 3);
    for ((lsn, kind, payload), expected) in frames.iter().zip(expected) {
        assert_eq!((*lsn, *kind, &payload[..]), expected);
        assert_eq!(payload.as_ptr().align_offset(64), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callbacks_run_in_the_order_of_the_appends() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_local(dir.path(), 1);
    let wal = Arc::new(wal);
    // Numbers are given under a lock that is held over the append, as the engine does.
    let next = Arc::new(Mutex::new(0_u32));
    let reported = Arc::new(Mutex::new(Vec::new()));
    let appender = |task: u32| {
        let (wal, next, reported) = (Arc::clone(&wal), Arc::clone(&next), Arc::clone(&reported));
        async move {
            for round in 0..150 {
                let reservation = wal.reserve(300).await.unwrap();
                let reported = Arc::clone(&reported);
                let frames = 1 + (round + task) % 3;
                let mut next = next.lock();
                let number = *next;
                *next += 1;
                let payload = Bytes::copy_from_slice(&number.to_le_bytes());
                let frame = Frame {
                    kind: 1,
                    parts: vec![payload; 25],
                };
                let done = Box::new(move |result: Result<Lsn, WalError>| {
                    reported.lock().push((number, frames, result.unwrap()));
                });
                let sync = round % 4 == 0;
                wal.append(reservation, vec![frame; frames as usize], sync, done)
                    .unwrap();
            }
        }
    };
    let tasks: tokio::task::JoinSet<()> = (0..8).map(appender).collect();
    tasks.join_all().await;
    wal.close();
    let reported = std::mem::take(&mut *reported.lock());
    let (_wal, replay) = open_local(dir.path(), 2);
    let replayed = replayed(replay);
    assert_eq!(reported.len(), 8 * 150);
    let mut frames = replayed.iter();
    for (index, (number, count, lsn)) in reported.into_iter().enumerate() {
        assert_eq!(number as usize, index);
        for (at, found) in (0..).zip(frames.by_ref().take(count as usize)) {
            // The log's own marks may lie between appends, not within one.
            assert_eq!(found.0, lsn + at);
            assert_eq!(found.2, number.to_le_bytes().repeat(25));
        }
    }
    assert!(frames.next().is_none());
}

#[tokio::test]
async fn a_full_queue_makes_reservations_wait_in_order() {
    let fs = SimulatedFs::new(1);
    let settings = WalSettings {
        queue_bytes_max: 1000,
        ..settings(Path::new("/wal"))
    };
    let (wal, _) = Wal::open(settings, Arc::new(fs), 1, false).unwrap();
    let first = wal.reserve(900).await.unwrap();
    let second = wal.reserve(100).await.unwrap();
    // More than the whole queue counts as the whole queue.
    let mut large = Box::pin(wal.reserve(5000));
    let mut small = Box::pin(wal.reserve(1));
    let soon = Duration::from_millis(20);
    assert!(tokio::time::timeout(soon, &mut large).await.is_err());
    wal.append(first, vec![frame(1, b"x")], true, Box::new(|_| {}))
        .unwrap();
    assert!(
        tokio::time::timeout(soon, &mut small).await.is_err(),
        "nobody overtakes"
    );
    drop(second);
    drop(tokio::time::timeout(WAIT, large).await.unwrap().unwrap());
    tokio::time::timeout(WAIT, small).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failed_sync_reaches_every_waiter_and_every_later_call() {
    let fs = SimulatedFs::new(1);
    let settings = WalSettings {
        queue_bytes_max: 1000,
        ..settings(Path::new("/wal"))
    };
    let (wal, _) = Wal::open(settings, Arc::new(fs.clone()), 1, false).unwrap();
    append(&wal, vec![frame(1, b"durable")], true)
        .await
        .unwrap();
    assert!(!wal.status().poisoned);
    let held = wal.reserve(800).await.unwrap();
    let waiting = wal.reserve(900);
    fs.set_faults(Faults {
        sync: 1000,
        ..Faults::default()
    });
    let failed = append(&wal, vec![frame(1, b"lost")], true).await;
    assert!(matches!(failed, Err(WalError::Poisoned { .. })));
    assert!(matches!(waiting.await, Err(WalError::Poisoned { .. })));
    assert!(wal.status().poisoned);
    fs.set_faults(Faults::default());
    let later = wal.append(held, vec![frame(1, b"x")], false, Box::new(|_| {}));
    assert!(matches!(later, Err(WalError::Poisoned { .. })));
    assert!(matches!(
        wal.reserve(1).await,
        Err(WalError::Poisoned { .. })
    ));
}

#[tokio::test]
async fn a_callback_that_panics_stops_the_log() {
    let wal = open_simulated(&SimulatedFs::new(1));
    let reservation = wal.reserve(1).await.unwrap();
    let done = Box::new(|_: Result<Lsn, WalError>| unreachable!("a bug in a callback"));
    wal.append(reservation, vec![frame(1, b"x")], true, done)
        .unwrap();
    eventually("the end of the log", || wal.status().poisoned).await;
    assert!(matches!(
        wal.reserve(1).await,
        Err(WalError::Poisoned { .. })
    ));
}

#[tokio::test]
async fn a_frame_too_large_does_not_stop_the_log() {
    let wal = open_simulated(&SimulatedFs::new(1));
    let bytes_max = wal.payload_bytes_max() as usize;
    let large = frame(1, &vec![0; bytes_max + 1]);
    let refused = append(&wal, vec![large], true).await;
    assert!(matches!(refused, Err(WalError::FrameTooLarge { .. })));
    let largest = frame(1, &vec![0; bytes_max]);
    append(&wal, vec![largest], true).await.unwrap();
}

#[tokio::test]
async fn closing_writes_what_is_queued() {
    let fs = SimulatedFs::new(1);
    let wal = open_simulated(&fs);
    let reported = Arc::new(Mutex::new(0));
    for _ in 0..200 {
        let reported = Arc::clone(&reported);
        let reservation = wal.reserve(10).await.unwrap();
        let done = Box::new(move |result: Result<Lsn, WalError>| {
            result.unwrap();
            *reported.lock() += 1;
        });
        wal.append(reservation, vec![frame(1, b"0123456789")], false, done)
            .unwrap();
    }
    drop(wal);
    assert_eq!(*reported.lock(), 200);
    fs.crash();
    let settings = settings(Path::new("/wal"));
    let (_wal, replay) = Wal::open(settings, Arc::new(fs), 2, false).unwrap();
    assert_eq!(replayed(replay).len(), 200);
}

#[tokio::test]
async fn the_last_reference_may_be_dropped_by_a_callback() {
    let wal = Arc::new(open_simulated(&SimulatedFs::new(1)));
    let (sender, receiver) = oneshot::channel();
    let (dropped, gone) = oneshot::channel::<()>();
    let reservation = wal.reserve(1).await.unwrap();
    let held = Arc::clone(&wal);
    let done = Box::new(move |_: Result<Lsn, WalError>| {
        receiver.blocking_recv().unwrap();
        drop(held);
        drop(dropped);
    });
    wal.append(reservation, vec![frame(1, b"x")], true, done)
        .unwrap();
    drop(wal);
    sender.send(()).unwrap();
    assert!(tokio::time::timeout(WAIT, gone).await.unwrap().is_err());
}

#[tokio::test]
async fn an_idle_log_proves_its_last_frame() {
    let fs = SimulatedFs::new(1);
    let wal = open_simulated(&fs);
    let lsn = append(&wal, vec![frame(1, b"last")], true).await.unwrap();
    // The mark has a number of its own.
    eventually("the mark", || wal.status().durable_lsn > lsn).await;
    let marked = wal.written_lsn();
    tokio::time::sleep(IDLE_MARK_AFTER * 4).await;
    assert_eq!(wal.written_lsn(), marked, "one mark is enough");
    fs.crash();
    // The first file may have been left for one that was ready.
    let files = wal.status().files;
    let path = Path::new("/wal").join(&files.last().unwrap().name);
    let mut content = fs.content(&path).unwrap();
    content[64 + 64] ^= 1;
    fs.overwrite(&path, content);
    let settings = settings(Path::new("/wal"));
    let error = Wal::open(settings, Arc::new(fs), 2, false).unwrap_err();
    assert!(matches!(error, WalError::Corrupt { lsn: 1, .. }));
}

#[tokio::test]
async fn released_files_are_reused_in_the_background() {
    let fs = SimulatedFs::new(1);
    let wal = open_simulated(&fs);
    for _ in 0..10 {
        append(&wal, vec![frame(1, &[1; 30_000])], true)
            .await
            .unwrap();
    }
    assert!(wal.status().files.len() >= 5);
    wal.release(wal.written_lsn() + 1);
    eventually("the release", || {
        let status = wal.status();
        status.files.len() == 1 && status.recycled_files > 0
    })
    .await;
    assert!(wal.bytes() < 64 << 10);
    append(&wal, vec![frame(1, &[2; 60_000])], true)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_group_is_synced_if_anyone_in_it_asks() {
    let fs = Arc::new(SimulatedFs::new(1));
    let opened = open(settings(Path::new("/wal")), fs, 1, false).unwrap();
    let mut core = opened.core;
    let shared = Shared {
        queue: Queue::new(1000),
        files: opened.files,
        failure: OnceLock::new(),
        reports: AtomicUsize::new(0),
    };
    for (syncs, durable_lsn) in [([false, false], 0), ([false, true], 4), ([true, false], 6)] {
        let mut group = Vec::new();
        for sync in syncs {
            group.push(Append {
                frames: vec![frame(1, b"x")],
                sync,
                done: Box::new(|_| {}),
                reservation: shared.queue.reserve(1).await.unwrap(),
            });
        }
        let report = write_group(&mut core, &shared, group);
        assert!(report.iter().all(|(_, result, _)| result.is_ok()));
        assert_eq!(shared.files.durable_lsn(), durable_lsn);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_synced_stops_the_log() {
    let fs = SimulatedFs::new(1);
    let wal = open_simulated(&fs);
    for _ in 0..4 {
        append(&wal, vec![frame(1, &[1; 60_000])], true)
            .await
            .unwrap();
    }
    fs.set_faults(Faults {
        sync_dir: 1000,
        ..Faults::default()
    });
    wal.release(wal.written_lsn() + 1);
    eventually("the end of the log", || wal.status().poisoned).await;
    assert!(matches!(
        append(&wal, vec![frame(1, b"x")], true).await,
        Err(WalError::Poisoned { .. })
    ));
}
