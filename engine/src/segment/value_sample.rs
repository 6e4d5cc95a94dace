//! A sample of a column's values: whether they repeat, and whether they come in order.
//!
//! Both decide what a writer leaves out. A dictionary of values that hardly repeat is built, found
//! too large and thrown away, which takes longer than all the rest of writing them. A bloom filter
//! tells little of values that are in every row group, or in one that bounds find as well.

use std::collections::HashSet;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use datafusion::common::ScalarValue;
use datafusion::common::hash_utils::{RandomState, create_hashes};

use crate::error::Result;

#[cfg(test)]
mod tests;

/// Values of a column that are looked at, about.
const SAMPLE_VALUES: usize = 4096;
/// Fewer would say nothing.
const SAMPLE_VALUES_MIN: usize = 256;
/// Values that are looked at in all columns together: a table may have thousands.
const SAMPLES_MAX: usize = 1 << 18;
/// A sample with more different values than this comes from a column of more than some 20,000.
const DIFFERENT_PER_CENT_MAX: usize = 90;
/// Columns with so few values have each of them nearly everywhere.
const FEW_VALUES: usize = 64;

/// What is known from some values of a column.
#[derive(Debug, Clone)]
pub(crate) struct ValueSample {
    /// Every how manieth value is taken.
    every: usize,
    /// Values that are taken of a column with many, about.
    wanted: usize,
    /// Values until the next one that is taken.
    skip: usize,
    hashes: HashSet<u64>,
    taken: usize,
    last_max: Option<ScalarValue>,
    batches: usize,
    batches_in_order: usize,
}

impl ValueSample {
    /// Of about `values` values, in one of `columns` columns.
    pub(crate) fn of(values: usize, columns: usize) -> Self {
        let wanted = (SAMPLES_MAX / columns.max(1)).clamp(SAMPLE_VALUES_MIN, SAMPLE_VALUES);
        Self {
            every: values.div_ceil(wanted).max(1),
            wanted,
            skip: 0,
            hashes: HashSet::new(),
            taken: 0,
            last_max: None,
            batches: 0,
            batches_in_order: 0,
        }
    }

    /// Looks at the next values.
    pub(crate) fn add(&mut self, values: &ArrayRef) -> Result<()> {
        // There may be more values than were announced.
        if self.taken >= 2 * self.wanted {
            return Ok(());
        }
        let places: Vec<u32> = (self.skip..values.len())
            .step_by(self.every)
            .filter_map(|place| u32::try_from(place).ok())
            .collect();
        let end = self.skip + places.len() * self.every;
        self.skip = end.saturating_sub(values.len());
        if places.is_empty() {
            return Ok(());
        }
        let sample = take(values, &UInt32Array::from(places), None)?;
        let mut hashes = vec![0; sample.len()];
        create_hashes([&sample], &RandomState::with_seed(0), &mut hashes)?;
        self.taken += hashes.len();
        self.hashes.extend(hashes);
        Ok(())
    }

    /// Looks at the bounds of the next values.
    pub(crate) fn add_bounds(&mut self, min: &ScalarValue, max: ScalarValue) {
        let is_next = self.last_max.as_ref().is_none_or(|last| last <= min);
        self.batches += 1;
        self.batches_in_order += usize::from(is_next);
        self.last_max = Some(max);
    }

    /// Whether a dictionary pays.
    pub(crate) fn repeats(&self) -> bool {
        self.hashes.len() * 100 <= self.taken * DIFFERENT_PER_CENT_MAX
    }

    /// Whether a bloom filter may tell more than bounds do.
    pub(crate) fn is_scattered(&self) -> bool {
        let is_in_order = self.batches > 1 && self.batches_in_order == self.batches;
        let has_few = self.hashes.len() <= FEW_VALUES && self.taken >= self.wanted / 2;
        !is_in_order && !has_few
    }
}
