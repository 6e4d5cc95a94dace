//! The command line: parses it, runs one command, turns the outcome into an exit code.
//!
//! Exit code 0: done. 1: the command failed. 2: the command line or the settings are wrong. An
//! error is one line on standard error that says what to do. Only this module and the ones below
//! it read the environment or talk to the terminal.

mod admin;
mod client;
mod connection;
mod error;
mod load;
mod serve;
mod sql;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use error::CliError;

/// Arrow Flight SQL data service: server, SQL prompt, bulk loader, administration.
#[derive(Debug, Parser)]
#[command(name = "quiver", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  quiver serve --dev                                    a local server to try things out
  quiver sql \"SELECT 1\"                                 one statement
  quiver sql                                            a prompt
  quiver load *.parquet --table main.trips              load files
  quiver user create bob --tenant acme                  a user of another tenant

Exit codes: 0 done, 1 failed, 2 wrong command line or settings.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Serve(serve::ServeArgs),
    /// Run SQL: one statement, a script, or a prompt
    Sql(sql::SqlArgs),
    /// Load files into a table
    Load(load::LoadArgs),
    /// Create, drop and list tenants
    Tenant(admin::TenantArgs),
    /// Create, drop and list users, and set passwords
    User(admin::UserArgs),
}

/// Queries have threads of their own; on one core, decoding an upload must not hold up a login.
const THREADS_MIN: usize = 2;
/// SQL text is parsed by recursion, to a bounded depth.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// How long tasks that were left over may take to notice the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the program with the process's arguments and environment.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way, too; clap knows the stream and the code.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has seen enough: not a failure worth a message.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {}", error.line());
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(command: Command) -> Result<(), CliError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(THREADS_MIN))
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|source| CliError::Io {
            action: "start worker threads".to_owned(),
            source,
        })?;
    let outcome = match command {
        Command::Serve(arguments) => runtime.block_on(serve::run(arguments)),
        Command::Sql(arguments) => sql::run(&runtime, arguments),
        Command::Load(arguments) => runtime.block_on(Box::pin(load::run(arguments))),
        Command::Tenant(arguments) => runtime.block_on(Box::pin(admin::tenant(arguments))),
        Command::User(arguments) => runtime.block_on(Box::pin(admin::user(arguments))),
    };
    // All that matters has ended by now; a query that does not yield must not hold the process.
    runtime.shutdown_timeout(STOP_TIMEOUT);
    outcome
}
