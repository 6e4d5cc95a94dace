//! Cutting the segments of a table into shares that together hold every row once.

#[cfg(test)]
mod tests;

use std::ops::Range;

use quiver_catalog::{Segment, TableVersion};

/// A segment, or some of its row groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentPart {
    /// Place in the table's list of segments.
    pub(crate) at: usize,
    /// The row groups that begin in these bytes of the file; all of them if `None`.
    pub(crate) begin_in: Option<Range<i64>>,
}

impl SegmentPart {
    /// A segment as a whole.
    pub(crate) fn whole(at: usize) -> Self {
        Self { at, begin_in: None }
    }

    /// Bytes of the file that it is about.
    pub(crate) fn bytes(&self, table: &TableVersion) -> u64 {
        let whole = table.segments[self.at].file_size_bytes;
        let Some(Range { start, end }) = self.begin_in else {
            return whole;
        };
        whole.min(end.unsigned_abs()) - whole.min(start.unsigned_abs())
    }
}

/// Row groups of a segment when each has `group_rows` rows: what can be shared out. An estimate, for
/// a group of wide rows has fewer, and other writers have rules of their own.
pub(crate) fn row_groups(segment: &Segment, group_rows: u64) -> u64 {
    segment.record_count.div_ceil(group_rows).max(1)
}

/// Shares out the segments of `table` into `count` lists of parts with about equally many row
/// groups. Every row group is in exactly one of them, wherever it begins: the ranges of a segment
/// have no gap.
pub(crate) fn share_out(
    table: &TableVersion,
    group_rows: u64,
    count: usize,
) -> Vec<Vec<SegmentPart>> {
    let groups = |segment: &Segment| row_groups(segment, group_rows);
    let total: u64 = table.segments.iter().map(|segment| groups(segment)).sum();
    let count = count as u64;
    let share = |share: u64| {
        let (from, to) = (total * share / count, total * (share + 1) / count);
        let mut before = 0;
        let parts = table
            .segments
            .iter()
            .enumerate()
            .filter_map(|(at, segment)| {
                let own = groups(segment);
                let (first, last) = (before, before + own);
                before = last;
                let (from, to) = (from.clamp(first, last), to.clamp(first, last));
                let begin = |group: u64| begin(segment, group - first, group_rows);
                (from < to).then(|| SegmentPart {
                    at,
                    begin_in: (to - from < own).then(|| begin(from)..begin(to)),
                })
            });
        parts.collect()
    };
    (0..count).map(share).collect()
}

/// Where to cut a segment before its row group `group`: half a group earlier than it begins if all
/// rows are equally wide.
fn begin(segment: &Segment, group: u64, group_rows: u64) -> i64 {
    if group == 0 {
        return 0;
    }
    if group >= row_groups(segment, group_rows) {
        return i64::MAX;
    }
    let rows = u128::from(group) * u128::from(group_rows) - u128::from(group_rows / 2);
    let bytes = u128::from(segment.file_size_bytes) * rows / u128::from(segment.record_count);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
