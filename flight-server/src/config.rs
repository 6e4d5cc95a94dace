//! Settings.

/// Settings (being written).
#[derive(Debug)]
pub struct Settings;
