//! What a call presents to tell who it is, read from its headers and not yet believed.

use std::fmt;

use arrow_flight::BasicAuth;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use prost::Message;
use quiver_proto::headers;

use super::error::AuthError;

/// Most credentials looked at per call: Basic, the tokens around a renewal, a cookie, and slack.
const CREDENTIALS_MAX: usize = 8;

/// Longest user name, tenant name or password looked at, in bytes.
const LOGIN_BYTES_MAX: usize = 1_024;

/// Clients send Basic with padding (JDBC, pyarrow) and without (the Go drivers).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user name with its password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    /// The part after `@`, if the name has one.
    pub(super) tenant: Option<String>,
    pub(super) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Login");
        debug
            .field("user", &self.user)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// Everything a call presents.
#[derive(Default)]
pub(super) struct Presented {
    pub(super) logins: Vec<Login>,
    /// Tokens that the client means for us.
    pub(super) tokens: Vec<String>,
    /// Values of the session cookie. A cookie jar may hold one of another server.
    pub(super) cookies: Vec<String>,
    /// The tenant named by `x-tenant-id`.
    pub(super) tenant: Option<String>,
}

impl Presented {
    /// Reads all credentials of a call.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, AuthError> {
        let mut presented = Self {
            tenant: tenant_header(headers)?,
            ..Self::default()
        };
        for value in headers.get_all(headers::AUTHORIZATION) {
            let text = value.to_str().map_err(|_| MALFORMED_AUTHORIZATION)?;
            // A proxy may have joined several values by commas, which neither scheme contains.
            for credential in text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty())
            {
                presented.add_authorization(credential)?;
            }
        }
        for value in headers.get_all(headers::LEGACY_TOKEN) {
            presented.tokens.push(legacy_token(value.as_bytes())?);
        }
        if headers.contains_key(headers::API_KEY) {
            return Err(AuthError::Malformed {
                what: "API keys are not supported yet; send `authorization: Basic …` instead of \
                       `x-api-key`",
            });
        }
        presented.cookies.extend(session_cookies(headers));
        let count = presented.logins.len() + presented.tokens.len() + presented.cookies.len();
        if count > CREDENTIALS_MAX {
            return Err(AuthError::Malformed {
                what: "the call carries too many credentials; send one",
            });
        }
        Ok(presented)
    }

    /// Adds the login in the payload of a handshake of the legacy form.
    pub(super) fn add_legacy_payload(&mut self, payload: &[u8]) -> Result<(), AuthError> {
        const MALFORMED: AuthError = AuthError::Malformed {
            what: "the handshake's payload is no login; send `authorization: Basic …` instead",
        };
        let auth = BasicAuth::decode(payload).map_err(|_| MALFORMED)?;
        self.logins.push(login(auth.username, auth.password)?);
        Ok(())
    }

    /// Whether there is anything to tell the caller by.
    pub(super) fn is_empty(&self) -> bool {
        self.logins.is_empty() && self.tokens.is_empty() && self.cookies.is_empty()
    }

    fn add_authorization(&mut self, credential: &str) -> Result<(), AuthError> {
        let (scheme, rest) = credential.split_once(' ').ok_or(MALFORMED_AUTHORIZATION)?;
        if scheme.eq_ignore_ascii_case("basic") {
            self.logins.push(basic(rest.trim())?);
        } else if scheme.eq_ignore_ascii_case("bearer") {
            self.tokens.push(rest.trim().to_owned());
        } else {
            return Err(MALFORMED_AUTHORIZATION);
        }
        Ok(())
    }
}

const MALFORMED_AUTHORIZATION: AuthError = AuthError::Malformed {
    what: "cannot read the header `authorization`; send `Basic base64(user:password)` or \
           `Bearer token`",
};

fn basic(encoded: &str) -> Result<Login, AuthError> {
    let decoded = BASE64
        .decode(encoded)
        .map_err(|_| MALFORMED_AUTHORIZATION)?;
    let text = String::from_utf8(decoded).map_err(|_| MALFORMED_AUTHORIZATION)?;
    let (name, password) = text.split_once(':').ok_or(MALFORMED_AUTHORIZATION)?;
    login(name.to_owned(), password.to_owned())
}

fn login(name: String, password: String) -> Result<Login, AuthError> {
    if name.len() > LOGIN_BYTES_MAX || password.len() > LOGIN_BYTES_MAX {
        return Err(AuthError::Malformed {
            what: "user name or password is too long",
        });
    }
    let (user, tenant) = match name.rsplit_once('@') {
        Some((user, tenant)) => (user.to_owned(), Some(tenant.to_owned())),
        None => (name, None),
    };
    if user.is_empty() || tenant.as_ref().is_some_and(String::is_empty) {
        return Err(AuthError::Malformed {
            what: "the user name is incomplete; log in as `user@tenant`",
        });
    }
    Ok(Login {
        user,
        tenant,
        password,
    })
}

fn tenant_header(headers: &HeaderMap) -> Result<Option<String>, AuthError> {
    const MALFORMED: AuthError = AuthError::Malformed {
        what: "send one tenant name in the header `x-tenant-id`",
    };
    let mut tenant: Option<String> = None;
    for value in headers.get_all(headers::TENANT_ID) {
        let name = value.to_str().map_err(|_| MALFORMED)?.trim();
        let repeated = tenant
            .as_ref()
            .is_none_or(|other| other.eq_ignore_ascii_case(name));
        if name.is_empty() || name.len() > LOGIN_BYTES_MAX || !repeated {
            return Err(MALFORMED);
        }
        tenant = Some(name.to_owned());
    }
    Ok(tenant)
}

/// gRPC carries the bytes of a `-bin` header as base64.
fn legacy_token(encoded: &[u8]) -> Result<String, AuthError> {
    const MALFORMED: AuthError = AuthError::Malformed {
        what: "cannot read the header `auth-token-bin`; log in again",
    };
    let decoded = BASE64.decode(encoded).map_err(|_| MALFORMED)?;
    String::from_utf8(decoded).map_err(|_| MALFORMED)
}

fn session_cookies(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all(headers::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| *name == headers::SESSION_COOKIE)
        .map(|(_, value)| value.trim_matches('"').to_owned())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
