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
    /// How many views there are at a sequence.
    views: BTreeMap<u64, usize>,
    /// By path, the sequence up to which the rows of a flushed segment go.
    flushed: HashMap<String, u64>,
}

/// A view that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct ViewPin {
    pins: Arc<ViewPins>,
    sequence: u64,
}

impl ViewPins {
    /// Notes a view. To be called while nothing is published.
    pub(crate) fn pin(self: &Arc<Self>, sequence: u64) -> ViewPin {
        *self.inner.lock().views.entry(sequence).or_default() += 1;
        ViewPin {
            pins: Arc::clone(self),
            sequence,
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
        self.inner.lock().flushed.extend(segments);
    }

    /// Forgets what was flushed, once everybody sees it, unless somebody looks back.
    pub(crate) fn forget_unseen(&self) {
        let mut inner = self.inner.lock();
        if inner.views.is_empty() {
            inner.flushed = HashMap::new();
        }
    }

    /// Whether all rows of a segment were flushed since the oldest view, and belong to a view at
    /// `sequence`.
    pub(crate) fn belongs(&self, path: &str, sequence: u64) -> bool {
        let inner = self.inner.lock();
        inner
            .flushed
            .get(path)
            .is_some_and(|last| *last <= sequence)
    }
}

impl Drop for ViewPin {
    fn drop(&mut self) {
        let mut inner = self.pins.inner.lock();
        if let Some(count) = inner.views.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                inner.views.remove(&self.sequence);
            }
        }
        if inner.views.is_empty() {
            inner.flushed = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests;
