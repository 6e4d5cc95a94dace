//! What the rest of the server knows about the caller.

use std::fmt;

use http::HeaderValue;
use quiver_catalog::{Tenant, User};
use quiver_proto::headers;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// The caller of one call: tenant, user, session. Only [`super::Authenticator`] makes one.
#[derive(Clone)]
pub(crate) struct TenantContext {
    /// The tenant whose data the call may see.
    pub(crate) tenant: Tenant,
    /// The user, as the control catalog has it now.
    pub(crate) user: User,
    /// The session, named by the caller's token or made for this call.
    pub(crate) session_id: Uuid,
    /// Whether the session was made for this call, because no credential named one.
    pub(crate) session_is_new: bool,
    /// When the session's newest token ends, in microseconds since 1970-01-01 UTC.
    #[cfg_attr(not(test), expect(dead_code, reason = "transactions will end with it"))]
    pub(crate) token_expires_at_micros: i64,
    /// A token to be returned in the response header `authorization`: of a new session, or a
    /// renewal.
    pub(crate) new_token: Option<String>,
}

impl TenantContext {
    /// The session that the caller named; `None` when it was made for this call.
    pub(crate) fn presented_session(&self) -> Option<Uuid> {
        (!self.session_is_new).then_some(self.session_id)
    }

    /// Puts [`Self::new_token`], if there is one, into the headers of the response.
    pub(crate) fn insert_token(&self, metadata: &mut MetadataMap) {
        if let Some(token) = &self.new_token {
            metadata
                .as_mut()
                .insert(headers::AUTHORIZATION, bearer(token));
        }
    }
}

/// Keeps the token out of logs.
impl fmt::Debug for TenantContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TenantContext")
            .field("tenant", &self.tenant)
            .field("user", &self.user)
            .field("session_id", &self.session_id)
            .field("session_is_new", &self.session_is_new)
            .finish_non_exhaustive()
    }
}

/// The header value that carries `token`.
pub(super) fn bearer(token: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .expect("a token is base64 and dots, which every header value may hold");
    value.set_sensitive(true);
    value
}
