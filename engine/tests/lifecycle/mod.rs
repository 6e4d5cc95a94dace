//! The life of tenants: many of them, restarts, drops, and how long idempotency keys count.

mod drops;
mod inserts;
mod keys;
mod queries;
mod transactions;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quiver_catalog::{ErrorKind, SystemClock, TenantId};
use quiver_engine::{Engine, EngineSettings, IngestMode, TenantPlace};

use crate::support::{Node, places, request, rows, settings, summary};

pub(super) fn place(number: u64) -> TenantPlace {
    TenantPlace {
        id: TenantId(number),
        directory: format!("tenant{number}"),
    }
}

pub(super) async fn open_engine(
    settings: EngineSettings,
    tenants: &[TenantPlace],
    dropped: &[TenantPlace],
) -> quiver_engine::Result<Engine> {
    Engine::open(settings, Arc::new(SystemClock), tenants, dropped).await
}

pub(super) async fn node(engine: &Engine, place: &TenantPlace) -> Node {
    Node {
        engine: engine.clone(),
        tenant: engine.tenant(place).await.unwrap(),
    }
}

fn catalog_side_files(directory: &Path) -> Vec<PathBuf> {
    let tenants = std::fs::read_dir(directory.join("tenants")).unwrap();
    tenants
        .flat_map(|tenant| std::fs::read_dir(tenant.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("catalog.sqlite-"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_share_few_open_catalogs() {
    let directory = tempfile::tempdir().unwrap();
    let few = EngineSettings {
        catalogs_open_max: 4,
        ..settings(directory.path())
    };
    let places: Vec<_> = (1..=30).map(place).collect();
    let engine = open_engine(few.clone(), &places, &[]).await.unwrap();
    for round in 0..3 {
        let work = places.iter().map(|place| {
            let engine = engine.clone();
            async move {
                let node = node(&engine, place).await;
                node.append("t", round * 10..round * 10 + 10).await.unwrap();
                node.engine.flush(&node.tenant).await.unwrap();
                assert_eq!(node.count("t").await, round * 10 + 10);
                let snapshots = node.query("SELECT * FROM system.snapshots").await.unwrap();
                assert!(snapshots.num_rows() > 1);
                assert!(engine.open_catalogs() <= 4);
            }
        });
        futures::future::join_all(work).await;
    }
    engine.close().await.unwrap();
    assert_eq!(engine.open_catalogs(), 0);
    assert_eq!(catalog_side_files(directory.path()), Vec::<PathBuf>::new());

    let engine = open_engine(few, &places, &[]).await.unwrap();
    for place in &places {
        let node = node(&engine, place).await;
        assert_eq!(
            summary(&node.context(None), "t").await,
            (30, 30, 29 * 15),
            "{place:?}"
        );
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalog_is_not_replaced_by_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let places = [place(1), place(2)];
    let engine = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap();
    let flushed = node(&engine, &places[0]).await;
    flushed.append("t", 0..10).await.unwrap();
    engine.close().await.unwrap();
    let lost = directory.path().join("tenants/tenant1/catalog.sqlite");
    let kept = directory.path().join("kept.sqlite");
    std::fs::rename(&lost, &kept).unwrap();
    // Nothing is left in it, and it would say so too.
    std::fs::remove_dir_all(directory.path().join("wal")).unwrap();
    let engine = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap();
    let refused = engine.tenant(&places[0]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corruption, "{refused}");
    assert!(!lost.exists());
    std::fs::rename(&kept, &lost).unwrap();
    let flushed = node(&engine, &places[0]).await;
    assert_eq!(flushed.count("t").await, 10, "put back, it is found");

    // One that has no segments yet, but rows in the log.
    let logged = node(&engine, &places[1]).await;
    logged.append("t", 0..10).await.unwrap();
    drop(logged);
    engine.abandon().await;
    std::fs::remove_dir_all(directory.path().join("tenants/tenant2")).unwrap();
    let refused = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corruption, "{refused}");
}

/// The rows between its last commit and the first of the log would be gone without a word.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_catalog_is_not_taken_for_the_current_one() {
    let directory = tempfile::tempdir().unwrap();
    let tenant = directory.path().join("tenants/default");
    let older = directory.path().join("older.sqlite");
    let node = Node::open(directory.path()).await;
    node.append("t", 0..10).await.unwrap();
    node.close().await;
    std::fs::copy(tenant.join("catalog.sqlite"), &older).unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 10..20).await.unwrap();
    node.close().await;
    let logged = log_files(directory.path());
    let node = Node::open(directory.path()).await;
    node.append("t", 20..30).await.unwrap();
    node.engine.flush(&node.tenant).await.unwrap();
    node.append("t", 30..40).await.unwrap();
    for _ in 0..500 {
        // Until the log has given up what is in segments.
        if log_files(directory.path()).is_disjoint(&logged) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node.abandon().await;
    let kept = directory.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let side_files = catalog_side_files(directory.path());
    for path in side_files
        .into_iter()
        .chain([tenant.join("catalog.sqlite")])
    {
        std::fs::rename(&path, kept.join(path.file_name().unwrap())).unwrap();
    }
    std::fs::copy(&older, tenant.join("catalog.sqlite")).unwrap();

    let opened = open_engine(settings(directory.path()), &places(), &[]).await;
    let refused = opened.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corruption, "{refused}");
    assert!(refused.to_string().contains("put back"), "{refused}");
    for _ in 0..500 {
        // The refused catalog is closed in the background, and its side files go with that.
        if catalog_side_files(directory.path()).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for entry in std::fs::read_dir(&kept).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), tenant.join(entry.file_name())).unwrap();
    }
    let node = Node::open(directory.path()).await;
    assert_eq!(node.count("t").await, 40, "put back, all is there");
    node.close().await;
}

fn log_files(directory: &Path) -> HashSet<String> {
    let entries = std::fs::read_dir(directory.join("wal")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".wal")).collect()
}

/// A flush whose caller goes away at any moment neither loses nor doubles a row.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_flush_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    for round in 0..40_u32 {
        let first = i64::from(round) * 10;
        node.append("t", first..first + 10).await.unwrap();
        let flush = node.engine.flush(&node.tenant);
        let patience = Duration::from_micros(u64::from(round) * 500);
        // Cut off after a little longer each time.
        let _cut_off = tokio::time::timeout(patience, flush).await;
        let count = first + 10;
        let expected = (count, count, count * (count - 1) / 2);
        assert_eq!(summary(&node.context(None), "t").await, expected);
    }
    node.engine.flush(&node.tenant).await.unwrap();
    assert_eq!(
        summary(&node.context(None), "t").await,
        (400, 400, 399 * 200)
    );
    node.abandon().await;
    let node = Node::open(directory.path()).await;
    assert_eq!(
        summary(&node.context(None), "t").await,
        (400, 400, 399 * 200)
    );
    node.close().await;
}

/// Tables come, go and are filled while flushes run: neither side waits for the other's files, and
/// no flush fails.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_dropped_while_they_are_flushed() {
    let directory = tempfile::tempdir().unwrap();
    let node = Arc::new(Node::open(directory.path()).await);
    node.append("kept", 0..10).await.unwrap();
    let changes = {
        let node = Arc::clone(&node);
        quiver_engine::task::spawn(async move {
            for round in 0..30 {
                let table = format!("t{}", round % 3);
                node.append(&table, 0..500).await.unwrap();
                node.append("kept", 0..1).await.unwrap();
                if round % 2 == 0 {
                    node.update(&format!("DROP TABLE {table}")).await.unwrap();
                }
            }
        })
    };
    while !changes.is_finished() {
        node.engine.flush(&node.tenant).await.unwrap();
    }
    changes.await.unwrap();
    node.engine.flush(&node.tenant).await.unwrap();
    assert_eq!(node.count("kept").await, 40);
    let node = Arc::into_inner(node).unwrap();
    node.abandon().await;
    let node = Node::open(directory.path()).await;
    assert_eq!(node.count("kept").await, 40);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_outlives_the_closing_of_its_catalog() {
    let directory = tempfile::tempdir().unwrap();
    let one = EngineSettings {
        catalogs_open_max: 1,
        ..settings(directory.path())
    };
    let places = [place(1), place(2)];
    let engine = open_engine(one, &places, &[]).await.unwrap();
    let (first, second) = (
        node(&engine, &places[0]).await,
        node(&engine, &places[1]).await,
    );
    let transaction = first.begin();
    let mut staged = request("t", IngestMode::CREATE);
    staged.transaction = Some(Arc::clone(&transaction));
    first.ingest(staged, &[rows(0..10)]).await.unwrap();
    let open = request("u", IngestMode::CREATE);
    let mut open = engine.begin_ingest(&first.tenant, open).await.unwrap();
    open.push(rows(0..5), None).await.unwrap();
    // Takes the only connection away.
    second.append("t", 0..3).await.unwrap();
    engine.flush(&second.tenant).await.unwrap();
    assert_eq!(engine.open_catalogs(), 1);
    transaction.commit().await.unwrap();
    open.commit().await.unwrap();
    assert_eq!(first.count("t").await, 10);
    assert_eq!(first.count("u").await, 5);
    engine.close().await.unwrap();
}
