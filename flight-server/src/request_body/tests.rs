#![expect(clippy::unwrap_used, reason = "tests")]

use futures::StreamExt;
use futures::channel::mpsc;
use futures::stream::FusedStream;
use http_body_util::{BodyExt, StreamBody};
use tonic::{Code, Status};

use super::*;

const IDLE: Duration = Duration::from_secs(1);
/// Well below it: test machines are slow.
const PAUSE: Duration = Duration::from_millis(200);

/// One byte per frame of these tests.
const BYTES_MAX: u64 = 8;

type Frames = mpsc::UnboundedSender<Frame<Bytes>>;

/// As hyper's body does, it knows after its last frame whether that was the end.
struct Fed(mpsc::UnboundedReceiver<Frame<Bytes>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_next_unpin(context).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_terminated()
    }
}

fn noting<B>(inner: B) -> WatchedBody<B> {
    WatchedBody::new(inner, RequestEnd::default(), IDLE, BYTES_MAX)
}

/// A body fed by hand.
fn body() -> (Frames, WatchedBody<Fed>) {
    let (sender, receiver) = mpsc::unbounded();
    (sender, noting(Fed(receiver)))
}

fn data() -> Frame<Bytes> {
    Frame::data(Bytes::from_static(b"x"))
}

#[tokio::test]
async fn a_body_of_which_nothing_comes_fails() {
    let (sender, mut body) = body();
    sender.unbounded_send(data()).unwrap();
    body.frame().await.unwrap().unwrap();
    let before = Instant::now();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(before.elapsed() >= IDLE);
    let status = Status::from_error(error);
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("stream_idle_timeout_ms"));
    assert!(!body.end.is_complete());
}

/// hyper hides a reset without an error code behind an ordinary end of frames.
#[tokio::test]
async fn a_body_that_was_reset_is_not_complete() {
    let frames = futures::stream::iter([Ok::<_, Status>(data())]);
    let mut body = noting(StreamBody::new(frames));
    body.frame().await.unwrap().unwrap();
    assert!(body.frame().await.is_none());
    assert!(!body.end.is_complete());
}

#[tokio::test]
async fn every_frame_begins_the_wait_anew() {
    let (sender, mut body) = body();
    let feed = async {
        for _ in 0..8 {
            tokio::time::sleep(PAUSE).await;
            sender.unbounded_send(data()).unwrap();
        }
        sender.close_channel();
    };
    let read = async {
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
    };
    tokio::join!(feed, read);
    assert!(body.end.is_complete());
}

#[tokio::test]
async fn time_in_which_nobody_reads_does_not_count() {
    let (sender, mut body) = body();
    sender.unbounded_send(data()).unwrap();
    body.frame().await.unwrap().unwrap();
    tokio::time::sleep(IDLE + PAUSE).await;
    let feed = async {
        tokio::time::sleep(PAUSE).await;
        sender.unbounded_send(data()).unwrap();
    };
    let (frame, ()) = tokio::join!(body.frame(), feed);
    frame.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_is_too_large_fails() {
    let (sender, mut body) = body();
    for _ in 0..=BYTES_MAX {
        sender.unbounded_send(data()).unwrap();
    }
    for _ in 0..BYTES_MAX {
        body.frame().await.unwrap().unwrap();
    }
    let status = Status::from_error(body.frame().await.unwrap().unwrap_err());
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[test]
fn only_uploads_are_unbounded() {
    let limits = BodyLimits {
        idle_max: IDLE,
        request_bytes_max: 1 << 20,
    };
    let bytes_max = |name: &str| {
        let path = format!("/arrow.flight.protocol.FlightService/{name}");
        limits.bytes_max(Method::of(&path))
    };
    assert_eq!(bytes_max("DoPut"), u64::MAX);
    assert_eq!(bytes_max("DoGet"), 1 << 20);
    assert_eq!(bytes_max("Handshake"), HANDSHAKE_BYTES_MAX);
    assert_eq!(bytes_max("NoSuchCall"), 1 << 20);
}
