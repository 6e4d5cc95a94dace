//! Writes one segment: with statistics, synced.

use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::ParquetMetaData;
use quiver_catalog::{
    Column, ColumnId, ColumnStats, NewSegment, ROW_ID_FIELD, RowIds, SNAPSHOT_FIELD, SortColumn,
};

use super::new_file::{FileSink, NewFile};
use super::options::SegmentOptions;
use super::properties::writer_properties;
use super::sort::SortedRows;
use super::stats::{LeafStats, add_leaf_stats, leaf_stats};
use super::storage::StorageSchema;
use crate::error::{EngineError, Result};
use crate::storage_fs::{CrashPoint, Folders};

/// Writes `batches`, which have the schema of `columns`, as a file `name` into `directory` (made if
/// missing), ordered by `sort_key`. When it returns, the file and its directory entries
/// are durable; when it fails, the file is gone. Rows that keep their ids have them in one more column,
/// [`row_id_column`](super::row_id_column).
///
/// Besides the batches it holds one encoded row group, and with a sort key a copy of the key
/// columns and four bytes per row. Blocking: call it from `spawn_blocking`.
///
/// # Errors
/// `Unsupported` for columns no segment can hold, `Arrow` for values out of the stored range, `Io`
/// and `Parquet` when writing fails, `Internal` when what was written is not what was given.
pub(crate) fn write_segment(
    folders: &Folders,
    directory: &Path,
    columns: &[Column],
    sort_key: &[SortColumn],
    batches: &[RecordBatch],
    name: &str,
    options: &SegmentOptions,
) -> Result<NewSegment> {
    let leaf_count = columns.iter().map(|column| column.leaves().len()).sum();
    let stats = leaf_stats(batches, leaf_count)?;
    let form = SegmentForm {
        columns,
        sort_key,
        options,
        may_have_nan: &[],
    };
    let mut writer = SegmentWriter::create(folders, directory, name, &form, stats)?;
    match SortedRows::sort(batches, columns, sort_key)? {
        None => {
            for batch in batches {
                writer.write_known(batch)?;
            }
        }
        Some(sorted) => {
            for chunk in sorted.chunks(options.write_batch_rows) {
                writer.write_known(&chunk?)?;
            }
        }
    }
    let segment = writer.finish()?;
    let given: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    assert_eq!(
        segment.record_count, given,
        "a segment holds the rows it was given"
    );
    Ok(segment)
}

/// What segments of a table are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentForm<'a> {
    pub(crate) columns: &'a [Column],
    pub(crate) sort_key: &'a [SortColumn],
    pub(crate) options: &'a SegmentOptions,
    /// Leaves that may turn out to hold NaN, in the order of leaves; none if empty.
    pub(crate) may_have_nan: &'a [bool],
}

/// A segment that is written piece by piece. Unless it is finished, its file is removed.
///
/// Holds one encoded row group. Everything here blocks.
pub(crate) struct SegmentWriter {
    file: NewFile,
    writer: ArrowWriter<FileSink>,
    name: String,
    columns: Vec<Column>,
    schema: StorageSchema,
    stats: Vec<LeafStats>,
    /// Columns whose bounds are not in the file, by leaf.
    without_bounds: Vec<bool>,
    row_count: u64,
}

impl SegmentWriter {
    /// Begins a segment whose rows have, or are like those that have, these statistics.
    ///
    /// # Errors
    /// `Unsupported` for columns no segment can hold, `Io` when the file cannot be made.
    pub(crate) fn create(
        folders: &Folders,
        directory: &Path,
        name: &str,
        form: &SegmentForm<'_>,
        stats: Vec<LeafStats>,
    ) -> Result<Self> {
        let columns = form.columns;
        let schema = StorageSchema::new(columns)?;
        let file = NewFile::create(folders, directory, name)?;
        let (options, key) = (form.options, form.sort_key);
        let without_bounds: Vec<bool> = stats
            .iter()
            .enumerate()
            .map(|(at, stats)| stats.has_nan() || form.may_have_nan.get(at) == Some(&true))
            .collect();
        let parquet = &schema.parquet;
        let properties = writer_properties(options, columns, key, parquet, &stats, &without_bounds);
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_parquet_schema(schema.parquet.clone());
        let arrow = Arc::clone(&schema.arrow);
        let writer = ArrowWriter::try_new_with_options(file.sink(), arrow, options)?;
        Ok(Self {
            file,
            writer,
            name: name.to_owned(),
            columns: columns.to_vec(),
            schema,
            without_bounds,
            stats,
            row_count: 0,
        })
    }

    /// Adds rows that the statistics count already.
    ///
    /// # Errors
    /// `Arrow` for values out of the stored range, `Io` and `Parquet` when writing fails.
    pub(crate) fn write_known(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(&self.schema.encode(batch)?)?;
        self.row_count += batch.num_rows() as u64;
        Ok(())
    }

    /// Adds rows.
    ///
    /// # Errors
    /// As [`Self::write_known`].
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        add_leaf_stats(&mut self.stats, batch)?;
        self.write_known(batch)
    }

    /// Bytes that the file has or will have, about, without its footer.
    pub(crate) fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Ends the segment: the file and its directory entry are durable when this returns.
    ///
    /// # Errors
    /// `Io` and `Parquet` when writing fails, `Internal` when what was written is not what was given.
    pub(crate) fn finish(self) -> Result<NewSegment> {
        if self.row_count == 0 {
            return Err(EngineError::internal("a segment needs at least one row"));
        }
        let mut leaves = self.stats.iter().zip(&self.without_bounds);
        if leaves.any(|(stats, without_bounds)| stats.has_nan() && !without_bounds) {
            return Err(EngineError::internal(
                "bounds were written that leave NaN out",
            ));
        }
        let metadata = self.writer.close()?;
        let sizes = self
            .file
            .sync(CrashPoint::SegmentWritten, Some(CrashPoint::SegmentSynced))?;
        let record_count = checked_rows(&metadata, self.row_count)?;
        let mut column_stats = column_stats(&self.columns, &metadata, &self.stats)?;
        let of_table = |stats: &ColumnStats| !is_hidden(stats.column_id);
        let row_ids = match column_stats.iter().all(of_table) {
            true => RowIds::New,
            false => RowIds::InFile,
        };
        column_stats.retain(of_table);
        self.file.keep();
        Ok(NewSegment {
            path: self.name,
            record_count,
            file_size_bytes: sizes.file_bytes,
            footer_size: sizes.footer_bytes,
            row_ids,
            column_stats,
        })
    }
}

/// Whether it is a column beside those of the table.
fn is_hidden(id: ColumnId) -> bool {
    matches!(id.0, ROW_ID_FIELD | SNAPSHOT_FIELD)
}

fn checked_rows(metadata: &ParquetMetaData, given: u64) -> Result<u64> {
    let written = metadata.file_metadata().num_rows();
    if u64::try_from(written) == Ok(given) {
        return Ok(given);
    }
    let message = format!("a segment of {given} rows was written with {written}");
    Err(EngineError::internal(message))
}

fn column_stats(
    columns: &[Column],
    metadata: &ParquetMetaData,
    stats: &[LeafStats],
) -> Result<Vec<ColumnStats>> {
    let leaves = columns.iter().flat_map(Column::leaves);
    let stats = leaves
        .zip(stats)
        .enumerate()
        .map(|(leaf, (column, stats))| {
            let sizes = metadata
                .row_groups()
                .iter()
                .map(|group| group.column(leaf).compressed_size());
            let (min, max) = stats.bound_texts()?;
            Ok(ColumnStats {
                column_id: column.id,
                column_size_bytes: u64::try_from(sizes.sum::<i64>()).unwrap_or(0),
                value_count: stats.value_count,
                null_count: stats.null_count,
                min,
                max,
                contains_nan: stats.contains_nan,
            })
        });
    stats.collect()
}
