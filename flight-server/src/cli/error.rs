//! Why a command failed, and with which exit code.

use std::error::Error;

use super::client::ClientError;
use super::load::LoadError;
use super::sql::FormatError;
use crate::config::ConfigError;
use crate::server::ServeError;
use crate::telemetry::TelemetryError;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logging cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The server could not start, or stopped because of an error.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A call to the server failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Rows cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A file was not loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What was asked for makes no sense or lacks something; the message says what.
    #[error("{message}")]
    Usage {
        /// What to do.
        message: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl CliError {
    /// The message on one line.
    pub(crate) fn line(&self) -> String {
        self.to_string()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// 2 when the command line or the settings are wrong, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage { .. } => 2,
            _ => 1,
        }
    }

    /// Whether standard output was closed by its reader. A connection to the server that broke is
    /// something else.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        if !matches!(self, Self::Io { .. } | Self::Format(_)) {
            return false;
        }
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return io.kind() == std::io::ErrorKind::BrokenPipe;
            }
            cause = error.source();
        }
        false
    }
}
