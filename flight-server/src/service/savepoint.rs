//! Savepoints of the protocol and of SQL: how far back a part of a transaction can be undone.
//!
//! The id of a savepoint is that of its transaction with the savepoint's number behind it: whoever may
//! end the one may go back to the other.

use bytes::{BufMut, Bytes, BytesMut};
use quiver_catalog::ErrorKind;
use quiver_engine::{Savepoint, Statement, StatementContext};
use quiver_proto::HANDLE_BYTES;

use super::call::Call;
use crate::status::{Classify, Failure};

impl Call {
    /// `BeginSavepoint`.
    pub(crate) async fn begin_savepoint(
        &self,
        transaction_id: &[u8],
        name: &str,
    ) -> Result<Bytes, Failure> {
        let transaction = self.named_transaction(transaction_id)?;
        let number = transaction.set_savepoint(name).await;
        let number = number.map_err(|error| error.failure())?;
        let mut id = BytesMut::from(transaction_id);
        id.put_u64_le(number);
        Ok(id.freeze())
    }

    /// `EndSavepoint`: releases it, or goes back to it.
    pub(crate) async fn end_savepoint(&self, id: &[u8], release: bool) -> Result<(), Failure> {
        let no_such = || Failure::invalid("no such savepoint; BeginSavepoint answers its id");
        let (transaction_id, number) = id.split_at_checked(HANDLE_BYTES).ok_or_else(no_such)?;
        let number = u64::from_le_bytes(number.try_into().map_err(|_| no_such())?);
        let transaction = self.named_transaction(transaction_id)?;
        let savepoint = Savepoint::Numbered(number);
        let ended = match release {
            true => transaction.release_savepoint(savepoint).await,
            false => transaction.roll_back_to(savepoint).await,
        };
        ended.map_err(|error| error.failure())
    }

    /// SQL `SAVEPOINT`, `ROLLBACK TO` and `RELEASE`.
    pub(crate) async fn sql_savepoint(
        &self,
        statement: &Statement,
        context: &StatementContext,
    ) -> Result<(), Failure> {
        let Some(transaction) = &context.transaction else {
            let message = "a savepoint is in a transaction: send BEGIN first";
            return Err(Failure::new(ErrorKind::Precondition, message));
        };
        let done = match statement {
            Statement::Savepoint(name) => transaction.set_savepoint(name).await.map(drop),
            Statement::RollbackTo(name) => transaction.roll_back_to(Savepoint::Named(name)).await,
            Statement::ReleaseSavepoint(name) => {
                let savepoint = Savepoint::Named(name);
                transaction.release_savepoint(savepoint).await
            }
            _ => return Err(Failure::internal("no statement about a savepoint")),
        };
        done.map_err(|error| error.failure())
    }
}
