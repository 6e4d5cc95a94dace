//! What every call of the server shares.

use std::sync::Arc;

use quiver_catalog::{Clock, ControlCatalog};
use quiver_engine::{Engine, TenantPlace};

use crate::auth::Authenticator;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::queries::Queries;
use crate::service::{
    PolledStatements, PreparedStatements, RunningStatements, Shares, StatementRecords,
};
use crate::session_transactions::SessionTransactions;
use crate::sessions::Sessions;

/// The parts of a running server.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) control: Arc<ControlCatalog>,
    pub(crate) engine: Engine,
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) sessions: Sessions,
    pub(crate) statements: StatementRecords,
    pub(crate) shares: Shares,
    pub(crate) prepared: PreparedStatements,
    pub(crate) polls: PolledStatements,
    pub(crate) running: Arc<RunningStatements>,
    pub(crate) session_transactions: SessionTransactions,
    pub(crate) queries: Arc<Queries>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Where the engine finds a tenant of the control catalog.
pub(crate) fn place(tenant: &quiver_catalog::Tenant) -> TenantPlace {
    TenantPlace {
        id: tenant.id,
        directory: tenant.directory.clone(),
    }
}
