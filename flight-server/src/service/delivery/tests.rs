#![expect(clippy::unwrap_used, reason = "tests")]

use futures::StreamExt;
use quiver_engine::task;
use tonic::Code;

use super::*;

const IDLE: Duration = Duration::from_secs(1);
/// Well below it: test machines are slow.
const PAUSE: Duration = Duration::from_millis(200);

/// Says when it is dropped.
type Tracked = Arc<()>;

#[tokio::test]
async fn a_reader_that_stalls_is_noticed_without_being_polled() {
    let (outbox, mut reader) = delivery::<Tracked>(IDLE);
    let message = Arc::new(());
    for _ in 0..QUEUED_MESSAGES {
        outbox.send(Arc::clone(&message)).await.unwrap();
    }
    let failure = outbox.send(Arc::clone(&message)).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Deadline);
    assert_eq!(Arc::strong_count(&message), 1 + QUEUED_MESSAGES);
    outbox.abort(Status::deadline_exceeded("stalled"));
    assert_eq!(Arc::strong_count(&message), 1, "nothing queued is kept");
    let last = reader.next().await.unwrap().unwrap_err();
    assert_eq!(last.code(), Code::DeadlineExceeded);
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn a_slow_reader_is_not_idle() {
    let (outbox, mut reader) = delivery::<u8>(IDLE);
    let read = async {
        let mut seen = 0;
        while seen < 10 {
            tokio::time::sleep(PAUSE).await;
            reader.next().await.unwrap().unwrap();
            seen += 1;
        }
        reader
    };
    let write = async {
        for number in 0..10 {
            outbox.send(number).await.unwrap();
        }
        outbox.drained().await.unwrap();
        outbox.finish();
    };
    let (mut reader, ()) = tokio::join!(read, write);
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn the_last_messages_may_stall_too() {
    let (outbox, _reader) = delivery::<u8>(IDLE);
    outbox.send(1).await.unwrap();
    let failure = outbox.drained().await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Deadline);
}

#[tokio::test]
async fn a_reader_that_goes_is_noticed() {
    let (outbox, reader) = delivery::<u8>(IDLE);
    drop(reader);
    outbox.closed().await;
    let failure = outbox.send(1).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Cancelled);
    outbox.abort(Status::cancelled("nobody reads this"));
}

#[tokio::test]
async fn a_writer_that_panics_is_not_the_end_of_the_rows() {
    let (outbox, mut reader) = delivery::<u8>(IDLE);
    let writer = task::spawn(async move {
        outbox.send(1).await.unwrap();
        assert!(std::hint::black_box(false), "on purpose");
        outbox.finish();
    });
    assert!(writer.await.is_err());
    assert_eq!(reader.next().await.unwrap().unwrap(), 1);
    let last = reader.next().await.unwrap().unwrap_err();
    assert_eq!(last.code(), Code::Internal);
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_the_end() {
    let (outbox, mut reader) = delivery::<u8>(IDLE);
    let abort = async {
        tokio::task::yield_now().await;
        outbox.abort(Status::cancelled("by hand"));
    };
    let (last, ()) = tokio::join!(reader.next(), abort);
    assert_eq!(last.unwrap().unwrap_err().code(), Code::Cancelled);
}
