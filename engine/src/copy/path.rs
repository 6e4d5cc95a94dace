//! Paths inside a tenant's area.

use std::path::{Path, PathBuf};

use crate::error::{EngineError, Result};

/// The file of the tenant's `area` that a user's path names.
pub(crate) fn resolve(_area: &Path, _user_path: &str, _for_write: bool) -> Result<PathBuf> {
    Err(EngineError::Unsupported { what: "COPY".into() })
}
