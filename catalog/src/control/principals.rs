//! Tenants and users as values.

use std::fmt;

use crate::ids::{TenantId, UserId};

/// A tenant of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Never used again.
    pub id: TenantId,
    /// Name, unique without regard to case among the tenants that are not dropped.
    pub name: String,
    /// Its folder below `tenants/`; fixed when it was created and never used by another tenant.
    pub directory: String,
    /// When it was created, in microseconds since 1970.
    pub created_micros: i64,
}

/// A user of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Never used again.
    pub id: UserId,
    /// The tenant it belongs to.
    pub tenant_id: TenantId,
    /// Name, unique in its tenant without regard to case.
    pub name: String,
    /// Whether it may administer the node: tenants and the users of all of them.
    pub node_admin: bool,
    /// Counts its passwords: what was granted for an earlier one is void.
    pub password_version: u64,
    /// When it was created, in microseconds since 1970.
    pub created_micros: i64,
}

/// A user that is to be created.
#[derive(Clone)]
pub struct NewUser {
    /// The tenant it will belong to.
    pub tenant_id: TenantId,
    /// Its name: letters, digits, `_`, `.` and `-`.
    pub name: String,
    /// Its password; only a hash of it is kept.
    pub password: String,
    /// Whether it may administer the node.
    pub node_admin: bool,
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tenant_id,
            name,
            node_admin,
            password: _,
        } = self;
        f.debug_struct("NewUser")
            .field("tenant_id", tenant_id)
            .field("name", name)
            .field("node_admin", node_admin)
            .finish_non_exhaustive()
    }
}
