//! Logs: one event per line on standard error, with the spans (request, tenant) it happened in.
//!
//! The program installs this once, in `quiver serve`; libraries only emit events. SQL text and row
//! values stay out of events at level info and above, which is the emitters' duty.

#[cfg(test)]
mod tests;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogSettings};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The filter does not parse.
    #[error("setting log.filter is not usable: {source}; use a level such as info")]
    Filter {
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else has installed a subscriber.
    #[error("logging is set up already in this process")]
    Installed,
}

/// Sends this process's events to standard error from now on.
///
/// # Errors
/// When the filter does not parse or logging was set up before.
pub(crate) fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    let colour = std::io::stderr().is_terminal();
    let subscriber = subscriber(settings, std::io::stderr, colour)?;
    subscriber.try_init().map_err(|_| TelemetryError::Installed)
}

fn subscriber<W>(
    settings: &LogSettings,
    writer: W,
    colour: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .map_err(|source| TelemetryError::Filter { source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    Ok(match settings.format {
        LogFormat::Json => {
            // Fields at the top level of the object; the span list carries request_id, tenant_id.
            Box::new(
                builder
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .finish(),
            )
        }
        LogFormat::Text => Box::new(builder.with_ansi(colour).finish()),
    })
}
