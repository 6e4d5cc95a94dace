#![expect(clippy::unwrap_used, reason = "tests")]

use std::ops::Not;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::TableProvider;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, Operator, binary_expr, col, in_list, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::{ProptestConfig, any, proptest};
use rand::RngExt;
use rand::rngs::StdRng;

use super::testing::TestTable;
use crate::segment::SegmentOptions;
use crate::segment::testing::{
    columns_of, nested_types, random_batch, random_scalar, scalar_types, seeded,
};

fn numbers(columns: &SchemaRef, from: i64, rows: usize) -> RecordBatch {
    let n = || from..from + rows as i64;
    let ids = Int64Array::from_iter_values(n());
    let texts = StringArray::from_iter_values(n().map(|n| format!("row {n}")));
    let wide = StringArray::from_iter_values(n().map(|n| format!("{n:0>200}")));
    let columns_ = vec![
        Arc::new(ids) as _,
        Arc::new(texts) as _,
        Arc::new(wide) as _,
    ];
    RecordBatch::try_new(Arc::clone(columns), columns_).unwrap()
}

/// Ten segments of 1,000 rows with consecutive numbers, and some rows in memory.
fn numbered(buffered: &[usize]) -> TestTable {
    let types = [
        ("id", DataType::Int64),
        ("text", DataType::Utf8),
        ("wide", DataType::Utf8),
    ];
    let mut table = TestTable::new(columns_of(&types));
    for segment in 0..10 {
        let batch = numbers(&table.schema, segment * 1000, 1000);
        table.flush(&[batch]);
    }
    let mut next = 10_000;
    for rows in buffered {
        table.buffered.push(numbers(&table.schema, next, *rows));
        next += *rows as i64;
    }
    table
}

async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap()
}

async fn explain(context: &SessionContext, sql: &str) -> String {
    displayable(plan(context, sql).await.as_ref())
        .indent(true)
        .to_string()
}

async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    sorted_rows(&context.sql(sql).await.unwrap().collect().await.unwrap())
}

fn sorted_rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            rows.push(values.join("|"));
        }
    }
    rows.sort();
    rows
}

fn files(plan: &str) -> usize {
    plan.matches(".parquet").count()
}

#[tokio::test]
async fn segments_that_cannot_match_are_not_opened() {
    let table = numbered(&[10]);
    let context = table.session(SessionConfig::new().with_target_partitions(2));
    assert_eq!(files(&explain(&context, "SELECT * FROM t").await), 10);
    assert_eq!(
        files(&explain(&context, "SELECT * FROM t WHERE id = 4500").await),
        1
    );
    assert_eq!(
        files(&explain(&context, "SELECT * FROM t WHERE id BETWEEN 900 AND 1100").await),
        2
    );
    assert_eq!(
        files(&explain(&context, "SELECT * FROM t WHERE id > 10005").await),
        0
    );
    assert_eq!(
        files(&explain(&context, "SELECT * FROM t WHERE id IS NULL").await),
        0
    );
    let list: Vec<_> = (3000..3100).map(|id: i64| id.to_string()).collect();
    let sql = format!("SELECT * FROM t WHERE id IN ({})", list.join(", "));
    assert_eq!(files(&explain(&context, &sql).await), 1);
    assert_eq!(rows(&context, &sql).await.len(), 100);
    let found = rows(
        &context,
        "SELECT id FROM t WHERE id IN (5, 9999, 10003, 20000)",
    )
    .await;
    assert_eq!(found, ["10003", "5", "9999"]);
}

#[tokio::test]
async fn counts_come_from_statistics() {
    for buffered in [&[][..], &[3, 4]] {
        let table = numbered(buffered);
        let context = table.session(SessionConfig::new());
        let sql = "SELECT count(*), count(id) FROM t";
        let plan = explain(&context, sql).await;
        assert!(
            plan.contains("PlaceholderRowExec") && files(&plan) == 0,
            "{plan}"
        );
        let all = 10_000 + buffered.iter().sum::<usize>();
        assert_eq!(rows(&context, sql).await, [format!("{all}|{all}")]);
    }
    let table = numbered(&[]);
    let context = table.session(SessionConfig::new());
    let sql = "SELECT min(id), max(id) FROM t";
    assert_eq!(files(&explain(&context, sql).await), 0);
    assert_eq!(rows(&context, sql).await, ["0|9999"]);
    let sql = "SELECT min(text) FROM t";
    assert!(
        files(&explain(&context, sql).await) > 0,
        "bounds of strings may be shortened"
    );
}

#[tokio::test]
async fn a_limit_opens_as_few_segments_as_it_can() {
    let table = numbered(&[10]);
    let context = table.session(SessionConfig::new());
    assert_eq!(
        files(&explain(&context, "SELECT * FROM t LIMIT 5").await),
        0
    );
    assert_eq!(
        files(&explain(&context, "SELECT * FROM t LIMIT 1500").await),
        2
    );
    for limit in [0, 5, 10, 11, 1500, 10_010, 20_000] {
        let found = rows(&context, &format!("SELECT id FROM t LIMIT {limit}")).await;
        assert_eq!(found.len(), limit.min(10_010));
    }
    let filtered = rows(&context, "SELECT id FROM t WHERE text LIKE '%99' LIMIT 7").await;
    assert_eq!(filtered.len(), 7);
    let topmost = rows(&context, "SELECT id FROM t ORDER BY id DESC LIMIT 12").await;
    assert_eq!(topmost.len(), 12);
    assert!(topmost.contains(&"9998".to_owned()) && topmost.contains(&"10009".to_owned()));
}

#[tokio::test]
async fn an_empty_table_has_its_schema() {
    let table = TestTable::new(columns_of(&[scalar_types(), nested_types()].concat()));
    let context = table.session(SessionConfig::new());
    let plan = plan(&context, "SELECT * FROM t").await;
    assert_eq!(plan.schema(), table.schema);
    assert_eq!(rows(&context, "SELECT count(*) FROM t").await, ["0"]);
    assert!(
        rows(&context, "SELECT * FROM t WHERE i32 > 5")
            .await
            .is_empty()
    );
    let statistics = table.provider().statistics().unwrap();
    assert_eq!(statistics.num_rows, Precision::Exact(0));
}

#[tokio::test]
async fn every_type_is_read_as_it_was_written_under_the_tables_schema() {
    let mut table = TestTable::new(columns_of(&[scalar_types(), nested_types()].concat()));
    let mut rng = seeded(42);
    let batches: Vec<_> = (0..4)
        .map(|_| random_batch(&table.schema, 300, 1000, &mut rng))
        .collect();
    table.flush(&batches[..2]);
    table.flush(&batches[2..3]);
    table.buffered.push(batches[3].clone());
    let context = table.session(SessionConfig::new().with_target_partitions(3));
    let plan = plan(&context, "SELECT * FROM t").await;
    assert_eq!(plan.schema(), table.schema);
    let found = context
        .sql("SELECT * FROM t")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert!(found.iter().all(|batch| batch.schema() == table.schema));
    assert_eq!(sorted_rows(&found), sorted_rows(&batches));
    for field in table.schema.fields() {
        let sql = format!("SELECT {} FROM t", field.name());
        let found = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let at = table.schema.index_of(field.name()).unwrap();
        let given: Vec<_> = batches
            .iter()
            .map(|batch| batch.project(&[at]).unwrap())
            .collect();
        assert_eq!(sorted_rows(&found), sorted_rows(&given), "{field}");
    }
}

#[tokio::test]
async fn rows_are_filtered_while_decoding_only_where_that_pays() {
    let table = numbered(&[10]);
    let context = table.session(SessionConfig::new().with_target_partitions(1));
    let searched = explain(&context, "SELECT * FROM t WHERE text = 'row 77'").await;
    let file_part = searched
        .lines()
        .position(|line| line.contains(".parquet"))
        .unwrap();
    let above = searched.lines().nth(file_part - 1).unwrap();
    assert!(!above.contains("FilterExec"), "{searched}");
    assert_eq!(
        rows(&context, "SELECT id FROM t WHERE text = 'row 77'").await,
        ["77"]
    );
    assert_eq!(
        rows(&context, "SELECT id FROM t WHERE text = 'row 10001'").await,
        ["10001"]
    );
    let narrow = explain(&context, "SELECT id FROM t WHERE text = 'row 77'").await;
    assert!(narrow.contains("FilterExec"), "{narrow}");
    let range = explain(&context, "SELECT * FROM t WHERE text > 'row 77'").await;
    assert!(range.contains("FilterExec"), "{range}");
}

#[tokio::test]
async fn small_buffered_batches_are_merged_and_large_ones_split() {
    let mut table = TestTable::new(columns_of(&[
        ("id", DataType::Int64),
        ("text", DataType::Utf8),
        ("wide", DataType::Utf8),
    ]));
    let mut next = 0;
    for rows in [1, 2, 3, 200_000, 0, 5, 7] {
        table.buffered.push(numbers(&table.schema, next, rows));
        next += rows as i64;
    }
    let context = table.session(SessionConfig::new().with_target_partitions(4));
    let plan = plan(&context, "SELECT id FROM t").await;
    let partitions = plan.properties().partitioning.partition_count();
    assert_eq!(partitions, 4);
    let found = datafusion::physical_plan::collect(plan, context.task_ctx())
        .await
        .unwrap();
    assert!(found.iter().all(|batch| batch.num_rows() > 0));
    assert_eq!(
        found.iter().map(RecordBatch::num_rows).sum::<usize>(),
        next as usize
    );
    let small = found.iter().filter(|batch| batch.num_rows() < 100);
    let small: Vec<usize> = small.map(RecordBatch::num_rows).collect();
    assert_eq!(small, [6, 12], "neighbours are merged");
}

#[test]
fn statistics_are_shared_between_scans_of_the_same_segments() {
    let table = numbered(&[]);
    let version = table.version();
    let cache = &table.options.cache;
    let first = cache.statistics(&version);
    assert!(Arc::ptr_eq(&first, &cache.statistics(&version)));
    let other = table.version();
    assert!(!Arc::ptr_eq(&first, &cache.statistics(&other)));
    let column = Arc::clone(first.column(&version, 0).unwrap());
    assert!(Arc::ptr_eq(&column, first.column(&version, 0).unwrap()));
}

/// What the oracle sees: the same rows in a table of `DataFusion`'s own.
fn oracle(schema: &SchemaRef, batches: &[RecordBatch]) -> Arc<MemTable> {
    Arc::new(MemTable::try_new(Arc::clone(schema), vec![batches.to_vec()]).unwrap())
}

fn random_predicate(schema: &SchemaRef, depth: usize, rng: &mut StdRng) -> Expr {
    if depth > 0 && rng.random_range(0..3) == 0 {
        let left = random_predicate(schema, depth - 1, rng);
        let right = random_predicate(schema, depth - 1, rng);
        return match rng.random_range(0..3) {
            0 => left.and(right),
            1 => left.or(right),
            _ => left.not(),
        };
    }
    let field = schema.field(rng.random_range(0..schema.fields().len()));
    let column = col(field.name());
    let mut value = || lit(random_scalar(field.data_type(), 40, rng));
    let (one, two, three) = (value(), value(), value());
    const COMPARISONS: [Operator; 8] = [
        Operator::Eq,
        Operator::NotEq,
        Operator::Lt,
        Operator::LtEq,
        Operator::Gt,
        Operator::GtEq,
        Operator::IsDistinctFrom,
        Operator::IsNotDistinctFrom,
    ];
    match rng.random_range(0..14) {
        0 => column.is_null(),
        1 => column.is_not_null(),
        2 => in_list(column, vec![one, two, three], rng.random_range(0..4) == 0),
        3 => column.between(one, two),
        4 if field.data_type() == &DataType::Utf8 => column.like(lit("s+00%")),
        5 => binary_expr(
            column,
            Operator::Eq,
            lit(ScalarValue::try_from(field.data_type()).unwrap()),
        ),
        n => binary_expr(column, COMPARISONS[n % COMPARISONS.len()], one),
    }
}

fn bounds(statistics: &Statistics, batches: &[RecordBatch], schema: &SchemaRef) {
    let all = concat_batches(schema, batches).unwrap();
    assert_eq!(statistics.num_rows, Precision::Exact(all.num_rows()));
    for (column, stats) in all.columns().iter().zip(&statistics.column_statistics) {
        if !column.data_type().is_nested() {
            assert_eq!(stats.null_count, Precision::Exact(column.null_count()));
        }
        for row in 0..column.len() {
            let value = ScalarValue::try_from_array(column, row).unwrap();
            let checks = |bound: &Precision<ScalarValue>, wrong| match bound.get_value() {
                Some(bound) if !value.is_null() => {
                    assert_ne!(value.partial_cmp(bound), Some(wrong), "{value} {bound}");
                }
                _ => {}
            };
            checks(&stats.min_value, std::cmp::Ordering::Less);
            checks(&stats.max_value, std::cmp::Ordering::Greater);
        }
        for bound in [&stats.min_value, &stats.max_value] {
            if let Precision::Exact(value) = bound {
                let found = (0..column.len())
                    .any(|row| ScalarValue::try_from_array(column, row).unwrap() == *value);
                assert!(found, "{value} is said to be there");
            }
        }
    }
}

struct Case {
    table: TestTable,
    batches: Vec<RecordBatch>,
    config: SessionConfig,
}

/// Random rows in random segments: narrow or wide ranges, small row groups and pages.
fn random_case(rng: &mut StdRng) -> Case {
    let mut types = scalar_types();
    while types.len() > 6 {
        types.remove(rng.random_range(0..types.len()));
    }
    let mut table = TestTable::new(columns_of(&types));
    table.layout = SegmentOptions {
        row_group_rows: rng.random_range(20..200),
        data_page_rows: rng.random_range(5..50),
        ..SegmentOptions::default()
    };
    let mut batches = Vec::new();
    for _ in 0..rng.random_range(0..5) {
        let spread = [2, 40, 1000][rng.random_range(0..3)];
        let rows = rng.random_range(1..150);
        let batch = random_batch(&table.schema, rows, spread, rng);
        table.flush(std::slice::from_ref(&batch));
        batches.push(batch);
    }
    for _ in 0..rng.random_range(0..3) {
        let batch = random_batch(&table.schema, rng.random_range(0..40), 40, rng);
        table.buffered.push(batch.clone());
        batches.push(batch);
    }
    let mut config = SessionConfig::new().with_target_partitions(rng.random_range(1..4));
    config.options_mut().execution.parquet.pushdown_filters = rng.random_range(0..2) == 0;
    Case {
        table,
        batches,
        config,
    }
}

async fn pruned_equals_full(seed: u64) {
    let rng = &mut seeded(seed);
    let Case {
        table,
        batches,
        config,
    } = random_case(rng);
    let schema = Arc::clone(&table.schema);
    bounds(&table.provider().statistics().unwrap(), &batches, &schema);
    let context = table.session(config);
    let full = SessionContext::new();
    for _ in 0..8 {
        let predicate = random_predicate(&schema, 2, rng);
        let pruned = context
            .table("t")
            .await
            .unwrap()
            .filter(predicate.clone())
            .unwrap();
        let expected = full.read_table(oracle(&schema, &batches)).unwrap();
        let expected = expected
            .filter(predicate.clone())
            .unwrap()
            .collect()
            .await
            .unwrap();
        let found = pruned.clone().collect().await.unwrap();
        let (found, expected) = (sorted_rows(&found), sorted_rows(&expected));
        assert_eq!(found, expected, "seed {seed}: {predicate}");
        assert_eq!(
            pruned.count().await.unwrap(),
            expected.len(),
            "seed {seed}: {predicate}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_pruned_scan_returns_what_a_full_scan_returns(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(pruned_equals_full(seed));
    }
}
