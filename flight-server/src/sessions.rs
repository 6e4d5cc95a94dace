//! What clients have set on their sessions: the options `catalog` and `schema`.
//!
//! A session is the random id inside a signed token, so there is nothing to create: state appears
//! when an option is first set, is bounded per tenant, and goes after a time without use, on close,
//! or with the process. Guarantees that nothing invalid is ever stored; who asks and what is valid
//! the caller says. Knows nothing of transactions.

mod changes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quiver_catalog::{Clock, ErrorKind, TenantId};
use quiver_proto::{
    CloseSessionResult, CloseSessionStatus, GetSessionOptionsResult, SessionOptionValue,
    SetSessionOptionsRequest, SetSessionOptionsResult,
};
use uuid::Uuid;

use self::changes::Changes;
use crate::auth::TenantContext;

/// The schema of a session that has set none.
pub(crate) const SCHEMA_DEFAULT: &str = "main";

const CATALOG: &str = "catalog";
const SCHEMA: &str = "schema";

/// Most options looked at in one request; there are two, and each unknown one costs an answer.
const OPTIONS_PER_REQUEST_MAX: usize = 100;

/// Bounds of the session state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionLimits {
    /// State that was not used for this long is dropped; the session itself lives as long as its
    /// token.
    pub(crate) idle_max: Duration,
    /// Sessions with state per tenant.
    pub(crate) per_tenant_max: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            idle_max: Duration::from_secs(24 * 60 * 60),
            per_tenant_max: 10_000,
        }
    }
}

/// Why a session action failed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    /// The tenant has too many sessions with options.
    #[error(
        "the tenant has {max} sessions with options set; close some, or wait until idle ones end"
    )]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The request is out of proportion.
    #[error("the request sets {count} options; a session has `catalog` and `schema`")]
    TooManyOptions {
        /// How many were asked for.
        count: usize,
    },
    /// Nothing is known of the session.
    #[error("no such session; it was closed, or never had any options or transactions")]
    NotFound,
}

impl SessionError {
    /// The kind that decides the gRPC code.
    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::TooMany { .. } => ErrorKind::Overloaded,
            Self::TooManyOptions { .. } => ErrorKind::InvalidArgument,
            Self::NotFound => ErrorKind::NotFound,
        }
    }
}

/// Says which values a session may have; asked about the tenant of the call.
pub(crate) trait SessionNames {
    /// The catalog's name as it is spelled in the catalog, if the caller may make it current.
    fn catalog(&self, name: &str) -> Option<String>;

    /// The schema's name as it is spelled in the catalog, if there is such a schema.
    fn schema(&self, name: &str) -> Option<String>;
}

/// The options of one session as they are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionOptions {
    /// Name of the current catalog, which is a tenant's.
    pub(crate) catalog: String,
    /// Name of the schema in which unqualified tables are looked up.
    pub(crate) schema: String,
}

/// The state of all sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    limits: SessionLimits,
    clock: Arc<dyn Clock>,
    states: Mutex<HashMap<Uuid, State>>,
}

/// Options that were set; `None` means the default.
#[derive(Debug)]
struct State {
    tenant_id: TenantId,
    catalog: Option<String>,
    schema: Option<String>,
    used_micros: i64,
}

impl Sessions {
    /// No session has state yet.
    pub(crate) fn new(limits: SessionLimits, clock: Arc<dyn Clock>) -> Self {
        Self {
            limits,
            clock,
            states: Mutex::default(),
        }
    }

    /// The options in force in the caller's session.
    pub(crate) fn options(&self, context: &TenantContext) -> SessionOptions {
        self.options_of(context.session_id, context.tenant.id, &context.tenant.name)
    }

    /// Answers `SetSessionOptions`: sets and erases what it can and names the rest.
    ///
    /// # Errors
    /// [`SessionError::TooMany`], [`SessionError::TooManyOptions`]; an option that is unknown or
    /// cannot have its value is no error but an entry in the result.
    pub(crate) fn set(
        &self,
        context: &TenantContext,
        request: &SetSessionOptionsRequest,
        names: &dyn SessionNames,
    ) -> Result<SetSessionOptionsResult, SessionError> {
        self.set_in(context.session_id, context.tenant.id, request, names)
    }

    /// Answers `GetSessionOptions` with the options in force, set or not.
    pub(crate) fn get(&self, context: &TenantContext) -> GetSessionOptionsResult {
        let SessionOptions { catalog, schema } = self.options(context);
        let session_options = [
            (
                CATALOG.to_owned(),
                SessionOptionValue::from(catalog.as_str()),
            ),
            (SCHEMA.to_owned(), SessionOptionValue::from(schema.as_str())),
        ];
        GetSessionOptionsResult {
            session_options: session_options.into(),
        }
    }

    /// Answers `CloseSession`. `closed_more` says whether the caller has just closed something else
    /// of the session, such as a transaction.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] when the named session had nothing to close.
    pub(crate) fn close(
        &self,
        context: &TenantContext,
        closed_more: bool,
    ) -> Result<CloseSessionResult, SessionError> {
        self.close_one(context.presented_session(), context.tenant.id, closed_more)
    }

    /// How many sessions of the tenant have state.
    #[cfg_attr(not(test), expect(dead_code, reason = "for system.sessions"))]
    pub(crate) fn count(&self, tenant_id: TenantId) -> usize {
        let oldest = self.oldest_valid();
        let states = self.states.lock();
        let valid = |state: &&State| state.tenant_id == tenant_id && state.used_micros >= oldest;
        states.values().filter(valid).count()
    }

    fn options_of(&self, id: Uuid, tenant_id: TenantId, tenant_name: &str) -> SessionOptions {
        let mut states = self.states.lock();
        let state = self.usable(&mut states, id, tenant_id);
        let (catalog, schema) = match state {
            Some(state) => (state.catalog.clone(), state.schema.clone()),
            None => (None, None),
        };
        SessionOptions {
            catalog: catalog.unwrap_or_else(|| tenant_name.to_owned()),
            schema: schema.unwrap_or_else(|| SCHEMA_DEFAULT.to_owned()),
        }
    }

    fn set_in(
        &self,
        id: Uuid,
        tenant_id: TenantId,
        request: &SetSessionOptionsRequest,
        names: &dyn SessionNames,
    ) -> Result<SetSessionOptionsResult, SessionError> {
        let count = request.session_options.len();
        if count > OPTIONS_PER_REQUEST_MAX {
            return Err(SessionError::TooManyOptions { count });
        }
        let (changes, result) = Changes::validate(request, names);
        let mut states = self.states.lock();
        let used_micros = self.clock.now_micros();
        if let Some(state) = self.usable(&mut states, id, tenant_id) {
            changes.apply(state);
        } else if changes.sets_something() {
            self.make_room(&mut states, tenant_id)?;
            let mut state = State {
                tenant_id,
                catalog: None,
                schema: None,
                used_micros,
            };
            changes.apply(&mut state);
            states.insert(id, state);
        }
        Ok(result)
    }

    fn close_one(
        &self,
        presented: Option<Uuid>,
        tenant_id: TenantId,
        closed_more: bool,
    ) -> Result<CloseSessionResult, SessionError> {
        let Some(id) = presented else {
            return Ok(CloseSessionResult {
                status: CloseSessionStatus::NotCloseable.into(),
            });
        };
        let mut states = self.states.lock();
        let had_state = self.usable(&mut states, id, tenant_id).is_some();
        if !had_state && !closed_more {
            return Err(SessionError::NotFound);
        }
        states.remove(&id);
        Ok(CloseSessionResult {
            status: CloseSessionStatus::Closed.into(),
        })
    }

    /// The session's state, marked as used, unless it has been idle for too long.
    fn usable<'a>(
        &self,
        states: &'a mut HashMap<Uuid, State>,
        id: Uuid,
        tenant_id: TenantId,
    ) -> Option<&'a mut State> {
        let oldest = self.oldest_valid();
        let state = states
            .get_mut(&id)
            .filter(|state| state.tenant_id == tenant_id && state.used_micros >= oldest)?;
        state.used_micros = self.clock.now_micros();
        Some(state)
    }

    fn make_room(
        &self,
        states: &mut HashMap<Uuid, State>,
        tenant_id: TenantId,
    ) -> Result<(), SessionError> {
        let max = self.limits.per_tenant_max;
        let full = |states: &HashMap<Uuid, State>| {
            states
                .values()
                .filter(|state| state.tenant_id == tenant_id)
                .count()
                >= max
        };
        if !full(states) {
            return Ok(());
        }
        let oldest = self.oldest_valid();
        states.retain(|_, state| state.used_micros >= oldest);
        if full(states) {
            Err(SessionError::TooMany { max })
        } else {
            Ok(())
        }
    }

    fn oldest_valid(&self) -> i64 {
        let idle_micros = i64::try_from(self.limits.idle_max.as_micros()).unwrap_or(i64::MAX);
        self.clock.now_micros().saturating_sub(idle_micros)
    }
}

#[cfg(test)]
mod tests;
