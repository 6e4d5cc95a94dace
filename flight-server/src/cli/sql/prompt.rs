//! The prompt: reads statements and commands until the end of input.
//!
//! Ctrl-C while typing drops the line; while a statement runs it cancels the statement. Neither
//! leaves the prompt.

mod describe;
mod history;

#[cfg(test)]
mod tests;

use std::io::Write;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Runtime;

use super::complete::{COMMANDS, SqlHelper, plain_command};
use super::pager::Screen;
use super::run::{Destination, Session};
use super::{Format, split};
use crate::cli::client::Target;
use crate::cli::client::{ClientError, FlightClient};
use crate::cli::error::CliError;
use history::History;

/// Screen taken for granted when the terminal does not tell its size.
const DEFAULT_SCREEN: Screen = Screen {
    height: 24,
    width: 80,
};

/// Runs the prompt until the user leaves.
///
/// # Errors
/// When the terminal cannot be read; errors of statements are shown and the prompt goes on.
pub(crate) fn run(runtime: &Runtime, session: Session, target: Target) -> Result<(), CliError> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .build();
    let mut editor =
        Editor::<SqlHelper, DefaultHistory>::with_config(config).map_err(terminal_error)?;
    editor.set_helper(Some(SqlHelper::new()));
    let history = History::open(&mut editor);
    let mut prompt = Prompt {
        runtime,
        session,
        target,
        editor,
    };
    prompt.greet();
    prompt.learn_tables();
    let outcome = prompt.read_all();
    history.save(&mut prompt.editor);
    outcome
}

struct Prompt<'a> {
    runtime: &'a Runtime,
    session: Session,
    target: Target,
    editor: Editor<SqlHelper, DefaultHistory>,
}

/// Whether to go on after a command.
enum Next {
    Read,
    Leave,
}

impl Prompt<'_> {
    fn read_all(&mut self) -> Result<(), CliError> {
        loop {
            match self.editor.readline("quiver> ") {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => {
                    history::remember(&mut self.editor, &text);
                    let plain = plain_command(&text);
                    let next = match plain.or_else(|| text.trim().strip_prefix('\\')) {
                        Some(command) => self.command(command),
                        None => self.statements(&text).map(|()| Next::Read),
                    };
                    match next {
                        Ok(Next::Read) => {}
                        Ok(Next::Leave) => return Ok(()),
                        Err(error) => say(&format!("error: {}", error.line())),
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(terminal_error(error)),
            }
        }
    }

    fn statements(&mut self, text: &str) -> Result<(), CliError> {
        for statement in split::statements(text) {
            let screen = self.screen();
            let destination = match self.session.format {
                Format::Table => Destination::Screen(screen),
                _ => Destination::Stdout,
            };
            let session = &mut self.session;
            let was_run = self.runtime.block_on(Box::pin(async {
                tokio::select! {
                    outcome = session.execute(&statement, &destination) => outcome.map(|()| true),
                    _ = tokio::signal::ctrl_c() => Ok(false),
                }
            }))?;
            if !was_run {
                say("cancelled");
                return Ok(());
            }
            let verb = statement
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_uppercase();
            if ["CREATE", "DROP", "ALTER"].contains(&verb.as_str()) {
                self.learn_tables();
            }
        }
        Ok(())
    }

    fn command(&mut self, text: &str) -> Result<Next, CliError> {
        let mut words = text.trim_end_matches(';').split_whitespace();
        let (name, argument) = (words.next().unwrap_or_default(), words.next());
        match (name, argument) {
            ("q" | "quit", _) => return Ok(Next::Leave),
            ("?" | "h" | "help", _) => self.help(),
            ("d", Some(table)) => {
                self.show(|client, out| Box::pin(describe::columns(client, table.to_owned(), out)))?
            }
            ("d", None) => {
                self.show(|client, out| Box::pin(describe::tables(client, false, out)))?
            }
            ("dt", _) => self.show(|client, out| Box::pin(describe::tables(client, true, out)))?,
            ("dn", _) => self.show(|client, out| Box::pin(describe::schemas(client, out)))?,
            ("l", _) => self.show(|client, out| Box::pin(describe::catalogs(client, out)))?,
            ("timing", _) => {
                self.session.timing = !self.session.timing;
                say(if self.session.timing {
                    "times are shown"
                } else {
                    "times are not shown"
                });
            }
            ("format", Some(format)) => self.set_format(format)?,
            ("c", _) => self.connect()?,
            _ => {
                let message = format!("\\{name} is no command or lacks something; \\? lists all");
                return Err(CliError::Usage { message });
            }
        }
        Ok(Next::Read)
    }

    fn show<F>(&mut self, describe: F) -> Result<(), CliError>
    where
        F: for<'b> FnOnce(&'b mut FlightClient, super::format::Out) -> describe::Described<'b>,
    {
        let out = Box::new(super::pager::Pager::new(self.screen()));
        let outcome = self
            .runtime
            .block_on(describe(&mut self.session.client, out));
        match outcome {
            Err(error) if error.is_broken_pipe() => Ok(()),
            outcome => outcome,
        }
    }

    fn set_format(&mut self, name: &str) -> Result<(), CliError> {
        use clap::ValueEnum;
        match Format::from_str(name, true) {
            Ok(format) if !format.is_binary() => {
                self.session.format = format;
                Ok(())
            }
            _ => {
                let message = "\\format takes table, csv, json or ndjson".to_owned();
                Err(CliError::Usage { message })
            }
        }
    }

    fn connect(&mut self) -> Result<(), CliError> {
        let connected: Result<FlightClient, ClientError> =
            self.runtime.block_on(FlightClient::connect(&self.target));
        self.session.client = connected?;
        self.greet();
        self.learn_tables();
        Ok(())
    }

    fn greet(&self) {
        let Target { user, shown, .. } = &self.target;
        say(&format!(
            "{user} on {shown}; statements end with ; and \\? lists the commands"
        ));
    }

    /// Completion is a convenience: when the tables cannot be listed, only keywords are offered.
    fn learn_tables(&mut self) {
        let tables = self
            .runtime
            .block_on(Box::pin(self.session.client.tables(None)));
        if let (Ok(tables), Some(helper)) = (tables, self.editor.helper_mut()) {
            helper.learn(&tables);
        }
    }

    fn screen(&mut self) -> Screen {
        let size = self.editor.dimensions();
        size.map_or(DEFAULT_SCREEN, |(width, height)| Screen {
            height: usize::from(height),
            width: usize::from(width),
        })
    }

    fn help(&self) {
        for (name, does) in COMMANDS {
            say(&format!("  {name:<9} {does}"));
        }
    }
}

fn say(text: &str) {
    // Without a terminal there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn terminal_error(error: ReadlineError) -> CliError {
    CliError::Io {
        action: "use the terminal".to_owned(),
        source: std::io::Error::other(error),
    }
}
