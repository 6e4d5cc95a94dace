//! Why a text is not a statement we take. Messages are one line and never hold a password.

use quiver_catalog::ErrorKind;

/// Why a SQL text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing but blanks, comments and semicolons.
    #[error("the statement is empty; send one SQL statement")]
    Empty,
    /// Longer than one statement may be.
    #[error(
        "the statement has {bytes} bytes, the limit is {bytes_max}; send data with an ingest or as \
         parameters instead of in the text"
    )]
    TooLong {
        /// Length of the text.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More than one statement.
    #[error("the text holds more than one statement; send each in a request of its own")]
    MultipleStatements,
    /// Too many levels of parentheses, subqueries or types.
    #[error("the statement is nested too deeply; simplify it, for example with WITH or a table")]
    TooDeep,
    /// One expression or chain of set operations with very many parts.
    #[error(
        "an expression or chain of UNIONs has more than {levels_max} operators in a row; write a \
         list as IN (…) or VALUES, or split the statement"
    )]
    TooComplex {
        /// The limit, in levels of the tree.
        levels_max: usize,
    },
    /// More tables than one query may read.
    #[error("the statement reads more than {relations_max} tables; split it")]
    TooManyRelations {
        /// The limit.
        relations_max: usize,
    },
    /// Parameters cannot be numbered.
    #[error("{message}")]
    Placeholders {
        /// What is wrong and what to write.
        message: String,
    },
    /// The grammar does not allow the text.
    #[error("syntax error{}: {message}", position(*line, *column))]
    Syntax {
        /// What was expected.
        message: String,
        /// From 1; 0 when it is not known.
        line: u64,
        /// From 1, in characters; 0 when it is not known.
        column: u64,
    },
    /// The text is SQL, but of a kind that does not exist here.
    #[error("{what} is not supported yet{}", hint.map(|hint| format!("; {hint}")).unwrap_or_default())]
    Unsupported {
        /// The statement or clause as SQL spells it.
        what: String,
        /// What to do instead.
        hint: Option<&'static str>,
    },
}

impl ParseError {
    /// The kind that decides the gRPC code.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Empty
            | Self::TooLong { .. }
            | Self::MultipleStatements
            | Self::TooDeep
            | Self::TooComplex { .. }
            | Self::TooManyRelations { .. }
            | Self::Placeholders { .. }
            | Self::Syntax { .. } => ErrorKind::InvalidArgument,
        }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported {
            what: what.into(),
            hint: None,
        }
    }

    pub(crate) fn unsupported_but(what: impl Into<String>, hint: &'static str) -> Self {
        Self::Unsupported {
            what: what.into(),
            hint: Some(hint),
        }
    }
}

fn position(line: u64, column: u64) -> String {
    match line {
        0 => String::new(),
        _ => format!(" at line {line}, column {column}"),
    }
}
