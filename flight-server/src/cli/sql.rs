//! `quiver sql`: one statement, a script on standard input, or a prompt.

mod complete;
mod format;
mod pager;
mod prompt;
mod run;
mod split;
mod table;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;

use super::client::FlightClient;
use super::connection::ConnectionArgs;
use super::error::CliError;
pub(crate) use format::FormatError;
pub(crate) use run::{Destination, Session};

const EXAMPLES: &str = "Examples:
  quiver sql                                            a prompt; \\? lists its commands
  quiver sql \"SELECT * FROM trips LIMIT 10\"
  quiver sql \"SELECT * FROM trips\" -o trips.parquet        also .csv .json .ndjson .arrow
  quiver sql --format csv < report.sql > report.csv     statements separated by ;
  QUIVER_PASSWORD=… quiver sql --user bob@acme --uri grpc://db:50051 \"SELECT 1\"

Rows go to standard output (or FILE); counts, times and errors to standard error.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SqlArgs {
    /// The statement; without one: standard input, or a prompt on a terminal
    #[arg(value_name = "SQL")]
    sql: Option<String>,
    /// How rows are written [default: what the name of FILE tells, else table]
    #[arg(long, short, value_enum)]
    format: Option<Format>,
    /// Write the rows to FILE, complete or not at all
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Tenant that the user belongs to, as in USER@TENANT
    #[arg(long, env = "QUIVER_TENANT", value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON array of objects
    Json,
    /// One JSON object per line
    Ndjson,
    /// Arrow IPC: a stream on standard output, a file in FILE
    Arrow,
    /// Parquet
    Parquet,
}

impl SqlArgs {
    fn format(&self) -> Format {
        let by_name = || {
            let extension = self.output.as_ref()?.extension()?.to_str()?;
            Some(match extension.to_lowercase().as_str() {
                "csv" => Format::Csv,
                "json" => Format::Json,
                "ndjson" | "jsonl" => Format::Ndjson,
                "arrow" | "ipc" | "feather" => Format::Arrow,
                "parquet" | "pq" => Format::Parquet,
                _ => return None,
            })
        };
        self.format.or_else(by_name).unwrap_or(Format::Table)
    }
}

impl Format {
    fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }
}

/// Runs the command.
///
/// # Errors
/// Unusable flags, no connection, or the first statement that fails.
pub(crate) fn run(runtime: &Runtime, arguments: SqlArgs) -> Result<(), CliError> {
    let stdin = std::io::stdin();
    let statements = match &arguments.sql {
        Some(sql) => Some(split::statements(sql)),
        None if !stdin.is_terminal() => {
            let mut text = String::new();
            let action = "read statements from standard input".to_owned();
            stdin
                .lock()
                .read_to_string(&mut text)
                .map_err(|source| CliError::Io { action, source })?;
            Some(split::statements(&text))
        }
        None => None,
    };
    check(&arguments, statements.as_deref())?;
    let target = arguments.connection.target(arguments.tenant.as_deref())?;
    let client = runtime.block_on(Box::pin(FlightClient::connect(&target)))?;
    let mut session = Session::new(client, arguments.format());
    let Some(statements) = statements else {
        return prompt::run(runtime, session, target);
    };
    let destination = match arguments.output {
        Some(path) => Destination::File(path),
        None => Destination::Stdout,
    };
    for statement in &statements {
        runtime.block_on(Box::pin(session.execute(statement, &destination)))?;
    }
    Ok(())
}

fn check(arguments: &SqlArgs, statements: Option<&[String]>) -> Result<(), CliError> {
    let usage = |message: &str| {
        Err(CliError::Usage {
            message: message.to_owned(),
        })
    };
    let Some(statements) = statements else {
        return match (&arguments.output, arguments.format().is_binary()) {
            (None, false) => Ok(()),
            _ => usage("--output and binary formats are for one statement; give the SQL, too"),
        };
    };
    if statements.is_empty() {
        return usage("there is no statement; write quiver sql \"SELECT 1\"");
    }
    let one_result = arguments.output.is_some() || arguments.format().is_binary();
    if one_result && statements.len() > 1 {
        return usage("one file or binary stream holds one result; give a single statement");
    }
    let to_terminal = arguments.output.is_none() && std::io::stdout().is_terminal();
    if arguments.format().is_binary() && to_terminal {
        return usage(
            "this format is not for a terminal; give --output FILE or redirect the output",
        );
    }
    Ok(())
}
