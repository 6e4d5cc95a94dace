//! Segments: the immutable Parquet files that hold a table's flushed rows.
//!
//! [`write_segment`] sorts, writes and syncs one file and returns what the catalog has to know
//! about it. A file it wrote is durable, readable by any Parquet reader under the table's
//! `DuckLake` column ids, and described by statistics that bound its rows. It knows nothing of
//! catalogs, commits or snapshots: a file no catalog names is garbage and is swept.

mod bound_text;
mod default_text;
mod delete_file;
mod leaf;
mod new_file;
mod options;
mod properties;
mod row_ids;
mod sink;
mod sort;
mod split;
mod stats;
mod storage;
mod stream;
mod unregistered;
mod value_sample;
mod writer;

pub(crate) use bound_text::{has_bounds, parse_bounds};
pub(crate) use default_text::{column_default, default_text, default_value};
pub(crate) use delete_file::{
    read_dated_delete_file, read_delete_file, write_dated_delete_file, write_delete_file,
};
pub(crate) use options::SegmentOptions;
pub(crate) use row_ids::{
    RowPlaces, row_id_column, row_snapshots, snapshot_column, with_hidden, with_row_ids,
};
pub(crate) use sink::SegmentSink;
use split::split;
pub(crate) use stats::{max_of, min_of, without_nan};
pub(crate) use storage::{check_rows, check_storable};
pub(crate) use stream::SegmentStream;
pub(crate) use unregistered::{
    OfferedFiles, Piece, UnregisteredSegments, remove_parts, segment_name,
};
pub(crate) use writer::write_segment;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
