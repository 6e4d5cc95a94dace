//! Which segments are worth writing anew, and how.
//!
//! Knows nothing of files or of time: what a table is like goes in, a list of places comes out. Picking
//! again after each job comes to an end, and then no table has more than [`SMALL_MAX`] small segments
//! of either kind.

use quiver_catalog::Replacement;

/// Segments below this size are small: reading them costs more than their bytes.
pub(super) const SMALL_BYTES: u64 = 32 << 20;
/// Size that new segments get.
pub(super) const SEGMENT_BYTES: u64 = 4 * SMALL_BYTES;
/// Segments that one job writes anew, in bytes, about.
const JOB_BYTES_MAX: u64 = 1 << 30;
/// And in number: each has a footer to be read.
const JOB_SEGMENTS_MAX: usize = 1000;
/// Small segments without deleted rows that may stay, and as many with some.
pub(super) const SMALL_MAX: usize = 6;
/// Fewer are not merged while the table still grows.
const MERGE_MIN: usize = 4;
/// A segment joins smaller ones that together have a part of its size: so each row is written anew a
/// number of times that grows with the logarithm of the table's size, not with the number of flushes.
const SIZE_RATIO: u64 = 2;
/// The part of a segment's rows that has to be deleted for it to be written anew.
const DELETED_PART: u64 = 5;
/// Segments that may hold the same value of the sort key; of more, each lookup would read all.
const OVERLAP_MAX: usize = 6;

/// What is known of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) deleted: u64,
    /// Whether it was written before the table's columns were changed: merged, it would lose what older
    /// snapshots see.
    pub(super) is_outdated: bool,
    /// Whether an open transaction may have to find its rows in it.
    pub(super) is_held: bool,
    /// Ranks of its bounds among those of all segments, by the first column of the sort key.
    pub(super) range: Option<(u32, u32)>,
}

impl Candidate {
    fn is_small(&self) -> bool {
        self.bytes < SMALL_BYTES
    }

    fn is_mergeable(&self) -> bool {
        !self.needs_rewrite() && !self.is_held
    }

    /// Whether it may only be rewritten.
    fn needs_rewrite(&self) -> bool {
        self.deleted > 0 || self.is_outdated
    }
}

/// Why somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What is worth it while the table grows.
    Due,
    /// The same for a table that rests: nothing better will come.
    Resting,
    /// Everything that is not as it could be.
    All,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) form: Replacement,
    /// Places of the segments, in order.
    pub(super) at: Vec<usize>,
}

/// The next job; `None` when the table is as it should be. Without any that rewrites, if others were
/// faster.
pub(super) fn pick(segments: &[Candidate], wanted: Wanted, rewrites: bool) -> Option<Pick> {
    let losing = match rewrites {
        true => losing_rows(segments, wanted),
        false => vec![],
    };
    let (form, mut at) = if !losing.is_empty() {
        (Replacement::Rewrite, losing)
    } else {
        let small = small(segments, wanted);
        let at = match small.is_empty() {
            false => small,
            true => overlapping(segments),
        };
        (Replacement::Merge, at)
    };
    at.sort_unstable();
    (!at.is_empty()).then_some(Pick { form, at })
}

/// Segments that lost many rows, and small ones that lost any or have old columns, if there are many.
fn losing_rows(segments: &[Candidate], wanted: Wanted) -> Vec<usize> {
    let places =
        || (0..segments.len()).filter(|at| segments[*at].needs_rewrite() && !segments[*at].is_held);
    let small = places().filter(|at| segments[*at].is_small()).count();
    let picked = places().filter(|at| {
        let segment = &segments[*at];
        let many = segment.deleted > 0 && segment.deleted * DELETED_PART >= segment.rows;
        wanted == Wanted::All || many || (small > SMALL_MAX && segment.is_small())
    });
    bounded(segments, picked)
}

/// Small segments that become few: the smallest ones, as many as are of a size.
fn small(segments: &[Candidate], wanted: Wanted) -> Vec<usize> {
    let is_clean = |at: &usize| segments[*at].is_small() && segments[*at].is_mergeable();
    let mut places: Vec<usize> = (0..segments.len()).filter(is_clean).collect();
    places.sort_by_key(|at| (segments[*at].bytes, *at));
    let at_least = match wanted {
        Wanted::Due => MERGE_MIN,
        Wanted::Resting | Wanted::All => 2,
    };
    if places.len() < at_least {
        return vec![];
    }
    if wanted != Wanted::Due {
        return bounded(segments, places.into_iter());
    }
    let (mut bytes, mut alike) = (0, 0);
    for at in &places {
        let own = segments[*at].bytes;
        if alike > 0 && own > bytes * SIZE_RATIO {
            break;
        }
        bytes += own;
        alike += 1;
    }
    let too_many = places.len().saturating_sub(SMALL_MAX);
    if alike < MERGE_MIN && too_many > 0 {
        // Of different sizes, and still too many: those that cost least.
        alike = alike.max(too_many + 1);
    }
    if alike < MERGE_MIN && too_many == 0 {
        return vec![];
    }
    bounded(segments, places.into_iter().take(alike))
}

/// Large segments that hold the same part of the sort key: merged, each part is in one.
fn overlapping(segments: &[Candidate]) -> Vec<usize> {
    let mut ends: Vec<(u32, bool)> = vec![];
    let ranges = segments.iter().filter(|segment| segment.is_mergeable());
    for (low, high) in ranges.filter_map(|segment| segment.range) {
        // One that ends where another begins shares no more than a value with it.
        if low < high {
            ends.extend([(low, true), (high, false)]);
        }
    }
    // At the same rank what ends goes first.
    ends.sort_unstable();
    let (mut depth, mut deepest) = (0_usize, (0, 0));
    for (rank, begins) in ends {
        match begins {
            true => depth += 1,
            false => depth -= 1,
        }
        if depth > deepest.0 {
            deepest = (depth, rank);
        }
    }
    let (depth, rank) = deepest;
    if depth <= OVERLAP_MAX {
        return vec![];
    }
    let covers = |at: &usize| {
        let segment = &segments[*at];
        let range = segment.range.filter(|_| segment.is_mergeable());
        range.is_some_and(|(low, high)| low <= rank && rank < high)
    };
    let covering = (0..segments.len()).filter(covers);
    let picked = bounded(segments, covering);
    // With fewer, the same would be picked for ever.
    match picked.len() > OVERLAP_MAX / 2 {
        true => picked,
        false => vec![],
    }
}

/// As many as make up one job; at least two if there are.
fn bounded(segments: &[Candidate], places: impl Iterator<Item = usize>) -> Vec<usize> {
    let (mut bytes, mut taken) = (0, vec![]);
    for at in places.take(JOB_SEGMENTS_MAX) {
        bytes += segments[at].bytes;
        if taken.len() >= 2 && bytes > JOB_BYTES_MAX {
            break;
        }
        taken.push(at);
    }
    taken
}

#[cfg(test)]
mod tests;
