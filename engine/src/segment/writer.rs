//! Writes one segment: sorted, with statistics, synced.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use quiver_catalog::{Column, ColumnStats, NewSegment, ROW_ID_FIELD, RowIds, SortColumn};

use super::options::SegmentOptions;
use super::properties::writer_properties;
use super::sort::SortedRows;
use super::stats::{LeafStats, leaf_stats};
use super::storage::StorageSchema;
use crate::error::{EngineError, Result};
use crate::storage_fs::{CrashPoint, Folders, StorageFile, StorageFs};

/// What follows the footer: its length and the magic bytes.
const TRAILER_BYTES: u64 = 8;

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
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        return Err(EngineError::internal("a segment needs at least one row"));
    }
    let schema = StorageSchema::new(columns)?;
    let stats = leaf_stats(batches, schema.parquet.num_columns())?;
    let path = directory.join(name);
    let fs = &**folders.fs();
    folders
        .create(directory)
        .map_err(|source| io_error("create", directory, source))?;
    // Never onto an existing file: a segment is written once.
    let file = fs
        .create_new(&path)
        .map_err(|source| io_error("create", &path, source))?;
    let unfinished = Unfinished { fs, path: &path };
    let properties = writer_properties(options, columns, sort_key, &schema.parquet, &stats);
    let sorted = SortedRows::sort(batches, columns, sort_key)?;
    let rows = Rows {
        batches,
        sorted,
        chunk_rows: options.write_batch_rows,
    };
    let metadata = write_rows(&*file, &schema, properties, &rows)?;
    reached(fs, CrashPoint::SegmentWritten, &path)?;
    let sizes = sync_file(&*file, &path)?;
    reached(fs, CrashPoint::SegmentSynced, &path)?;
    fs.sync_dir(directory)
        .map_err(|source| io_error("sync", directory, source))?;
    let record_count = checked_rows(&metadata, batches)?;
    let mut column_stats = column_stats(columns, &metadata, &stats)?;
    let of_table = |stats: &ColumnStats| stats.column_id.0 != ROW_ID_FIELD;
    let row_ids = match column_stats.iter().all(of_table) {
        true => RowIds::New,
        false => RowIds::InFile,
    };
    column_stats.retain(of_table);
    unfinished.keep();
    Ok(NewSegment {
        path: name.to_owned(),
        record_count,
        file_size_bytes: sizes.file_bytes,
        footer_size: sizes.footer_bytes,
        row_ids,
        column_stats,
    })
}

/// A file that is removed again unless it is kept.
pub(super) struct Unfinished<'a> {
    pub(super) fs: &'a dyn StorageFs,
    pub(super) path: &'a Path,
}

impl Unfinished<'_> {
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // What cannot be removed is an orphan and does no harm: only catalogued files count.
        let _ = self.fs.remove(self.path);
    }
}

/// The rows of a segment, in order or in the order in which they came.
struct Rows<'a> {
    batches: &'a [RecordBatch],
    sorted: Option<SortedRows<'a>>,
    chunk_rows: usize,
}

/// Sizes in bytes.
pub(super) struct Sizes {
    pub(super) file_bytes: u64,
    /// The footer without its length and the magic.
    pub(super) footer_bytes: u64,
}

/// Appends to a file from its beginning on.
pub(super) struct FileWriter<'a> {
    file: &'a dyn StorageFile,
    at: u64,
}

impl<'a> FileWriter<'a> {
    pub(super) fn new(file: &'a dyn StorageFile) -> Self {
        Self { file, at: 0 }
    }
}

impl io::Write for FileWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.at, &mut [IoSlice::new(bytes)])?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_rows(
    file: &dyn StorageFile,
    schema: &StorageSchema,
    properties: WriterProperties,
    rows: &Rows<'_>,
) -> Result<ParquetMetaData> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_parquet_schema(schema.parquet.clone());
    let file = FileWriter::new(file);
    let mut writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema.arrow), options)?;
    if let Some(sorted) = &rows.sorted {
        for chunk in sorted.chunks(rows.chunk_rows) {
            writer.write(&schema.encode(&chunk?)?)?;
        }
    } else {
        for batch in rows.batches {
            writer.write(&schema.encode(batch)?)?;
        }
    }
    Ok(writer.close()?)
}

pub(super) fn sync_file(file: &dyn StorageFile, path: &Path) -> Result<Sizes> {
    file.sync_data()
        .map_err(|source| io_error("sync", path, source))?;
    sizes(file)
        .map_err(|source| io_error("read back", path, source))?
        .ok_or_else(|| EngineError::internal("a segment was written without a footer"))
}

/// `None` when the file does not end as Parquet files do.
fn sizes(file: &dyn StorageFile) -> io::Result<Option<Sizes>> {
    let file_bytes = file.len()?;
    if file_bytes <= TRAILER_BYTES {
        return Ok(None);
    }
    let mut trailer = [0; TRAILER_BYTES as usize];
    if file.read_at(file_bytes - TRAILER_BYTES, &mut trailer)? < trailer.len() {
        return Ok(None);
    }
    let [a, b, c, d, magic @ ..] = trailer;
    let footer_bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    let fits = footer_bytes + TRAILER_BYTES <= file_bytes && &magic == b"PAR1";
    Ok(fits.then_some(Sizes {
        file_bytes,
        footer_bytes,
    }))
}

pub(super) fn reached(fs: &dyn StorageFs, point: CrashPoint, path: &Path) -> Result<()> {
    fs.reached(point)
        .map_err(|source| io_error(point.name(), path, source))
}

pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> EngineError {
    EngineError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}

fn checked_rows(metadata: &ParquetMetaData, batches: &[RecordBatch]) -> Result<u64> {
    let given: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
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
