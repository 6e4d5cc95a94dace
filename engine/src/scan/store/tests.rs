#![expect(clippy::unwrap_used, reason = "tests")]

use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::prelude::SessionConfig;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::*;
use crate::scan::testing::TestTable;
use crate::segment::testing::columns_of;
use crate::storage_fs::LocalFs;

fn url(text: &str) -> ObjectStoreUrl {
    ObjectStoreUrl::parse(text).unwrap()
}

#[test]
fn only_the_tenants_own_url_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let registry = TenantRegistry::new(Arc::new(LocalFs), TenantId(3), directory.path()).unwrap();
    assert!(registry.get_store(registry.url().as_ref()).is_ok());
    let strangers = [
        "file://",
        "quiver-4://segments",
        "quiver-3://other",
        "quiver-3://segments:80",
        "quiver-3://me@segments",
        "https://localhost",
        "s3://bucket",
    ];
    for stranger in strangers {
        let error = registry
            .get_store(url(stranger).as_ref())
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown location"), "{stranger}: {error}");
    }
    let known = url("file://");
    assert!(
        registry
            .register_store(known.as_ref(), Arc::new(InMemory::new()))
            .is_none()
    );
    assert!(
        registry.get_store(known.as_ref()).is_err(),
        "what was registered is not kept"
    );
    assert!(registry.deregister_store(registry.url().as_ref()).is_err());
    assert!(registry.get_store(registry.url().as_ref()).is_ok());
}

#[tokio::test]
async fn a_store_reads_below_its_directory_and_does_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("outside"), "secret").unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("a"), "rows").unwrap();
    let store = TenantStore::new(Arc::new(LocalFs), &data).unwrap();
    let a = Path::from("a");
    assert_eq!(store.get(&a).await.unwrap().bytes().await.unwrap(), "rows");
    assert_eq!(store.get_range(&a, 1..3).await.unwrap(), "ow");
    assert!(store.get(&Path::from("../outside")).await.is_err());
    assert!(Path::parse("../outside").is_err());
    assert!(store.put(&a, "other".into()).await.is_err());
    assert!(store.delete(&a).await.is_err());
    assert!(store.copy(&a, &Path::from("b")).await.is_err());
    assert!(store.rename(&a, &Path::from("b")).await.is_err());
    assert!(store.list(None).try_collect::<Vec<_>>().await.is_err());
    assert_eq!(std::fs::read(data.join("a")).unwrap(), b"rows");
}

#[test]
fn a_missing_directory_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let result = TenantStore::new(Arc::new(LocalFs), &directory.path().join("none"));
    assert!(
        matches!(result, Err(EngineError::Io { action: "open", .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_missing_segment_is_reported_without_the_machines_paths() {
    let mut table = TestTable::new(columns_of(&[("x", arrow::datatypes::DataType::Int64)]));
    let batch = crate::segment::testing::random_batch(
        &table.schema,
        10,
        5,
        &mut crate::segment::testing::seeded(1),
    );
    table.flush(&[batch]);
    let context = table.session(SessionConfig::new());
    std::fs::remove_file(
        table
            .directory
            .path()
            .join("main/t")
            .join(&table.segments[0].path),
    )
    .unwrap();
    let error = context
        .sql("SELECT * FROM t")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(error.contains(&table.segments[0].path), "{error}");
    assert!(
        !error.contains(table.directory.path().to_str().unwrap()),
        "{error}"
    );
}
