//! Rows from ingest to segment: visible, durable, once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod lifecycle;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quiver_catalog::ErrorKind;
use quiver_engine::{IngestMode, IngestRequest, TableExists, TableMissing};
use support::{Node, count, keyed, request, rows, summary};

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_visible_after_the_commit_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 0..10).await.unwrap();
    let mut open = node
        .engine
        .begin_ingest(&node.tenant, request("t", IngestMode::APPEND))
        .await
        .unwrap();
    open.push(rows(10..20), None).await.unwrap();
    assert_eq!(node.count("t").await, 10);
    open.commit().await.unwrap();
    assert_eq!(summary(&node.context(None), "t").await, (20, 20, 190));

    let mut dropped = node
        .engine
        .begin_ingest(&node.tenant, request("t", IngestMode::APPEND))
        .await
        .unwrap();
    dropped.push(rows(20..30), None).await.unwrap();
    drop(dropped);
    assert_eq!(node.count("t").await, 20);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_brings_back_what_was_committed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 0..100).await.unwrap();
    node.engine.flush(&node.tenant).await.unwrap();
    node.append("t", 100..150).await.unwrap();
    let mut open = node
        .engine
        .begin_ingest(&node.tenant, request("t", IngestMode::APPEND))
        .await
        .unwrap();
    open.push(rows(1000..1100), None).await.unwrap();
    drop(open);
    node.abandon().await;

    for _ in 0..3 {
        let node = Node::open(directory.path()).await;
        assert_eq!(
            summary(&node.context(None), "t").await,
            (150, 150, 149 * 75)
        );
        node.abandon().await;
    }
    let node = Node::open(directory.path()).await;
    node.engine.flush(&node.tenant).await.unwrap();
    node.append("t", 150..160).await.unwrap();
    node.abandon().await;
    let node = Node::open(directory.path()).await;
    assert_eq!(node.count("t").await, 160);
    node.close().await;
    let node = Node::open(directory.path()).await;
    assert_eq!(node.count("t").await, 160);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_table_comes_with_its_rows_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    let mut open = node
        .engine
        .begin_ingest(&node.tenant, request("t", IngestMode::CREATE))
        .await
        .unwrap();
    open.push(rows(0..10), None).await.unwrap();
    drop(open);
    assert!(node.query("SELECT * FROM t").await.is_err());
    node.ingest(request("t", IngestMode::CREATE), &[rows(0..5), rows(5..9)])
        .await
        .unwrap();
    let again = node
        .ingest(request("t", IngestMode::CREATE), &[rows(0..5)])
        .await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    node.abandon().await;
    let node = Node::open(directory.path()).await;
    assert_eq!(node.count("t").await, 9);

    let replace = IngestMode {
        missing: TableMissing::Create,
        exists: TableExists::Replace,
    };
    node.ingest(request("t", replace), &[rows(100..103)])
        .await
        .unwrap();
    assert_eq!(summary(&node.context(None), "t").await, (3, 3, 303));
    node.abandon().await;
    let node = Node::open(directory.path()).await;
    assert_eq!(summary(&node.context(None), "t").await, (3, 3, 303));
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_stays_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 0..10).await.unwrap();
    node.append("u", 0..10).await.unwrap();
    node.update("DROP TABLE t").await.unwrap();
    node.append("t", 0..3).await.unwrap();
    node.abandon().await;
    let node = Node::open(directory.path()).await;
    assert_eq!(node.count("t").await, 3);
    assert_eq!(node.count("u").await, 10);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_atomic_over_tables() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("a", 0..10).await.unwrap();
    let transaction = node.begin();
    let inside = node.context(Some(Arc::clone(&transaction)));
    let staged = |table| IngestRequest {
        transaction: Some(Arc::clone(&transaction)),
        ..request(table, IngestMode::CREATE_APPEND)
    };
    node.ingest(staged("a"), &[rows(10..15)]).await.unwrap();
    node.ingest(staged("b"), &[rows(0..7)]).await.unwrap();
    assert_eq!(count(&inside, "a").await, 15);
    assert_eq!(count(&inside, "b").await, 7);
    assert_eq!(node.count("a").await, 10);
    assert!(node.query("SELECT * FROM b").await.is_err());
    node.append("a", 100..101).await.unwrap();
    assert_eq!(
        count(&inside, "a").await,
        15,
        "a transaction reads one state"
    );
    transaction.commit().await.unwrap();
    assert_eq!(node.count("a").await, 16);
    assert_eq!(node.count("b").await, 7);
    assert_eq!(
        transaction.commit().await.unwrap_err().kind(),
        ErrorKind::Conflict
    );

    let rolled_back = node.begin();
    let request = IngestRequest {
        transaction: Some(Arc::clone(&rolled_back)),
        ..request("a", IngestMode::APPEND)
    };
    node.ingest(request, &[rows(500..600)]).await.unwrap();
    rolled_back.rollback().await;
    assert_eq!(node.count("a").await, 16);
    node.abandon().await;
    let node = Node::open(directory.path()).await;
    assert_eq!(node.count("a").await, 16);
    assert_eq!(node.count("b").await, 7);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_loses_against_a_concurrent_drop() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 0..10).await.unwrap();
    let transaction = node.begin();
    let request = IngestRequest {
        transaction: Some(Arc::clone(&transaction)),
        ..request("t", IngestMode::APPEND)
    };
    node.ingest(request, &[rows(10..15)]).await.unwrap();
    node.update("DROP TABLE t").await.unwrap();
    assert_eq!(
        transaction.commit().await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_takes_effect_once_also_across_flush_and_crash() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    let first = node.ingest(keyed("t", "k1"), &[rows(0..10)]).await.unwrap();
    assert!(!first.duplicate);
    // The digest does not depend on how rows are cut into batches.
    let again = node
        .ingest(keyed("t", "k1"), &[rows(0..4), rows(4..10)])
        .await
        .unwrap();
    assert_eq!((again.row_count, again.duplicate), (10, true));
    let other = node
        .ingest(keyed("t", "k1"), &[rows(0..11)])
        .await
        .unwrap_err();
    assert_eq!(other.kind(), ErrorKind::AlreadyExists);
    node.ingest(keyed("t", "k2"), &[rows(10..20)])
        .await
        .unwrap();
    node.ingest(keyed("t", "empty"), &[]).await.unwrap();
    node.abandon().await;

    let node = Node::open(directory.path()).await;
    assert!(
        node.ingest(keyed("t", "k1"), &[rows(0..10)])
            .await
            .unwrap()
            .duplicate
    );
    assert!(
        node.ingest(keyed("t", "k2"), &[rows(10..20)])
            .await
            .unwrap()
            .duplicate
    );
    assert!(
        node.ingest(keyed("t", "empty"), &[])
            .await
            .unwrap()
            .duplicate
    );
    node.engine.flush(&node.tenant).await.unwrap();
    node.abandon().await;

    let node = Node::open(directory.path()).await;
    assert!(
        node.ingest(keyed("t", "k1"), &[rows(0..10)])
            .await
            .unwrap()
            .duplicate
    );
    assert!(
        node.ingest(keyed("t", "k2"), &[rows(10..20)])
            .await
            .unwrap()
            .duplicate
    );
    assert_eq!(node.count("t").await, 20);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_the_same_time_takes_effect_once() {
    let directory = tempfile::tempdir().unwrap();
    let node = Arc::new(Node::open(directory.path()).await);
    node.append("t", 0..0).await.unwrap();
    let jobs: Vec<_> = (0..8)
        .map(|_| {
            let node = Arc::clone(&node);
            quiver_engine::task::spawn(async move {
                node.ingest(keyed("t", "k"), &[rows(0..100)])
                    .await
                    .unwrap()
                    .duplicate
            })
        })
        .collect();
    let mut first = 0;
    for job in jobs {
        first += usize::from(!job.await.unwrap());
    }
    assert_eq!(first, 1);
    assert_eq!(node.count("t").await, 100);
}

/// Several loaders that begin at once, as after a restart, make one table and lose nothing.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_second_appends_to_the_table_that_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let node = Arc::new(Node::open(directory.path()).await);
    for round in 0..10 {
        let table = format!("t{round}");
        let loaders = (0..8_i64).map(|loader| {
            let (node, table) = (Arc::clone(&node), table.clone());
            quiver_engine::task::spawn(async move {
                let first = loader * 10;
                let (key, some) = (format!("loader {loader}"), rows(first..first + 10));
                let request = keyed(&table, &key);
                let mut ingest = node.engine.begin_ingest(&node.tenant, request).await?;
                ingest.push(some.clone(), None).await?;
                // Until all have seen that the table is missing.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                let outcome = ingest.commit().await?;
                let again = node.ingest(keyed(&table, &key), &[some]).await?;
                Ok::<_, quiver_engine::EngineError>((outcome.duplicate, again.duplicate))
            })
        });
        for loader in loaders.collect::<Vec<_>>() {
            assert_eq!(loader.await.unwrap().unwrap(), (false, true));
        }
        let expected = (80, 80, 79 * 40);
        assert_eq!(summary(&node.context(None), &table).await, expected);
    }
}

/// Files below the tenant's data that are not whole segments.
fn part_files(node: &Node) -> usize {
    let folder = node.tenant.directory().join("data/main/t");
    let names = std::fs::read_dir(folder).map_or(vec![], |entries| {
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    });
    names.iter().filter(|name| name.ends_with(".part")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_beyond_the_budget_go_to_segments_or_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut small = support::settings(directory.path());
    small.buffer_tenant_bytes_max = 1 << 20;
    let node = Node::open_with(small).await;
    node.append("t", 0..10).await.unwrap();
    for commits in [false, true] {
        let request = request("t", IngestMode::APPEND);
        let mut ingest = node
            .engine
            .begin_ingest(&node.tenant, request)
            .await
            .unwrap();
        for start in 0..100 {
            let rows = rows(start * 1000..(start + 1) * 1000);
            ingest.push(rows, None).await.unwrap();
        }
        assert!(part_files(&node) > 0);
        assert_eq!(node.count("t").await, 10);
        match commits {
            true => drop(ingest.commit().await.unwrap()),
            false => drop(ingest),
        }
        assert_eq!(part_files(&node), 0);
    }
    assert_eq!(node.count("t").await, 100_010);
    // Many commits that fit one by one: the flush makes room for them.
    for start in 0..60 {
        node.append("t", start * 1000..(start + 1) * 1000)
            .await
            .unwrap();
    }
    assert_eq!(node.count("t").await, 160_010);
    node.close().await;
}

/// Streams that are complete and wait for their transaction stay in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_beyond_the_budget_is_refused_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut small = support::settings(directory.path());
    small.buffer_tenant_bytes_max = 1 << 20;
    let node = Node::open_with(small).await;
    node.append("t", 0..10).await.unwrap();
    let transaction = node.begin();
    let mut refused = None;
    for start in 0..100 {
        let mut staged = request("t", IngestMode::APPEND);
        staged.transaction = Some(Arc::clone(&transaction));
        let rows = rows(start * 1000..(start + 1) * 1000);
        if let Err(error) = node.ingest(staged, &[rows]).await {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(refused.retry_after_ms().is_some());
    transaction.rollback().await;
    assert_eq!(node.count("t").await, 10);
    node.append("t", 10..1000).await.unwrap();
    assert_eq!(node.count("t").await, 1000);
    node.close().await;
}

/// The log is shared: one stream that stays open must not stop everybody's writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_holds_a_full_log_is_given_up_and_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut small = support::settings(directory.path());
    small.wal_bytes_max = 16 << 20;
    let node = Node::open_with(small.clone()).await;
    node.append("t", 0..10).await.unwrap();
    let begin = || {
        node.engine
            .begin_ingest(&node.tenant, request("t", IngestMode::APPEND))
    };
    let mut pushing = begin().await.unwrap();
    let mut committing = begin().await.unwrap();
    pushing.push(rows(0..10), None).await.unwrap();
    committing.push(rows(0..10), None).await.unwrap();
    let transaction = node.begin();
    let mut staged = request("t", IngestMode::APPEND);
    staged.transaction = Some(Arc::clone(&transaction));
    node.ingest(staged, &[rows(0..10)]).await.unwrap();

    let log_bytes = || node.engine.usage_bytes().0;
    let (mut written, mut last, mut id) = (0, log_bytes(), 10);
    while written < 4 * small.wal_bytes_max {
        node.append("t", id..id + 20_000).await.unwrap();
        id += 20_000;
        written += log_bytes().saturating_sub(last);
        last = log_bytes();
    }

    let given_up = [
        pushing.push(rows(10..20), None).await.unwrap_err(),
        committing.commit().await.unwrap_err(),
        transaction.commit().await.unwrap_err(),
    ];
    for error in given_up {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    drop(pushing);
    assert_eq!(node.count("t").await, id);
    node.abandon().await;
    assert_eq!(Node::open_with(small).await.count("t").await, id);
}

/// What was decoded from a log's file must not count once for each of its columns.
#[tokio::test(flavor = "multi_thread")]
async fn recovered_rows_count_as_much_as_they_did_before() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    let column = |n: i64| {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(n..n + 5_000));
        (format!("c{n}"), values)
    };
    let wide = RecordBatch::try_from_iter((0..20).map(column)).unwrap();
    let ingest = || IngestRequest {
        incoming: wide.schema(),
        ..request("wide", IngestMode::CREATE_APPEND)
    };
    for _ in 0..3 {
        node.ingest(ingest(), std::slice::from_ref(&wide))
            .await
            .unwrap();
    }
    let (_, _, before) = node.engine.usage_bytes();
    node.abandon().await;
    let node = Node::open(directory.path()).await;
    let (_, _, after) = node.engine.usage_bytes();
    assert!(
        after.abs_diff(before) <= before / 10,
        "{before} bytes before, {after} after"
    );
    node.close().await;
}

/// A prepared statement is executed for each row of parameters, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_parameters_insert_as_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 0..10).await.unwrap();
    let parsed =
        quiver_engine::parse("INSERT INTO t SELECT id + $1, text FROM t WHERE id = 1").unwrap();
    let ids: arrow::array::ArrayRef =
        Arc::new(arrow::array::Int64Array::from_iter_values(100..300));
    let values = arrow::array::RecordBatch::try_from_iter([("1", ids)]).unwrap();
    let inserted = node
        .context(None)
        .update(&parsed.statement, Some(&values))
        .await;
    assert_eq!(inserted.unwrap(), 200);
    assert_eq!(node.count("t").await, 210);
    node.close().await;
}

/// Writers append numbered pairs to two tables in one transaction each, while others flush and
/// read: every reader sees both tables at the same state, never less than was acknowledged before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_never_see_half_a_commit_or_a_doubled_row() {
    let directory = tempfile::tempdir().unwrap();
    let node = Arc::new(Node::open(directory.path()).await);
    node.append("a", 0..0).await.unwrap();
    node.append("b", 0..0).await.unwrap();
    let acknowledged = Arc::new(AtomicI64::new(0));
    let next = Arc::new(AtomicI64::new(0));
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let (node, acknowledged, next) = (
                Arc::clone(&node),
                Arc::clone(&acknowledged),
                Arc::clone(&next),
            );
            quiver_engine::task::spawn(async move {
                for _ in 0..40 {
                    let id = next.fetch_add(1, Ordering::SeqCst);
                    let transaction = node.begin();
                    for table in ["a", "b"] {
                        let request = IngestRequest {
                            transaction: Some(Arc::clone(&transaction)),
                            ..request(table, IngestMode::APPEND)
                        };
                        node.ingest(request, &[rows(id..id + 1)]).await.unwrap();
                    }
                    transaction.commit().await.unwrap();
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let reader = async {
        loop {
            let before = acknowledged.load(Ordering::SeqCst);
            let sql = "SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM b) AS b, \
                       (SELECT count(*) FROM a JOIN b ON a.id = b.id) AS both";
            let batch = node.query(sql).await.unwrap();
            let value = |column: usize| {
                let column = batch.column(column).as_any();
                column
                    .downcast_ref::<arrow::array::Int64Array>()
                    .unwrap()
                    .value(0)
            };
            assert_eq!((value(0), value(0)), (value(1), value(2)));
            assert!(
                value(0) >= before,
                "{} rows after {before} were acknowledged",
                value(0)
            );
            node.engine.flush(&node.tenant).await.unwrap();
            if before == 120 {
                break;
            }
        }
    };
    reader.await;
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(
        summary(&node.context(None), "a").await,
        (120, 120, 119 * 60)
    );
}
