//! The database's pruning leaves out what cannot match, and only that.

use quiver_catalog::{
    ColumnId, ColumnPredicate, ColumnTest, ErrorKind, SegmentId, SnapshotId, TableId,
};

use crate::support::{Fixture, append, changes, create_table, segment};

fn on(column_id: i64, test: ColumnTest) -> ColumnPredicate {
    ColumnPredicate {
        column_id: ColumnId(column_id),
        test,
    }
}

#[tokio::test]
async fn bounds_decide_by_type() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "t");
    let mut infinite = segment("inf", 1, 100, 100);
    infinite.column_stats[2].max = Some("inf".to_owned());
    let mut with_nan = segment("nan", 1, 200, 200);
    with_nan.column_stats[2].contains_nan = Some(true);
    let mut nulls = segment("nulls", 1, 0, 0);
    for stats in &mut nulls.column_stats {
        (stats.value_count, stats.null_count) = (0, 1);
        (stats.min, stats.max, stats.contains_nan) = (None, None, None);
    }
    let segments = vec![
        segment("a", 1, -20, -3),
        segment("b", 1, 9, 10),
        infinite,
        with_nan,
        nulls,
    ];
    let version = catalog
        .commit(changes(vec![create, append(id, segments)]))
        .await
        .unwrap();
    let all: Vec<SegmentId> = version
        .table_by_id(id)
        .unwrap()
        .segments
        .iter()
        .map(|segment| segment.id)
        .collect();
    let (a, x) = (1, 4);
    let text = str::to_owned;
    for (predicates, expected) in [
        (vec![], vec![0, 1, 2, 3, 4]),
        // What has no bounds (nulls alone) proves nothing here but costs nothing either.
        (vec![on(a, ColumnTest::Equal(text("9")))], vec![1, 4]),
        (vec![on(a, ColumnTest::Less(text("-3")))], vec![0, 4]),
        (vec![on(a, ColumnTest::Less(text("-20")))], vec![4]),
        (
            vec![on(a, ColumnTest::LessOrEqual(text("-20")))],
            vec![0, 4],
        ),
        (vec![on(a, ColumnTest::Greater(text("10")))], vec![2, 3, 4]),
        (
            vec![on(a, ColumnTest::GreaterOrEqual(text("10")))],
            vec![1, 2, 3, 4],
        ),
        (
            vec![on(x, ColumnTest::Greater(text("150.0")))],
            vec![2, 3, 4],
        ),
        (
            vec![on(x, ColumnTest::Equal(text("1000.0")))],
            vec![2, 3, 4],
        ),
        (vec![on(a, ColumnTest::IsNull)], vec![4]),
        (vec![on(a, ColumnTest::IsNotNull)], vec![0, 1, 2, 3]),
        (
            vec![
                on(a, ColumnTest::Greater(text("0"))),
                on(a, ColumnTest::IsNotNull),
            ],
            vec![1, 2, 3],
        ),
    ] {
        let found = catalog
            .prune_segments(id, version.snapshot_id, &predicates)
            .await
            .unwrap();
        let positions: Vec<usize> = found
            .iter()
            .map(|id| all.iter().position(|other| other == id).unwrap())
            .collect();
        assert_eq!(positions, expected, "{predicates:?}");
    }
}

#[tokio::test]
async fn pruning_sees_one_snapshot() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "t");
    catalog.commit(changes(vec![create])).await.unwrap();
    for i in 0..3 {
        let fill = append(id, vec![segment("s", 1, i, i)]);
        catalog.commit(changes(vec![fill])).await.unwrap();
    }
    for snapshot in 1..=4 {
        let found = catalog
            .prune_segments(id, SnapshotId(snapshot), &[])
            .await
            .unwrap();
        assert_eq!(found.len() as i64, snapshot - 1);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_refused() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "t");
    let at = catalog
        .commit(changes(vec![create]))
        .await
        .unwrap()
        .snapshot_id;
    let refused = [
        (TableId(99), vec![], ErrorKind::NotFound),
        (id, vec![on(99, ColumnTest::IsNull)], ErrorKind::NotFound),
        (id, vec![on(3, ColumnTest::IsNull)], ErrorKind::NotFound),
        (
            id,
            vec![on(1, ColumnTest::Equal("x".to_owned()))],
            ErrorKind::InvalidArgument,
        ),
    ];
    for (table, predicates, kind) in refused {
        let error = catalog
            .prune_segments(table, at, &predicates)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{predicates:?}");
    }
}
