//! Which names objects may have, and which folders they get.
//!
//! Names are unique without regard to case because DuckDB, which reads the same catalog, folds
//! them.

use crate::error::{CatalogError, Result};

#[cfg(test)]
mod tests;

/// Longest name of a tenant, user, schema or table, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// The form of a name that decides whether two names are the same.
pub(crate) fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// Checks the name of a schema or table.
///
/// # Errors
/// `InvalidName` with the broken rule.
pub(crate) fn check_object_name(what: &'static str, name: &str) -> Result<()> {
    let broken_rule = if name.is_empty() {
        "it must not be empty"
    } else if name.len() > NAME_BYTES_MAX {
        "it must not be longer than 128 bytes"
    } else if name.chars().any(char::is_control) {
        "it must not contain control characters"
    } else if name.contains(['/', '\\']) {
        "it must not contain '/' or '\\'"
    } else if name.starts_with('.') {
        "it must not begin with '.'"
    } else {
        return Ok(());
    };
    Err(CatalogError::InvalidName {
        what,
        name: name.to_owned(),
        reason: broken_rule,
    })
}

/// Checks the name of a tenant or user, which also appear in logins and folder names.
///
/// # Errors
/// `InvalidName` with the broken rule.
pub(crate) fn check_principal_name(what: &'static str, name: &str) -> Result<()> {
    check_object_name(what, name)?;
    if name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    {
        return Ok(());
    }
    let reason = "use letters, digits, '_', '.' and '-' only";
    Err(CatalogError::InvalidName {
        what,
        name: name.to_owned(),
        reason,
    })
}

/// The folder of a schema or table, with a slash at its end: the name where every file system can
/// hold it as it is, else the prefix and the id. Objects may share a folder: segments have
/// unique names.
pub(crate) fn directory(name: &str, prefix: char, id: i64) -> String {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if plain {
        format!("{name}/")
    } else {
        format!("{prefix}{id}/")
    }
}

/// A name as an SQL expression.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
