//! Remembers the typed statistics of segment lists.

/// Typed statistics of the segment lists that are in use, shared by all scans of an engine.
#[derive(Debug, Default)]
pub(crate) struct ScanCache {}
