//! Transactions of the protocol and of SQL, by signed ids and by session.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use quiver_catalog::ErrorKind;
use quiver_engine::Transaction;
use quiver_proto::Purpose;
use uuid::Uuid;

use super::call::Call;
use crate::status::{Classify, Failure};

/// Transactions that were begun by SQL: one per session at most.
#[derive(Debug, Default)]
pub(crate) struct SqlTransactions {
    by_session: Mutex<HashMap<Uuid, Uuid>>,
}

impl Call {
    /// `BeginTransaction`.
    pub(crate) fn begin_transaction(&self) -> Result<Bytes, Failure> {
        let transaction = self.new_transaction()?;
        Ok(self.sign(Purpose::Transaction, transaction.id(), i64::MAX))
    }

    fn new_transaction(&self) -> Result<Arc<Transaction>, Failure> {
        self.shared
            .engine
            .begin_transaction(&self.tenant, self.caller.user.id, self.caller.session_id)
            .map_err(|error| error.failure())
    }

    /// `EndTransaction`. Rolling back is always fine, also after the transaction is gone.
    pub(crate) async fn end_transaction(&self, handle: &[u8], commit: bool) -> Result<(), Failure> {
        let claims = self.verify(handle, Purpose::Transaction, "transaction")?;
        let transaction = self.tenant.transaction(Uuid::from_bytes(claims.id));
        self.tenant.forget_expired(Uuid::from_bytes(claims.id));
        match (transaction, commit) {
            (Some(transaction), true) => {
                transaction.commit().await.map_err(|error| error.failure())
            }
            (Some(transaction), false) => {
                transaction.rollback().await;
                Ok(())
            }
            (None, true) => Err(Self::transaction_over()),
            (None, false) => Ok(()),
        }
    }

    /// The transaction that a statement belongs to: the one it names, or the one its session began
    /// in SQL.
    pub(crate) fn transaction_of(
        &self,
        handle: Option<&[u8]>,
    ) -> Result<Option<Arc<Transaction>>, Failure> {
        match handle.filter(|handle| !handle.is_empty()) {
            Some(handle) => {
                let claims = self.verify(handle, Purpose::Transaction, "transaction")?;
                self.transaction_by_id(Uuid::from_bytes(claims.id))
                    .map(Some)
            }
            None => self.sql_transaction(),
        }
    }

    /// The transaction that a prepared statement runs in: the one that it was prepared in, or, once
    /// its client has ended that one, the session's open one. Drivers keep statements over the end
    /// of a transaction and mean the next.
    pub(crate) fn transaction_of_prepared(
        &self,
        handle: Option<&[u8]>,
    ) -> Result<Option<Arc<Transaction>>, Failure> {
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
        if self.tenant.has_expired_transaction(session_id) {
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
        let message = "the transaction is over or has expired: roll it back and begin again";
        Failure::new(ErrorKind::Conflict, message)
    }

    fn sql_transaction(&self) -> Result<Option<Arc<Transaction>>, Failure> {
        let Some(session_id) = self.caller.presented_session() else {
            return Ok(None);
        };
        let id = self
            .shared
            .sql_transactions
            .by_session
            .lock()
            .get(&session_id)
            .copied();
        id.map(|id| self.transaction_by_id(id)).transpose()
    }

    /// SQL `BEGIN`.
    pub(crate) fn sql_begin(&self, protocol: Option<&[u8]>) -> Result<(), Failure> {
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
        let id = self.new_transaction()?.id();
        self.shared
            .sql_transactions
            .by_session
            .lock()
            .insert(session_id, id);
        Ok(())
    }

    /// SQL `COMMIT` and `ROLLBACK`.
    pub(crate) async fn sql_end(&self, commit: bool) -> Result<(), Failure> {
        let session = self.caller.presented_session();
        let id = session.and_then(|session| {
            self.shared
                .sql_transactions
                .by_session
                .lock()
                .remove(&session)
        });
        let Some(id) = id else {
            let message = "no transaction was begun by SQL in this session";
            return Err(Failure::new(ErrorKind::Precondition, message));
        };
        match (self.tenant.transaction(id), commit) {
            (Some(transaction), true) => transaction.commit().await.map_err(|e| e.failure()),
            (Some(transaction), false) => {
                transaction.rollback().await;
                Ok(())
            }
            (None, true) => Err(Self::transaction_over()),
            (None, false) => Ok(()),
        }
    }

    /// Rolls back what the session left open; whether there was anything.
    pub(crate) async fn close_session_transactions(&self) -> bool {
        let Some(session_id) = self.caller.presented_session() else {
            return false;
        };
        self.shared
            .sql_transactions
            .by_session
            .lock()
            .remove(&session_id);
        self.tenant.forget_session(session_id);
        let open = self.tenant.session_transactions(session_id);
        for transaction in &open {
            transaction.rollback().await;
        }
        !open.is_empty()
    }
}
