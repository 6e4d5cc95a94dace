//! Which sequences open transactions look at the tenant from.
//!
//! A transaction that changes rows has to find all rows of its view in segments. So a flush never
//! puts rows from before and after such a view into one segment, and it is remembered which segments
//! came from where.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

/// Views that a flush heeds; with many more of them, segments would be tiny. Transactions that are
/// left out begin anew when they change rows.
const HEEDED_MAX: usize = 8;

/// The views of open transactions, and what was flushed since.
#[derive(Debug, Default)]
pub(crate) struct ViewPins {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How many views there are at a sequence, and of each number of flushes before them.
    views: BTreeMap<u64, usize>,
    flushes: BTreeMap<u64, usize>,
    /// Flushes that everybody sees who takes a view now.
    flush_count: u64,
    /// By path.
    flushed: HashMap<String, Flushed>,
}

#[derive(Debug)]
struct Flushed {
    /// The sequence up to which the rows of the segment go.
    up_to: u64,
    /// The flush that it is of.
    flush: u64,
}

impl Inner {
    /// Forgets flushes that all open views have seen.
    fn forget_seen(&mut self) {
        match self.flushes.first_key_value() {
            None => self.flushed = HashMap::new(),
            Some((seen, _)) => self.flushed.retain(|_, flushed| flushed.flush > *seen),
        }
    }
}

/// A view that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct ViewPin {
    pins: Arc<ViewPins>,
    sequence: u64,
    flush_count: u64,
}

impl ViewPins {
    /// Notes a view. To be called while nothing is published.
    pub(crate) fn pin(self: &Arc<Self>, sequence: u64) -> ViewPin {
        let mut inner = self.inner.lock();
        let flush_count = inner.flush_count;
        *inner.views.entry(sequence).or_default() += 1;
        *inner.flushes.entry(flush_count).or_default() += 1;
        ViewPin {
            pins: Arc::clone(self),
            sequence,
            flush_count,
        }
    }

    /// Where a flush up to `cut` has to separate rows: after each of these sequences, the last of
    /// which is the cut itself.
    pub(crate) fn cuts(&self, cut: u64) -> Vec<u64> {
        let inner = self.inner.lock();
        let views = inner.views.keys().rev().copied();
        let mut cuts: Vec<u64> = views
            .filter(|sequence| *sequence < cut)
            .take(HEEDED_MAX)
            .collect();
        cuts.reverse();
        cuts.push(cut);
        cuts
    }

    /// Notes what is flushed, before anybody sees it.
    pub(crate) fn note_flushed(&self, segments: impl IntoIterator<Item = (String, u64)>) {
        let mut inner = self.inner.lock();
        let flush = inner.flush_count + 1;
        let segments = segments.into_iter();
        let segments = segments.map(|(path, up_to)| (path, Flushed { up_to, flush }));
        inner.flushed.extend(segments);
    }

    /// Views that are taken from now on see what was noted.
    pub(crate) fn flush_is_seen(&self) {
        let mut inner = self.inner.lock();
        inner.flush_count += 1;
        inner.forget_seen();
    }

    /// Whether some open view may have to find its rows in a segment.
    pub(crate) fn holds(&self, path: &str) -> bool {
        self.inner.lock().flushed.contains_key(path)
    }

    /// Whether all rows of a segment were flushed since the oldest view, and belong to a view at
    /// `sequence`.
    pub(crate) fn belongs(&self, path: &str, sequence: u64) -> bool {
        let inner = self.inner.lock();
        inner
            .flushed
            .get(path)
            .is_some_and(|flushed| flushed.up_to <= sequence)
    }
}

impl Drop for ViewPin {
    fn drop(&mut self) {
        let mut inner = self.pins.inner.lock();
        let inner = &mut *inner;
        take_one(&mut inner.views, self.sequence);
        if take_one(&mut inner.flushes, self.flush_count) {
            inner.forget_seen();
        }
    }
}

/// Counts one less; returns whether it was the last.
fn take_one(counts: &mut BTreeMap<u64, usize>, key: u64) -> bool {
    let Some(count) = counts.get_mut(&key) else {
        return false;
    };
    *count -= 1;
    let was_last = *count == 0;
    if was_last {
        counts.remove(&key);
    }
    was_last
}

#[cfg(test)]
mod tests;
