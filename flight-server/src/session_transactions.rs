//! Which sessions have begun a transaction, remembered beyond the process.
//!
//! A transaction ends with the server, but its client goes on as if it were open, and drivers send
//! no id with an ingest. So a session is marked in the control catalog before it begins one: a mark
//! that an earlier run left tells that what the session sends must not commit by itself until the
//! client has given the transaction up. A mark goes a moment after the last transaction ended; a
//! session that begins one after the other is written once.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quiver_catalog::{
    BegunBy, CatalogError, Clock, ControlCatalog, ErrorKind, SessionMark, TenantId,
};
use uuid::Uuid;

/// How long after its last transaction a session keeps its mark.
const MARK_KEPT: Duration = Duration::from_secs(1);

/// Bounds of what is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MarkLimits {
    /// After this time without a call, a session is over: as long as a token is valid.
    pub(crate) idle_max: Duration,
    /// Sessions with a mark, per tenant.
    pub(crate) per_tenant_max: usize,
}

/// Why a session cannot begin a transaction.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MarkError {
    /// The tenant has too many sessions with transactions.
    #[error("the tenant has {max} sessions with a transaction; end some, or close them")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The mark cannot be stored.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl MarkError {
    /// The kind that decides the gRPC code.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::TooMany { .. } => ErrorKind::Overloaded,
            Self::Catalog(error) => error.kind(),
        }
    }
}

/// The sessions with a transaction.
#[derive(Debug)]
pub(crate) struct SessionTransactions {
    control: Arc<ControlCatalog>,
    clock: Arc<dyn Clock>,
    limits: MarkLimits,
    states: Mutex<HashMap<Uuid, State>>,
    /// Held while marks are stored or removed, so that the two come in the order of the states.
    storing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    tenant_id: TenantId,
    begun_by: BegunBy,
    /// Begun in an earlier run, and not yet given up by the client.
    is_lost: bool,
    /// The transaction begun by SQL, also when it has expired.
    sql: Option<Uuid>,
    /// When the session's last transaction ended; `None` while it has one.
    ended_micros: Option<i64>,
    /// When the session last made a call.
    seen_micros: i64,
}

impl SessionTransactions {
    /// Reads the marks of earlier runs.
    ///
    /// # Errors
    /// If the control catalog cannot be read.
    pub(crate) async fn load(
        control: Arc<ControlCatalog>,
        clock: Arc<dyn Clock>,
        limits: MarkLimits,
    ) -> Result<Self, CatalogError> {
        let seen_micros = clock.now_micros();
        let marks = control.marked_sessions().await?;
        let lost = marks.into_iter().map(|mark| {
            let state = State {
                tenant_id: mark.tenant_id,
                begun_by: mark.begun_by,
                is_lost: true,
                sql: None,
                ended_micros: None,
                seen_micros,
            };
            (mark.session_id, state)
        });
        Ok(Self {
            states: Mutex::new(lost.collect()),
            control,
            clock,
            limits,
            storing: tokio::sync::Mutex::default(),
        })
    }

    /// Marks a session. To be called before the transaction is begun; the mark is durable when this
    /// returns.
    ///
    /// # Errors
    /// [`MarkError`]; the session then has no new mark.
    pub(crate) async fn begin(
        &self,
        session_id: Uuid,
        tenant_id: TenantId,
        begun_by: BegunBy,
    ) -> Result<(), MarkError> {
        if self.begin_marked(session_id, begun_by) {
            return Ok(());
        }
        let _storing = self.storing.lock().await;
        if self.begin_marked(session_id, begun_by) {
            return Ok(());
        }
        let of_tenant = |state: &&State| state.tenant_id == tenant_id;
        if self.states.lock().values().filter(of_tenant).count() >= self.limits.per_tenant_max {
            return Err(MarkError::TooMany {
                max: self.limits.per_tenant_max,
            });
        }
        let mark = SessionMark {
            session_id,
            tenant_id,
            begun_by,
        };
        self.control.mark_session(mark).await?;
        let state = State {
            tenant_id,
            begun_by,
            is_lost: false,
            sql: None,
            ended_micros: None,
            seen_micros: self.clock.now_micros(),
        };
        let mut states = self.states.lock();
        let sql = states.get(&session_id).and_then(|state| state.sql);
        states.insert(session_id, State { sql, ..state });
        Ok(())
    }

    /// Whether the mark that is stored covers another transaction.
    fn begin_marked(&self, session_id: Uuid, begun_by: BegunBy) -> bool {
        let mut states = self.states.lock();
        let Some(state) = states.get_mut(&session_id) else {
            return false;
        };
        if begun_by == BegunBy::Sql && state.begun_by == BegunBy::Protocol {
            return false;
        }
        state.is_lost = false;
        state.ended_micros = None;
        true
    }

    /// How the transaction was begun that the session lost with an earlier run of the server.
    pub(crate) fn lost(&self, session_id: Uuid) -> Option<BegunBy> {
        let mut states = self.states.lock();
        let state = states.get_mut(&session_id)?;
        state.seen_micros = self.clock.now_micros();
        state.is_lost.then_some(state.begun_by)
    }

    /// The session has no open transaction any more, and its client knows.
    pub(crate) fn ended(&self, session_id: Uuid) {
        let mut states = self.states.lock();
        if let Some(state) = states.get_mut(&session_id) {
            state.is_lost = false;
            state.ended_micros = Some(self.clock.now_micros());
        }
    }

    /// The transaction that the session began by SQL.
    pub(crate) fn sql(&self, session_id: Uuid) -> Option<Uuid> {
        self.states.lock().get(&session_id)?.sql
    }

    /// Notes the transaction that a marked session has begun by SQL.
    pub(crate) fn set_sql(&self, session_id: Uuid, id: Uuid) {
        if let Some(state) = self.states.lock().get_mut(&session_id) {
            state.sql = Some(id);
        }
    }

    /// Forgets and answers the transaction that the session began by SQL.
    pub(crate) fn take_sql(&self, session_id: Uuid) -> Option<Uuid> {
        self.states.lock().get_mut(&session_id)?.sql.take()
    }

    /// Removes the marks of sessions whose transactions ended or that are over themselves.
    ///
    /// # Errors
    /// If the control catalog cannot be written; the marks stay for the next time.
    pub(crate) async fn sweep(&self) -> Result<(), CatalogError> {
        let _storing = self.storing.lock().await;
        let now = self.clock.now_micros();
        let kept = micros(MARK_KEPT);
        let idle_max = micros(self.limits.idle_max);
        let is_over = |state: &State| {
            let ended = state.ended_micros.is_some_and(|ended| ended + kept <= now);
            ended || state.seen_micros + idle_max <= now
        };
        let over: Vec<_> = self
            .states
            .lock()
            .extract_if(|_, state| is_over(state))
            .collect();
        if over.is_empty() {
            return Ok(());
        }
        // One that begins a transaction meanwhile finds no mark and waits to store a new one.
        let ids: Vec<_> = over.iter().map(|(session_id, _)| *session_id).collect();
        let removed = self.control.unmark_sessions(&ids).await;
        if removed.is_err() {
            self.states.lock().extend(over);
        }
        removed
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 2)
}
