//! Statements between GetFlightInfo and DoGet: small records behind signed tickets.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use quiver_catalog::ErrorKind;
use quiver_engine::{StatementText, slice_bytes};
use quiver_proto::{Claims, Purpose};
use uuid::Uuid;

use super::call::Call;
use super::endpoint::Endpoint;
use super::handles::{Handles, Keepable};
use crate::auth::random;
use crate::status::Failure;

/// What a record takes beside its texts and rows.
const HEAD_BYTES: usize = 512;
/// What a field of a schema takes beside its name.
const FIELD_BYTES: usize = 160;

/// What a ticket stands for.
#[derive(Debug, Clone)]
pub(crate) struct StatementRecord {
    pub(crate) source: RowSource,
    /// What GetFlightInfo promised.
    pub(crate) schema: SchemaRef,
    /// For `system.queries`: without passwords.
    pub(crate) text: Arc<str>,
    pub(crate) default_schema: String,
    pub(crate) transaction_id: Option<Uuid>,
}

/// Where the rows come from.
#[derive(Debug, Clone)]
pub(crate) enum RowSource {
    /// A query, executed at DoGet.
    Query {
        /// Parsed again when it is forgotten: a syntax tree takes some fifty times its text.
        text: StatementText,
        /// One row of parameters.
        parameters: Option<RecordBatch>,
    },
    /// The result of a CALL that was executed already.
    Rows(RecordBatch),
}

/// All statements that wait for their DoGet.
pub(crate) type StatementRecords = Handles<StatementRecord>;

impl Keepable for StatementRecord {
    fn kept_bytes(&self) -> usize {
        let source = match &self.source {
            RowSource::Query { text, parameters } => text.bytes() + rows_bytes(parameters),
            RowSource::Rows(rows) => slice_bytes(rows),
        };
        HEAD_BYTES + source + self.text.len() + schema_bytes(&self.schema)
    }
}

/// What bound parameters take in memory.
pub(crate) fn rows_bytes(rows: &Option<RecordBatch>) -> usize {
    rows.as_ref().map_or(0, slice_bytes)
}

/// What a schema takes in memory, roughly.
pub(crate) fn schema_bytes(schema: &SchemaRef) -> usize {
    let field = |field: &arrow::datatypes::FieldRef| FIELD_BYTES + field.name().len();
    HEAD_BYTES + schema.fields().iter().map(field).sum::<usize>()
}

impl Call {
    /// Keeps a record and returns where it is fetched.
    pub(crate) fn keep_statement(&self, record: StatementRecord) -> Result<Endpoint, Failure> {
        let ttl_ms = self.shared.settings.session.statement_ttl_ms;
        let expires_at_micros = self.shared.clock.now_micros() + ttl_ms as i64 * 1000;
        let id = random::uuid();
        let tenant_id = self.caller.tenant.id;
        self.shared
            .statements
            .insert(tenant_id, id, record, expires_at_micros)?;
        Ok(Endpoint {
            handle: self.sign(Purpose::Statement, id, expires_at_micros),
            expires_at_micros: None,
        })
    }

    /// What a ticket of this user says, be it still valid or not.
    pub(crate) fn verify_ticket(&self, handle: &[u8]) -> Result<Claims, Failure> {
        let shared_out = self.verify(handle, Purpose::Lease, "ticket");
        shared_out.or_else(|_| self.verify(handle, Purpose::Statement, "ticket"))
    }

    /// The record behind a ticket of this user; valid until it expires, from any connection.
    pub(crate) fn statement(&self, id: Uuid) -> Result<StatementRecord, Failure> {
        let record = self.shared.statements.use_up(self.caller.tenant.id, id);
        record.ok_or_else(Self::expired)
    }

    /// A ticket whose time has come.
    pub(crate) fn expired() -> Failure {
        Failure::new(
            ErrorKind::Precondition,
            "the ticket has expired or was cancelled; execute the statement again",
        )
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
