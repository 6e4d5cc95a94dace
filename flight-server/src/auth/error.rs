//! Why a call was not let in.

use quiver_catalog::{CatalogError, ErrorKind};

/// Why a call was not let in. No text tells whether a user or tenant exists.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// Nothing to tell the caller by.
    #[error("no credentials; log in with a Handshake or send `authorization: Basic …`")]
    Missing,
    /// A header that cannot be read.
    #[error("{what}")]
    Malformed {
        /// Which header, and what it should hold.
        what: &'static str,
    },
    /// Unknown tenant, unknown user or wrong password.
    #[error("wrong user name or password; log in as `user@tenant`")]
    WrongPassword,
    /// Not a token of this server, or its user, password or tenant is gone.
    #[error("the token is not valid; log in again")]
    InvalidToken,
    /// An own token that is too old.
    #[error("the token has expired; log in again")]
    ExpiredToken,
    /// Several credentials of different users or tenants.
    #[error("the credentials of this call name different users or tenants; send one of them")]
    Disagree,
    /// Too many password checks at once, or too many failed ones of this name.
    #[error("too many logins are being checked; try again in {retry_after_ms} ms")]
    Busy {
        /// When trying again makes sense.
        retry_after_ms: u64,
    },
    /// The control catalog could not answer.
    #[error("cannot check the login")]
    Catalog {
        /// What the catalog said.
        #[source]
        source: CatalogError,
    },
    /// A token could not be made.
    #[error("cannot make a session token")]
    Token {
        /// What the token library said.
        #[source]
        source: jsonwebtoken::errors::Error,
    },
}

impl AuthError {
    /// The kind that decides the gRPC code.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing
            | Self::Malformed { .. }
            | Self::WrongPassword
            | Self::InvalidToken
            | Self::ExpiredToken
            | Self::Disagree => ErrorKind::Unauthenticated,
            Self::Busy { .. } => ErrorKind::Overloaded,
            Self::Catalog { source } => source.kind(),
            Self::Token { .. } => ErrorKind::Internal,
        }
    }

    /// When trying again makes sense, in milliseconds.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Busy { retry_after_ms } => Some(*retry_after_ms),
            _ => None,
        }
    }
}

impl From<CatalogError> for AuthError {
    fn from(source: CatalogError) -> Self {
        Self::Catalog { source }
    }
}
