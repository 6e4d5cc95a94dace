//! Transactions of the protocol and of SQL, by signed ids and by session.

use std::sync::Arc;

use bytes::Bytes;
use quiver_catalog::{BegunBy, ErrorKind};
use quiver_engine::{EngineError, Statement, StatementContext, Transaction};
use quiver_proto::Purpose;
use uuid::Uuid;

use super::call::Call;
use crate::status::{Classify, Failure};

impl Call {
    /// `BeginTransaction`.
    pub(crate) async fn begin_transaction(&self) -> Result<Bytes, Failure> {
        let transaction = self.new_transaction(BegunBy::Protocol).await?;
        Ok(self.sign(Purpose::Transaction, transaction.id(), i64::MAX))
    }

    async fn new_transaction(&self, begun_by: BegunBy) -> Result<Arc<Transaction>, Failure> {
        let session_id = self.caller.session_id;
        let marks = &self.shared.session_transactions;
        marks
            .begin(session_id, self.caller.tenant.id, begun_by)
            .await
            .map_err(|error| error.failure())?;
        let begun =
            self.shared
                .engine
                .begin_transaction(&self.tenant, self.caller.user.id, session_id);
        let begun = begun.map_err(|error| {
            self.note_end(session_id);
            error.failure()
        })?;
        // Again: the end of another one may have come between, and seen none.
        marks
            .begin(session_id, self.caller.tenant.id, begun_by)
            .await
            .map_err(|error| error.failure())?;
        Ok(begun)
    }

    /// `EndTransaction`. Rolling back is always fine, also after the transaction is gone.
    pub(crate) async fn end_transaction(&self, handle: &[u8], commit: bool) -> Result<(), Failure> {
        let claims = self.verify(handle, Purpose::Transaction, "transaction")?;
        let id = Uuid::from_bytes(claims.id);
        self.end(id, self.caller.session_id, commit).await
    }

    /// Ends a transaction. One that is over already has nothing that a commit could keep: its
    /// client has to say that it gives its part up.
    async fn end(&self, id: Uuid, session_id: Uuid, commit: bool) -> Result<(), Failure> {
        let transaction = self.tenant.transaction(id);
        // A client whose commit is refused still sends what it takes for parts of the transaction.
        if transaction.is_some() || !commit {
            self.tenant.forget_expired(id);
        }
        let session_id = transaction.as_ref().map_or(session_id, |t| t.session_id());
        let outcome = match (transaction, commit) {
            (Some(transaction), true) => match transaction.commit().await {
                // Somebody else was a moment faster to ask for it.
                Err(EngineError::Conflict { .. }) if self.tenant.has_committed(id).await => {
                    return Err(Self::transaction_committed());
                }
                outcome => outcome.map_err(|error| error.failure()),
            },
            (Some(transaction), false) => {
                transaction.rollback().await;
                Ok(())
            }
            (None, true) if self.tenant.has_committed(id).await => {
                return Err(Self::transaction_committed());
            }
            (None, true) => return Err(Self::transaction_over()),
            (None, false) => Ok(()),
        };
        self.note_end(session_id);
        outcome
    }

    fn note_end(&self, session_id: Uuid) {
        let has_expired = self.tenant.has_expired_transaction(session_id);
        if !has_expired && self.tenant.session_transactions(session_id).is_empty() {
            self.shared.session_transactions.ended(session_id);
        }
    }

    /// The surroundings of a statement that names the transaction `handle`.
    pub(crate) fn statement_context(
        &self,
        statement: &Statement,
        handle: Option<&[u8]>,
    ) -> Result<StatementContext, Failure> {
        let transaction = match ends_or_begins(statement) {
            true => None,
            false => self.transaction_of(handle)?,
        };
        Ok(self.context(transaction))
    }

    /// The transaction that a statement belongs to: the one it names, or the one its session began
    /// in SQL.
    pub(crate) fn transaction_of(
        &self,
        handle: Option<&[u8]>,
    ) -> Result<Option<Arc<Transaction>>, Failure> {
        match handle.filter(|handle| !handle.is_empty()) {
            Some(handle) => self.named_transaction(handle).map(Some),
            None => self.sql_transaction(),
        }
    }

    /// The open transaction of an id.
    pub(crate) fn named_transaction(&self, handle: &[u8]) -> Result<Arc<Transaction>, Failure> {
        let claims = self.verify(handle, Purpose::Transaction, "transaction")?;
        self.transaction_by_id(Uuid::from_bytes(claims.id))
    }

    /// The transaction that a prepared statement runs in: the one that it was prepared in, or, once
    /// its client has ended that one, the session's open one. Drivers keep statements over the end
    /// of a transaction and mean the next.
    pub(crate) fn transaction_of_prepared(
        &self,
        statement: &Statement,
        handle: Option<&[u8]>,
    ) -> Result<Option<Arc<Transaction>>, Failure> {
        if ends_or_begins(statement) {
            return Ok(None);
        }
        let Some(handle) = handle.filter(|handle| !handle.is_empty()) else {
            return self.sql_transaction();
        };
        let claims = self.verify(handle, Purpose::Transaction, "transaction")?;
        match self.tenant.transaction(Uuid::from_bytes(claims.id)) {
            Some(open) => Ok(Some(open)),
            None if self.caller.session_is_new => Err(Self::transaction_over()),
            None => self.transaction_of_ingest(None),
        }
    }

    /// The transaction that an ingest belongs to. Drivers send no id with it, so without one it
    /// joins the session's single open transaction.
    pub(crate) fn transaction_of_ingest(
        &self,
        handle: Option<&[u8]>,
    ) -> Result<Option<Arc<Transaction>>, Failure> {
        if handle.is_some_and(|handle| !handle.is_empty()) {
            return self.transaction_of(handle);
        }
        let Some(session_id) = self.caller.presented_session() else {
            return Ok(None);
        };
        if self.lost_transaction.is_some() || self.tenant.has_expired_transaction(session_id) {
            return Err(Self::transaction_over());
        }
        let mut open = self.tenant.session_transactions(session_id);
        match open.len() {
            0 | 1 => Ok(open.pop()),
            count => Err(Failure::new(
                ErrorKind::Precondition,
                format!("the session has {count} open transactions: name one in the ingest"),
            )),
        }
    }

    /// An open transaction of this tenant.
    pub(crate) fn transaction_by_id(&self, id: Uuid) -> Result<Arc<Transaction>, Failure> {
        self.tenant
            .transaction(id)
            .ok_or_else(Self::transaction_over)
    }

    fn transaction_over() -> Failure {
        let message = "the transaction is over, has expired, or ended with the server: roll it \
                       back and begin again";
        Failure::new(ErrorKind::Conflict, message)
    }

    /// For a client that did not get the answer: it can tell this from a commit that failed.
    fn transaction_committed() -> Failure {
        let message = "the transaction has committed already: there is nothing left to do";
        Failure::new(ErrorKind::Precondition, message)
    }

    fn sql_transaction(&self) -> Result<Option<Arc<Transaction>>, Failure> {
        let Some(session_id) = self.caller.presented_session() else {
            return Ok(None);
        };
        if self.lost_transaction == Some(BegunBy::Sql) {
            return Err(Self::transaction_over());
        }
        let id = self.shared.session_transactions.sql(session_id);
        id.map(|id| self.transaction_by_id(id)).transpose()
    }

    /// SQL `BEGIN`.
    pub(crate) async fn sql_begin(&self, protocol: Option<&[u8]>) -> Result<(), Failure> {
        let inside = protocol.is_some_and(|handle| !handle.is_empty());
        if inside || self.sql_transaction().is_ok_and(|open| open.is_some()) {
            let message = "a transaction is open already: commit it or roll it back first";
            return Err(Failure::new(ErrorKind::Precondition, message));
        }
        let Some(session_id) = self.caller.presented_session() else {
            let message = "BEGIN needs a session: log in by Handshake, or send back the bearer token \
                           of an earlier response";
            return Err(Failure::new(ErrorKind::Precondition, message));
        };
        let id = self.new_transaction(BegunBy::Sql).await?.id();
        self.shared.session_transactions.set_sql(session_id, id);
        Ok(())
    }

    /// SQL `COMMIT` and `ROLLBACK`.
    pub(crate) async fn sql_end(&self, commit: bool) -> Result<(), Failure> {
        let nothing_begun = Failure::new(
            ErrorKind::Precondition,
            "no transaction was begun by SQL in this session",
        );
        let Some(session_id) = self.caller.presented_session() else {
            return Err(nothing_begun);
        };
        let sessions = &self.shared.session_transactions;
        match (sessions.sql(session_id), self.lost_transaction) {
            (Some(id), _) if !commit || self.tenant.transaction(id).is_some() => {
                sessions.take_sql(session_id);
                self.end(id, session_id, commit).await
            }
            (Some(_), _) => Err(Self::transaction_over()),
            (None, Some(BegunBy::Sql)) if commit => Err(Self::transaction_over()),
            (None, Some(BegunBy::Sql)) => {
                sessions.ended(session_id);
                Ok(())
            }
            (None, _) => Err(nothing_begun),
        }
    }

    /// Rolls back what the session left open; whether there was anything.
    pub(crate) async fn close_session_transactions(&self) -> bool {
        let Some(session_id) = self.caller.presented_session() else {
            return false;
        };
        self.shared.session_transactions.take_sql(session_id);
        self.tenant.forget_session(session_id);
        let open = self.tenant.session_transactions(session_id);
        for transaction in &open {
            transaction.rollback().await;
        }
        self.shared.session_transactions.ended(session_id);
        !open.is_empty() || self.lost_transaction.is_some()
    }
}

/// Whether it is BEGIN, COMMIT or ROLLBACK: those run in no transaction.
fn ends_or_begins(statement: &Statement) -> bool {
    use Statement::{Begin, Commit, Rollback};
    matches!(statement, Begin | Commit | Rollback)
}
