//! What a statement came as.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

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

/// A statement as it came; parsing it again makes the same of it. `Debug` shows neither passwords
/// nor constants.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum StatementText {
    /// SQL.
    Sql(SqlText),
    /// A Substrait plan.
    Plan(Bytes),
}

impl StatementText {
    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Sql(sql) => sql.expose().len(),
            Self::Plan(plan) => plan.len(),
        }
    }
}

impl fmt::Debug for StatementText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(sql) => sql.fmt(f),
            Self::Plan(plan) => write!(f, "Plan({} bytes)", plan.len()),
        }
    }
}
