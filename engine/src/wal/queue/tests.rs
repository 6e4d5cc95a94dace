//! Groups are taken in order and bounded in bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;

use super::*;

async fn push(queue: &Queue, bytes: usize) {
    push_with(queue, bytes, true).await;
}

async fn push_with(queue: &Queue, bytes: usize, sync: bool) {
    let reservation = queue.reserve(bytes).await.unwrap();
    let frames = vec![Frame {
        kind: 0,
        parts: vec![Bytes::from(vec![0; bytes])],
    }];
    let append = Append {
        frames,
        sync,
        done: Box::new(|_| {}),
        reservation,
    };
    assert!(queue.push(append).is_ok());
}

/// Sizes of the appends of the next group.
fn next(queue: &Queue) -> Vec<u64> {
    let Work::Group(group) = queue.next(1000, None) else {
        return vec![];
    };
    group
        .iter()
        .map(|append| append.frames[0].payload_bytes())
        .collect()
}

#[tokio::test]
async fn a_group_is_what_queued_up_to_its_limit() {
    let queue = Queue::new(1 << 20);
    for bytes in [400, 600, 1, 5000, 2, 3] {
        push(&queue, bytes).await;
    }
    assert_eq!(next(&queue), [400, 600]);
    assert_eq!(next(&queue), [1], "the next one would make it too large");
    assert_eq!(next(&queue), [5000], "one is taken whatever its size");
    assert_eq!(next(&queue), [2, 3]);
    assert!(matches!(
        queue.next(1000, Some(Duration::from_millis(1))),
        Work::Idle
    ));
}

#[tokio::test]
async fn a_closed_queue_gives_what_it_has_and_takes_no_more() {
    let queue = Queue::new(1 << 20);
    push(&queue, 10).await;
    let late = queue.reserve(10).await.unwrap();
    queue.close();
    assert!(queue.reserve(10).await.is_none());
    let append = Append {
        frames: vec![],
        sync: false,
        done: Box::new(|_| {}),
        reservation: late,
    };
    assert!(queue.push(append).is_err());
    assert_eq!(next(&queue), [10]);
    assert!(matches!(queue.next(1000, None), Work::Closed));
}

/// Whether the writer would go to work now.
fn is_due(queue: &Queue) -> bool {
    queue.is_due(&queue.state.lock())
}

#[tokio::test]
async fn what_needs_no_sync_waits_for_what_does() {
    let queue = Queue::new(1 << 20);
    push_with(&queue, 10, false).await;
    assert!(!is_due(&queue));
    push_with(&queue, 20, true).await;
    assert!(is_due(&queue));
    assert_eq!(next(&queue), [10, 20]);
    assert!(!is_due(&queue));

    push_with(&queue, 200 << 10, false).await;
    assert!(!is_due(&queue));
    push_with(&queue, 100 << 10, false).await;
    assert!(is_due(&queue), "much of it does not wait");
    let idle = Some(Duration::from_millis(1));
    assert!(matches!(queue.next(1, idle), Work::Group(group) if group.len() == 1));
    assert!(!is_due(&queue));
    assert!(
        matches!(queue.next(1, idle), Work::Group(_)),
        "nor does it wait for ever"
    );
}

#[tokio::test]
async fn nobody_waits_for_room_that_patient_appends_take() {
    let queue = Arc::new(Queue::new(1000));
    push_with(&queue, 600, false).await;
    let writer = {
        let queue = Arc::clone(&queue);
        std::thread::spawn(move || next(&queue))
    };
    // Longer than it takes the writer to fall asleep.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let waiting = tokio::time::timeout(Duration::from_secs(20), queue.reserve(600));
    assert!(waiting.await.unwrap().is_some());
    assert_eq!(writer.join().unwrap(), [600]);
    assert!(!is_due(&queue), "whoever waited has gone");
}
