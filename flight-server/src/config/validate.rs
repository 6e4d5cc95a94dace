//! What the types of the settings cannot say: ranges, and values that must fit each other.

use std::fmt::Display;
use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;

use super::{ConfigError, MIB, ServerSettings, Settings};

const KIB: u64 = 1024;
/// One hour, the longest sensible grace period, in ms.
const HOUR_MS: u64 = 3_600_000;
/// A year, the longest sensible lifetime, in ms.
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

impl Settings {
    /// Checks ranges and combinations, once, at start.
    ///
    /// # Errors
    /// The first setting that is not allowed, with what is.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        validate_addresses(&self.server)?;
        validate_tls(&self.server)?;
        validate_counts(self)?;
        validate_sizes(self)?;
        validate_times(self)?;
        EnvFilter::builder()
            .parse(&self.log.filter)
            .map_err(|error| {
                let allowed = format!("a level or directives are expected ({error})");
                not_allowed("log.filter", &self.log.filter, allowed)
            })?;
        Ok(())
    }
}

fn validate_addresses(server: &ServerSettings) -> Result<(), ConfigError> {
    let remote = |addr: &SocketAddr| !addr.ip().is_loopback();
    for (key, addr) in [
        ("server.flight_addr", &server.flight_addr),
        ("server.http_addr", &server.http_addr),
    ] {
        if !remote(addr) {
            continue;
        }
        if server.dev {
            let allowed =
                "a --dev server has a known password and listens on loopback addresses only";
            return Err(not_allowed(key, addr, allowed));
        }
        if server.tls.files().is_none() && !server.allow_insecure_remote {
            let allowed = "without TLS only loopback addresses are allowed; set \
                           server.tls.cert_file and server.tls.key_file, or \
                           server.allow_insecure_remote = true";
            return Err(not_allowed(key, addr, allowed));
        }
    }
    if server.flight_addr == server.http_addr && server.http_addr.port() != 0 {
        let allowed = "server.flight_addr has that address; they need different ports";
        return Err(not_allowed("server.http_addr", server.http_addr, allowed));
    }
    Ok(())
}

fn validate_tls(server: &ServerSettings) -> Result<(), ConfigError> {
    let (key, value, missing) = match (&server.tls.cert_file, &server.tls.key_file) {
        (Some(cert), None) => ("server.tls.cert_file", cert, "server.tls.key_file"),
        (None, Some(key)) => ("server.tls.key_file", key, "server.tls.cert_file"),
        _ => return Ok(()),
    };
    Err(not_allowed(
        key,
        value.display(),
        format!("{missing} is not set; TLS needs both"),
    ))
}

fn validate_counts(settings: &Settings) -> Result<(), ConfigError> {
    const MANY: u64 = 10_000_000;
    let server = &settings.server;
    let count = |key, value: usize, least, most| between(key, value as u64, least, most);
    count("server.calls_max", server.calls_max, 1, 1_000_000)?;
    let connections = server.connections_max;
    count("server.connections_max", connections, 2, 1_000_000)?;
    let catalogs = server.catalogs_open_max;
    count("server.catalogs_open_max", catalogs, 1, 100_000)?;
    count("compaction.jobs_max", settings.compaction.jobs_max, 1, 1024)?;
    let snapshots = settings.retention.snapshots_min;
    between("retention.snapshots_min", snapshots, 1, MANY)?;
    let partitions = settings.query.target_partitions;
    count("query.target_partitions", partitions, 0, 1024)?;
    count("query.batch_rows", settings.query.batch_rows, 1, 1_048_576)?;
    let sessions = settings.session.tenant_sessions_max;
    count("session.tenant_sessions_max", sessions, 1, MANY)?;
    let transactions = settings.session.tenant_transactions_max;
    count("session.tenant_transactions_max", transactions, 1, MANY)?;
    let statements = settings.session.tenant_statements_max;
    count("session.tenant_statements_max", statements, 1, MANY)
}

fn validate_sizes(settings: &Settings) -> Result<(), ConfigError> {
    const MOST: u64 = u64::MAX;
    let message = settings.server.message_bytes_max as u64;
    between("server.message_bytes_max", message, MIB, 2048 * MIB - 1)?;
    let log = &settings.wal;
    between("wal.file_bytes", log.file_bytes, MIB, 4096 * MIB)?;
    let two_files = log.file_bytes.saturating_mul(2);
    between("wal.bytes_max", log.bytes_max, two_files, MOST)?;
    let queue = log.queue_bytes_max;
    between("wal.queue_bytes_max", queue, MIB, log.bytes_max)?;
    let buffer = &settings.write_buffer;
    between("write_buffer.bytes_max", buffer.bytes_max, MIB, MOST)?;
    let (part, all) = (buffer.tenant_bytes_max, buffer.bytes_max);
    between("write_buffer.tenant_bytes_max", part, MIB, all)?;
    let flush = buffer.flush_bytes;
    between("write_buffer.flush_bytes", flush, 64 * KIB, part)?;
    let query = &settings.query;
    let (all, part) = (query.memory_bytes_max, query.tenant_memory_bytes_max);
    between("query.memory_bytes_max", all, 16 * MIB, MOST)?;
    between("query.tenant_memory_bytes_max", part, 16 * MIB, MOST)?;
    let sql = query.sql_bytes_max as u64;
    between("query.sql_bytes_max", sql, KIB, 64 * MIB)?;
    between("query.endpoints_max", query.endpoints_max as u64, 1, 4096)?;
    let statements = settings.session.tenant_statement_bytes_max as u64;
    let key = "session.tenant_statement_bytes_max";
    between(key, statements, 64 * KIB, MOST)
}

fn validate_times(settings: &Settings) -> Result<(), ConfigError> {
    let Settings {
        server,
        auth,
        write_buffer,
        compaction,
        retention,
        query,
        session,
        ..
    } = settings;
    let interval = compaction.interval_ms;
    between("compaction.interval_ms", interval, 10, 24 * HOUR_MS)?;
    let (age, grace) = (retention.snapshot_max_age_ms, retention.cleanup_grace_ms);
    between("retention.snapshot_max_age_ms", age, 0, 100 * YEAR_MS)?;
    between("retention.cleanup_grace_ms", grace, 0, YEAR_MS)?;
    between(
        "server.shutdown_grace_ms",
        server.shutdown_grace_ms,
        0,
        HOUR_MS,
    )?;
    between("auth.token_ttl_s", auth.token_ttl_s, 1, YEAR_MS / 1000)?;
    between(
        "auth.password_cache_ttl_ms",
        auth.password_cache_ttl_ms,
        0,
        HOUR_MS,
    )?;
    between(
        "write_buffer.flush_interval_ms",
        write_buffer.flush_interval_ms,
        10,
        24 * HOUR_MS,
    )?;
    between("query.timeout_ms", query.timeout_ms, 0, YEAR_MS)?;
    between(
        "session.idle_timeout_ms",
        session.idle_timeout_ms,
        100,
        YEAR_MS,
    )?;
    between(
        "session.transaction_timeout_ms",
        session.transaction_timeout_ms,
        100,
        YEAR_MS,
    )?;
    between(
        "session.statement_ttl_ms",
        session.statement_ttl_ms,
        100,
        YEAR_MS,
    )?;
    between("session.lease_ttl_ms", session.lease_ttl_ms, 100, YEAR_MS)?;
    between(
        "session.stream_idle_timeout_ms",
        session.stream_idle_timeout_ms,
        100,
        YEAR_MS,
    )
}

fn between(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let allowed = match most {
        u64::MAX => format!("it must be at least {least}"),
        _ => format!("it must be from {least} to {most}"),
    };
    Err(not_allowed(key, value, allowed))
}

fn not_allowed(key: &'static str, value: impl Display, allowed: impl Into<String>) -> ConfigError {
    ConfigError::NotAllowed {
        key,
        value: value.to_string(),
        allowed: allowed.into(),
    }
}
