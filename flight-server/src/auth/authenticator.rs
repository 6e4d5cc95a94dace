//! Turns what a call presents into the caller it proves, and hands out session tokens.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use quiver_catalog::{Clock, ControlCatalog, Tenant, TenantId, User, UserId};
use quiver_proto::Signer;
use uuid::Uuid;

use super::context::TenantContext;
use super::credentials::{Login, Presented};
use super::directory;
use super::error::AuthError;
use super::keys::Keys;
use super::passwords::{Attempt, Limits, PasswordGate};
use super::random;
use super::token::{Token, Tokens};

/// The tenant of a login that names none.
const TENANT_DEFAULT: &str = "default";

const MICROS_PER_S: i64 = 1_000_000;

/// What can be set about authentication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthSettings {
    /// How long a session token is valid; it is renewed once half of it has passed.
    pub(crate) token_ttl: Duration,
    /// How long a password that was right is recognised without being checked again.
    pub(crate) password_remember: Duration,
    /// How many passwords are checked at once; each takes one processor for tens of milliseconds.
    pub(crate) password_checks_max: usize,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            token_ttl: Duration::from_secs(24 * 60 * 60),
            password_remember: Duration::from_secs(60),
            password_checks_max: 2,
        }
    }
}

/// Lets callers in.
#[derive(Debug)]
pub(crate) struct Authenticator {
    control: Arc<ControlCatalog>,
    keys: Keys,
    tokens: Tokens,
    passwords: PasswordGate,
    clock: Arc<dyn Clock>,
    settings: AuthSettings,
}

/// A caller that was proven, before a token is chosen for him.
#[derive(Clone, Copy)]
struct Proof {
    user_id: UserId,
    tenant_id: TenantId,
    /// The token that proved it; `None` for a password.
    token: Option<Token>,
}

impl Authenticator {
    /// An authenticator over the control catalog.
    pub(crate) fn new(
        control: Arc<ControlCatalog>,
        keys: Keys,
        clock: Arc<dyn Clock>,
        settings: AuthSettings,
    ) -> Self {
        const REMEMBERED_MAX: usize = 4_096;
        const WAITING_MAX: usize = 128;
        let limits = Limits {
            remember: settings.password_remember,
            remembered_max: REMEMBERED_MAX,
            checks_max: settings.password_checks_max.max(1),
            waiting_max: WAITING_MAX,
        };
        let passwords = PasswordGate::new(Arc::clone(&control), Arc::clone(&clock), limits);
        let tokens = Tokens::new(&keys);
        Self {
            control,
            keys,
            tokens,
            passwords,
            clock,
            settings,
        }
    }

    /// The caller of a call with these headers (`request.metadata().as_ref()`) from `address`.
    ///
    /// Several credentials are fine as long as all name the same user and tenant; the newest token
    /// names the session. An expired token beside a valid credential is passed over, because
    /// clients send the old and the new one together after a renewal.
    ///
    /// # Errors
    /// [`AuthError`], of which [`AuthError::kind`] is `Unauthenticated` unless the server itself is
    /// at fault.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<TenantContext, AuthError> {
        let presented = Presented::from_headers(headers)?;
        let proof = self.prove(&presented, address).await?;
        let (user, tenant) = self.load(proof, presented.tenant.as_deref()).await?;
        match proof.token {
            Some(token) => self.continue_session(user, tenant, token),
            None => self.new_session(user, tenant),
        }
    }

    /// As [`Self::authenticate`], but always begins a new session: [`TenantContext::new_token`] is
    /// set.
    ///
    /// `payload` is what the client wrote into the handshake, if it was read: the login of the
    /// legacy form, used when the headers hold no credentials.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub(crate) async fn handshake(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        payload: Option<&[u8]>,
    ) -> Result<TenantContext, AuthError> {
        let mut presented = Presented::from_headers(headers)?;
        if let Some(payload) = payload.filter(|bytes| presented.is_empty() && !bytes.is_empty()) {
            presented.add_legacy_payload(payload)?;
        }
        let proof = self.prove(&presented, address).await?;
        let (user, tenant) = self.load(proof, presented.tenant.as_deref()).await?;
        self.new_session(user, tenant)
    }

    /// To be called after any password was changed or any user was dropped: passwords that were
    /// right before are then checked again.
    pub(crate) fn forget_passwords(&self) {
        self.passwords.forget();
    }

    /// Signs and verifies handles.
    pub(crate) fn signer(&self) -> &Signer {
        self.keys.signer()
    }

    /// Checks every credential; all must prove the same caller.
    async fn prove(
        &self,
        presented: &Presented,
        address: Option<IpAddr>,
    ) -> Result<Proof, AuthError> {
        let mut proofs = Proofs::default();
        for text in &presented.tokens {
            let token = self.tokens.verify(text).ok_or(AuthError::InvalidToken)?;
            proofs.add_token(token, self.now_s())?;
        }
        for text in &presented.cookies {
            match self.tokens.verify(text) {
                Some(token) => proofs.add_token(token, self.now_s())?,
                None => proofs.foreign_cookie = true,
            }
        }
        for login in &presented.logins {
            let tenant = presented.tenant.as_deref();
            proofs.add(self.check_login(login, tenant, address).await?)?;
        }
        proofs.finish()
    }

    async fn check_login(
        &self,
        login: &Login,
        header_tenant: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Proof, AuthError> {
        let tenant = login
            .tenant
            .as_deref()
            .or(header_tenant)
            .unwrap_or(TENANT_DEFAULT);
        let attempt = Attempt {
            tenant,
            user: &login.user,
            password: &login.password,
            address,
        };
        let mut found = self.passwords.check(attempt).await?;
        if directory::user_and_tenant(&self.control, found.0, found.1)
            .await?
            .is_none()
        {
            // A user who was dropped and made anew has another id than the one remembered.
            self.passwords.forget();
            found = self.passwords.check(attempt).await?;
        }
        let (user_id, tenant_id) = found;
        Ok(Proof {
            user_id,
            tenant_id,
            token: None,
        })
    }

    /// User and tenant as they are now; the tenant must be the one of `x-tenant-id`, if given, and
    /// the password still the one that the token was granted for.
    async fn load(
        &self,
        proof: Proof,
        header_tenant: Option<&str>,
    ) -> Result<(User, Tenant), AuthError> {
        let found =
            directory::user_and_tenant(&self.control, proof.user_id, proof.tenant_id).await?;
        let (user, tenant) = found.ok_or(match proof.token {
            Some(_) => AuthError::InvalidToken,
            None => AuthError::WrongPassword,
        })?;
        let is_current = |token: Token| token.password_version == user.password_version;
        if !proof.token.is_none_or(is_current) {
            return Err(AuthError::InvalidToken);
        }
        if header_tenant.is_some_and(|name| !name.eq_ignore_ascii_case(&tenant.name)) {
            return Err(AuthError::Disagree);
        }
        Ok((user, tenant))
    }

    fn new_session(&self, user: User, tenant: Tenant) -> Result<TenantContext, AuthError> {
        let (text, token) = self.issue(&user, &tenant, random::uuid())?;
        Ok(context(user, tenant, token, Some(text), true))
    }

    fn continue_session(
        &self,
        user: User,
        tenant: Tenant,
        token: Token,
    ) -> Result<TenantContext, AuthError> {
        let left_s = token.expires_at_s.saturating_sub(self.now_s());
        if left_s.saturating_mul(2) >= self.ttl_s() {
            return Ok(context(user, tenant, token, None, false));
        }
        let (text, token) = self.issue(&user, &tenant, token.session_id)?;
        Ok(context(user, tenant, token, Some(text), false))
    }

    fn issue(
        &self,
        user: &User,
        tenant: &Tenant,
        session_id: Uuid,
    ) -> Result<(String, Token), AuthError> {
        let now_s = self.now_s();
        let token = Token {
            user_id: user.id,
            password_version: user.password_version,
            tenant_id: tenant.id,
            session_id,
            issued_at_s: now_s,
            expires_at_s: now_s.saturating_add(self.ttl_s()),
        };
        Ok((self.tokens.sign(&token)?, token))
    }

    fn now_s(&self) -> i64 {
        self.clock.now_micros().div_euclid(MICROS_PER_S)
    }

    fn ttl_s(&self) -> i64 {
        i64::try_from(self.settings.token_ttl.as_secs()).unwrap_or(i64::MAX)
    }
}

/// The proofs of one call, folded into one.
#[derive(Default)]
struct Proofs {
    agreed: Option<Proof>,
    expired: bool,
    foreign_cookie: bool,
}

impl Proofs {
    fn add_token(&mut self, token: Token, now_s: i64) -> Result<(), AuthError> {
        if token.expires_at_s <= now_s {
            self.expired = true;
            return Ok(());
        }
        let Token {
            user_id, tenant_id, ..
        } = token;
        self.add(Proof {
            user_id,
            tenant_id,
            token: Some(token),
        })
    }

    fn add(&mut self, proof: Proof) -> Result<(), AuthError> {
        let Some(agreed) = &mut self.agreed else {
            self.agreed = Some(proof);
            return Ok(());
        };
        if (agreed.user_id, agreed.tenant_id) != (proof.user_id, proof.tenant_id) {
            return Err(AuthError::Disagree);
        }
        let issued_at_s = |proof: &Proof| proof.token.map(|token| token.issued_at_s);
        if issued_at_s(&proof) > issued_at_s(agreed) {
            *agreed = proof;
        }
        Ok(())
    }

    fn finish(self) -> Result<Proof, AuthError> {
        match self.agreed {
            Some(proof) => Ok(proof),
            None if self.expired => Err(AuthError::ExpiredToken),
            None if self.foreign_cookie => Err(AuthError::InvalidToken),
            None => Err(AuthError::Missing),
        }
    }
}

fn context(
    user: User,
    tenant: Tenant,
    token: Token,
    new_token: Option<String>,
    session_is_new: bool,
) -> TenantContext {
    TenantContext {
        tenant,
        user,
        session_id: token.session_id,
        session_is_new,
        token_expires_at_micros: token.expires_at_s.saturating_mul(MICROS_PER_S),
        new_token,
    }
}

#[cfg(test)]
mod tests;
