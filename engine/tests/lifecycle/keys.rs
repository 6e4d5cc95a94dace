//! Idempotency keys count for a time and up to a number, also across restarts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use quiver_catalog::Clock;
use quiver_engine::{Engine, EngineSettings};

use super::{node, place};
use crate::support::{Node, keyed, rows, settings};

/// A clock that goes when it is told to.
#[derive(Debug)]
pub(super) struct SetClock(pub(super) AtomicI64);

impl Clock for SetClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

async fn open(directory: &Path, clock: &Arc<SetClock>) -> Node {
    let short = EngineSettings {
        idempotency_ttl_ms: 60_000,
        idempotency_keys_max: 5,
        ..settings(directory)
    };
    let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(clock);
    let engine = Engine::open(short, clock, &[place(1)], &[]).await.unwrap();
    node(&engine, &place(1)).await
}

async fn is_duplicate(node: &Node, key: &str) -> bool {
    let outcome = node.ingest(keyed("t", key), &[rows(0..1)]).await;
    outcome.unwrap().duplicate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_for_its_time_and_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(1_000_000_000_000)));
    let mut node = open(directory.path(), &clock).await;
    for restart in ["none", "crash", "flush and crash", "clean"] {
        let key = format!("key {restart}");
        assert!(!is_duplicate(&node, &key).await);
        clock.0.fetch_add(59_000_000, Ordering::Relaxed);
        match restart {
            "crash" => node.abandon().await,
            "flush and crash" => {
                node.engine.flush(&node.tenant).await.unwrap();
                node.abandon().await;
            }
            "clean" => node.close().await,
            _ => drop(node),
        }
        node = open(directory.path(), &clock).await;
        assert!(is_duplicate(&node, &key).await, "{restart}");
        clock.0.fetch_add(2_000_000, Ordering::Relaxed);
        assert!(!is_duplicate(&node, &key).await, "{restart}");
        // The later use is what counts now, wherever the first one is still written.
        assert!(is_duplicate(&node, &key).await, "{restart}");
        node.abandon().await;
        node = open(directory.path(), &clock).await;
        assert!(is_duplicate(&node, &key).await, "{restart}");
    }
    assert_eq!(node.count("t").await, 8);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_keys_count_and_neither_place_grows() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(1_000_000_000_000)));
    let mut node = open(directory.path(), &clock).await;
    for number in 0..40 {
        clock.0.fetch_add(1000, Ordering::Relaxed);
        assert!(!is_duplicate(&node, &format!("key {number}")).await);
        if number % 10 == 9 {
            node.engine.flush(&node.tenant).await.unwrap();
        }
        if number == 25 {
            node.abandon().await;
            node = open(directory.path(), &clock).await;
        }
        let oldest = (number - 4).max(0);
        assert!(is_duplicate(&node, &format!("key {oldest}")).await);
    }
    // The background work prunes the catalog.
    let catalog = directory.path().join("tenants/tenant1/catalog.sqlite");
    let mut kept = 40;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        kept = keys_in(&catalog);
        if kept <= 5 {
            break;
        }
    }
    assert!(kept <= 5, "{kept} keys in the catalog");
    node.abandon().await;
    let node = open(directory.path(), &clock).await;
    for number in 35..40 {
        assert!(is_duplicate(&node, &format!("key {number}")).await);
    }
    assert!(!is_duplicate(&node, "key 34").await);
    node.close().await;
}

/// Counted by another program, as a second `SQLite` in this process could break the file.
fn keys_in(catalog: &Path) -> u64 {
    let script = "import sqlite3, sys; \
                  print(sqlite3.connect(sys.argv[1]).execute( \
                  'SELECT count(*) FROM quiver_idempotency').fetchone()[0])";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(catalog)
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}
