//! Transactions that their clients forgot.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use quiver_catalog::{Clock, ErrorKind, UserId};
use quiver_engine::{Engine, EngineSettings, IngestMode, IngestRequest};
use uuid::Uuid;

use super::keys::SetClock;
use super::{node, place};
use crate::support::{Node, keyed, request, rows, settings};

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
    let session = Uuid::from_u128(7);
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

/// An upload that takes longer than a transaction may be idle keeps its transaction, and only it.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_in_use_does_not_expire() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(1_000_000_000_000)));
    let set: Arc<dyn Clock> = Arc::<SetClock>::clone(&clock);
    let settings = settings(directory.path());
    let timeout_ms = settings.transaction_timeout_ms;
    let engine = Engine::open(settings, set, &[place(1)], &[]).await.unwrap();
    let node = node(&engine, &place(1)).await;
    node.append("t", 0..10).await.unwrap();
    let [busy, idle] = [7, 8].map(Uuid::from_u128);
    let mut transactions = vec![];
    for session in [busy, idle] {
        let begun = engine.begin_transaction(&node.tenant, UserId(1), session);
        let transaction = begun.unwrap();
        let request = IngestRequest {
            transaction: Some(Arc::clone(&transaction)),
            ..request("t", IngestMode::APPEND)
        };
        node.ingest(request, &[rows(10..20)]).await.unwrap();
        transactions.push(transaction);
    }
    let request = IngestRequest {
        transaction: Some(Arc::clone(&transactions[0])),
        ..request("t", IngestMode::APPEND)
    };
    let mut upload = engine.begin_ingest(&node.tenant, request).await.unwrap();
    clock
        .0
        .fetch_add(timeout_ms as i64 * 2000, Ordering::Relaxed);
    for _ in 0..500 {
        if node.tenant.has_expired_transaction(idle) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(node.tenant.has_expired_transaction(idle));
    assert!(!node.tenant.has_expired_transaction(busy));
    upload.push(rows(20..30), None).await.unwrap();
    upload.commit().await.unwrap();
    transactions[0].commit().await.unwrap();
    assert_eq!(node.count("t").await, 30);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_inside_its_transaction_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 0..0).await.unwrap();
    let begun = node
        .engine
        .begin_transaction(&node.tenant, UserId(1), Uuid::nil());
    let transaction = begun.unwrap();
    let request = |table| IngestRequest {
        transaction: Some(Arc::clone(&transaction)),
        ..keyed(table, "k")
    };
    for table in ["t", "made_here"] {
        // The second one would wait for the first, which ends with the transaction.
        let first = node.engine.begin_ingest(&node.tenant, request(table)).await;
        let second = node.engine.begin_ingest(&node.tenant, request(table)).await;
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Conflict);
        let mut first = first.unwrap();
        first.push(rows(0..10), None).await.unwrap();
        assert!(!first.commit().await.unwrap().duplicate);
        let again = node.ingest(request(table), &[rows(0..10)]).await.unwrap();
        assert_eq!((again.row_count, again.duplicate), (10, true));
        let other = node.ingest(request(table), &[rows(0..11)]).await;
        assert_eq!(other.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    transaction.commit().await.unwrap();
    for table in ["t", "made_here"] {
        assert_eq!(node.count(table).await, 10);
        let after = node.ingest(keyed(table, "k"), &[rows(0..10)]).await;
        assert!(after.unwrap().duplicate);
    }
    node.close().await;
}
