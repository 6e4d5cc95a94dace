#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{binary, col, lit};
use proptest::prelude::*;

use super::{Filtering, PAUSE_ROWS, TRIAL_ROWS, Trial, TriedFilter};

/// The batches of one scan, filtered, in pieces of a hundred rows.
fn filtered(batches: &[RecordBatch], filters: &[Arc<dyn PhysicalExpr>]) -> Vec<i64> {
    let schema = batches[0].schema();
    let mut filtering = Filtering {
        filters: filters.iter().map(TriedFilter::new).collect(),
        coalescer: BatchCoalescer::new(schema, 100),
        ready: VecDeque::new(),
    };
    for batch in batches {
        filtering.push(batch.clone()).unwrap();
    }
    filtering.finish().unwrap();
    let ids = filtering.ready.iter().map(|batch| batch.column(0));
    ids.flat_map(|ids| ids.as_primitive::<Int64Type>().values().to_vec())
        .collect()
}

fn scan(batch_rows: &[usize]) -> Vec<RecordBatch> {
    let field = Field::new("id", DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![field]));
    let mut first = 0;
    let batch = |rows: &usize| {
        let ids = Int64Array::from_iter_values(first..first + *rows as i64);
        first += *rows as i64;
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(ids)]).unwrap()
    };
    batch_rows.iter().map(batch).collect()
}

/// `id % modulus < kept`.
fn share(schema: &Schema, modulus: i64, kept: i64) -> Arc<dyn PhysicalExpr> {
    let id = col("id", schema).unwrap();
    let rest = binary(id, Operator::Modulo, lit(modulus), schema).unwrap();
    binary(rest, Operator::Lt, lit(kept), schema).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No row that matches is lost, none is doubled, and they stay in order; where a filter leaves
    /// out enough to be used all the time, no other row is there.
    #[test]
    fn rows_that_match_come_through(
        batch_rows in prop::collection::vec(0_usize..20_000, 1..12),
        shares in prop::collection::vec((1_i64..20, 0_i64..20), 0..4),
    ) {
        let batches = scan(&batch_rows);
        let schema = batches[0].schema();
        let filters: Vec<_> = shares.iter().map(|(m, k)| share(&schema, *m, *k)).collect();
        let matches = |id: &i64| shares.iter().all(|(modulus, kept)| id % modulus < *kept);
        let mut all = 0..batch_rows.iter().sum::<usize>() as i64;
        let found = filtered(&batches, &filters);
        prop_assert!(found.is_sorted_by(|a, b| a < b));
        let seen: HashSet<i64> = found.iter().copied().collect();
        prop_assert!(all.all(|id| !matches(&id) || seen.contains(&id)));
        // Of several, one may leave what the others have little to add to.
        if shares.len() == 1 && shares[0].1 * 2 <= shares[0].0 {
            prop_assert!(found.iter().all(matches));
        }
    }
}

#[test]
fn a_filter_that_keeps_most_rows_pauses_ever_longer_and_comes_back() {
    let mut trial = Trial::default();
    assert!(trial.wants(TRIAL_ROWS));
    trial.note(TRIAL_ROWS, TRIAL_ROWS);
    assert!(!trial.wants(PAUSE_ROWS - 1));
    assert!(!trial.wants(1));
    assert!(trial.wants(1), "tried again");
    trial.note(TRIAL_ROWS, TRIAL_ROWS);
    assert!(!trial.wants(PAUSE_ROWS));
    assert!(!trial.wants(PAUSE_ROWS), "for twice as long");
    assert!(trial.wants(1));
    trial.note(TRIAL_ROWS, 10);
    assert!(trial.wants(TRIAL_ROWS * 100), "it has become a narrow one");
    trial.note(TRIAL_ROWS, TRIAL_ROWS);
    assert!(!trial.wants(PAUSE_ROWS));
    assert!(trial.wants(1), "and begins anew");
}

#[test]
fn few_rows_decide_nothing() {
    let mut trial = Trial::default();
    trial.note(TRIAL_ROWS - 1, TRIAL_ROWS - 1);
    assert!(trial.wants(1));
    trial.note(1, 0);
    assert!(!trial.wants(1));
}
