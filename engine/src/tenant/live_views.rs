//! Which read views are there, so that no file goes while one of them may still read it.
//!
//! Views are numbered in the order in which they are taken. What the catalog does not name any more at
//! number n, no view from n on reads; once all earlier ones are gone, nobody does.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// The views of one tenant.
#[derive(Debug, Default)]
pub(crate) struct LiveViews {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    live: BTreeSet<u64>,
}

/// A view that is there until this is dropped; whoever reads for it holds it.
#[derive(Debug)]
pub(crate) struct LiveView {
    views: Arc<LiveViews>,
    number: u64,
}

impl LiveViews {
    /// Notes a view, before it is taken.
    pub(crate) fn begin(self: &Arc<Self>) -> Arc<LiveView> {
        let mut inner = self.inner.lock();
        let number = inner.next;
        inner.next += 1;
        inner.live.insert(number);
        Arc::new(LiveView {
            views: Arc::clone(self),
            number,
        })
    }

    /// The number of the next view.
    pub(crate) fn next(&self) -> u64 {
        self.inner.lock().next
    }

    /// Whether all views before a number are gone.
    pub(crate) fn are_gone_before(&self, number: u64) -> bool {
        let inner = self.inner.lock();
        inner.live.first().is_none_or(|oldest| *oldest >= number)
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.views.inner.lock().live.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_views_hold_nothing_up() {
        let views = Arc::new(LiveViews::default());
        let (first, second) = (views.begin(), views.begin());
        let barrier = views.next();
        let later = views.begin();
        assert!(!views.are_gone_before(barrier));
        drop(first);
        let again = Arc::clone(&second);
        drop(second);
        assert!(
            !views.are_gone_before(barrier),
            "somebody still reads for it"
        );
        drop(again);
        assert!(views.are_gone_before(barrier));
        drop(later);
        assert!(views.are_gone_before(views.next()));
    }
}
