//! Record batches of a file, whatever its kind.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use clap::ValueEnum;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::LoadError;
use super::text::{self, TextOptions};

/// Rows read at once; messages are cut by size later.
pub(super) const BATCH_ROWS: usize = 65_536;
/// First bytes of an Arrow file; a stream has none.
const ARROW_FILE_MAGIC: &[u8] = b"ARROW1";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileKind {
    /// Parquet
    Parquet,
    /// Arrow IPC, file or stream
    Arrow,
    /// Comma-separated values
    Csv,
    /// One JSON object per line
    Ndjson,
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// An opened file.
pub(crate) struct Source {
    /// Columns of all batches.
    pub(crate) schema: SchemaRef,
    /// The rows, read while they are asked for.
    pub(crate) batches: Batches,
    /// How far reading has come.
    pub(crate) position: Position,
}

/// How far reading has come, as a share of the file's bytes.
pub(crate) enum Position {
    /// Bytes read from the file.
    Bytes(Arc<AtomicU64>),
    /// Rows in the file, of which a share is read.
    Rows { total: u64 },
}

impl Position {
    /// Bytes that `rows` read rows stand for in a file of `bytes` bytes.
    pub(crate) fn bytes(&self, rows: u64, bytes: u64) -> u64 {
        match self {
            Self::Bytes(read) => read.load(Ordering::Relaxed).min(bytes),
            Self::Rows { total: 0 } => bytes,
            Self::Rows { total } => {
                let share = u128::from(bytes) * u128::from(rows) / u128::from(*total);
                u64::try_from(share).unwrap_or(bytes)
            }
        }
    }
}

/// Opens a file.
///
/// # Errors
/// When it cannot be read or is not what it should be.
pub(crate) fn open(
    path: &Path,
    kind: FileKind,
    options: &TextOptions,
) -> Result<Source, LoadError> {
    match kind {
        FileKind::Parquet => open_parquet(path),
        FileKind::Arrow => open_arrow(path),
        FileKind::Csv => text::open_csv(path, options),
        FileKind::Ndjson => text::open_ndjson(path, options),
    }
}

/// A file that counts what is read from it.
pub(super) struct Counted {
    file: BufReader<File>,
    read: Arc<AtomicU64>,
}

impl Counted {
    /// Opens a file and gives its counter.
    pub(super) fn open(path: &Path) -> Result<(Self, Arc<AtomicU64>), LoadError> {
        let failed = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let read = Arc::new(AtomicU64::new(0));
        let counted = Self {
            file: BufReader::with_capacity(1 << 20, file),
            read: Arc::clone(&read),
        };
        Ok((counted, read))
    }
}

impl Read for Counted {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(bytes)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

fn open_parquet(path: &Path) -> Result<Source, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let invalid = |source| LoadError::Parquet {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(invalid)?;
    let schema = Arc::clone(builder.schema());
    let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let reader = builder
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(invalid)?;
    Ok(Source {
        schema,
        batches: Box::new(reader),
        position: Position::Rows { total },
    })
}

fn open_arrow(path: &Path) -> Result<Source, LoadError> {
    let invalid = |source| LoadError::Content {
        path: path.to_owned(),
        source,
        hint: "",
    };
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let (mut file, read) = Counted::open(path)?;
    let mut magic = Vec::new();
    file.by_ref()
        .take(ARROW_FILE_MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let position = Position::Bytes(read);
    if magic == ARROW_FILE_MAGIC {
        let reader = FileReader::try_new(file, None).map_err(invalid)?;
        Ok(Source {
            schema: reader.schema(),
            batches: Box::new(reader),
            position,
        })
    } else {
        let reader = StreamReader::try_new(file, None).map_err(invalid)?;
        Ok(Source {
            schema: reader.schema(),
            batches: Box::new(reader),
            position,
        })
    }
}
