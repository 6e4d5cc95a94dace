//! What the server counts, and its text for Prometheus.
//!
//! Labels are fixed words (a method, a gRPC code, a reason), never tenants, users or tables: the
//! number of series is bounded whatever clients do, and scraping tells nothing about a tenant.
//! Knows nothing of HTTP, and of the engine only the closures given to [`Metrics::gauge`].

#[cfg(test)]
mod tests;

use std::fmt;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counters of the whole process; shared behind an `Arc`, every method takes `&self`.
pub(crate) struct Metrics {
    /// Rows acknowledged as durable.
    pub(crate) ingest_rows: Counter,
    /// Bytes of these rows in memory.
    pub(crate) ingest_bytes: Counter,
    /// Rows sent to clients.
    pub(crate) query_rows: Counter,
    /// Bytes of these rows in memory.
    pub(crate) query_bytes: Counter,
    /// From the start of a statement to the end of its stream.
    pub(crate) query_seconds: Histogram,
    /// Upload and download streams that are open now.
    pub(crate) active_streams: Gauge,
    requests: Family<Labels<2>, Counter>,
    rejected: Family<Labels<1>, Counter>,
    registry: Mutex<Registry>,
}

impl Metrics {
    /// All counters at zero.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            ingest_rows: Counter::default(),
            ingest_bytes: Counter::default(),
            query_rows: Counter::default(),
            query_bytes: Counter::default(),
            // 1 ms to about 9 minutes.
            query_seconds: Histogram::new(exponential_buckets(0.001, 3.0, 13)),
            active_streams: Gauge::default(),
            requests: Family::default(),
            rejected: Family::default(),
            registry: Mutex::new(Registry::with_prefix("quiver")),
        };
        metrics.register();
        metrics
    }

    /// Counts one finished call: the Flight method and the name of its gRPC code.
    pub(crate) fn request(&self, method: &'static str, code: &'static str) {
        self.requests
            .get_or_create(&[("method", method), ("code", code)])
            .inc();
    }

    /// Counts one call refused for lack of room: `memory`, `sessions`, `calls`, …
    pub(crate) fn reject(&self, reason: &'static str) {
        self.rejected.get_or_create(&[("reason", reason)]).inc();
    }

    /// Adds a value that can go up and down, read at every scrape; `read` must not block.
    pub(crate) fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        self.collect(Reading {
            name,
            help,
            read: Read::Gauge(Box::new(read)),
        });
    }

    /// Adds a value that only goes up, read at every scrape; `read` must not block.
    ///
    /// The text shows `name` with `_total` behind it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for counters of the engine"))]
    pub(crate) fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.collect(Reading {
            name,
            help,
            read: Read::Counter(Box::new(read)),
        });
    }

    /// Everything in the OpenMetrics text format, which Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry.lock()).expect("writing to a string cannot fail");
        out
    }

    fn collect(&self, reading: Reading) {
        self.registry.lock().register_collector(Box::new(reading));
    }

    fn register(&self) {
        let mut registry = self.registry.lock();
        let requests = self.requests.clone();
        registry.register(
            "requests",
            "Finished Flight calls by method and gRPC code",
            requests,
        );
        let rejected = self.rejected.clone();
        registry.register(
            "rejected",
            "Calls refused for lack of room, by reason",
            rejected,
        );
        let rows = self.ingest_rows.clone();
        registry.register("ingest_rows", "Rows acknowledged as durable", rows);
        let bytes = self.ingest_bytes.clone();
        let help = "Rows acknowledged as durable, in memory";
        registry.register_with_unit("ingest", help, Unit::Bytes, bytes);
        registry.register(
            "query_rows",
            "Rows sent to clients",
            self.query_rows.clone(),
        );
        let bytes = self.query_bytes.clone();
        registry.register_with_unit(
            "query",
            "Rows sent to clients, in memory",
            Unit::Bytes,
            bytes,
        );
        let seconds = self.query_seconds.clone();
        let help = "From the start of a statement to the end of its stream";
        registry.register_with_unit("query", help, Unit::Seconds, seconds);
        let streams = self.active_streams.clone();
        registry.register(
            "active_streams",
            "Upload and download streams open now",
            streams,
        );
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A value read from somewhere else at every scrape.
struct Reading {
    name: &'static str,
    help: &'static str,
    read: Read,
}

enum Read {
    Gauge(Box<dyn Fn() -> i64 + Send + Sync>),
    Counter(Box<dyn Fn() -> u64 + Send + Sync>),
}

impl fmt::Debug for Reading {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reading")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        match &self.read {
            Read::Gauge(read) => write(encoder, self, &ConstGauge::new(read())),
            Read::Counter(read) => write(encoder, self, &ConstCounter::new(read())),
        }
    }
}

fn write(
    mut encoder: DescriptorEncoder<'_>,
    reading: &Reading,
    value: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    // Collectors of one registry do not get its prefix by themselves in every position; the
    // descriptor encoder does carry it.
    let kind = value.metric_type();
    value.encode(encoder.encode_descriptor(reading.name, reading.help, None, kind)?)
}
