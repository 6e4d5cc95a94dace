//! Points in time as DuckLake writes them into `SQLite`: `2026-11-21 01:54:25.153198+00`.

use chrono::DateTime;

#[cfg(test)]
mod tests;

/// The text of a time in microseconds since 1970.
pub(crate) fn to_text(micros: i64) -> String {
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

/// Reads the text back. Other writers use their own time zone and cut zeros off.
pub(crate) fn from_text(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok()?;
    Some(time.timestamp_micros())
}
