//! Groups are taken in order and bounded in bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;

use super::*;

async fn push(queue: &Queue, bytes: usize) {
    let reservation = queue.reserve(bytes).await.unwrap();
    let frames = vec![Frame {
        kind: 0,
        parts: vec![Bytes::from(vec![0; bytes])],
    }];
    let append = Append {
        frames,
        sync: false,
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
