//! `quiver load`: files into a table, in parallel, each file wholly or not at all, never twice.
//!
//! Every file is one upload with a key made from the file and the table, so a second run after an
//! interruption sends again only what is not durable yet. With `--portion-rows` a file is several
//! uploads, numbered as those of a producer, and a second run goes on in the middle of it. What the
//! server counted is compared with what was sent.

mod error;
mod key;
mod portions;
mod progress;
mod queue;
mod source;
mod text;
mod upload;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use clap::{ArgGroup, Args, ValueEnum};
use rand::distr::{Alphanumeric, SampleString};
use tokio::time::Instant;

use super::client::{FlightClient, Target};
use super::connection::ConnectionArgs;
use super::error::CliError;
pub(crate) use error::LoadError;
use progress::Progress;
use queue::{Outcome, Queue};
use source::FileKind;
use text::TextOptions;
use upload::{Mode, Upload};

/// Schema of a table name without one.
const DEFAULT_SCHEMA: &str = "main";
/// Smallest and largest messages; the largest is what stock Flight servers accept.
const BATCH_BYTES: std::ops::RangeInclusive<i64> = 65_536..=16_777_216;

const EXAMPLES: &str = "Examples:
  quiver load trips.parquet --table main.trips          creates the table when it is missing
  quiver load 2024/*.csv --table trips --parallel 4
  quiver load day.ndjson --table trips --append         only into a table that exists
  quiver load all.arrow --table trips --replace         instead of what is there
  quiver load huge.parquet --table trips --portion-rows 10000000

A file is loaded wholly or not at all. Run the same command again after an interruption: files
that are loaded already are counted, not loaded twice. The same file is one of the same name and
content, wherever it lies; the server remembers it for a week (session.idempotency_ttl_ms).
With --portion-rows a file is committed in portions of so many rows, and the same command goes on
in the middle of it; the server remembers how far it came for as long as the table is there.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("mode").args(["create", "append", "replace"])))]
pub(crate) struct LoadArgs {
    /// Parquet, Arrow IPC, CSV (also .tsv) or NDJSON files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Table to load into: NAME or SCHEMA.NAME
    #[arg(long, short, value_name = "TABLE", value_parser = parse_table)]
    table: TableName,
    /// The table must not exist yet
    #[arg(long)]
    create: bool,
    /// The table must exist
    #[arg(long)]
    append: bool,
    /// The first file replaces the table, its columns too; further files are added one by one
    #[arg(long)]
    replace: bool,
    /// Files loaded at the same time
    #[arg(long, short = 'j', value_name = "N", default_value_t = 2, value_parser = parallel())]
    parallel: u16,
    /// Commit every so many rows of a file, to go on from there after an interruption
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    portion_rows: Option<u64>,
    /// Size of one message, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4_194_304, value_parser = batch_bytes())]
    batch_bytes: u32,
    /// What the files are, when their names do not tell
    #[arg(long, value_enum)]
    format: Option<FileKind>,
    /// CSV and NDJSON into a new table: rows looked at to find the types [default: all]
    #[arg(long, value_name = "ROWS")]
    infer_rows: Option<usize>,
    /// CSV: what separates values [default: , or a tab for .tsv]
    #[arg(long, value_name = "CHARACTER", value_parser = parse_delimiter)]
    delimiter: Option<u8>,
    /// CSV: the first line is a row, not names; columns are column_1, column_2, …
    #[arg(long)]
    no_header: bool,
    /// Tenant that the user belongs to, as in USER@TENANT
    #[arg(long, env = "QUIVER_TENANT", value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A table's place in the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    /// Its schema.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) name: String,
}

/// Runs the command.
///
/// # Errors
/// Unusable flags or files, no connection, or the first file that could not be loaded.
pub(crate) async fn run(arguments: LoadArgs) -> Result<(), CliError> {
    let target = arguments.connection.target(arguments.tenant.as_deref())?;
    let started = Instant::now();
    let outcome = load(arguments, target).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", outcome.summary(started.elapsed())).map_err(|source| CliError::Io {
        action: "print the count".to_owned(),
        source,
    })?;
    Ok(())
}

async fn load(arguments: LoadArgs, target: Target) -> Result<Outcome, CliError> {
    let mut client = FlightClient::connect(&target).await?;
    let table = &arguments.table;
    let found = client
        .tables(Some((&table.schema, &table.name)))
        .await?
        .into_iter()
        .next();
    let columns = match (&found, arguments.replace) {
        // A replaced table takes its columns from the file.
        (Some(found), false) => Some(Arc::new(found.columns.clone())),
        _ => None,
    };
    let begun = match (&found, arguments.replace) {
        (Some(_), false) => {
            let place = (table.schema.as_str(), table.name.as_str());
            client.producers(place, key::PREFIX).await?
        }
        _ => vec![],
    };
    let progress = Arc::new(Progress::new());
    let mut files = prepare(&arguments, columns.as_ref(), &progress)?;
    for file in &files {
        file.refuse_other_portions(&begun)?;
    }
    progress.start(files.iter().map(|file| file.bytes).sum());
    let mut outcome = Outcome::default();
    let is_alone = found.is_none() || arguments.replace || arguments.create;
    if is_alone && let Some(first) = files.pop_front() {
        // Several uploads that each create the table would be refused, or could disagree.
        outcome.add(first.run(&mut client, &progress).await?);
    }
    let queue = Queue::new(files, outcome);
    let outcome = queue
        .run(&target, client, usize::from(arguments.parallel), &progress)
        .await;
    progress.finish();
    Ok(outcome?)
}

fn prepare(
    arguments: &LoadArgs,
    columns: Option<&SchemaRef>,
    progress: &Arc<Progress>,
) -> Result<VecDeque<Upload>, CliError> {
    // A replaced table has lost what earlier runs loaded, so their keys must not count.
    let run = arguments
        .replace
        .then(|| Alphanumeric.sample_string(&mut rand::rng(), 16));
    let mut uploads = VecDeque::new();
    for path in &arguments.files {
        let kind = FileKind::of(path, arguments.format)?;
        let is_first = uploads.is_empty();
        let options = TextOptions {
            columns: columns.cloned(),
            infer_rows: arguments.infer_rows,
            delimiter: arguments.delimiter,
            has_header: !arguments.no_header,
        };
        let mode = Mode::of(
            arguments.create,
            arguments.append,
            arguments.replace,
            is_first,
        );
        let upload = Upload::new(path, kind, options, &arguments.table, mode, run.as_deref())?;
        let upload = upload.with_batch_bytes(arguments.batch_bytes as usize);
        uploads.push_back(upload.with_portion_rows(arguments.portion_rows));
    }
    progress.announce(uploads.len());
    Ok(uploads)
}

fn parallel() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=64)
}

fn batch_bytes() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(BATCH_BYTES)
}

fn parse_table(text: &str) -> Result<TableName, String> {
    let clean = |part: &str| part.trim_matches('"').to_owned();
    let name = match text.split('.').collect::<Vec<_>>()[..] {
        [name] => TableName {
            schema: DEFAULT_SCHEMA.to_owned(),
            name: clean(name),
        },
        [schema, name] => TableName {
            schema: clean(schema),
            name: clean(name),
        },
        _ => return Err("write NAME or SCHEMA.NAME; the tenant is chosen by --tenant".to_owned()),
    };
    if name.schema.is_empty() || name.name.is_empty() {
        return Err("write NAME or SCHEMA.NAME".to_owned());
    }
    Ok(name)
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err("write one ASCII character, or \\t for a tab".to_owned()),
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.schema, self.name)
    }
}

impl FileKind {
    /// What a file is, by the flag or its name.
    fn of(path: &std::path::Path, flag: Option<Self>) -> Result<Self, LoadError> {
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        let kind = match (flag, extension.as_str()) {
            (Some(kind), _) => kind,
            (None, "parquet" | "pq" | "parq") => Self::Parquet,
            (None, "arrow" | "arrows" | "ipc" | "feather") => Self::Arrow,
            (None, "csv" | "tsv") => Self::Csv,
            (None, "ndjson" | "jsonl" | "json") => Self::Ndjson,
            _ => {
                let known = Self::value_variants()
                    .iter()
                    .filter_map(ValueEnum::to_possible_value);
                let known: Vec<_> = known.map(|value| value.get_name().to_owned()).collect();
                let known = known.join(", ");
                return Err(LoadError::Kind {
                    path: path.to_owned(),
                    known,
                });
            }
        };
        Ok(kind)
    }
}
