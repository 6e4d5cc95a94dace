//! The threaded log on a real file system.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::storage_fs::LocalFs;

fn settings(dir: &std::path::Path) -> WalSettings {
    WalSettings {
        file_bytes: 64 << 10,
        ..WalSettings::new(dir)
    }
}

fn frame(kind: u8, payload: &[u8]) -> Frame {
    Frame {
        kind,
        parts: vec![Bytes::copy_from_slice(payload)],
    }
}

async fn append(wal: &Wal, frames: Vec<Frame>, sync: bool) -> Result<Lsn, WalError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let reservation = wal.reserve(100).await?;
    wal.append(
        reservation,
        frames,
        sync,
        Box::new(|result| sender.send(result).unwrap()),
    )?;
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

#[tokio::test]
async fn what_was_appended_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, replay) = Wal::open(settings(dir.path()), Arc::new(LocalFs), 1, false).unwrap();
    assert!(replayed(replay).is_empty());
    assert_eq!(
        append(&wal, vec![frame(1, b"a"), frame(2, b"")], true)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        append(&wal, vec![frame(3, &[7; 5000])], false)
            .await
            .unwrap(),
        3
    );
    wal.close();
    assert!(matches!(
        append(&wal, vec![], true).await,
        Err(WalError::Closed)
    ));

    let (_wal, replay) = Wal::open(settings(dir.path()), Arc::new(LocalFs), 2, false).unwrap();
    let frames = replayed(replay);
    let expected = [(1, 1, &b"a"[..]), (2, 2, b""), (3, 3, &[7; 5000])];
    assert_eq!(frames.len(), 3);
    for ((lsn, kind, payload), expected) in frames.iter().zip(expected) {
        assert_eq!((*lsn, *kind, &payload[..]), expected);
        assert_eq!(payload.as_ptr().align_offset(64), 0);
    }
}
