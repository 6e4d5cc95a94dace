//! Runs one statement and writes what comes back.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use arrow_flight::FlightInfo;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::Format;
use super::format::{FormatError, Out, RowWriter};
use super::pager::{Pager, Screen};
use crate::cli::client::FlightClient;
use crate::cli::error::CliError;

/// A statement that takes longer shows that it is running.
const SLOW: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// Where rows go.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// The screen, through a pager when they do not fit.
    Screen(Screen),
    /// A file, complete or not at all.
    File(PathBuf),
}

/// A connection and how its results are shown.
pub(crate) struct Session {
    /// Where statements are sent.
    pub(crate) client: FlightClient,
    /// How rows are written.
    pub(crate) format: Format,
    /// Whether the time of every statement is shown.
    pub(crate) timing: bool,
}

impl Session {
    /// Shows times.
    pub(crate) fn new(client: FlightClient, format: Format) -> Self {
        Self {
            client,
            format,
            timing: true,
        }
    }

    /// Runs a statement and writes its rows, or how many it changed. Dropping it cancels it.
    ///
    /// # Errors
    /// What the server answered, or that the rows cannot be written.
    pub(crate) async fn execute(
        &mut self,
        sql: &str,
        destination: &Destination,
    ) -> Result<(), CliError> {
        let started = Instant::now();
        let spinner = Spinner::new();
        let info = spinner.watch(self.client.execute(sql)).await?;
        if info.endpoint.is_empty() {
            drop(spinner);
            self.report(&changed(sql, &info), started);
            return Ok(());
        }
        let rows = self.write_rows(info, destination, &spinner).await?;
        drop(spinner);
        let is_told = self.format == Format::Table || std::io::stderr().is_terminal();
        if is_told {
            self.report(&format!("({rows} {})", plural(rows, "row")), started);
        }
        Ok(())
    }

    async fn write_rows(
        &mut self,
        info: FlightInfo,
        destination: &Destination,
        spinner: &Spinner,
    ) -> Result<u64, CliError> {
        let mut rows = self.client.rows(info);
        let schema = rows.schema()?;
        let (out, file) = destination.open()?;
        let mut writer = RowWriter::new(self.format, &schema, out, file.is_some())?;
        let mut count = 0;
        while let Some(batch) = spinner.watch(rows.next()).await? {
            count += batch.num_rows() as u64;
            let told = format!("{count} {}", plural(count, "row"));
            spinner.bar.set_message(told);
            let written = spinner.bar.suspend(|| writer.write(&batch));
            if destination.is_left(written)? {
                return Ok(count);
            }
        }
        let finished = spinner.bar.suspend(|| writer.finish());
        destination.is_left(finished)?;
        if let Some(file) = file {
            file.keep()?;
        }
        Ok(count)
    }

    fn report(&self, text: &str, started: Instant) {
        let mut out = std::io::stderr().lock();
        // Nobody is there to be told about a closed standard error.
        let _ = match self.timing {
            true => writeln!(out, "{text} in {:.3} s", started.elapsed().as_secs_f64()),
            false => writeln!(out, "{text}"),
        };
    }
}

impl Destination {
    /// Whether the pager was left before the end, which is no failure.
    fn is_left(&self, written: Result<(), FormatError>) -> Result<bool, CliError> {
        match (self, written.map_err(CliError::from)) {
            (_, Ok(())) => Ok(false),
            (Self::Screen(_), Err(error)) if error.is_broken_pipe() => Ok(true),
            (_, Err(error)) => Err(error),
        }
    }

    fn open(&self) -> Result<(Out, Option<PartialFile>), CliError> {
        match self {
            Self::Stdout => Ok((Box::new(BufWriter::new(std::io::stdout())), None)),
            Self::Screen(screen) => Ok((Box::new(Pager::new(*screen)), None)),
            Self::File(path) => {
                let (file, partial) = PartialFile::create(path)?;
                Ok((Box::new(BufWriter::new(file)), Some(partial)))
            }
        }
    }
}

/// A file under another name until it is complete; dropping it before removes it.
struct PartialFile {
    partial: PathBuf,
    path: PathBuf,
    is_kept: bool,
}

impl PartialFile {
    fn create(path: &Path) -> Result<(File, Self), CliError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let partial = path.with_file_name(name);
        let action = format!("write {}", path.display());
        let file = File::create(&partial).map_err(|source| CliError::Io { action, source })?;
        Ok((
            file,
            Self {
                partial,
                path: path.to_owned(),
                is_kept: false,
            },
        ))
    }

    fn keep(mut self) -> Result<(), CliError> {
        std::fs::rename(&self.partial, &self.path).map_err(|source| {
            let action = format!("write {}", self.path.display());
            CliError::Io { action, source }
        })?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // Left-overs are named as such.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// A sign of life on standard error, when that is a terminal, for what takes long.
struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_message("running");
        Self { bar }
    }

    async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if self.bar.is_hidden() {
            if let Ok(done) = tokio::time::timeout(SLOW, &mut work).await {
                return done;
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.set_style(ProgressStyle::default_spinner());
            self.bar.enable_steady_tick(TICK);
        }
        work.await
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What a statement without rows did: a count where it changes rows, else that it was done.
fn changed(sql: &str, info: &FlightInfo) -> String {
    let verb = sql
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_uppercase();
    let counts = ["INSERT", "UPDATE", "DELETE", "MERGE", "COPY"].contains(&verb.as_str());
    match u64::try_from(info.total_records) {
        Ok(rows) if rows > 0 || counts => format!("{rows} {} changed", plural(rows, "row")),
        _ => "done".to_owned(),
    }
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}
