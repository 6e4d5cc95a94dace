//! Files that the catalog has scheduled for deletion, as long as somebody may read them.

use std::collections::HashMap;

use parking_lot::Mutex;
use quiver_catalog::ScheduledFile;

use super::live_views::LiveViews;

/// By path, the number of the first view that cannot read the file. Of files that were scheduled before
/// the start, or by somebody else, that is the first one after they were seen here.
#[derive(Debug, Default)]
pub(crate) struct RetiredFiles {
    first_without: Mutex<HashMap<String, u64>>,
}

impl RetiredFiles {
    /// Notes what is scheduled; under the committer's lock, when the published version names none of
    /// these files any more. Those that are not scheduled any more are forgotten.
    pub(crate) fn note(&self, scheduled: &[ScheduledFile], views: &LiveViews) {
        let next = views.next();
        let mut known = self.first_without.lock();
        let number = |file: &ScheduledFile| known.get(&file.path).copied().unwrap_or(next);
        let noted = scheduled
            .iter()
            .map(|file| (file.path.clone(), number(file)))
            .collect();
        *known = noted;
    }

    /// Whether nobody can read a noted file any more.
    pub(crate) fn is_free(&self, path: &str, views: &LiveViews) -> bool {
        let first_without = self.first_without.lock().get(path).copied();
        first_without.is_some_and(|number| views.are_gone_before(number))
    }
}
