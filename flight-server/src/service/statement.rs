//! Statements between GetFlightInfo and DoGet: small records behind signed tickets.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::sql::parser::Statement as DfStatement;
use parking_lot::Mutex;
use quiver_catalog::{ErrorKind, TenantId, UserId};
use quiver_proto::{Claims, Purpose};
use uuid::Uuid;

use super::call::Call;
use crate::auth::random;
use crate::status::Failure;

/// Statements that wait for their DoGet, over all tenants.
const RECORDS_MAX: usize = 100_000;

/// What a ticket stands for.
#[derive(Debug, Clone)]
pub(crate) struct StatementRecord {
    pub(crate) source: RowSource,
    /// What GetFlightInfo promised.
    pub(crate) schema: SchemaRef,
    /// For `system.queries`: without passwords.
    pub(crate) text: String,
    pub(crate) default_schema: String,
    pub(crate) transaction_id: Option<Uuid>,
}

/// Where the rows come from.
#[derive(Debug, Clone)]
pub(crate) enum RowSource {
    /// A query, executed at DoGet.
    Query {
        /// The statement.
        query: Arc<DfStatement>,
        /// One row of parameters.
        parameters: Option<RecordBatch>,
    },
    /// The result of a CALL that was executed already.
    Rows(RecordBatch),
}

#[derive(Debug)]
struct Kept {
    tenant_id: TenantId,
    user_id: UserId,
    expires_at_micros: i64,
    record: StatementRecord,
}

/// All statements that wait for their DoGet.
#[derive(Debug, Default)]
pub(crate) struct StatementRecords {
    kept: Mutex<HashMap<Uuid, Kept>>,
}

impl Call {
    /// Keeps a record and returns its ticket.
    pub(crate) fn keep_statement(&self, record: StatementRecord) -> Result<Bytes, Failure> {
        let ttl_ms = self.shared.settings.session.statement_ttl_ms;
        let now = self.shared.clock.now_micros();
        let expires_at_micros = now + ttl_ms as i64 * 1000;
        let id = random::uuid();
        let kept = Kept {
            tenant_id: self.caller.tenant.id,
            user_id: self.caller.user.id,
            expires_at_micros,
            record,
        };
        let mut records = self.shared.statements.kept.lock();
        if records.len() >= RECORDS_MAX {
            records.retain(|_, kept| kept.expires_at_micros > now);
        }
        if records.len() >= RECORDS_MAX {
            return Err(Failure::new(
                ErrorKind::Overloaded,
                format!("{RECORDS_MAX} statements wait for their DoGet; fetch or wait"),
            ));
        }
        records.insert(id, kept);
        drop(records);
        Ok(self.sign(Purpose::Statement, id, expires_at_micros))
    }

    /// The record behind a ticket of this user; valid until it expires, from any connection.
    pub(crate) fn statement(&self, handle: &[u8]) -> Result<StatementRecord, Failure> {
        let claims = self.verify(handle, Purpose::Statement, "ticket")?;
        let now = self.shared.clock.now_micros();
        let expired = || {
            Failure::new(
                ErrorKind::Precondition,
                "the ticket has expired; execute the statement again",
            )
        };
        if claims.expires_at_micros <= now {
            return Err(expired());
        }
        let records = self.shared.statements.kept.lock();
        let kept = records
            .get(&Uuid::from_bytes(claims.id))
            .ok_or_else(expired)?;
        let own = kept.tenant_id == self.caller.tenant.id && kept.user_id == self.caller.user.id;
        assert!(own, "a verified ticket belongs to its caller");
        Ok(kept.record.clone())
    }

    /// Signs a handle for this caller.
    pub(crate) fn sign(&self, purpose: Purpose, id: Uuid, expires_at_micros: i64) -> Bytes {
        self.shared.auth.signer().sign(&Claims {
            purpose,
            tenant_id: self.caller.tenant.id.0,
            user_id: self.caller.user.id.0,
            id: *id.as_bytes(),
            expires_at_micros,
        })
    }

    /// Checks that a handle was signed for this caller; forged and foreign ones answer the same.
    pub(crate) fn verify(
        &self,
        handle: &[u8],
        purpose: Purpose,
        what: &str,
    ) -> Result<Claims, Failure> {
        let claims = self.shared.auth.signer().verify(handle, purpose).ok();
        claims
            .filter(|claims| {
                claims.tenant_id == self.caller.tenant.id.0
                    && claims.user_id == self.caller.user.id.0
            })
            .ok_or_else(|| Self::not_found(what))
    }
}
