//! How a file is read or written.

/// Format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Separated values, UTF-8.
    Csv,
    /// One JSON object per line.
    NdJson,
    /// The Arrow IPC file format (Feather 2).
    ArrowFile,
    /// The Arrow IPC stream format.
    ArrowStream,
}

/// Compression inside a written file. Readers find it out by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileCompression {
    /// None.
    None,
    /// Snappy: Parquet only.
    Snappy,
    /// Gzip: Parquet only.
    Gzip,
    /// LZ4: Parquet and Arrow.
    Lz4,
    /// Zstandard: Parquet and Arrow.
    Zstd,
}

/// How a file is read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyOptions {
    /// Format of the file.
    pub(crate) format: FileFormat,
    /// CSV: whether the first line holds the column names.
    pub(crate) header: bool,
    /// CSV: the byte between fields.
    pub(crate) delimiter: u8,
    /// CSV: the text that stands for NULL, quoted or not.
    pub(crate) null_value: String,
    /// CSV: the byte around fields that hold a delimiter, a quote or a line break.
    pub(crate) quote: u8,
    /// Writing: compression; `None` takes the format's default (Parquet: Zstandard).
    pub(crate) compression: Option<FileCompression>,
}

impl CopyOptions {
    /// The defaults of a format: header, comma, double quote, empty text as NULL.
    pub(crate) fn new(format: FileFormat) -> Self {
        Self {
            format,
            header: true,
            delimiter: b',',
            null_value: String::new(),
            quote: b'"',
            compression: None,
        }
    }
}
