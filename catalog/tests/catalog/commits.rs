//! Each kind of change, what a commit remembers, and what it refuses.

use quiver_catalog::{
    Change, ColumnId, Commit, ErrorKind, IdempotencyRecord, NewTable, SchemaId, SnapshotId,
    SortColumn, Stamp, TableId, UserId,
};
use sqlx::Row;
use uuid::Uuid;

use crate::support::{Fixture, append, changes, create_table, new_table, segment};

#[tokio::test]
async fn a_new_catalog_has_an_empty_main_schema() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let version = catalog.current();
    assert_eq!(version.snapshot_id, SnapshotId(0));
    assert_eq!(version.schema("MAIN").unwrap().id, SchemaId(0));
    assert_eq!((version.schemas().len(), version.tables().len()), (1, 0));
    assert_eq!(catalog.last_sequence(), 0);
}

#[tokio::test]
async fn tables_and_segments_are_there_after_reopening() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "Events");
    catalog.commit(changes(vec![create])).await.unwrap();
    let first = append(id, vec![segment("a", 10, 0, 5), segment("b", 5, -3, 2)]);
    catalog.commit(changes(vec![first])).await.unwrap();
    let version = catalog
        .commit(changes(vec![append(id, vec![segment("c", 1, 9, 9)])]))
        .await;
    let version = version.unwrap();

    let table = version.table("main", "events").unwrap();
    assert_eq!(
        (table.record_count, table.next_row_id, table.path.as_str()),
        (16, 16, "main/Events/")
    );
    let starts: Vec<Option<i64>> = table
        .segments
        .iter()
        .map(|segment| segment.row_id_start)
        .collect();
    assert_eq!(starts, [Some(0), Some(10), Some(15)]);
    let bounds = &table.column_stats[0];
    assert_eq!(
        (bounds.min.known(), bounds.max.known()),
        (Some("-3"), Some("9"))
    );
    assert_eq!(version.snapshot_id, SnapshotId(3));
    assert_eq!(version.schema_version, 1);
    let reopened = fixture.reopen(catalog).await;
    assert_eq!(reopened.current(), version);
}

#[tokio::test]
async fn a_table_can_come_with_its_schema_and_rows() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let first = catalog.reserve_ids(2);
    let (schema_id, table_id) = (SchemaId(first), TableId(first + 1));
    let sort_key = vec![SortColumn {
        column_id: ColumnId(2),
        descending: true,
        nulls_first: true,
    }];
    let table = NewTable {
        schema_id,
        sort_key: sort_key.clone(),
        ..new_table(table_id, "with space")
    };
    let commit = changes(vec![
        Change::CreateSchema {
            schema_id,
            name: "Ümlaut".to_owned(),
        },
        Change::CreateTable(table),
        append(table_id, vec![segment("a", 1, 1, 1)]),
    ]);
    let version = catalog.commit(commit).await.unwrap();
    let table = version.table("ümlaut", "With Space").unwrap();
    assert_eq!(table.path, format!("s{schema_id}/t{table_id}/"));
    assert_eq!(table.sort_key, sort_key);
    let info = catalog.snapshots().await.unwrap().pop().unwrap();
    let expected = format!(
        "created_schema:\"Ümlaut\",created_table:\"Ümlaut\".\"with space\",\
         inserted_into_table:{table_id}"
    );
    assert_eq!(info.changes, expected);
    let reopened = fixture.reopen(catalog).await;
    assert_eq!(reopened.current(), version);
    // The sort key took an id too.
    assert!(reopened.reserve_ids(1) > table_id.0 + 1);
}

#[tokio::test]
async fn dropped_tables_leave_a_tombstone() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (old, create) = create_table(&catalog, "t");
    catalog
        .commit(changes(vec![
            create,
            append(old, vec![segment("a", 3, 0, 1)]),
        ]))
        .await
        .unwrap();
    let (new, create) = create_table(&catalog, "T");
    let drop = Change::DropTable {
        table_id: old,
        sequence: 7,
    };
    let version = catalog.commit(changes(vec![drop, create])).await.unwrap();
    assert_eq!(version.table("main", "t").unwrap().id, new);
    assert_eq!(version.table("main", "t").unwrap().record_count, 0);
    assert_eq!(catalog.dropped_sequence(old), Some(7));
    assert_eq!(catalog.dropped_sequence(new), None);
    assert_eq!(catalog.last_sequence(), 7);
    let catalog = fixture.reopen(catalog).await;
    assert_eq!(catalog.current(), version);
    assert_eq!(catalog.dropped_sequence(old), Some(7));
    catalog.forget_up_to(6).await.unwrap();
    assert_eq!(catalog.dropped_sequence(old), Some(7));
    catalog.forget_up_to(7).await.unwrap();
    assert_eq!(catalog.dropped_sequence(old), None);
    assert_eq!(fixture.reopen(catalog).await.dropped_sequence(old), None);
}

#[tokio::test]
async fn objects_that_come_and_go_in_one_commit_leave_no_snapshot() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "t");
    let drop = Change::DropTable {
        table_id: id,
        sequence: 3,
    };
    let version = catalog.commit(changes(vec![create, drop])).await.unwrap();
    assert_eq!(version.snapshot_id, SnapshotId(0));
    assert_eq!(catalog.dropped_sequence(id), Some(3));
    let catalog = fixture.reopen(catalog).await;
    assert_eq!(catalog.current(), version);
    assert!(
        catalog.reserve_ids(1) > id.0,
        "the id is not handed out again"
    );
}

#[tokio::test]
async fn sequences_are_kept_and_never_go_down() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "t");
    let flush = |sequence| Commit {
        flushed: vec![(id, sequence)],
        ..Commit::default()
    };
    let unknown = catalog.commit(flush(1)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    catalog.commit(changes(vec![create])).await.unwrap();
    let version = catalog.commit(flush(5)).await.unwrap();
    assert_eq!(version.snapshot_id, SnapshotId(1), "no rows, no snapshot");
    assert_eq!(version.table_by_id(id).unwrap().flushed_sequence, 5);
    assert_eq!(catalog.last_sequence(), 5);
    let back = catalog.commit(flush(4)).await.unwrap_err();
    assert_eq!(back.kind(), ErrorKind::Internal);
    let later = Commit {
        last_sequence: Some(9),
        ..Commit::default()
    };
    catalog.commit(later).await.unwrap();
    let earlier = Commit {
        last_sequence: Some(8),
        ..Commit::default()
    };
    catalog.commit(earlier).await.unwrap();
    let catalog = fixture.reopen(catalog).await;
    assert_eq!(catalog.last_sequence(), 9);
    assert_eq!(
        catalog.current().table_by_id(id).unwrap().flushed_sequence,
        5
    );
    let beyond = Commit {
        last_sequence: Some(u64::MAX),
        ..Commit::default()
    };
    assert_eq!(
        catalog.commit(beyond).await.unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[tokio::test]
async fn commit_ids_tell_whether_a_commit_happened() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (yes, no) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let commit = Commit {
        commit_id: Some((yes, 12)),
        ..Commit::default()
    };
    catalog.commit(commit.clone()).await.unwrap();
    assert_eq!(catalog.committed_sequence(yes).await.unwrap(), Some(12));
    assert_eq!(catalog.committed_sequence(no).await.unwrap(), None);
    assert!(catalog.commit(commit).await.is_err(), "an id counts once");
    let catalog = fixture.reopen(catalog).await;
    assert_eq!(catalog.committed_sequence(yes).await.unwrap(), Some(12));
    catalog.forget_up_to(12).await.unwrap();
    assert_eq!(catalog.committed_sequence(yes).await.unwrap(), None);
}

fn record(key: &str, created_micros: i64) -> IdempotencyRecord {
    IdempotencyRecord {
        user_id: UserId(1),
        table_id: TableId(2),
        key: key.to_owned(),
        mode: "append".to_owned(),
        record_count: 10,
        digest: vec![1, 2, 3],
        sequence: 4,
        created_micros,
    }
}

#[tokio::test]
async fn idempotency_keys_are_kept_by_age_and_number() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let records: Vec<_> = (0..150).map(|i| record(&format!("k{i:03}"), i)).collect();
    let commit = Commit {
        idempotency: records.clone(),
        ..Commit::default()
    };
    catalog.commit(commit).await.unwrap();
    let catalog = fixture.reopen(catalog).await;
    assert_eq!(catalog.idempotency().await.unwrap(), records);
    assert_eq!(catalog.prune_idempotency(20, 1000).await.unwrap(), 20);
    assert_eq!(catalog.prune_idempotency(20, 100).await.unwrap(), 30);
    assert_eq!(catalog.idempotency().await.unwrap(), records[50..]);
    let again = IdempotencyRecord {
        record_count: 11,
        ..record("k149", 200)
    };
    let commit = Commit {
        idempotency: vec![again.clone()],
        ..Commit::default()
    };
    catalog.commit(commit).await.unwrap();
    assert_eq!(catalog.idempotency().await.unwrap().last(), Some(&again));
}

#[tokio::test]
async fn an_overlay_shows_uncommitted_changes_to_its_owner_only() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let base = catalog.current();
    let (id, create) = create_table(&catalog, "t");
    let overlay = base
        .apply(std::slice::from_ref(&create), Stamp::overlay(&base))
        .unwrap();
    assert!(overlay.table("main", "t").is_some());
    assert_eq!(overlay.snapshot_id, base.snapshot_id);
    assert_eq!(catalog.current().tables().len(), 0);
    let committed = catalog.commit(changes(vec![create])).await.unwrap();
    let identity = |version: &quiver_catalog::CatalogVersion| version.table_by_id(id).unwrap().uuid;
    assert_eq!(
        identity(&overlay),
        identity(&committed),
        "the same change makes the same table"
    );
}

/// Speed is a matter of how many statements are run, so many objects must not mean many statements.
#[tokio::test]
async fn many_tables_fit_into_one_commit() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (mut create, mut fill) = (vec![], vec![]);
    for i in 0..130 {
        let (id, table) = create_table(&catalog, &format!("t{i}"));
        create.push(table);
        fill.push(append(
            id,
            vec![segment("a", 1, 0, i), segment("b", 1, 0, i)],
        ));
    }
    catalog.commit(changes(create)).await.unwrap();
    let version = catalog.commit(changes(fill)).await.unwrap();
    assert_eq!(
        version
            .tables()
            .map(|table| table.segments.len())
            .sum::<usize>(),
        260
    );
    let mut connection = fixture.sql().await;
    let row = sqlx::query("SELECT count(*) FROM ducklake_file_column_stats")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 260 * 4);
    assert_eq!(fixture.reopen(catalog).await.current(), version);
}

#[test]
fn calls_can_be_spawned() {
    fn is_send<F: Future + Send>(_: F) {}
    fn check(catalog: &'static quiver_catalog::TenantCatalog) {
        is_send(async move { catalog.commit(Commit::default()).await });
        is_send(async move { catalog.at_snapshot(SnapshotId(0)).await });
        is_send(async move { catalog.snapshots().await });
        is_send(async move { catalog.prune_idempotency(0, 0).await });
        is_send(async move { catalog.prune_segments(TableId(1), SnapshotId(0), &[]).await });
    }
    let _ = check;
}
