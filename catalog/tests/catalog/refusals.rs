//! What a commit refuses, and that nothing of it is kept.

use quiver_catalog::{Change, ColumnId, ErrorKind, NewTable, SchemaId, Stamp, TableId};

use crate::support::{Fixture, append, changes, create_table, new_table, segment};

#[tokio::test]
async fn impossible_changes_change_nothing() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "t");
    let schema_id = SchemaId(catalog.reserve_ids(1));
    let schema = Change::CreateSchema {
        schema_id,
        name: "s".to_owned(),
    };
    let inner = NewTable {
        schema_id,
        ..new_table(TableId(catalog.reserve_ids(1)), "inner")
    };
    let setup = changes(vec![create, schema, Change::CreateTable(inner)]);
    let before = catalog.commit(setup).await.unwrap();
    let fresh = catalog.reserve_ids(1);
    let named = |name: &str| Change::CreateTable(new_table(TableId(fresh), name));
    let schema_named = |name: &str| Change::CreateSchema {
        schema_id: SchemaId(fresh),
        name: name.to_owned(),
    };
    let missing = TableId(999);
    let refused = [
        (named("T"), ErrorKind::AlreadyExists),
        (named(""), ErrorKind::InvalidArgument),
        (named("a/b"), ErrorKind::InvalidArgument),
        (schema_named("MAIN"), ErrorKind::AlreadyExists),
        (schema_named(".."), ErrorKind::InvalidArgument),
        (
            Change::CreateTable(new_table(id, "other")),
            ErrorKind::Internal,
        ),
        (
            Change::CreateTable(NewTable {
                schema_id: SchemaId(99),
                ..new_table(TableId(fresh), "n")
            }),
            ErrorKind::NotFound,
        ),
        (Change::DropSchema { schema_id }, ErrorKind::Precondition),
        (
            Change::DropSchema {
                schema_id: SchemaId(0),
            },
            ErrorKind::Precondition,
        ),
        (
            Change::DropSchema {
                schema_id: SchemaId(99),
            },
            ErrorKind::NotFound,
        ),
        (
            Change::DropTable {
                table_id: missing,
                sequence: 1,
            },
            ErrorKind::NotFound,
        ),
        (
            append(missing, vec![segment("a", 1, 0, 0)]),
            ErrorKind::NotFound,
        ),
    ];
    for (change, kind) in refused {
        let shown = format!("{change:?}");
        let valid = Change::DropTable {
            table_id: id,
            sequence: 1,
        };
        let pure = before.apply(std::slice::from_ref(&change), Stamp::overlay(&before));
        assert_eq!(pure.unwrap_err().kind(), kind, "{shown}");
        let error = catalog
            .commit(changes(vec![change, valid]))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{shown}");
    }
    assert_eq!(catalog.current(), before);
    assert_eq!(fixture.reopen(catalog).await.current(), before);
}

#[tokio::test]
async fn segments_that_contradict_themselves_are_refused() {
    let fixture = Fixture::new();
    let catalog = fixture.open().await;
    let (id, create) = create_table(&catalog, "t");
    catalog.commit(changes(vec![create])).await.unwrap();
    let good = || segment("a", 2, 0, 5);
    let mut bad = vec![good(); 8];
    bad[0].record_count = 0;
    bad[1].path = "../a.parquet".to_owned();
    bad[2].footer_size = bad[2].file_size_bytes;
    bad[3].column_stats.pop();
    bad[4].column_stats[0].value_count = 1;
    bad[5].column_stats[0].min = Some("6".to_owned());
    bad[6].column_stats[0].max = Some("five".to_owned());
    bad[7].column_stats[1].column_id = ColumnId(1);
    for segment in bad {
        let shown = format!("{segment:?}");
        let error = catalog
            .commit(changes(vec![append(id, vec![good(), segment])]))
            .await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Internal, "{shown}");
    }
    assert_eq!(catalog.current().table_by_id(id).unwrap().segments.len(), 0);
    catalog
        .commit(changes(vec![append(id, vec![good()])]))
        .await
        .unwrap();
}
