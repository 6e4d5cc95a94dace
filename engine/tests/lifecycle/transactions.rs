//! Transactions that their clients forgot.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quiver_catalog::{Clock, ErrorKind, UserId};
use quiver_engine::{Engine, EngineSettings};

use super::keys::SetClock;
use super::{node, place};
use crate::support::settings;

const MINUTE_MICROS: i64 = 60_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_readers_make_room_and_writers_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(1_000_000_000_000)));
    let few = EngineSettings {
        tenant_transactions_max: 2,
        ..settings(directory.path())
    };
    let set: Arc<dyn Clock> = Arc::<SetClock>::clone(&clock);
    let engine = Engine::open(few, set, &[place(1)], &[]).await.unwrap();
    let node = node(&engine, &place(1)).await;
    let session = uuid::Uuid::from_u128(7);
    let begin = || engine.begin_transaction(&node.tenant, UserId(1), session);

    let reader = begin().unwrap();
    let writer = begin().unwrap();
    node.context(Some(Arc::clone(&writer)))
        .update(
            &quiver_engine::parse("CREATE TABLE w (a INT)")
                .unwrap()
                .statement,
            None,
        )
        .await
        .unwrap();
    // Nobody is idle for long enough.
    assert_eq!(begin().unwrap_err().kind(), ErrorKind::Overloaded);

    clock.0.fetch_add(2 * MINUTE_MICROS, Ordering::Relaxed);
    let third = begin().unwrap();
    assert_eq!(
        reader.commit().await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert!(node.tenant.has_expired_transaction(session));
    writer.commit().await.unwrap();
    third.commit().await.unwrap();
    node.close().await;
}
