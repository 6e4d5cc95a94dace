//! What the types of the settings cannot say: ranges, and values that must fit each other.

use std::fmt::Display;
use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;

use super::{ConfigError, MIB, ServerSettings, Settings};

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

fn validate_sizes(settings: &Settings) -> Result<(), ConfigError> {
    let Settings {
        server,
        wal,
        write_buffer,
        query,
        session,
        ..
    } = settings;
    between(
        "server.message_bytes_max",
        server.message_bytes_max as u64,
        MIB,
        2048 * MIB - 1,
    )?;
    between("server.calls_max", server.calls_max as u64, 1, 1_000_000)?;
    let connections = server.connections_max as u64;
    between("server.connections_max", connections, 2, 1_000_000)?;
    let catalogs = server.catalogs_open_max as u64;
    between("server.catalogs_open_max", catalogs, 1, 100_000)?;
    between("wal.file_bytes", wal.file_bytes, MIB, 4096 * MIB)?;
    between(
        "wal.bytes_max",
        wal.bytes_max,
        wal.file_bytes.saturating_mul(2),
        u64::MAX,
    )?;
    between(
        "wal.queue_bytes_max",
        wal.queue_bytes_max,
        MIB,
        wal.bytes_max,
    )?;
    between(
        "write_buffer.bytes_max",
        write_buffer.bytes_max,
        MIB,
        u64::MAX,
    )?;
    let tenant_bytes_max = write_buffer.tenant_bytes_max;
    between(
        "write_buffer.tenant_bytes_max",
        tenant_bytes_max,
        MIB,
        write_buffer.bytes_max,
    )?;
    between(
        "write_buffer.flush_bytes",
        write_buffer.flush_bytes,
        64 * 1024,
        tenant_bytes_max,
    )?;
    between(
        "query.memory_bytes_max",
        query.memory_bytes_max,
        16 * MIB,
        u64::MAX,
    )?;
    between(
        "query.target_partitions",
        query.target_partitions as u64,
        0,
        1024,
    )?;
    between("query.batch_rows", query.batch_rows as u64, 1, 1_048_576)?;
    between(
        "query.sql_bytes_max",
        query.sql_bytes_max as u64,
        1024,
        64 * MIB,
    )?;
    between(
        "session.tenant_sessions_max",
        session.tenant_sessions_max as u64,
        1,
        10_000_000,
    )?;
    let transactions = session.tenant_transactions_max as u64;
    between(
        "session.tenant_transactions_max",
        transactions,
        1,
        10_000_000,
    )?;
    between(
        "session.tenant_statements_max",
        session.tenant_statements_max as u64,
        1,
        10_000_000,
    )?;
    between(
        "session.tenant_statement_bytes_max",
        session.tenant_statement_bytes_max as u64,
        64 * 1024,
        u64::MAX,
    )
}

fn validate_times(settings: &Settings) -> Result<(), ConfigError> {
    let Settings {
        server,
        auth,
        write_buffer,
        query,
        session,
        ..
    } = settings;
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
