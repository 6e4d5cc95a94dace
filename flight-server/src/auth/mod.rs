//! Who calls: credentials of a call become a [`TenantContext`].
//!
//! Accepts Basic (padded or not), our own bearer tokens in the `authorization` header, in the
//! session cookie or in the legacy token header, alone or several at once as long as they agree.
//! Guarantees that user and tenant of a context existed in the control catalog during the call,
//! that what is answered never tells whether a user exists, and that password checks are bounded in
//! number and frequency. Knows nothing of what the user may do with tables.

mod authenticator;
mod context;
mod credentials;
mod directory;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod handshake;
mod keys;
mod passwords;
mod places;
pub(crate) mod random;
mod token;

pub(crate) use authenticator::{AuthSettings, Authenticator};
pub(crate) use context::TenantContext;
pub(crate) use error::AuthError;
pub(crate) use keys::{Keys, KeysError};
pub(crate) use places::{Place, Places};
