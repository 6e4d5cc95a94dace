//! What the catalog knows of a table's segments, as typed arrays with one row per segment.
//!
//! Bounds here hold in `DataFusion`'s order of values: where a segment may contain NaN its bounds
//! are unknown (NaN sorts above every number), and a bound of zero covers both zeros.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::{concat, rank, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use quiver_catalog::{Column, ColumnId, ColumnStats, Segment, SegmentId, TableVersion};

use crate::segment::{has_bounds, max_of, min_of, parse_bounds, without_nan};

/// Texts below this length are bounds as they are.
const EXACT_BYTES: usize = 100;

/// Statistics of one list of segments.
#[derive(Debug)]
pub(crate) struct SegmentStatistics {
    segments: Vec<Arc<Segment>>,
    /// With their types.
    column_ids: Vec<(ColumnId, DataType)>,
    /// Rows of the files, those that are deleted with them: what the bounds are about.
    row_counts: Arc<UInt64Array>,
    columns: Vec<OnceLock<Arc<ColumnBounds>>>,
}

/// Statistics of one top-level column, one row per segment; NULL stands for unknown.
#[derive(Debug)]
pub(crate) struct ColumnBounds {
    pub(crate) min: ArrayRef,
    pub(crate) max: ArrayRef,
    pub(crate) null_counts: Arc<UInt64Array>,
    /// Stored size of the column with everything below it, over all segments.
    pub(crate) stored_bytes: u64,
}

/// Whether bounds are values that are there: long ones are cut, and one zero stands for both.
fn are_values(stats: &ColumnStats, data_type: &DataType) -> bool {
    let exact = |text: &Option<String>| {
        let Some(text) = text else { return false };
        match data_type {
            DataType::Float32 | DataType::Float64 => !matches!(text.as_str(), "0.0" | "-0.0"),
            DataType::Utf8 | DataType::Binary => text.len() < EXACT_BYTES && !text.contains('\0'),
            _ => true,
        }
    };
    exact(&stats.min) && exact(&stats.max)
}

fn typed(column: &Column) -> (ColumnId, DataType) {
    (column.id, column.data_type.clone())
}

impl SegmentStatistics {
    /// Statistics of the segments of `table`; what an `earlier` version of it has found out about
    /// the first of them is taken over.
    pub(crate) fn new(table: &TableVersion, earlier: Option<&Self>) -> Self {
        let rows = table.segments.iter().map(|segment| segment.record_count);
        let new = Self {
            segments: table.segments.to_vec(),
            column_ids: table.columns.iter().map(typed).collect(),
            row_counts: Arc::new(UInt64Array::from_iter_values(rows)),
            columns: table.columns.iter().map(|_| OnceLock::new()).collect(),
        };
        if let Some(earlier) = earlier.filter(|earlier| new.continues(earlier)) {
            new.take_over(earlier, table);
        }
        new
    }

    /// The newest segment; segment ids grow.
    pub(crate) fn last_segment(&self) -> Option<SegmentId> {
        self.segments.last().map(|segment| segment.id)
    }

    /// Whether `earlier` describes the first of these segments in the same columns. Ids say too
    /// little: until its commit, a transaction's own segment has one that another may get.
    fn continues(&self, earlier: &Self) -> bool {
        let same = |(own, earlier): (&Arc<Segment>, &Arc<Segment>)| {
            // The bounds of a segment stay as they are when rows of it are deleted.
            Arc::ptr_eq(own, earlier) || (own.id == earlier.id && own.path == earlier.path)
        };
        self.segments.len() >= earlier.segments.len()
            && self.segments.iter().zip(&earlier.segments).all(same)
            && self.column_ids == earlier.column_ids
    }

    fn take_over(&self, earlier: &Self, table: &TableVersion) {
        let added = &table.segments[earlier.segments.len()..];
        for ((cell, known), column) in self
            .columns
            .iter()
            .zip(&earlier.columns)
            .zip(&table.columns)
        {
            let Some(known) = known.get() else { continue };
            // What cannot be joined is read again when it is asked for.
            let added = ColumnBounds::new(table, column, added);
            if let Ok(bounds) = known.followed_by(&added) {
                let _ = cell.set(Arc::new(bounds));
            }
        }
    }

    /// Rows per segment, with those that are deleted.
    pub(crate) fn row_counts(&self) -> &Arc<UInt64Array> {
        &self.row_counts
    }

    /// Statistics of the column at `index` of `table`, whose segments these are.
    pub(crate) fn column(&self, table: &TableVersion, index: usize) -> Option<&Arc<ColumnBounds>> {
        let column = table.columns.get(index)?;
        let cell = self.columns.get(index)?;
        Some(cell.get_or_init(|| Arc::new(ColumnBounds::new(table, column, &table.segments))))
    }

    /// The bounds of each segment in the first column of the sort key, as ranks among all bounds; none
    /// where they are unknown.
    pub(crate) fn ranks(&self, table: &TableVersion) -> Vec<Option<(u32, u32)>> {
        let none = || vec![None; self.segments.len()];
        let key = table.sort_key.first();
        let index = key.and_then(|key| {
            let mut columns = table.columns.iter();
            columns.position(|column| column.id == key.column_id)
        });
        let Some(bounds) = index.and_then(|index| self.column(table, index)) else {
            return none();
        };
        let Ok(all) = concat(&[bounds.min.as_ref(), bounds.max.as_ref()]) else {
            return none();
        };
        let Ok(ranks) = rank(&all, None) else {
            return none();
        };
        let count = self.segments.len();
        let key = key.map(|key| key.column_id);
        let of_segment = |at: usize| {
            let known = bounds.min.is_valid(at) && bounds.max.is_valid(at);
            let stats = key.and_then(|key| self.segments[at].stats(key))?;
            (known && are_values(stats, all.data_type())).then(|| (ranks[at], ranks[count + at]))
        };
        (0..count).map(of_segment).collect()
    }

    /// Statistics of the segments at the places `kept`, over the whole schema of `table`; only
    /// columns that are `wanted` are filled in.
    pub(crate) fn summary(
        &self,
        table: &TableVersion,
        kept: &UInt64Array,
        wanted: &dyn Fn(usize) -> bool,
    ) -> Statistics {
        let segments = || kept.values().iter().map(|at| &self.segments[place(*at)]);
        let rows = segments().map(|segment| segment.live_count()).sum();
        let has_deleted_rows = segments().any(|segment| segment.deletes.is_some());
        let columns = (0..table.columns.len()).map(|index| match self.column(table, index) {
            Some(bounds) if wanted(index) => {
                let summary = bounds.summary(kept, &self.row_counts);
                match has_deleted_rows {
                    true => summary.to_inexact(),
                    false => summary,
                }
            }
            _ => ColumnStatistics::new_unknown(),
        });
        let mut statistics = Statistics {
            num_rows: exact_count(rows),
            total_byte_size: Precision::Absent,
            column_statistics: columns.collect(),
        };
        statistics.calculate_total_byte_size(&table.arrow_schema);
        statistics
    }
}

impl ColumnBounds {
    fn new(table: &TableVersion, column: &Column, segments: &[Arc<Segment>]) -> Self {
        let stats: Vec<Option<&ColumnStats>> = segments
            .iter()
            .map(|segment| segment.stats(column.id))
            .collect();
        let usable = |stats: &ColumnStats| !is_float(column) || stats.contains_nan == Some(false);
        let may_be_widened =
            table.altered_snapshot.is_some() && column.data_type == DataType::Float64;
        let says_enough = |text: &&str| !may_be_widened || is_double(text);
        let texts = |text: fn(&ColumnStats) -> Option<&str>| {
            let texts = stats.iter().map(|s| s.filter(|s| usable(s)).and_then(text));
            let texts = texts.map(|text| text.filter(says_enough));
            parse_bounds(texts, &column.data_type)
                .unwrap_or_else(|_| new_null_array(&column.data_type, segments.len()))
        };
        let null_counts = stats.iter().map(|stats| Some(stats.as_ref()?.null_count));
        Self {
            min: cover_zeros(texts(|stats| stats.min.as_deref()), -0.0),
            max: cover_zeros(texts(|stats| stats.max.as_deref()), 0.0),
            null_counts: Arc::new(null_counts.collect()),
            stored_bytes: stored_bytes(column, segments),
        }
    }

    fn followed_by(&self, other: &Self) -> crate::error::Result<Self> {
        let counts = self.null_counts.iter().chain(other.null_counts.iter());
        Ok(Self {
            min: concat(&[&self.min, &other.min])?,
            max: concat(&[&self.max, &other.max])?,
            null_counts: Arc::new(counts.collect()),
            stored_bytes: self.stored_bytes + other.stored_bytes,
        })
    }

    fn summary(&self, kept: &UInt64Array, row_counts: &UInt64Array) -> ColumnStatistics {
        let nulls = kept.values().iter().map(|at| {
            let at = place(*at);
            self.null_counts
                .is_valid(at)
                .then(|| self.null_counts.value(at))
        });
        let null_count = nulls.sum::<Option<u64>>();
        ColumnStatistics {
            null_count: null_count.map_or(Precision::Absent, exact_count),
            min_value: self.bound(&self.min, kept, row_counts, min_of),
            max_value: self.bound(&self.max, kept, row_counts, max_of),
            ..ColumnStatistics::new_unknown()
        }
    }

    /// The outermost bound over the kept segments, if each of them has one or holds only NULLs.
    fn bound(
        &self,
        bounds: &ArrayRef,
        kept: &UInt64Array,
        row_counts: &UInt64Array,
        outermost: fn(&ArrayRef) -> crate::error::Result<ScalarValue>,
    ) -> Precision<ScalarValue> {
        let known = kept.values().iter().map(|at| place(*at)).all(|at| {
            let only_nulls =
                self.null_counts.is_valid(at) && self.null_counts.value(at) == row_counts.value(at);
            bounds.is_valid(at) || only_nulls
        });
        if !known || !has_bounds(bounds.data_type()) {
            return Precision::Absent;
        }
        let value = take(bounds, kept, None)
            .map_err(Into::into)
            .and_then(|kept| outermost(&kept));
        match value {
            Ok(value) if value.is_null() => Precision::Absent,
            Ok(value) if is_exact(&value) => Precision::Exact(value),
            Ok(value) => Precision::Inexact(value),
            Err(_) => Precision::Absent,
        }
    }
}

/// Statistics of rows in memory, under the same rules.
pub(crate) fn of_batches(batches: &[RecordBatch], schema: &Schema) -> Statistics {
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let arrays: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(index)).collect();
        let nulls = arrays.iter().map(|array| array.null_count() as u64).sum();
        let bounds = bounds_of(&arrays, field.data_type()).unwrap_or_default();
        let (min_value, max_value) = bounds.unwrap_or((Precision::Absent, Precision::Absent));
        ColumnStatistics {
            null_count: exact_count(nulls),
            min_value,
            max_value,
            ..ColumnStatistics::new_unknown()
        }
    });
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let mut statistics = Statistics {
        num_rows: exact_count(rows),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    };
    statistics.calculate_total_byte_size(schema);
    statistics
}

type Bounds = (Precision<ScalarValue>, Precision<ScalarValue>);

fn bounds_of(arrays: &[&ArrayRef], data_type: &DataType) -> crate::error::Result<Option<Bounds>> {
    if !has_bounds(data_type) {
        return Ok(None);
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    let values = concat(&arrays)?;
    let (values, nan) = without_nan(&values)?;
    if nan == Some(true) || values.null_count() == values.len() {
        return Ok(None);
    }
    let precise = |value: ScalarValue| match is_exact(&value) {
        true => Precision::Exact(value),
        false => Precision::Inexact(value),
    };
    Ok(Some((precise(min_of(&values)?), precise(max_of(&values)?))))
}

/// Strings and blobs may have been shortened, and a zero stands for both zeros.
fn is_exact(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Utf8(_) | ScalarValue::Binary(_) => false,
        ScalarValue::Float32(value) => *value != Some(0.0),
        ScalarValue::Float64(value) => *value != Some(0.0),
        _ => true,
    }
}

/// Whether a text is the same number to whoever reads it as a double, although a single may have been
/// meant: 0.1 is not.
fn is_double(text: &str) -> bool {
    /// Enough to tell any two singles apart; whoever writes more means a double.
    const SINGLE_DIGITS: usize = 9;
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = digits.chars().filter(char::is_ascii_digit);
    let digits = digits.skip_while(|digit| *digit == '0').count();
    let as_single = text.parse::<f32>().map(f64::from);
    digits > SINGLE_DIGITS || as_single.ok() == text.parse::<f64>().ok()
}

fn is_float(column: &Column) -> bool {
    matches!(column.data_type, DataType::Float32 | DataType::Float64)
}

fn cover_zeros(bounds: ArrayRef, zero: f32) -> ArrayRef {
    match bounds.data_type() {
        DataType::Float32 => {
            let bounds = bounds.as_primitive::<Float32Type>();
            Arc::new(bounds.unary::<_, Float32Type>(|v| if v == 0.0 { zero } else { v }))
        }
        DataType::Float64 => {
            let zero = f64::from(zero);
            let bounds = bounds.as_primitive::<Float64Type>();
            Arc::new(bounds.unary::<_, Float64Type>(|v| if v == 0.0 { zero } else { v }))
        }
        _ => bounds,
    }
}

fn stored_bytes(column: &Column, segments: &[Arc<Segment>]) -> u64 {
    let leaves = column.leaves();
    let stats = segments
        .iter()
        .flat_map(|segment| leaves.iter().filter_map(|leaf| segment.stats(leaf.id)));
    stats.map(|stats| stats.column_size_bytes).sum()
}

fn exact_count(count: u64) -> Precision<usize> {
    usize::try_from(count).map_or(Precision::Absent, Precision::Exact)
}

/// A place in the list of segments, which is in memory and thus indexed by `usize`.
fn place(at: u64) -> usize {
    usize::try_from(at).expect("an index into a list in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_single_says_too_little_of_a_double() {
        for exact in ["0.25", "-3.0", "1e10", "inf", "0.10000000149011612", "-0.0"] {
            assert!(is_double(exact), "{exact}");
        }
        for unsure in ["0.1", "-0.7", "1e-05", "16777217.0", "3.4028235e38"] {
            assert!(!is_double(unsure), "{unsure}");
        }
    }
}
