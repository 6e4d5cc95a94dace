#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use datafusion::common::ScalarValue;

use super::ValueSample;

/// A column of as many batches of 1,000 rows as there are functions of the row's number.
fn sampled(batches: i64, value: impl Fn(i64) -> i64) -> ValueSample {
    let mut sample = ValueSample::of(batches as usize * 1000, 16);
    for batch in 0..batches {
        let values: Vec<i64> = (batch * 1000..(batch + 1) * 1000).map(&value).collect();
        let (min, max) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        let bounds = (ScalarValue::from(min), ScalarValue::from(max));
        sample.add_bounds(&bounds.0, bounds.1);
        let values: ArrayRef = Arc::new(Int64Array::from(values));
        sample.add(&values).unwrap();
    }
    sample
}

/// Far apart, and back again from time to time.
fn scattered(row: i64) -> i64 {
    (row * 7_919) % 1_000_003
}

#[test]
fn values_that_hardly_repeat_need_no_dictionary() {
    assert!(!sampled(100, scattered).repeats());
    assert!(!sampled(100, |row| row).repeats());
    assert!(!sampled(1, |row| row).repeats());
    assert!(sampled(100, |row| scattered(row) % 1000).repeats());
    assert!(sampled(100, |_| 7).repeats());
    assert!(sampled(1, |row| row / 2).repeats());
}

#[test]
fn values_in_order_or_of_few_kinds_need_no_bloom_filter() {
    assert!(sampled(100, scattered).is_scattered());
    assert!(sampled(100, |row| scattered(row) % 1000).is_scattered());
    assert!(!sampled(100, |row| row / 4).is_scattered());
    assert!(!sampled(100, |row| row % 50).is_scattered());
    // One batch has no order to speak of, and a few rows are no sample.
    assert!(sampled(1, |row| row).is_scattered());
    assert!(sampled(1, |row| row % 50).is_scattered());
}

#[test]
fn every_batch_has_its_part_in_the_sample() {
    let sample = sampled(1000, |row| row);
    assert!((3900..=4200).contains(&sample.taken), "{}", sample.taken);
    let one_by_one = {
        let mut sample = ValueSample::of(10_000, 1);
        for row in 0..10_000 {
            let value: ArrayRef = Arc::new(Int64Array::from(vec![row]));
            sample.add(&value).unwrap();
        }
        sample
    };
    assert_eq!(one_by_one.taken, 10_000_usize.div_ceil(3));
}

#[test]
fn many_columns_share_what_is_looked_at() {
    let rows = 1_000_000;
    for (columns, every) in [(1, 245), (64, 245), (1000, 3817), (1_000_000, 3907)] {
        assert_eq!(ValueSample::of(rows, columns).every, every, "{columns}");
    }
}
