//! Remembers the typed statistics of segment lists.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use quiver_catalog::{Segment, TableVersion};

use super::statistics::SegmentStatistics;

/// Segment lists remembered at most.
const ENTRIES_MAX: usize = 1024;

/// Typed statistics of the segment lists that are in use, shared by all scans of an engine.
///
/// An entry belongs to one list of segments, not to a table: table versions that share the list share
/// the entry, and it goes when the last of them is gone.
#[derive(Debug, Default)]
pub(crate) struct ScanCache {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_list: HashMap<usize, Entry>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    /// Keeps the address, which is the key, from being used again while the entry lives.
    list: Weak<Vec<Arc<Segment>>>,
    statistics: Arc<SegmentStatistics>,
    last_use: u64,
}

impl ScanCache {
    /// The statistics of the segments of `table`, made at the first call for this list of segments.
    pub(crate) fn statistics(&self, table: &TableVersion) -> Arc<SegmentStatistics> {
        let key = Arc::as_ptr(&table.segments) as usize;
        let mut entries = self.entries.lock();
        entries.uses += 1;
        let now = entries.uses;
        if let Some(entry) = entries.by_list.get_mut(&key) {
            entry.last_use = now;
            return Arc::clone(&entry.statistics);
        }
        // Cheap: columns are filled in when they are asked for, outside this lock.
        let statistics = Arc::new(SegmentStatistics::new(table));
        entries.make_room();
        let list = Arc::downgrade(&table.segments);
        let entry = Entry {
            list,
            statistics: Arc::clone(&statistics),
            last_use: now,
        };
        entries.by_list.insert(key, entry);
        statistics
    }
}

impl Entries {
    fn make_room(&mut self) {
        self.by_list
            .retain(|_, entry| entry.list.strong_count() > 0);
        if self.by_list.len() < ENTRIES_MAX {
            return;
        }
        let oldest = self.by_list.iter().min_by_key(|(_, entry)| entry.last_use);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.by_list.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
