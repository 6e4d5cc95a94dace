//! Delete files: which rows of a segment are gone.
//!
//! A Parquet file with the path of the segment and the positions of its deleted rows, as in Iceberg.
//! A segment has at most one that counts; a later one holds all of an earlier one. Other writers add
//! the snapshot of each deletion.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY, ProjectionMask};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::WriterProperties;
use quiver_catalog::{NewDeleteFile, SNAPSHOT_COLUMN, SNAPSHOT_FIELD, SnapshotId};
use roaring::RoaringTreemap;

use super::new_file::NewFile;
use crate::error::{EngineError, Result};
use crate::ids::new_id;
use crate::storage_fs::{CrashPoint, Folders};

const PATH_COLUMN: &str = "file_path";
const PATH_FIELD: i32 = 2_147_483_646;
const POSITION_COLUMN: &str = "pos";
const POSITION_FIELD: i32 = 2_147_483_645;
/// Positions that are written at a time.
const CHUNK_ROWS: usize = 64 * 1024;

/// Writes the positions of all deleted rows of the segment at `segment`, a path below the data
/// folder, into `directory`. When it returns, the file is durable; when it fails, it is gone. Blocking.
///
/// # Errors
/// `Io` and `Parquet` when writing fails.
pub(crate) fn write_delete_file(
    folders: &Folders,
    directory: &Path,
    segment: &str,
    deleted: &RoaringTreemap,
) -> Result<NewDeleteFile> {
    let fields = vec![
        field(PATH_COLUMN, DataType::Utf8, PATH_FIELD),
        field(POSITION_COLUMN, DataType::Int64, POSITION_FIELD),
    ];
    let mut positions = deleted.iter().map(|position| position as i64).peekable();
    let chunks = std::iter::from_fn(|| {
        positions.peek()?;
        let chunk: Int64Array = positions.by_ref().take(CHUNK_ROWS).collect();
        Some(vec![paths(segment, chunk.len()), Arc::new(chunk)])
    });
    write(folders, directory, fields, chunks, deleted.len())
}

/// The same, with the snapshot of each deletion.
///
/// # Errors
/// As [`write_delete_file`].
pub(crate) fn write_dated_delete_file(
    folders: &Folders,
    directory: &Path,
    segment: &str,
    deleted: &BTreeMap<u64, SnapshotId>,
) -> Result<NewDeleteFile> {
    let fields = vec![
        field(PATH_COLUMN, DataType::Utf8, PATH_FIELD),
        field(POSITION_COLUMN, DataType::Int64, POSITION_FIELD),
        field(SNAPSHOT_COLUMN, DataType::Int64, SNAPSHOT_FIELD as i32),
    ];
    let mut rows = deleted.iter().peekable();
    let chunks = std::iter::from_fn(|| {
        rows.peek()?;
        let chunk = rows.by_ref().take(CHUNK_ROWS);
        let (positions, snapshots): (Vec<i64>, Vec<i64>) = chunk
            .map(|(position, snapshot)| (*position as i64, snapshot.0))
            .unzip();
        let positions: ArrayRef = Arc::new(Int64Array::from(positions));
        let snapshots: ArrayRef = Arc::new(Int64Array::from(snapshots));
        Some(vec![paths(segment, positions.len()), positions, snapshots])
    });
    write(folders, directory, fields, chunks, deleted.len() as u64)
}

fn paths(segment: &str, count: usize) -> ArrayRef {
    let paths = std::iter::repeat_n(segment, count);
    Arc::new(StringArray::from_iter_values(paths))
}

fn write(
    folders: &Folders,
    directory: &Path,
    fields: Vec<Field>,
    chunks: impl Iterator<Item = Vec<ArrayRef>>,
    delete_count: u64,
) -> Result<NewDeleteFile> {
    let name = format!("{}-deletes.parquet", new_id());
    let file = NewFile::create(folders, directory, &name)?;
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_column_dictionary_enabled(POSITION_COLUMN.into(), false)
        .set_column_encoding(POSITION_COLUMN.into(), Encoding::DELTA_BINARY_PACKED)
        .set_created_by(concat!("quiver ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(file.sink(), Arc::clone(&schema), Some(properties))?;
    for columns in chunks {
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
    }
    writer.close()?;
    let sizes = file.sync(CrashPoint::DeleteFileWritten, None)?;
    file.keep();
    Ok(NewDeleteFile {
        path: name,
        delete_count,
        file_size_bytes: sizes.file_bytes,
        footer_size: sizes.footer_bytes,
    })
}

fn field(name: &str, data_type: DataType, id: i32) -> Field {
    let metadata = [(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())];
    Field::new(name, data_type, false).with_metadata(metadata.into())
}

/// Positions of the rows that a delete file lists; of one that names snapshots, those up to `at` if
/// that is given.
///
/// # Errors
/// `Corruption` when it is no delete file.
pub(crate) fn read_delete_file(file: Bytes, at: Option<SnapshotId>) -> Result<RoaringTreemap> {
    let mut deleted = RoaringTreemap::new();
    read(file, at.is_some(), |position, snapshot| {
        if at.zip(snapshot).is_none_or(|(at, snapshot)| snapshot <= at) {
            deleted.insert(position);
        }
    })?;
    Ok(deleted)
}

/// Positions of the rows that a delete file lists, with the snapshots that it names.
///
/// # Errors
/// As [`read_delete_file`].
pub(crate) fn read_dated_delete_file(file: Bytes) -> Result<Vec<(u64, Option<SnapshotId>)>> {
    let mut deleted = vec![];
    read(file, true, |position, snapshot| {
        deleted.push((position, snapshot))
    })?;
    Ok(deleted)
}

fn read(
    file: Bytes,
    with_snapshots: bool,
    mut take: impl FnMut(u64, Option<SnapshotId>),
) -> Result<()> {
    let broken = |reason: &str| EngineError::Corruption {
        message: format!("a list of deleted rows cannot be read: {reason}"),
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let schema = reader.parquet_schema();
    // Not all files have snapshots.
    let wanted = match with_snapshots {
        false => vec![POSITION_COLUMN],
        true => vec![POSITION_COLUMN, SNAPSHOT_COLUMN],
    };
    let mask = ProjectionMask::columns(schema, wanted);
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        let numbers = |name: &str| {
            let column = batch.column_by_name(name)?;
            column.as_primitive_opt::<Int64Type>()
        };
        let positions = numbers(POSITION_COLUMN).ok_or_else(|| broken("it has no positions"))?;
        let snapshots = numbers(SNAPSHOT_COLUMN);
        for (row, position) in positions.values().iter().enumerate() {
            let position =
                u64::try_from(*position).map_err(|_| broken("a position is negative"))?;
            take(
                position,
                snapshots.map(|snapshots| SnapshotId(snapshots.value(row))),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
