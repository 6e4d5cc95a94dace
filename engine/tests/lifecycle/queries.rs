//! A query that was planned before answers as if it were planned now.

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use futures::TryStreamExt;
use quiver_catalog::ErrorKind;
use quiver_engine::{IngestMode, StatementContext};
use std::sync::Arc;

use super::{node, open_engine, place};
use crate::support::{Node, count, query, request, rows, settings, summary};

/// Executes a query often enough that its plan, and what was optimized of it, is used again.
async fn always(context: &StatementContext, sql: &str) -> RecordBatch {
    let first = query(context, sql).await.unwrap();
    for _ in 0..3 {
        assert_eq!(query(context, sql).await.unwrap(), first, "{sql}");
    }
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_what_is_there_now() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 0..10).await.unwrap();
    let sql = "SELECT count(*), sum(id), (SELECT max(id) FROM t) FROM t WHERE id >= 5";
    let read = |rows: &RecordBatch| {
        let column = |place: usize| cast(rows.column(place), &DataType::Int64).unwrap();
        let value = |array: ArrayRef| {
            array
                .as_any()
                .downcast_ref::<Int64Array>()
                .unwrap()
                .value(0)
        };
        (value(column(0)), value(column(1)), value(column(2)))
    };
    let context = node.context(None);
    assert_eq!(read(&always(&context, sql).await), (5, 35, 9));
    node.append("t", 10..12).await.unwrap();
    assert_eq!(read(&always(&context, sql).await), (7, 56, 11));
    node.engine.flush(&node.tenant).await.unwrap();
    assert_eq!(read(&always(&context, sql).await), (7, 56, 11));
    node.append("t", 12..13).await.unwrap();
    assert_eq!(read(&always(&context, sql).await), (8, 68, 12));

    let transaction = node.begin();
    let mut own = request("t", IngestMode::APPEND);
    own.transaction = Some(Arc::clone(&transaction));
    node.ingest(own, &[rows(13..14)]).await.unwrap();
    let inside = node.context(Some(Arc::clone(&transaction)));
    assert_eq!(read(&always(&inside, sql).await), (9, 81, 13));
    assert_eq!(read(&always(&context, sql).await), (8, 68, 12));
    transaction.rollback().await;
    assert_eq!(read(&always(&context, sql).await), (8, 68, 12));
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_replaced_is_planned_anew() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    let context = node.context(None);
    let sql = "SELECT * FROM t";
    node.update("CREATE TABLE t (a BIGINT)").await.unwrap();
    assert_eq!(always(&context, sql).await.num_columns(), 1);
    node.update("DROP TABLE t").await.unwrap();
    let missing = query(&context, sql).await.unwrap_err();
    assert!(missing.to_string().contains("not found"), "{missing}");
    node.update("CREATE TABLE t (a TEXT, b BIGINT)")
        .await
        .unwrap();
    let replaced = always(&context, sql).await;
    assert_eq!(replaced.num_columns(), 2);
    assert_eq!(*replaced.schema().field(0).data_type(), DataType::Utf8);
    // The same columns, but other rows.
    node.update("INSERT INTO t VALUES ('x', 1)").await.unwrap();
    assert_eq!(always(&context, sql).await.num_rows(), 1);
    node.update("DROP TABLE t").await.unwrap();
    node.update("CREATE TABLE t (a TEXT, b BIGINT)")
        .await
        .unwrap();
    assert_eq!(always(&context, sql).await.num_rows(), 0);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_the_time_are_those_of_each_execution() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path()).await;
    node.append("t", 0..10).await.unwrap();
    let context = node.context(None);
    let parsed = node.engine.parse("SELECT id FROM t WHERE id = $1").unwrap();
    for wanted in [3, 3, 7, 11] {
        let value = Arc::new(Int64Array::from(vec![wanted])) as ArrayRef;
        let values = RecordBatch::try_from_iter([("$1", value)]).unwrap();
        let plan = context.plan(&parsed, Some(&values)).await.unwrap();
        let found = context.rows(&parsed, Some(&values)).await.unwrap();
        assert_eq!(plan.schema, found.schema);
        let found: Vec<_> = found.stream.try_collect().await.unwrap();
        let ids: usize = found.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(ids, usize::from(wanted < 10), "{wanted}");
    }
    let unbound = context.rows(&parsed, None).await;
    assert!(
        unbound.is_err()
            || unbound
                .unwrap()
                .stream
                .try_collect::<Vec<_>>()
                .await
                .is_err()
    );

    let mut last = 0;
    for _ in 0..4 {
        let now = query(&context, "SELECT now()").await.unwrap();
        let now = cast(
            now.column(0),
            &DataType::Timestamp(TimeUnit::Microsecond, None),
        )
        .unwrap();
        let now = now
            .as_any()
            .downcast_ref::<TimestampMicrosecondArray>()
            .unwrap()
            .value(0);
        assert!(now > last, "the time goes on");
        last = now;
    }
    let drawn = query(&context, "SELECT random()").await.unwrap();
    assert_ne!(query(&context, "SELECT random()").await.unwrap(), drawn);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_name_means_depends_on_schema_and_tenant() {
    let directory = tempfile::tempdir().unwrap();
    let places = [place(1), place(2)];
    let engine = open_engine(settings(directory.path()), &places, &[])
        .await
        .unwrap();
    let (one, other) = (
        node(&engine, &places[0]).await,
        node(&engine, &places[1]).await,
    );
    one.append("t", 0..3).await.unwrap();
    other.append("t", 0..5).await.unwrap();
    one.update("CREATE SCHEMA side").await.unwrap();
    one.update("CREATE TABLE side.t (id BIGINT)").await.unwrap();
    let side = StatementContext {
        default_schema: "side".to_owned(),
        ..one.context(None)
    };
    for _ in 0..3 {
        assert_eq!(count(&one.context(None), "t").await, 3);
        assert_eq!(count(&side, "t").await, 0);
        assert_eq!(count(&other.context(None), "t").await, 5);
        assert_eq!(summary(&other.context(None), "t").await, (5, 5, 10));
    }
    let schema = |rows: RecordBatch| rows.column(0).to_data();
    let asked = "SELECT current_schema()";
    assert_ne!(
        schema(always(&one.context(None), asked).await),
        schema(always(&side, asked).await)
    );
    // What shows a state has no plan that could be kept.
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'u'";
    assert_eq!(
        always(&one.context(None), tables).await.column(0).as_ref(),
        &Int64Array::from(vec![0])
    );
    one.update("CREATE TABLE u (id BIGINT)").await.unwrap();
    assert_eq!(
        always(&one.context(None), tables).await.column(0).as_ref(),
        &Int64Array::from(vec![1])
    );
    let missing = query(&other.context(None), "SELECT * FROM side.t")
        .await
        .unwrap_err();
    assert_ne!(missing.kind(), ErrorKind::Corruption);
    engine.close().await.unwrap();
}
