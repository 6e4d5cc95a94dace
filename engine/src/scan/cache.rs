//! Remembers the typed statistics of segment lists.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use quiver_catalog::{Segment, TableVersion};
use uuid::Uuid;

use super::statistics::SegmentStatistics;

/// Segment lists remembered at most.
const ENTRIES_MAX: usize = 1024;

/// Typed statistics of the segment lists that are in use, shared by all scans of an engine.
///
/// An entry belongs to one list of segments, not to a table: table versions that share the list
/// share the entry, and it goes when the last of them is gone.
#[derive(Debug, Default)]
pub(crate) struct ScanCache {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_list: HashMap<usize, Entry>,
    /// By table, what the statistics of its next version are grown from: a flush adds a segment,
    /// and the bounds of the others need not be read again.
    latest: HashMap<Uuid, Arc<SegmentStatistics>>,
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
        let earlier = {
            let mut entries = self.entries.lock();
            if let Some(statistics) = entries.find(table) {
                return statistics;
            }
            entries.latest.get(&table.uuid).map(Arc::clone)
        };
        let statistics = Arc::new(SegmentStatistics::new(table, earlier.as_deref()));
        let mut entries = self.entries.lock();
        // Another scan may have been faster.
        entries
            .find(table)
            .unwrap_or_else(|| entries.insert(table, statistics))
    }
}

impl Entries {
    fn find(&mut self, table: &TableVersion) -> Option<Arc<SegmentStatistics>> {
        self.uses += 1;
        let entry = self.by_list.get_mut(&key(table))?;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.statistics))
    }

    fn insert(
        &mut self,
        table: &TableVersion,
        statistics: Arc<SegmentStatistics>,
    ) -> Arc<SegmentStatistics> {
        self.make_room();
        let earlier = self.latest.get(&table.uuid);
        if earlier.is_none_or(|earlier| earlier.last_segment() <= statistics.last_segment()) {
            self.latest.insert(table.uuid, Arc::clone(&statistics));
        }
        let list = Arc::downgrade(&table.segments);
        let last_use = self.uses;
        let entry = Entry {
            list,
            statistics: Arc::clone(&statistics),
            last_use,
        };
        self.by_list.insert(key(table), entry);
        statistics
    }

    fn make_room(&mut self) {
        if self.latest.len() >= ENTRIES_MAX {
            self.latest.clear();
        }
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

fn key(table: &TableVersion) -> usize {
    Arc::as_ptr(&table.segments) as usize
}

#[cfg(test)]
mod tests;
