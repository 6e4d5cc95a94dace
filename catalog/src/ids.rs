//! The ids of everything a catalog names.
//!
//! Ids are never used again within their scope: tenants and users in the control catalog, all
//! others in their tenant's catalog. Code and logs carry ids; names are only for people and may
//! change.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A tenant of this node.
    TenantId(u64)
);
id!(
    /// A user; belongs to one tenant.
    UserId(u64)
);
id!(
    /// A schema of a tenant.
    SchemaId(i64)
);
id!(
    /// A table of a tenant.
    TableId(i64)
);
id!(
    /// A column of a table, at any depth of nesting; equals the Parquet field id.
    ColumnId(i64)
);
id!(
    /// A segment (`data_file_id` in DuckLake's words).
    SegmentId(i64)
);
id!(
    /// A committed state of a tenant's catalog.
    SnapshotId(i64)
);

/// The one place of this crate that draws random ids.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the helper that all others use"
)]
pub(crate) fn random_uuid() -> Uuid {
    Uuid::new_v4()
}
