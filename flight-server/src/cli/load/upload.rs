//! One file to the server: read in a thread, cut into messages, sent, counted, tried again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::progress::Progress;
use super::source::{self, FileKind, Source};
use super::text::TextOptions;
use super::{LoadError, TableName, key};
use crate::cli::client::{ClientError, FlightClient, Identity, Ingested, ingest_descriptor};

/// Batches read ahead of what is sent.
const BATCHES_AHEAD: usize = 2;
/// Attempts at one file while the server is overloaded or away.
const ATTEMPTS_MAX: u32 = 12;
/// First and longest pause between attempts.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 200..=10_000;
/// Ends an upload that cannot be completed. No IPC message begins like this, so the server refuses
/// the whole upload, where a plain end would look complete to it.
const ABORT: &[u8] = b"the client could not read its file to the end";

/// What may happen to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Made when it is missing.
    CreateAppend,
    /// Must not exist.
    Create,
    /// Must exist.
    Append,
    /// Loses what it holds.
    Replace,
}

impl Mode {
    /// The mode of one file: only the first one of several creates or replaces.
    pub(crate) fn of(create: bool, append: bool, replace: bool, is_first: bool) -> Self {
        match (create, append, replace) {
            (true, _, _) if is_first => Self::Create,
            (_, _, true) if is_first => Self::Replace,
            (false, false, false) => Self::CreateAppend,
            _ => Self::Append,
        }
    }

    fn options(self) -> TableDefinitionOptions {
        let (missing, existing) = match self {
            Self::CreateAppend => (TableNotExistOption::Create, TableExistsOption::Append),
            Self::Create => (TableNotExistOption::Create, TableExistsOption::Fail),
            Self::Append => (TableNotExistOption::Fail, TableExistsOption::Append),
            Self::Replace => (TableNotExistOption::Create, TableExistsOption::Replace),
        };
        TableDefinitionOptions {
            if_not_exist: missing.into(),
            if_exists: existing.into(),
        }
    }
}

/// A file that is in the table now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Rows that came now.
    pub(crate) rows: u64,
    /// Rows that were there before.
    pub(crate) rows_before: u64,
    /// All of it was there before.
    pub(crate) duplicate: bool,
}

/// One file to upload.
pub(crate) struct Upload {
    /// Its size.
    pub(crate) bytes: u64,
    pub(super) path: PathBuf,
    kind: FileKind,
    pub(super) options: TextOptions,
    pub(super) table: TableName,
    pub(super) mode: Mode,
    /// Names the file and the table.
    pub(super) key: String,
    batch_bytes: usize,
    /// Rows committed at a time; all of them when absent.
    pub(super) portion_rows: Option<u64>,
}

impl Upload {
    /// Prepares an upload; the file is looked at, not read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn new(
        path: &Path,
        kind: FileKind,
        options: TextOptions,
        table: &TableName,
        mode: Mode,
        run: Option<&str>,
    ) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            let message = "this is a directory; name its files, such as DIR/*.parquet".to_owned();
            return Err(LoadError::Shape {
                path: path.to_owned(),
                message,
            });
        }
        Ok(Self {
            bytes: metadata.len(),
            path: path.to_owned(),
            kind,
            options,
            table: table.clone(),
            mode,
            key: key::idempotency_key(path, table, run)?,
            batch_bytes: 4 * 1024 * 1024,
            portion_rows: None,
        })
    }

    /// Commits the file in portions of so many rows.
    pub(crate) fn with_portion_rows(mut self, rows: Option<u64>) -> Self {
        self.portion_rows = rows;
        self
    }

    /// Sets the size of one message, in bytes.
    pub(crate) fn with_batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// Uploads the file, again when the server asks for it: the key makes that safe.
    ///
    /// # Errors
    /// When the file or the server refuses; then nothing of the file is in the table, or the
    /// portions that came before.
    pub(crate) async fn run(
        &self,
        client: &mut FlightClient,
        progress: &Arc<Progress>,
    ) -> Result<Loaded, LoadError> {
        match self.portion_rows {
            None => self.run_whole(client, progress).await,
            Some(rows) => self.run_in_portions(client, progress, rows).await,
        }
    }

    async fn run_whole(
        &self,
        client: &mut FlightClient,
        progress: &Arc<Progress>,
    ) -> Result<Loaded, LoadError> {
        let mut attempt = 1;
        loop {
            let tally = Arc::new(Tally::new(Arc::clone(progress)));
            let error = match self.attempt(client, &tally).await {
                Ok(loaded) => {
                    // A file that was there already need not be read to its end.
                    tally.read(0, self.bytes);
                    return Ok(loaded);
                }
                Err(error) => error,
            };
            tally.undo();
            before_next(&mut attempt, error).await?;
        }
    }

    async fn attempt(
        &self,
        client: &mut FlightClient,
        tally: &Arc<Tally>,
    ) -> Result<Loaded, LoadError> {
        let opened = self.open(tally).await?;
        let failure = Arc::default();
        let rows = ReceiverStream::new(opened.batches);
        let messages = self.messages(opened.schema, rows, self.mode, &failure);
        let answer = client.ingest(messages, Identity::Key(&self.key)).await;
        let Ingested { rows, duplicate } = self.answer(answer, &failure)?;
        match duplicate {
            true => Ok(Loaded {
                rows: 0,
                rows_before: rows,
                duplicate,
            }),
            false => {
                self.check_count(tally.rows(), rows)?;
                Ok(Loaded {
                    rows,
                    rows_before: 0,
                    duplicate,
                })
            }
        }
    }

    /// Begins to read the file.
    pub(super) async fn open(&self, tally: &Arc<Tally>) -> Result<Opened, LoadError> {
        let path = || self.path.clone();
        let (file, kind, options) = (path(), self.kind, self.options.clone());
        let opened = tokio::task::spawn_blocking(move || source::open(&file, kind, &options));
        let source = opened
            .await
            .map_err(|_| LoadError::Reader { path: path() })??;
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let schema = Arc::clone(&source.schema);
        let (bytes, tally) = (self.bytes, Arc::clone(tally));
        tokio::task::spawn_blocking(move || read_all(source, bytes, &tally, &sender));
        Ok(Opened { schema, batches })
    }

    /// Rows as the messages of one ingest. What goes wrong in reading is left in `failure`.
    pub(super) fn messages(
        &self,
        schema: SchemaRef,
        rows: impl Stream<Item = Read> + Send + 'static,
        mode: Mode,
        failure: &Failure,
    ) -> impl Stream<Item = FlightData> + Send + 'static {
        let command = CommandStatementIngest {
            table_definition_options: Some(mode.options()),
            table: self.table.name.clone(),
            schema: Some(self.table.schema.clone()),
            ..CommandStatementIngest::default()
        };
        let encoded = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_max_flight_data_size(self.batch_bytes)
            .with_flight_descriptor(Some(ingest_descriptor(&command)))
            .build(rows);
        let failure = Arc::clone(failure);
        encoded.map(move |message| {
            message.unwrap_or_else(|error| {
                failure.lock().get_or_insert(error);
                FlightData::new().with_data_header(Bytes::from_static(ABORT))
            })
        })
    }

    /// What came of an ingest.
    pub(super) fn answer(
        &self,
        answer: Result<Ingested, ClientError>,
        failure: &Failure,
    ) -> Result<Ingested, LoadError> {
        if let Some(source) = failure.lock().take() {
            // The server's complaint about the upload we broke off says less.
            return Err(self.unreadable(source));
        }
        answer.map_err(|source| self.refused(source))
    }

    pub(super) fn refused(&self, source: ClientError) -> LoadError {
        let path = self.path.clone();
        LoadError::Refused { path, source }
    }

    /// What the server counted is what was sent.
    pub(super) fn check_count(&self, sent: u64, counted: u64) -> Result<(), LoadError> {
        let path = self.path.clone();
        match sent == counted {
            true => Ok(()),
            false => Err(LoadError::Count {
                path,
                sent,
                counted,
            }),
        }
    }

    pub(super) fn unreadable(&self, error: FlightError) -> LoadError {
        let path = self.path.clone();
        match error {
            FlightError::Arrow(source) => LoadError::Content {
                path,
                source,
                hint: self.options.hint(),
            },
            _ => LoadError::Reader { path },
        }
    }
}

/// A file that is being read.
pub(super) struct Opened {
    pub(super) schema: SchemaRef,
    pub(super) batches: mpsc::Receiver<Read>,
}

/// What reading gives.
pub(super) type Read = Result<RecordBatch, FlightError>;

/// What went wrong in reading, if something did.
pub(super) type Failure = Arc<Mutex<Option<FlightError>>>;

/// What one attempt has read, also shown in the bar.
pub(super) struct Tally {
    rows: AtomicU64,
    bytes: AtomicU64,
    progress: Arc<Progress>,
}

impl Tally {
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self {
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            progress,
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Adds rows; `position` is how far reading has come, in bytes of the file.
    fn read(&self, rows: u64, position: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        let before = self.bytes.fetch_max(position, Ordering::Relaxed);
        self.progress.add(rows, position.saturating_sub(before));
    }

    pub(super) fn undo(&self) {
        self.progress
            .undo(self.rows(), self.bytes.load(Ordering::Relaxed));
    }
}

/// Reads the file until its end, its first mistake, or until nobody wants more of it.
fn read_all(source: Source, bytes: u64, tally: &Tally, sender: &mpsc::Sender<Read>) {
    let Source {
        batches, position, ..
    } = source;
    let mut rows = 0;
    for batch in batches {
        let is_last = batch.is_err();
        if let Ok(batch) = &batch {
            rows += batch.num_rows() as u64;
            tally.read(batch.num_rows() as u64, position.bytes(rows, bytes));
        }
        let is_wanted = sender
            .blocking_send(batch.map_err(FlightError::Arrow))
            .is_ok();
        if is_last || !is_wanted {
            return;
        }
    }
}

/// Waits for the next attempt, when there should be one.
///
/// # Errors
/// The error of the last one, when there should be none.
pub(super) async fn before_next(attempt: &mut u32, error: LoadError) -> Result<(), LoadError> {
    let Some(pause) = pause(&error, *attempt) else {
        return Err(error);
    };
    tokio::time::sleep(pause).await;
    *attempt += 1;
    Ok(())
}

/// How long to wait before the next attempt, when there should be one.
fn pause(error: &LoadError, attempt: u32) -> Option<Duration> {
    let LoadError::Refused { source, .. } = error else {
        return None;
    };
    if !source.is_passing() || attempt >= ATTEMPTS_MAX {
        return None;
    }
    let grown = PAUSE_MS.start() << (attempt - 1).min(10);
    let asked = source.retry_after_ms().unwrap_or(0);
    Some(Duration::from_millis(grown.max(asked).min(*PAUSE_MS.end())))
}
