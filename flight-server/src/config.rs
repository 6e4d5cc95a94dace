//! The server's settings: plain data, layered once at start, validated once, then only read.
//!
//! A value comes from the first of these that has one: command-line flag, environment variable
//! `QUIVER_SECTION__KEY`, TOML file, default. What is not a setting is refused, naming the nearest
//! one that is. Paths are taken as written (relative ones from the working directory). Nothing
//! below the command line reads the environment, and nothing here opens a socket or a data file.

mod error;
mod layers;
mod validate;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use error::ConfigError;
pub(crate) use layers::{Flag, Layers};

const MIB: u64 = 1024 * 1024;

/// Everything that can be set, by section. `Settings::default()` is a valid local server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Addresses, data directory, TLS, size limits of one call.
    pub(crate) server: ServerSettings,
    /// Logins and tokens.
    pub(crate) auth: AuthSettings,
    /// The write-ahead log.
    pub(crate) wal: WalSettings,
    /// Rows in memory that are durable in the log and not yet in segments.
    pub(crate) write_buffer: WriteBufferSettings,
    /// Segments that are written anew in the background.
    pub(crate) compaction: CompactionSettings,
    /// How long history is kept.
    pub(crate) retention: RetentionSettings,
    /// Running queries.
    pub(crate) query: QuerySettings,
    /// Sessions, transactions, prepared statements, streams.
    pub(crate) session: SessionSettings,
    /// Logs on standard error.
    pub(crate) log: LogSettings,
}

/// Section `server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerSettings {
    /// Where Arrow Flight SQL is served, `ip:port`; port 0 takes a free one.
    /// Default 127.0.0.1:50051.
    pub(crate) flight_addr: SocketAddr,
    /// Where health, readiness and metrics are served over plain HTTP. Default 127.0.0.1:8080.
    pub(crate) http_addr: SocketAddr,
    /// Directory of all data, made at the first start. Default `data`.
    pub(crate) data_dir: PathBuf,
    /// Development server: password `quiver`, loopback only. Default false.
    pub(crate) dev: bool,
    /// Listen on addresses reachable from elsewhere although there is no TLS. Default false.
    pub(crate) allow_insecure_remote: bool,
    /// How long a stop waits for running calls before it cancels them, in ms. Default 10 000.
    pub(crate) shutdown_grace_ms: u64,
    /// Largest message that is accepted, in bytes; bounds a cell, too. Default 256 MiB.
    pub(crate) message_bytes_max: usize,
    /// Most calls served at the same time; further ones are refused as overload. Default 1 024.
    pub(crate) calls_max: usize,
    /// Most connections at the same time, those on which nobody has logged in at most half of them.
    /// Never more than half of the files that the process may open. Default 4 096.
    pub(crate) connections_max: usize,
    /// Most catalog files open at the same time; others are opened when they are written.
    /// Default 128.
    pub(crate) catalogs_open_max: usize,
    /// Certificate and key; both or neither.
    pub(crate) tls: TlsSettings,
}

/// Section `server.tls`: TLS is on when both files are set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsSettings {
    /// Certificate chain in PEM. Default none.
    pub(crate) cert_file: Option<PathBuf>,
    /// Private key in PEM. Default none.
    pub(crate) key_file: Option<PathBuf>,
}

/// Section `auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthSettings {
    /// How long a bearer token is valid, in seconds; it is renewed at half of that. Default 3 600.
    pub(crate) token_ttl_s: u64,
    /// How long a checked password is remembered (as a keyed hash), in ms. Default 60 000.
    pub(crate) password_cache_ttl_ms: u64,
}

/// Section `wal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WalSettings {
    /// Size of one log file, in bytes. Default 128 MiB.
    pub(crate) file_bytes: u64,
    /// Size of all live log files at which writes wait for flushes, in bytes. Default 8 GiB.
    pub(crate) bytes_max: u64,
    /// Rows waiting to be appended, in bytes; beyond it writers wait. Default 256 MiB.
    pub(crate) queue_bytes_max: u64,
    /// Start although the log is damaged in the middle, without what lies behind the damage.
    /// Acknowledged rows may be lost: for one start, after a copy was made. Default false.
    pub(crate) repair: bool,
}

/// Section `write_buffer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WriteBufferSettings {
    /// Rows that are in no segment, over all tenants, in bytes: beyond it writes wait, large streams
    /// go to segments before their commit, and what finds no room in time is refused. Default 4 GiB.
    pub(crate) bytes_max: u64,
    /// The same for one tenant. A single stream takes half of it at most. Default 3 GiB.
    pub(crate) tenant_bytes_max: u64,
    /// Size at which the memtables of a tenant are flushed to segments, in bytes. Default 256 MiB.
    pub(crate) flush_bytes: u64,
    /// Age at which a memtable is flushed whatever its size, in ms. Default 30 000.
    pub(crate) flush_interval_ms: u64,
}

/// Section `compaction`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CompactionSettings {
    /// Whether small segments are merged, and those that lost rows are rewritten, in the background.
    /// `CALL system.compact()` does it either way. Default true.
    pub(crate) enabled: bool,
    /// How often tables are looked at, in ms. Default 10 000.
    pub(crate) interval_ms: u64,
    /// Most compactions at the same time, each of another tenant. Default 1.
    pub(crate) jobs_max: usize,
    /// Rows that one compaction reads in a second at most, in bytes; 0 for no limit. Default 0.
    pub(crate) bytes_per_second_max: u64,
}

/// Section `retention`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionSettings {
    /// Age at which snapshots without a name are forgotten, in ms; 0 for never. Default 7 days.
    pub(crate) snapshot_max_age_ms: u64,
    /// The newest snapshots of a tenant, which stay however old they are. Default 10.
    pub(crate) snapshots_min: u64,
    /// How long files stay on disk after the last snapshot that needs them, in ms. Queries that run
    /// keep theirs for as long as they need them. Default 3 600 000.
    pub(crate) cleanup_grace_ms: u64,
}

/// Section `query`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QuerySettings {
    /// Memory of all running queries together, in bytes. Default 2 GiB.
    pub(crate) memory_bytes_max: u64,
    /// The same for one tenant; the rest is left to others. Default 1.5 GiB.
    pub(crate) tenant_memory_bytes_max: u64,
    /// Parallel partitions of one query; 0 takes the number of cores. Default 0.
    pub(crate) target_partitions: usize,
    /// Rows per batch inside a query. Default 8 192.
    pub(crate) batch_rows: usize,
    /// How long one statement may run, in ms, until its last row was sent or its commit begins;
    /// uploads and CALL are not bounded by it. 0 means without limit. Default 0.
    pub(crate) timeout_ms: u64,
    /// Largest SQL text, in bytes, whichever way it comes. Default 1 MiB.
    pub(crate) sql_bytes_max: usize,
    /// Most endpoints of one query, for clients that ask for several. Default 64.
    pub(crate) endpoints_max: usize,
}

/// Section `session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SessionSettings {
    /// A session's options and a prepared statement are forgotten after this long without use, in
    /// ms. Default 1 hour.
    pub(crate) idle_timeout_ms: u64,
    /// A transaction with writes expires after this long without a call, in ms. Default 5 minutes.
    pub(crate) transaction_timeout_ms: u64,
    /// A ticket is valid for this long, in ms. Default 10 minutes.
    pub(crate) statement_ttl_ms: u64,
    /// The endpoints of a query that has several are held for this long, in ms. Default 1 hour.
    pub(crate) lease_ttl_ms: u64,
    /// A stream nobody reads from or writes to is cancelled after this, in ms. Default 2 minutes.
    pub(crate) stream_idle_timeout_ms: u64,
    /// Most sessions with state, per tenant. Default 10 000.
    pub(crate) tenant_sessions_max: usize,
    /// How long an ingest with the same idempotency key is recognised as a repetition, in ms.
    /// Default 7 days.
    pub(crate) idempotency_ttl_ms: u64,
    /// Idempotency keys kept, per tenant; beyond it the oldest are forgotten. Default 100 000.
    pub(crate) idempotency_keys_max: u64,
    /// Most open transactions, per tenant. Default 1 000.
    pub(crate) tenant_transactions_max: usize,
    /// Most tickets, and most prepared statements, per tenant; tickets that were redeemed make
    /// room for new ones. Default 100 000.
    pub(crate) tenant_statements_max: usize,
    /// Memory of the tickets, of the prepared statements, and of the endpoints that are held, per
    /// tenant, in bytes: texts, parameters, results of CALL, rows in memory. Default 64 MiB.
    pub(crate) tenant_statement_bytes_max: usize,
}

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSettings {
    /// `json` (one object per line) or `text`. Default json.
    pub(crate) format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,quiver_engine=debug`. Default info.
    pub(crate) filter: String,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Lines for people.
    Text,
}

impl TlsSettings {
    /// The certificate and key files when TLS is on.
    pub(crate) fn files(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.cert_file.as_ref().zip(self.key_file.as_ref())
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            flight_addr: SocketAddr::new(loopback, 50051),
            http_addr: SocketAddr::new(loopback, 8080),
            data_dir: PathBuf::from("data"),
            dev: false,
            allow_insecure_remote: false,
            shutdown_grace_ms: 10_000,
            message_bytes_max: 256 * 1024 * 1024,
            calls_max: 1024,
            connections_max: 4096,
            catalogs_open_max: 128,
            tls: TlsSettings::default(),
        }
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            token_ttl_s: 3600,
            password_cache_ttl_ms: 60_000,
        }
    }
}

impl Default for WalSettings {
    fn default() -> Self {
        Self {
            file_bytes: 128 * MIB,
            bytes_max: 8192 * MIB,
            queue_bytes_max: 256 * MIB,
            repair: false,
        }
    }
}

impl Default for WriteBufferSettings {
    fn default() -> Self {
        Self {
            bytes_max: 4096 * MIB,
            tenant_bytes_max: 3072 * MIB,
            flush_bytes: 256 * MIB,
            flush_interval_ms: 30_000,
        }
    }
}

impl Default for CompactionSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_ms: 10_000,
            jobs_max: 1,
            bytes_per_second_max: 0,
        }
    }
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            snapshot_max_age_ms: 7 * 24 * 3_600_000,
            snapshots_min: 10,
            cleanup_grace_ms: 3_600_000,
        }
    }
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            memory_bytes_max: 2048 * MIB,
            tenant_memory_bytes_max: 1536 * MIB,
            target_partitions: 0,
            batch_rows: 8192,
            timeout_ms: 0,
            sql_bytes_max: 1024 * 1024,
            endpoints_max: 64,
        }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            idle_timeout_ms: 3_600_000,
            transaction_timeout_ms: 300_000,
            statement_ttl_ms: 600_000,
            lease_ttl_ms: 3_600_000,
            stream_idle_timeout_ms: 120_000,
            tenant_sessions_max: 10_000,
            idempotency_ttl_ms: 7 * 24 * 3_600_000,
            idempotency_keys_max: 100_000,
            tenant_transactions_max: 1000,
            tenant_statements_max: 100_000,
            tenant_statement_bytes_max: 64 * 1024 * 1024,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            filter: "info".to_owned(),
        }
    }
}
