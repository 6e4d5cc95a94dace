//! The text of a statement.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The text of a statement, which may hold passwords: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SqlText(Arc<str>);

impl SqlText {
    /// Keeps a text.
    pub fn new(sql: &str) -> Self {
        Self(sql.into())
    }

    /// The text, passwords and all.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Texts are looked up by what they say.
impl Borrow<str> for SqlText {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SqlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlText({} bytes)", self.0.len())
    }
}
