//! How a segment is laid out on disk.

use parquet::basic::Compression;

/// Layout of a segment file. The defaults are the measured compromise between pruning and scanning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SegmentOptions {
    /// Rows per row group at most: the unit that statistics and bloom filters describe.
    pub(crate) row_group_rows: usize,
    /// Encoded bytes per row group, about: what a writer holds in memory.
    pub(crate) row_group_bytes: usize,
    /// Rows per data page at most: the unit that the page index describes.
    pub(crate) data_page_rows: usize,
    /// Rows that are gathered and encoded at a time; bounds the memory a sorted write needs.
    pub(crate) write_batch_rows: usize,
    /// Codec of data pages.
    pub(crate) compression: Compression,
    /// Whether bloom filters are written for columns where an equality search may profit.
    pub(crate) bloom_filters: bool,
    /// False positive rate of these filters.
    pub(crate) bloom_false_positive_rate: f64,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            row_group_rows: 256 * 1024,
            row_group_bytes: 128 * 1024 * 1024,
            data_page_rows: 8192,
            write_batch_rows: 8192,
            compression: Compression::LZ4_RAW,
            bloom_filters: true,
            bloom_false_positive_rate: 0.01,
        }
    }
}
