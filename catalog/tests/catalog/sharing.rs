//! Catalogs that share few connections, and what a closed one leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quiver_catalog::{Clock, Connections, ErrorKind, TenantCatalog};
use sqlx::Executor;

use crate::support::{Fixture, StillClock, append, changes, create_table, poll_times, segment};

async fn open_in(fixture: &Fixture, connections: &Connections) -> TenantCatalog {
    let clock: Arc<dyn Clock> = Arc::<StillClock>::clone(&fixture.clock);
    TenantCatalog::open_in(fixture.options(), clock, connections)
        .await
        .unwrap()
}

fn file_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn many_catalogs_live_on_few_connections() {
    let connections = Connections::new(3);
    let mut catalogs = vec![];
    for _ in 0..10 {
        let fixture = Fixture::new();
        let catalog = open_in(&fixture, &connections).await;
        let (table, create) = create_table(&catalog, "t");
        catalog.commit(changes(vec![create])).await.unwrap();
        catalogs.push((fixture, catalog, table));
    }
    assert_eq!(connections.open_count(), 3);
    for round in 1..=3_u64 {
        let all = catalogs.iter().map(|(_, catalog, table)| {
            let connections = &connections;
            async move {
                let fill = append(*table, vec![segment(&round.to_string(), 5, 0, 1)]);
                catalog.commit(changes(vec![fill])).await.unwrap();
                assert!(connections.open_count() <= 3);
                // One for the initial schema, one for the table.
                let snapshots = catalog.snapshots().await.unwrap();
                assert_eq!(snapshots.len() as u64, 2 + round);
                assert_eq!(catalog.epoch(), 1, "only its connection was closed");
            }
        });
        futures::future::join_all(all).await;
    }
    for (fixture, catalog, table) in catalogs {
        catalog.close().await.unwrap();
        assert_eq!(file_names(fixture.folder.path()), ["catalog.sqlite"]);
        let reopened = fixture.open().await;
        let version = reopened.current();
        assert_eq!(version.table_by_id(table).unwrap().record_count, 15);
    }
    assert_eq!(connections.open_count(), 0);
}

#[tokio::test]
async fn a_cut_off_commit_gives_its_place_back() {
    let connections = Connections::new(1);
    let (first, second) = (Fixture::new(), Fixture::new());
    let (catalog, other) = (
        open_in(&first, &connections).await,
        open_in(&second, &connections).await,
    );
    for polls in 0..30 {
        let (_, create) = create_table(&catalog, &format!("t{polls}"));
        poll_times(catalog.commit(changes(vec![create])), polls).await;
        other.snapshots().await.unwrap();
        catalog.settle().await.unwrap();
        assert_eq!(connections.open_count(), 1);
    }
}

#[tokio::test]
async fn a_closed_catalog_refuses_what_needs_its_file() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (_, create) = create_table(&catalog, "t");
    catalog.commit(changes(vec![create])).await.unwrap();
    catalog.snapshots().await.unwrap();
    let version = catalog.current();
    catalog.close().await.unwrap();
    assert_eq!(file_names(fixture.folder.path()), ["catalog.sqlite"]);
    let (_, create) = create_table(&catalog, "u");
    let refused = catalog.commit(changes(vec![create])).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let refused = catalog.snapshots().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(catalog.current(), version, "memory still answers");
    assert_eq!(file_names(fixture.folder.path()), ["catalog.sqlite"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_another_program() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let mut other = fixture.sql().await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let release = async {
        // Longer than the five seconds that database drivers wait by default.
        tokio::time::sleep(Duration::from_secs(6)).await;
        other.execute("ROLLBACK").await.unwrap();
    };
    let (_, create) = create_table(&catalog, "t");
    let commit = async {
        catalog.wait_until_writable().await.unwrap();
        catalog.commit(changes(vec![create])).await.unwrap()
    };
    let (version, ()) = tokio::join!(commit, release);
    assert!(version.table("main", "t").is_some());
}
