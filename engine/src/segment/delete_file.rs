//! Delete files: which rows of a segment are gone.
//!
//! A Parquet file with the path of the segment and the positions of its deleted rows, as in Iceberg.
//! A segment has at most one that counts; a later one holds all of an earlier one. Other writers add
//! the snapshot of each deletion.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY, ProjectionMask};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::WriterProperties;
use quiver_catalog::{NewDeleteFile, SNAPSHOT_COLUMN, SnapshotId};
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
    let name = format!("{}-deletes.parquet", new_id());
    let file = NewFile::create(folders, directory, &name)?;
    let schema = Arc::new(Schema::new(vec![
        field(PATH_COLUMN, DataType::Utf8, PATH_FIELD),
        field(POSITION_COLUMN, DataType::Int64, POSITION_FIELD),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_column_dictionary_enabled(POSITION_COLUMN.into(), false)
        .set_column_encoding(POSITION_COLUMN.into(), Encoding::DELTA_BINARY_PACKED)
        .set_created_by(concat!("quiver ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(file.sink(), Arc::clone(&schema), Some(properties))?;
    let mut positions = deleted.iter().peekable();
    while positions.peek().is_some() {
        let chunk = positions.by_ref().take(CHUNK_ROWS);
        let chunk: Int64Array = chunk.map(|position| position as i64).collect();
        let paths = StringArray::from_iter_values(std::iter::repeat_n(segment, chunk.len()));
        let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(chunk)];
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
    }
    writer.close()?;
    let sizes = file.sync(CrashPoint::DeleteFileWritten, None)?;
    file.keep();
    Ok(NewDeleteFile {
        path: name,
        delete_count: deleted.len(),
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
    let broken = |reason: &str| EngineError::Corruption {
        message: format!("a list of deleted rows cannot be read: {reason}"),
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let schema = reader.parquet_schema();
    let wanted: Vec<&str> = match at {
        None => vec![POSITION_COLUMN],
        // Not all files have it.
        Some(_) => vec![POSITION_COLUMN, SNAPSHOT_COLUMN],
    };
    let mask = ProjectionMask::columns(schema, wanted);
    let mut deleted = RoaringTreemap::new();
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        let numbers = |name: &str| {
            let column = batch.column_by_name(name)?;
            column.as_primitive_opt::<Int64Type>()
        };
        let positions = numbers(POSITION_COLUMN).ok_or_else(|| broken("it has no positions"))?;
        let snapshots = at.zip(numbers(SNAPSHOT_COLUMN));
        for (row, position) in positions.values().iter().enumerate() {
            if snapshots.is_some_and(|(at, snapshots)| snapshots.value(row) > at.0) {
                continue;
            }
            let position =
                u64::try_from(*position).map_err(|_| broken("a position is negative"))?;
            deleted.insert(position);
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests;
