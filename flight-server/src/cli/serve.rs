//! `quiver serve`: settings, logs and signals around [`crate::server::serve`].

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::error::CliError;
use crate::config::{Flag, Layers, Settings};

const EXAMPLES: &str = "Examples:
  quiver serve --dev                             user admin, password quiver, data in ./data
  quiver serve --data-dir /var/lib/quiver        first start writes /var/lib/quiver/admin-password
  quiver serve --config quiver.toml --set wal.file_bytes=268435456
  QUIVER_SERVER__HTTP_ADDR=127.0.0.1:9090 quiver serve

Settings come from the file, then the environment (QUIVER_SECTION__KEY), then flags; the last one
counts. SIGTERM or Ctrl-C finishes running calls, flushes and exits 0; a second one stops at once.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of all data, made at the first start [default: data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where Arrow Flight SQL is served [default: 127.0.0.1:50051]
    #[arg(long, value_name = "IP:PORT")]
    flight_addr: Option<SocketAddr>,
    /// Where health and metrics are served [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    http_addr: Option<SocketAddr>,
    /// Development server: user admin, password quiver, loopback only
    #[arg(long)]
    dev: bool,
    /// Any setting, such as query.timeout_ms=60000; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print all settings as this command line makes them (TOML), and stop
    #[arg(long)]
    print_settings: bool,
}

impl ServeArgs {
    fn flags(&self) -> Result<Vec<Flag>, CliError> {
        let mut flags = Vec::new();
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                let message = format!("--set {pair} has no value; write --set {pair}=VALUE");
                return Err(CliError::Usage { message });
            };
            flags.push(flag("--set", key, value.to_owned()));
        }
        let data_dir = self
            .data_dir
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        let named = [
            ("--data-dir", "server.data_dir", data_dir),
            (
                "--flight-addr",
                "server.flight_addr",
                self.flight_addr.map(|addr| addr.to_string()),
            ),
            (
                "--http-addr",
                "server.http_addr",
                self.http_addr.map(|addr| addr.to_string()),
            ),
            ("--dev", "server.dev", self.dev.then(|| "true".to_owned())),
        ];
        for (name, key, value) in named {
            flags.extend(value.map(|value| flag(name, key, value)));
        }
        Ok(flags)
    }

    /// The settings of this command line on top of `environment`.
    pub(crate) fn settings(
        &self,
        environment: Vec<(String, String)>,
    ) -> Result<Settings, CliError> {
        let layers = Layers {
            file: self.config.clone(),
            environment,
            flags: self.flags()?,
        };
        Ok(layers.load()?)
    }
}

/// Runs the server until a signal stops it.
///
/// # Errors
/// Unusable settings, or whatever the server stopped for.
pub(crate) async fn run(arguments: ServeArgs) -> Result<(), CliError> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let settings = arguments.settings(environment)?;
    if arguments.print_settings {
        return print(&settings);
    }
    crate::telemetry::init(&settings.log)?;
    let shutdown = CancellationToken::new();
    let signals = Signals::new()?;
    tokio::select! {
        outcome = Box::pin(crate::server::serve(settings, shutdown.clone())) => Ok(outcome?),
        () = signals.watch(shutdown) => {
            tracing::error!("stopped by a second signal; the log is replayed at the next start");
            std::process::exit(1);
        }
    }
}

/// SIGTERM and SIGINT, taken over before the server starts so that none is missed.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let take = |kind| {
            let action = "watch for signals".to_owned();
            signal(kind).map_err(|source| CliError::Io { action, source })
        };
        let terminate = take(SignalKind::terminate())?;
        Ok(Self {
            terminate,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    /// Cancels the token at the first signal and returns at the second one.
    async fn watch(mut self, shutdown: CancellationToken) {
        self.next().await;
        tracing::info!("signal received: finishing running calls, then flushing");
        shutdown.cancel();
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn print(settings: &Settings) -> Result<(), CliError> {
    let text = toml::to_string(settings).expect("settings are tables of plain values");
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|source| CliError::Io {
            action: "print the settings".to_owned(),
            source,
        })
}

fn flag(flag: &str, key: &str, value: String) -> Flag {
    Flag {
        flag: flag.to_owned(),
        key: key.to_owned(),
        value,
    }
}
