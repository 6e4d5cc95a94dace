#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use quiver_catalog::{ProducerRecord, SystemClock, TableId, TenantId};

use crate::{Engine, EngineSettings, TenantPlace};

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_of_a_table_that_is_being_made_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let place = TenantPlace {
        id: TenantId(1),
        directory: "default".to_owned(),
    };
    let settings = EngineSettings::new(directory.path());
    let places = [place.clone()];
    let engine = Engine::open(settings, Arc::new(SystemClock), &places, &[]).await;
    let engine = engine.unwrap();
    let tenant = engine.tenant(&place).await.unwrap();
    let unpublished = TableId(4711);
    let is_known = || tenant.producers().last(unpublished, "p").is_some();

    // As in the middle of a commit: the producer is noted, its table not yet to be seen.
    let committer = tenant.committer().lock().await;
    tenant.producers().commit_checkpointed(&ProducerRecord {
        table_id: unpublished,
        producer: "p".to_owned(),
        epoch: 0,
        producer_sequence: 1,
        sequence: 1,
        updated_micros: 0,
    });
    engine.prune_keys().await;
    assert!(
        is_known(),
        "its next number would be taken for a gap, and its last one twice"
    );

    drop(committer);
    engine.prune_keys().await;
    assert!(!is_known(), "the table was not made after all");
    engine.close().await.unwrap();
}
