//! Commits that are cut off at any point happened as a whole or not at all.

use quiver_catalog::{CatalogError, Commit, ErrorKind, SnapshotId};
use sqlx::{Connection, Executor};
use uuid::Uuid;

use crate::support::{Fixture, append, changes, create_table, poll_times, segment};

/// Cancels one commit after another, each a little later, and asks afterwards what became of it.
#[tokio::test]
async fn a_cancelled_commit_is_all_or_nothing() {
    let fixture = Fixture::new();
    let mut catalog = fixture.open().await;
    let (table, create) = create_table(&catalog, "t");
    catalog.commit(changes(vec![create])).await.unwrap();
    let (mut happened, mut lost) = (0_u64, 0_u64);
    for attempt in 0..60_usize {
        let id = Uuid::from_u128(attempt as u128);
        let sequence = attempt as u64 + 1;
        let (_, create) = create_table(&catalog, &format!("t{attempt}"));
        let commit = Commit {
            commit_id: Some((id, sequence)),
            flushed: vec![(table, sequence)],
            ..changes(vec![create, append(table, vec![segment("s", 1, 0, 1)])])
        };
        // The last one is left alone.
        let polls = if attempt == 59 { usize::MAX } else { attempt };
        poll_times(catalog.commit(commit), polls).await;
        let is_there = catalog.committed_sequence(id).await.unwrap().is_some();
        if is_there {
            happened += 1
        } else {
            lost += 1
        };
        let version = catalog.current();
        assert_eq!(version.table_by_id(table).unwrap().record_count, happened);
        assert_eq!(
            version.table("main", &format!("t{attempt}")).is_some(),
            is_there
        );
        assert_eq!(
            version.snapshot_id,
            SnapshotId(1 + i64::try_from(happened).unwrap())
        );
        if attempt % 7 == 0 {
            catalog = fixture.reopen(catalog).await;
            assert_eq!(catalog.current(), version);
        }
    }
    assert!(lost > 0, "no commit was cut off");
    assert!(happened > 0, "every commit was cut off");
}

#[tokio::test]
async fn a_process_that_ends_before_commit_leaves_nothing() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (table, create) = create_table(&catalog, "t");
    catalog.commit(changes(vec![create])).await.unwrap();
    for polls in 0..20 {
        let before = catalog.current();
        let fill = changes(vec![append(table, vec![segment("s", 1, 0, 1)])]);
        let done = poll_times(catalog.commit(fill), polls).await;
        // Whatever a second process would find is one of the two states.
        let copy = copied(&fixture).await;
        let rows = copy
            .open()
            .await
            .current()
            .table_by_id(table)
            .unwrap()
            .record_count;
        let rows_before = before.table_by_id(table).unwrap().record_count;
        assert!(
            rows == rows_before + 1 || (rows == rows_before && !done),
            "{rows} {rows_before}"
        );
        catalog.committed_sequence(Uuid::nil()).await.unwrap();
    }
}

/// A consistent copy of the database as it is right now.
async fn copied(fixture: &Fixture) -> Fixture {
    let copy = Fixture::new();
    let mut connection = fixture.sql().await;
    sqlx::query("VACUUM INTO ?")
        .bind(copy.options().path.to_str().unwrap())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    copy
}

#[tokio::test]
async fn a_failed_commit_can_be_repeated() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (table, create) = create_table(&catalog, "t");
    catalog.commit(changes(vec![create])).await.unwrap();
    let before = catalog.current();
    let mut other = fixture.sql().await;
    let trigger = "CREATE TRIGGER fail BEFORE INSERT ON ducklake_table_stats \
                   BEGIN SELECT RAISE(ABORT, 'made to fail'); END";
    other.execute(trigger).await.unwrap();
    let fill = changes(vec![append(table, vec![segment("s", 1, 0, 1)])]);
    let error = catalog.commit(fill.clone()).await.unwrap_err();
    assert!(matches!(error, CatalogError::Storage { .. }), "{error}");
    assert_eq!(catalog.current(), before);
    other.execute("DROP TRIGGER fail").await.unwrap();
    let version = catalog.commit(fill).await.unwrap();
    assert_eq!(version.snapshot_id.0, before.snapshot_id.0 + 1);
    assert_eq!(fixture.reopen(catalog).await.current(), version);
}

#[tokio::test]
async fn commits_of_another_program_are_noticed() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let mut other = fixture.sql().await;
    other
        .execute("INSERT INTO ducklake_snapshot VALUES (1, '2026-01-01 00:00:00+00', 0, 1, 0)")
        .await
        .unwrap();
    let (_, create) = create_table(&catalog, "t");
    let error = catalog.commit(changes(vec![create])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition);
    let catalog = fixture.reopen(catalog).await;
    assert_eq!(catalog.current().snapshot_id, SnapshotId(1));
    let (_, create) = create_table(&catalog, "t");
    assert_eq!(
        catalog
            .commit(changes(vec![create]))
            .await
            .unwrap()
            .snapshot_id,
        SnapshotId(2)
    );
}
