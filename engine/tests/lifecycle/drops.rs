//! Tenants that are dropped, and tenants that only seem to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quiver_catalog::ErrorKind;
use quiver_engine::IngestMode;

use super::{node, open_engine, place};
use crate::support::{request, rows, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_tenant_is_skipped_and_an_unknown_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let places = [place(1), place(2)];
    let engine = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap();
    for place in &places {
        let node = node(&engine, place).await;
        node.append("t", 0..10).await.unwrap();
    }
    engine.abandon().await;
    drop(engine);

    // Neither there nor dropped: nothing is lost in silence, however often it is tried.
    for _ in 0..2 {
        let refused = open_engine(settings(directory.path()), &places[..1], &[])
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corruption);
        let message = refused.to_string();
        assert!(message.contains("tenant 2") && message.contains("control.sqlite"));
    }
    // With the right list everything is there.
    let engine = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap();
    for place in &places {
        assert_eq!(node(&engine, place).await.count("t").await, 10);
    }
    engine.abandon().await;
    drop(engine);

    // Dropped, and the process ended before the folder was gone.
    let engine = open_engine(settings(directory.path()), &places[..1], &places[1..])
        .await
        .unwrap();
    assert_eq!(node(&engine, &places[0]).await.count("t").await, 10);
    assert!(!directory.path().join("tenants/tenant2").exists());
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tenant_is_given_up_when_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let places = [place(1), place(2)];
    let engine = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap();
    for place in &places {
        let node = node(&engine, place).await;
        node.append("t", 0..10).await.unwrap();
    }
    engine.abandon().await;
    drop(engine);
    let mut repair = settings(directory.path());
    repair.wal_repair = true;
    let engine = open_engine(repair, &places[..1], &[]).await.unwrap();
    assert_eq!(node(&engine, &places[0]).await.count("t").await, 10);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_tenant_ends_what_is_on_its_way() {
    let directory = tempfile::tempdir().unwrap();
    let places = [place(1), place(2)];
    let engine = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap();
    let (kept, dropped) = (
        node(&engine, &places[0]).await,
        node(&engine, &places[1]).await,
    );
    kept.append("t", 0..10).await.unwrap();
    dropped.append("t", 0..10).await.unwrap();
    let transaction = dropped.begin();
    let mut staged = request("t", IngestMode::APPEND);
    staged.transaction = Some(Arc::clone(&transaction));
    dropped.ingest(staged, &[rows(10..20)]).await.unwrap();
    let begin = || engine.begin_ingest(&dropped.tenant, request("t", IngestMode::APPEND));
    let (mut pushing, mut committing) = (begin().await.unwrap(), begin().await.unwrap());
    committing.push(rows(20..30), None).await.unwrap();

    engine.remove_tenant(&places[1]).await.unwrap();
    let folder = directory.path().join("tenants/tenant2");
    assert!(!folder.exists());
    let kinds = [
        pushing.push(rows(0..1), None).await.unwrap_err().kind(),
        committing.commit().await.unwrap_err().kind(),
        begin().await.unwrap_err().kind(),
        dropped
            .update("CREATE TABLE u (a int)")
            .await
            .unwrap_err()
            .kind(),
        engine.flush(&dropped.tenant).await.unwrap_err().kind(),
        engine.tenant(&places[1]).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 6]);
    assert_eq!(
        transaction.commit().await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let session_id = uuid::Uuid::nil();
    let refused = engine.begin_transaction(&dropped.tenant, crate::support::USER, session_id);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!folder.exists(), "nothing makes the folder again");
    // Once more does no harm, and everybody else goes on.
    engine.remove_tenant(&places[1]).await.unwrap();
    kept.append("t", 10..20).await.unwrap();
    drop((pushing, dropped, transaction));
    assert_eq!(engine.usage_bytes().1, 0, "no uncommitted bytes are left");
    engine.abandon().await;
    drop((engine, kept));

    let engine = open_engine(settings(directory.path()), &places[..1], &places[1..])
        .await
        .unwrap();
    assert_eq!(node(&engine, &places[0]).await.count("t").await, 20);
    engine.close().await.unwrap();
}

/// Drops a tenant in the middle of ingests and flushes, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drop_in_full_flight_leaves_no_folder() {
    let directory = tempfile::tempdir().unwrap();
    let places: Vec<_> = (1..=8).map(place).collect();
    let engine = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap();
    for place in &places {
        let node = Arc::new(node(&engine, place).await);
        let stop = Arc::new(AtomicBool::new(false));
        let jobs: Vec<_> = (0..3)
            .map(|job| {
                let (node, stop) = (Arc::clone(&node), Arc::clone(&stop));
                quiver_engine::task::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let result = match job {
                            0 => node.engine.flush(&node.tenant).await.map(drop),
                            1 => node.append("t", 0..100).await.map(drop),
                            _ => node.append("u", 0..100).await.map(drop),
                        };
                        if let Err(error) = result {
                            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                            return;
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        engine.remove_tenant(place).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        for job in jobs {
            job.await.unwrap();
        }
    }
    let left: Vec<PathBuf> = std::fs::read_dir(directory.path().join("tenants"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
    assert_eq!(engine.open_catalogs(), 0);
    assert_eq!(engine.open_tenants().len(), 0);
    engine.close().await.unwrap();
}
