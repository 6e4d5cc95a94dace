//! Password checks: few at once, remembered for a short while when right, slowed down when wrong.
//!
//! Checking a password costs tens of milliseconds of processor by design, and some clients send
//! theirs with every call. So a password that was right is recognised for [`Limits::remember`] by a
//! keyed digest, at most [`Limits::checks_max`] checks run at once, and after [`FREE_FAILURES`]
//! wrong passwords for one name from one address each further check of that name from there waits,
//! up to [`PENALTY_MAX`]; whoever guesses does not lock out the user, who is elsewhere. All of it is
//! in memory and bounded; names that do not exist are treated like those that do.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quiver_catalog::{Clock, ControlCatalog, ErrorKind, TenantId, UserId};
use quiver_proto::keyed_digest;
use tokio::sync::Semaphore;

use super::error::AuthError;
use super::places::Places;
use super::random;

/// Wrong passwords per name that cost nothing: typing errors.
const FREE_FAILURES: u32 = 3;
/// What the first failure beyond costs the next check; doubled with every further one.
const PENALTY_MIN: Duration = Duration::from_millis(250);
/// What a check of one name waits at most.
const PENALTY_MAX: Duration = Duration::from_secs(5);
/// How many checks of one name may wait at once.
const WAITING_PER_NAME_MAX: u32 = 8;
/// After this long without a failure a name starts afresh.
const FAILURES_FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// Names with failures that are remembered; a new one then replaces the longest unused.
const NAMES_MAX: usize = 10_000;
/// When a check that found no place is worth repeating.
const BUSY_RETRY_MS: u64 = 500;

/// Bounds that depend on the machine and its settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long a password that was right is recognised without a check.
    pub(super) remember: Duration,
    /// How many passwords are recognised at once.
    pub(super) remembered_max: usize,
    /// How many checks run at once.
    pub(super) checks_max: usize,
    /// How many checks may run or wait for a place to run; half as many from one address.
    pub(super) waiting_max: usize,
}

/// Checks passwords against the control catalog.
#[derive(Debug)]
pub(super) struct PasswordGate {
    control: Arc<ControlCatalog>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    digest_key: [u8; 32],
    places: Semaphore,
    waiting: Arc<Places>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    remembered: HashMap<[u8; 32], Remembered>,
    failures: HashMap<Name, Failures>,
    /// Counts [`PasswordGate::forget`]: a check that began before one must not be remembered after
    /// it.
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    user_id: UserId,
    tenant_id: TenantId,
    until_micros: i64,
}

/// Tenant and user name in lower case, as names are compared, and where the login came from.
type Name = (String, String, Option<IpAddr>);

/// A login that is to be checked.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) tenant: &'a str,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    /// Where it came from, if that is known.
    pub(super) address: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    waiting: u32,
    last_micros: i64,
}

impl PasswordGate {
    pub(super) fn new(control: Arc<ControlCatalog>, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            control,
            clock,
            limits,
            digest_key: random::bytes(),
            places: Semaphore::new(limits.checks_max),
            waiting: Places::new(limits.waiting_max),
            state: Mutex::default(),
        }
    }

    /// User and tenant of a login whose password is right.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`] also for names that do not exist; [`AuthError::Busy`].
    pub(super) async fn check(
        &self,
        attempt: Attempt<'_>,
    ) -> Result<(UserId, TenantId), AuthError> {
        let Attempt {
            tenant,
            user,
            password,
            address,
        } = attempt;
        let name = (
            tenant.to_ascii_lowercase(),
            user.to_ascii_lowercase(),
            address,
        );
        let digest = keyed_digest(
            &self.digest_key,
            &[name.0.as_bytes(), name.1.as_bytes(), password.as_bytes()],
        );
        if let Some(known) = self.recognise(&digest) {
            return Ok(known);
        }
        let busy = AuthError::Busy {
            retry_after_ms: BUSY_RETRY_MS,
        };
        let _waiting = Places::take(&self.waiting, address).ok_or(busy)?;
        self.wait_out_penalty(&name).await?;
        let _place = self
            .places
            .acquire()
            .await
            .expect("the semaphore is never closed");
        // Another call of the same client may have been checked while this one waited.
        if let Some(known) = self.recognise(&digest) {
            return Ok(known);
        }
        let generation = self.state.lock().generation;
        match self.control.verify_password(tenant, user, password).await {
            Ok(found) => {
                self.remember(digest, &name, generation, found.id, found.tenant_id);
                Ok((found.id, found.tenant_id))
            }
            Err(error) if error.kind() == ErrorKind::Unauthenticated => {
                self.note_failure(name);
                Err(AuthError::WrongPassword)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets all remembered passwords: one was changed or a user was dropped.
    pub(super) fn forget(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.remembered.clear();
    }

    fn recognise(&self, digest: &[u8; 32]) -> Option<(UserId, TenantId)> {
        let now = self.clock.now_micros();
        let state = self.state.lock();
        let known = state
            .remembered
            .get(digest)
            .filter(|known| now < known.until_micros)?;
        Some((known.user_id, known.tenant_id))
    }

    fn remember(
        &self,
        digest: [u8; 32],
        name: &Name,
        generation: u64,
        user_id: UserId,
        tenant_id: TenantId,
    ) {
        let now = self.clock.now_micros();
        let mut state = self.state.lock();
        state.failures.remove(name);
        if state.generation != generation {
            return;
        }
        if state.remembered.len() >= self.limits.remembered_max {
            state.remembered.retain(|_, known| now < known.until_micros);
        }
        if state.remembered.len() < self.limits.remembered_max {
            let until_micros = now.saturating_add(micros(self.limits.remember));
            state.remembered.insert(
                digest,
                Remembered {
                    user_id,
                    tenant_id,
                    until_micros,
                },
            );
        }
    }

    fn note_failure(&self, name: Name) {
        let now = self.clock.now_micros();
        let mut state = self.state.lock();
        if !state.failures.contains_key(&name) && state.failures.len() >= NAMES_MAX {
            make_room(&mut state.failures, now);
        }
        let failures = state.failures.entry(name).or_default();
        if stale(failures, now) {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last_micros = now;
    }

    async fn wait_out_penalty(&self, name: &Name) -> Result<(), AuthError> {
        let (delay, _turn) = {
            let mut state = self.state.lock();
            let now = self.clock.now_micros();
            let Some(failures) = state.failures.get_mut(name) else {
                return Ok(());
            };
            let delay = if stale(failures, now) {
                Duration::ZERO
            } else {
                penalty(failures.count)
            };
            if delay.is_zero() {
                return Ok(());
            }
            if failures.waiting >= WAITING_PER_NAME_MAX {
                let retry_after_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                return Err(AuthError::Busy { retry_after_ms });
            }
            failures.waiting += 1;
            (delay, Turn { gate: self, name })
        };
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// One waiting check; counted down even if its call is cancelled.
struct Turn<'a> {
    gate: &'a PasswordGate,
    name: &'a Name,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(failures) = self.gate.state.lock().failures.get_mut(self.name) {
            failures.waiting = failures.waiting.saturating_sub(1);
        }
    }
}

/// What the next check waits after `count` wrong passwords.
fn penalty(count: u32) -> Duration {
    let Some(doublings) = count.checked_sub(FREE_FAILURES) else {
        return Duration::ZERO;
    };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    PENALTY_MIN.saturating_mul(factor).min(PENALTY_MAX)
}

fn stale(failures: &Failures, now_micros: i64) -> bool {
    now_micros.saturating_sub(failures.last_micros) > micros(FAILURES_FORGOTTEN_AFTER)
}

fn make_room(failures: &mut HashMap<Name, Failures>, now_micros: i64) {
    failures.retain(|_, failures| !stale(failures, now_micros));
    if failures.len() >= NAMES_MAX {
        let oldest = failures
            .iter()
            .min_by_key(|(_, failures)| failures.last_micros);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            failures.remove(&name);
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
