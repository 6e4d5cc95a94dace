//! Session tokens: JSON Web Tokens signed with HMAC-SHA256.
//!
//! Claims: `sub` user id, `pwv` version of the password it was granted for, `tid` tenant id, `sid`
//! random session id, `iat` and `exp` in seconds; header `kid` names the key. A token says who
//! somebody is, never what he may do. Does not know the time: the caller compares the expiry,
//! because an expired token beside a valid one is no error.

use std::collections::HashMap;
use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quiver_catalog::{TenantId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::AuthError;
use super::keys::Keys;

/// Longest token that is looked at; ours are about 250 bytes.
const TOKEN_BYTES_MAX: usize = 2_048;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) user_id: UserId,
    /// Of the user's password when he logged in.
    pub(super) password_version: u64,
    pub(super) tenant_id: TenantId,
    pub(super) session_id: Uuid,
    /// Seconds since 1970-01-01 UTC.
    pub(super) issued_at_s: i64,
    /// Seconds since 1970-01-01 UTC.
    pub(super) expires_at_s: i64,
}

/// The claims as they are on the wire.
#[derive(Serialize, Deserialize)]
struct WireClaims {
    sub: String,
    pwv: u64,
    tid: u64,
    sid: String,
    iat: i64,
    exp: i64,
}

/// Makes and checks tokens.
pub(super) struct Tokens {
    header: Header,
    signing: EncodingKey,
    verifying: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tokens")
            .field("kid", &self.header.kid)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(keys: &Keys) -> Self {
        let current = keys.tokens().last().expect("there is always a token key");
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(current.id.to_string());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let verifying = keys
            .tokens()
            .iter()
            .map(|key| (key.id.to_string(), DecodingKey::from_secret(&key.secret)))
            .collect();
        let signing = EncodingKey::from_secret(&current.secret);
        Self {
            header,
            signing,
            verifying,
            validation,
        }
    }

    /// The signed text of `token`.
    pub(super) fn sign(&self, token: &Token) -> Result<String, AuthError> {
        let claims = WireClaims {
            sub: token.user_id.0.to_string(),
            pwv: token.password_version,
            tid: token.tenant_id.0,
            sid: token.session_id.to_string(),
            iat: token.issued_at_s,
            exp: token.expires_at_s,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing)
            .map_err(|source| AuthError::Token { source })
    }

    /// What `text` says, if it is one of our tokens. Does not look at the expiry.
    pub(super) fn verify(&self, text: &str) -> Option<Token> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let kid = jsonwebtoken::decode_header(text).ok()?.kid?;
        let key = self.verifying.get(&kid)?;
        let claims = jsonwebtoken::decode::<WireClaims>(text, key, &self.validation)
            .ok()?
            .claims;
        Some(Token {
            user_id: UserId(claims.sub.parse().ok()?),
            password_version: claims.pwv,
            tenant_id: TenantId(claims.tid),
            session_id: Uuid::try_parse(&claims.sid).ok()?,
            issued_at_s: claims.iat,
            expires_at_s: claims.exp,
        })
    }
}

#[cfg(test)]
mod tests;
