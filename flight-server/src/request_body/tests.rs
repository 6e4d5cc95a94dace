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

fn noting<B>(inner: B) -> EndNotingBody<B> {
    EndNotingBody {
        inner,
        end: RequestEnd::default(),
        idle_max: IDLE,
        idle: None,
        waiting: false,
    }
}

/// A body fed by hand.
fn body() -> (Frames, EndNotingBody<Fed>) {
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
