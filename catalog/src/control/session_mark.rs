//! The mark of a session that has begun a transaction.

use uuid::Uuid;

use crate::ids::TenantId;

/// How a transaction was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BegunBy {
    /// The Flight SQL action `BeginTransaction`: statements name it, ingests may not.
    Protocol,
    /// SQL `BEGIN`: whatever the session does belongs to it.
    Sql,
}

/// That a session has begun a transaction, and may not have ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionMark {
    /// The session.
    pub session_id: Uuid,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// How it began the transaction.
    pub begun_by: BegunBy,
}
