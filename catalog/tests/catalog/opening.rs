//! Opening: new, moved, damaged, foreign and missing catalogs.

use quiver_catalog::{CatalogOptions, Clock, ErrorKind, TenantCatalog};
use sqlx::{Executor, Row};
use std::path::PathBuf;
use std::sync::Arc;

use crate::support::{Fixture, StillClock, append, changes, create_table, segment};

async fn open_error(options: CatalogOptions) -> quiver_catalog::CatalogError {
    let clock: Arc<dyn Clock> = Arc::<StillClock>::default();
    TenantCatalog::open(options, clock).await.unwrap_err()
}

#[tokio::test]
async fn every_opening_is_an_epoch() {
    let fixture = Fixture::new();
    let mut catalog = fixture.open().await;
    for epoch in 1..4 {
        assert_eq!(catalog.epoch(), epoch);
        catalog = fixture.reopen(catalog).await;
    }
}

#[tokio::test]
async fn a_missing_catalog_is_made_only_on_demand() {
    let fixture = Fixture::new();
    let options = CatalogOptions {
        create: false,
        ..fixture.options()
    };
    assert_eq!(
        open_error(options.clone()).await.kind(),
        ErrorKind::NotFound
    );
    assert!(!options.path.exists());
    fixture.open().await.close().await.unwrap();
    let clock: Arc<dyn Clock> = Arc::<StillClock>::default();
    assert_eq!(
        TenantCatalog::open(options, clock).await.unwrap().epoch(),
        2
    );
}

#[tokio::test]
async fn the_data_path_follows_the_folder() {
    let fixture = Fixture::new();
    fixture.open().await.close().await.unwrap();
    for data_path in ["/elsewhere/data", "/elsewhere/data/"] {
        let options = CatalogOptions {
            data_path: PathBuf::from(data_path),
            ..fixture.options()
        };
        let clock: Arc<dyn Clock> = Arc::<StillClock>::default();
        TenantCatalog::open(options, clock)
            .await
            .unwrap()
            .close()
            .await
            .unwrap();
        let mut connection = fixture.sql().await;
        let rows = sqlx::query("SELECT value FROM ducklake_metadata WHERE key = 'data_path'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let paths: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(paths, ["/elsewhere/data/"]);
    }
    let options = CatalogOptions {
        data_path: PathBuf::from("data"),
        ..fixture.options()
    };
    assert_eq!(open_error(options).await.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn formats_of_the_future_are_refused() {
    for (statement, table) in [
        (
            "UPDATE ducklake_metadata SET value = '1.1' WHERE key = 'version'",
            "ducklake",
        ),
        (
            "UPDATE ducklake_metadata SET value = 'true' WHERE key = 'encrypted'",
            "ducklake",
        ),
        (
            "UPDATE quiver_meta SET value = '2' WHERE key = 'format'",
            "quiver",
        ),
        (
            "INSERT INTO ducklake_delete_file (delete_file_id, data_file_id, table_id, \
             begin_snapshot, path, path_is_relative, format, delete_count, file_size_bytes, \
             footer_size) VALUES (1, 0, 1, 0, 'd.puffin', 1, 'puffin', 1, 100, 10)",
            "ducklake",
        ),
    ] {
        let fixture = Fixture::new();
        fixture.open().await.close().await.unwrap();
        fixture.sql().await.execute(statement).await.unwrap();
        let error = open_error(fixture.options()).await;
        assert_eq!(
            error.kind(),
            ErrorKind::Unsupported,
            "{table}: {statement}: {error}"
        );
    }
}

#[tokio::test]
async fn contradictions_are_corruption() {
    for statement in [
        "DELETE FROM ducklake_snapshot",
        "UPDATE ducklake_snapshot SET snapshot_time = 'noon'",
        "UPDATE ducklake_snapshot SET next_catalog_id = 1",
        "UPDATE ducklake_snapshot SET next_file_id = 0",
        "UPDATE ducklake_table SET schema_id = 55",
        "UPDATE ducklake_table SET table_uuid = 'x'",
        "UPDATE ducklake_data_file SET table_id = 55",
        "UPDATE ducklake_data_file SET record_count = record_count + 1",
        "UPDATE ducklake_data_file SET record_count = -1",
        "UPDATE ducklake_data_file SET row_id_start = 0",
        "UPDATE ducklake_table_stats SET next_row_id = 0",
        "DELETE FROM ducklake_table_stats",
        "DELETE FROM ducklake_column",
        "DELETE FROM ducklake_column WHERE parent_column IS NOT NULL",
        "UPDATE ducklake_column SET parent_column = column_id WHERE parent_column IS NOT NULL",
        "UPDATE quiver_meta SET value = '0' WHERE key = 'last_sequence'",
        "UPDATE quiver_meta SET value = 'many' WHERE key = 'epoch'",
        "INSERT INTO ducklake_schema SELECT 77, schema_uuid, 0, NULL, 'Main', path, 1 \
         FROM ducklake_schema",
    ] {
        let fixture = Fixture::new();
        let catalog = fixture.open().await;
        let (id, create) = create_table(&catalog, "t");
        let fill = append(id, vec![segment("a", 2, 0, 1), segment("b", 2, 0, 1)]);
        let mut commit = changes(vec![create, fill]);
        commit.flushed = vec![(id, 3)];
        catalog.commit(commit).await.unwrap();
        catalog.close().await.unwrap();
        fixture.sql().await.execute(statement).await.unwrap();
        let error = open_error(fixture.options()).await;
        assert_eq!(error.kind(), ErrorKind::Corruption, "{statement}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corruption() {
    let fixture = Fixture::new();
    std::fs::write(fixture.options().path, vec![b'x'; 8192]).unwrap();
    assert_eq!(
        open_error(fixture.options()).await.kind(),
        ErrorKind::Corruption
    );
}

#[tokio::test]
async fn an_empty_file_becomes_a_catalog_only_on_demand() {
    let fixture = Fixture::new();
    std::fs::write(fixture.options().path, b"").unwrap();
    let options = CatalogOptions {
        create: false,
        ..fixture.options()
    };
    assert_eq!(open_error(options).await.kind(), ErrorKind::NotFound);
    assert_eq!(fixture.open().await.current().schemas().len(), 1);
}
