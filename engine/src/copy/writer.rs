//! Writes files that appear only when they are complete.
//!
//! Guarantees: until `finish` returns, nothing is under the file's name but what was there
//! before; afterwards the file and its folders survive a power cut. Dropped earlier, the writer
//! removes what it wrote.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::{DataType, IntervalUnit, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter as ArrowFileWriter, IpcWriteOptions, StreamWriter};
use arrow::json::LineDelimitedWriter;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use super::{CopyOptions, FileCompression, FileFormat, file_name};
use crate::canonical::short;
use crate::error::{EngineError, Result};

/// A Parquet row group is closed when it holds this many bytes in memory.
const ROW_GROUP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A file being written; dropped without `finish`, it leaves nothing behind.
pub(crate) struct FileWriter {
    name: String,
    path: PathBuf,
    schema: SchemaRef,
    sink: Sink,
    unfinished: Unfinished,
    rows: u64,
}

type Output = BufWriter<File>;

enum Sink {
    Parquet(Box<ArrowWriter<Output>>),
    Csv(csv::Writer<Output>),
    NdJson(LineDelimitedWriter<Output>),
    ArrowFile(ArrowFileWriter<Output>),
    ArrowStream(StreamWriter<Output>),
}

impl FileWriter {
    /// Starts a file that `finish` will put at `path`, replacing a file of that name. Folders
    /// that are missing are made.
    ///
    /// # Errors
    /// `Unsupported` for types or a compression the format does not have, `Io`.
    pub(crate) fn create(path: &Path, schema: &SchemaRef, options: &CopyOptions) -> Result<Self> {
        let name = file_name(path);
        check_types(schema, options.format)?;
        let make = SinkMaker::new(options)?;
        let failed = |source| EngineError::Io {
            action: "create",
            path: name.clone().into(),
            source,
        };
        let folder = folder_of(path);
        create_folders(folder).map_err(failed)?;
        let (unfinished, file) = Unfinished::create(folder).map_err(failed)?;
        let sink = make.sink(BufWriter::new(file), schema, options)?;
        let (path, schema) = (path.to_path_buf(), Arc::clone(schema));
        Ok(Self {
            name,
            path,
            schema,
            sink,
            unfinished,
            rows: 0,
        })
    }

    /// Adds the rows of `batch`.
    ///
    /// # Errors
    /// `Internal` for a batch of another schema, `Io`.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema_ref().fields() != self.schema.fields() {
            return Err(EngineError::internal(
                "a batch has another schema than its file",
            ));
        }
        let written = match &mut self.sink {
            Sink::Parquet(writer) => write_parquet(writer, batch),
            Sink::Csv(writer) => writer.write(batch),
            Sink::NdJson(writer) => writer.write(batch),
            Sink::ArrowFile(writer) => writer.write(batch),
            Sink::ArrowStream(writer) => writer.write(batch),
        };
        written.map_err(|error| write_failed(&self.name, error))?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Makes the file durable under its name. Returns the rows written.
    ///
    /// # Errors
    /// `Io`; then there is no file, or the one that was there before.
    pub(crate) fn finish(self) -> Result<u64> {
        let Self {
            name,
            path,
            schema,
            sink,
            mut unfinished,
            rows,
        } = self;
        let output = finish_sink(sink, &schema, rows).map_err(|e| write_failed(&name, e))?;
        let finished = output
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&unfinished.path, &path));
        let failed = |source| EngineError::Io {
            action: "finish",
            path: name.clone().into(),
            source,
        };
        finished.map_err(failed)?;
        // From here on the file is there; a folder that cannot be synced does not take it back.
        unfinished.path = PathBuf::new();
        sync_folder(folder_of(&path)).map_err(failed)?;
        Ok(rows)
    }
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", &self.path)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// Removes the file that was begun.
struct Unfinished {
    /// Empty once the file has its name.
    path: PathBuf,
}

impl Unfinished {
    /// A new file beside the others of `folder`, under a name that nobody else has.
    fn create(folder: &Path) -> io::Result<(Self, File)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".copy-{}-{number}.tmp", process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Self { path }, file)),
                // Left over from a process that had the same id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // Nothing more can be done; sweeping temporary files is up to the operator.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The checked choice of a sink, made before any file is.
enum SinkMaker {
    Parquet(Box<WriterProperties>),
    Arrow(IpcWriteOptions),
    Text,
}

impl SinkMaker {
    fn new(options: &CopyOptions) -> Result<Self> {
        let unsupported = |compression: FileCompression| EngineError::Unsupported {
            what: format!("compression {compression:?} for {:?} files", options.format),
        };
        match (options.format, options.compression) {
            (FileFormat::Parquet, compression) => {
                let compression = parquet_compression(compression);
                let properties = WriterProperties::builder().set_compression(compression);
                Ok(Self::Parquet(Box::new(properties.build())))
            }
            (FileFormat::ArrowFile | FileFormat::ArrowStream, compression) => {
                let compression = match compression {
                    None | Some(FileCompression::None) => None,
                    Some(FileCompression::Lz4) => Some(CompressionType::LZ4_FRAME),
                    Some(FileCompression::Zstd) => Some(CompressionType::ZSTD),
                    Some(other) => return Err(unsupported(other)),
                };
                Ok(Self::Arrow(
                    IpcWriteOptions::default().try_with_compression(compression)?,
                ))
            }
            (_, None | Some(FileCompression::None)) => Ok(Self::Text),
            (_, Some(other)) => Err(unsupported(other)),
        }
    }

    fn sink(self, output: Output, schema: &SchemaRef, options: &CopyOptions) -> Result<Sink> {
        Ok(match self {
            Self::Parquet(properties) => {
                let schema = Arc::clone(schema);
                let writer = ArrowWriter::try_new(output, schema, Some(*properties));
                Sink::Parquet(Box::new(writer.map_err(|error| {
                    EngineError::Unsupported {
                        what: format!("writing this as Parquet ({})", short(&error.to_string())),
                    }
                })?))
            }
            Self::Arrow(settings) if options.format == FileFormat::ArrowFile => Sink::ArrowFile(
                ArrowFileWriter::try_new_with_options(output, schema, settings)?,
            ),
            Self::Arrow(settings) => Sink::ArrowStream(StreamWriter::try_new_with_options(
                output, schema, settings,
            )?),
            Self::Text if options.format == FileFormat::Csv => Sink::Csv(
                csv::WriterBuilder::new()
                    .with_header(options.header)
                    .with_delimiter(options.delimiter)
                    .with_quote(options.quote)
                    .with_null(options.null_value.clone())
                    .build(output),
            ),
            Self::Text => Sink::NdJson(LineDelimitedWriter::new(output)),
        })
    }
}

fn parquet_compression(compression: Option<FileCompression>) -> Compression {
    match compression {
        Some(FileCompression::None) => Compression::UNCOMPRESSED,
        Some(FileCompression::Snappy) => Compression::SNAPPY,
        Some(FileCompression::Gzip) => Compression::GZIP(GzipLevel::default()),
        Some(FileCompression::Lz4) => Compression::LZ4_RAW,
        None | Some(FileCompression::Zstd) => Compression::ZSTD(ZstdLevel::default()),
    }
}

fn write_parquet(writer: &mut ArrowWriter<Output>, batch: &RecordBatch) -> Result<(), ArrowError> {
    writer.write(batch)?;
    if writer.in_progress_size() > ROW_GROUP_BYTES_MAX {
        writer.flush()?;
    }
    Ok(())
}

fn finish_sink(sink: Sink, schema: &SchemaRef, rows: u64) -> Result<Output, ArrowError> {
    Ok(match sink {
        Sink::Parquet(writer) => writer.into_inner()?,
        Sink::Csv(mut writer) => {
            if rows == 0 {
                // The header is written with the first batch, and an empty file should have one.
                writer.write(&RecordBatch::new_empty(Arc::clone(schema)))?;
            }
            writer.into_inner()
        }
        Sink::NdJson(mut writer) => {
            writer.finish()?;
            writer.into_inner()
        }
        Sink::ArrowFile(writer) => writer.into_inner()?,
        Sink::ArrowStream(writer) => writer.into_inner()?,
    })
}

/// What a format cannot hold is known before the file is begun.
fn check_types(schema: &SchemaRef, format: FileFormat) -> Result<()> {
    let refused = |data_type: &DataType| match format {
        FileFormat::Csv => data_type.is_nested(),
        FileFormat::Parquet => matches!(
            data_type,
            DataType::Interval(IntervalUnit::MonthDayNano)
                | DataType::Union(_, _)
                | DataType::RunEndEncoded(_, _)
        ),
        FileFormat::NdJson => matches!(data_type, DataType::Union(_, _)),
        FileFormat::ArrowFile | FileFormat::ArrowStream => false,
    };
    match schema
        .flattened_fields()
        .into_iter()
        .find(|field| refused(field.data_type()))
    {
        None => Ok(()),
        Some(field) => Err(EngineError::Unsupported {
            what: format!(
                "writing column '{}' of type {} to a {format:?} file",
                short(field.name()),
                short(&field.data_type().to_string())
            ),
        }),
    }
}

fn write_failed(name: &str, error: ArrowError) -> EngineError {
    let source = match error {
        ArrowError::IoError(_, source) => source,
        other => io::Error::other(other),
    };
    EngineError::Io {
        action: "write",
        path: name.into(),
        source,
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Makes the folders that are missing and makes them survive a power cut.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder);
    create_folders(parent)?;
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
