//! Snapshots stay as they were.

use quiver_catalog::{Change, Commit, ErrorKind, SnapshotId};

use crate::support::{Fixture, append, assert_same_history, changes, create_table, segment};

#[tokio::test]
async fn old_snapshots_show_what_they_showed() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let mut remembered = vec![catalog.current()];
    let (t, create) = create_table(&catalog, "t");
    remembered.push(catalog.commit(changes(vec![create])).await.unwrap());
    for i in 0..3 {
        let fill = append(t, vec![segment(&i.to_string(), 5, i, i + 1)]);
        remembered.push(catalog.commit(changes(vec![fill])).await.unwrap());
    }
    let drop = Change::DropTable {
        table_id: t,
        sequence: 9,
    };
    let (_, create) = create_table(&catalog, "t");
    remembered.push(catalog.commit(changes(vec![drop, create])).await.unwrap());
    for version in remembered {
        let historic = catalog.at_snapshot(version.snapshot_id).await.unwrap();
        assert_same_history(&historic, &version);
    }
    let unknown = catalog.at_snapshot(SnapshotId(99)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn time_moves_on_even_if_the_clock_does_not() {
    let fixture = Fixture::new();
    fixture.clock.set(1_000_000);
    let catalog = fixture.open().await;
    for (now, expected) in [
        (2_000_000, 2_000_000),
        (2_000_000, 2_000_001),
        (5, 2_000_002),
    ] {
        fixture.clock.set(now);
        let (_, create) = create_table(&catalog, &format!("t{expected}"));
        let version = catalog.commit(changes(vec![create])).await.unwrap();
        assert_eq!(version.snapshot_time_micros, expected);
    }
    let times: Vec<i64> = catalog
        .snapshots()
        .await
        .unwrap()
        .iter()
        .map(|info| info.time_micros)
        .collect();
    assert_eq!(times, [1_000_000, 2_000_000, 2_000_001, 2_000_002]);
}

#[tokio::test]
async fn snapshots_say_who_and_why() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "a \"quoted\" name");
    let commit = Commit {
        author: Some("ann".to_owned()),
        message: Some("first table".to_owned()),
        ..changes(vec![create])
    };
    catalog.commit(commit).await.unwrap();
    let drop = Change::DropTable {
        table_id: id,
        sequence: 0,
    };
    catalog.commit(changes(vec![drop])).await.unwrap();
    let infos = catalog.snapshots().await.unwrap();
    assert_eq!(infos[0].changes, "created_schema:\"main\"");
    assert_eq!(
        infos[1].changes,
        "created_table:\"main\".\"a \"\"quoted\"\" name\""
    );
    assert_eq!(infos[1].author.as_deref(), Some("ann"));
    assert_eq!(infos[1].message.as_deref(), Some("first table"));
    assert_eq!(infos[2].changes, format!("dropped_table:{id}"));
    let versions: Vec<i64> = infos.iter().map(|info| info.schema_version).collect();
    assert_eq!(versions, [0, 1, 2]);
}
