//! Reading a table: pruned segments united with the rows that are still in memory.
//!
//! [`QuiverTable`] is what `DataFusion` sees of a table. It returns exactly the rows of the read
//! view it was made from, whatever is flushed or dropped meanwhile. It knows nothing of SQL,
//! tenants' rights or transactions: whoever builds it decides what is visible.

mod buffered;
mod cache;
mod columns_by_id;
mod deletes;
mod footers;
mod options;
mod parts;
mod pruning;
mod row_filter;
mod segment_file;
mod segments;
mod statistics;
mod store;
mod table;
mod target;

pub(crate) use buffered::BufferedRows;
pub(crate) use deletes::{DeletedRows, all_rows};
pub(crate) use options::ScanOptions;
pub(crate) use parts::{SegmentPart, row_groups, share_out};
#[cfg(feature = "micro")]
pub(crate) use pruning::prune;
pub(crate) use statistics::SegmentStatistics;
pub(crate) use store::TenantRegistry;
pub(crate) use table::{QuiverTable, TableRows, filter_support};
pub(crate) use target::{ChangeTarget, POSITION_COLUMN, SEGMENT_COLUMN};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
