//! What a scan shares with others and how it may behave.

use std::sync::Arc;

use super::cache::ScanCache;
use super::deletes::DeleteFiles;

/// Settings of the scans of one engine. Cloning shares the cache.
#[derive(Debug, Clone)]
pub(crate) struct ScanOptions {
    /// Typed statistics of the segment lists in use.
    pub(crate) cache: Arc<ScanCache>,
    /// Lists of deleted rows that were read.
    pub(crate) delete_files: Arc<DeleteFiles>,
    /// Whether rows may be filtered while they are decoded, where that is estimated to pay.
    pub(crate) row_filters: bool,
    /// Buffered batches below this many rows are merged before they are scanned.
    pub(crate) buffered_batch_rows_min: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            cache: Arc::new(ScanCache::default()),
            delete_files: Arc::new(DeleteFiles::default()),
            row_filters: true,
            buffered_batch_rows_min: 1024,
        }
    }
}
