//! One call: who makes it, for which tenant, under which query id.

use std::sync::Arc;

use http::{Extensions, HeaderMap};
use quiver_catalog::{BegunBy, ErrorKind};
use quiver_engine::{Progress, StatementContext, Tenant, Transaction};
use quiver_proto::headers;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};
use uuid::Uuid;

use crate::admission::CallSlot;
use crate::auth::{AuthError, TenantContext, random};
use crate::shared::{Shared, place};
use crate::status::{Failure, IntoStatus, insert_query_id};
use crate::stop::Deadline;
use crate::system_tables::ServerTables;

/// An authenticated call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caller: TenantContext,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) query_id: Uuid,
    /// How the caller's session began the transaction that it lost with an earlier run of the
    /// server: what he takes for a part of it must not commit by itself.
    pub(super) lost_transaction: Option<BegunBy>,
    headers: HeaderMap,
    /// When the client gives up.
    deadline: Option<Deadline>,
    slot: Option<CallSlot>,
    /// Where statements tell how far they are.
    progress: Option<Arc<Progress>>,
    span: tracing::Span,
}

impl Call {
    /// Opens the tenant of a caller who was let in by [`crate::login`].
    pub(crate) async fn begin(
        shared: &Arc<Shared>,
        metadata: &MetadataMap,
        extensions: &Extensions,
    ) -> Result<Self, Status> {
        let query_id = random::uuid();
        let headers: HeaderMap = metadata.as_ref().clone();
        let caller: TenantContext = extensions
            .get()
            .cloned()
            .ok_or_else(|| AuthError::Missing.into_status(Some(query_id)))?;
        let tenant = shared
            .engine
            .tenant(&place(&caller.tenant))
            .await
            .map_err(|error| error.into_status(Some(query_id)))?;
        let lost_transaction = caller
            .presented_session()
            .and_then(|session_id| shared.session_transactions.lost(session_id));
        let span = tracing::info_span!(
            "flight.call",
            request_id = %query_id,
            tenant_id = caller.tenant.id.0,
            user_id = caller.user.id.0
        );
        Ok(Self {
            shared: Arc::clone(shared),
            caller,
            tenant,
            query_id,
            lost_transaction,
            headers,
            deadline: extensions.get().copied(),
            slot: extensions.get().cloned(),
            progress: None,
            span,
        })
    }

    /// When its client gives up, if it said so.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// The same for work that goes on when the call has ended, and tells how far it is.
    pub(crate) fn in_background(&self, progress: Arc<Progress>) -> Self {
        Self {
            deadline: None,
            progress: Some(progress),
            ..self.clone()
        }
    }

    /// Its place among the calls that are served.
    pub(crate) fn slot(&self) -> Option<&CallSlot> {
        self.slot.as_ref()
    }

    /// The span that the call's log lines belong to.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// The error answer of this call.
    pub(crate) fn fail(&self, error: impl IntoStatus) -> Status {
        error.into_status(Some(self.query_id))
    }

    /// An answer with the call's headers.
    pub(crate) fn respond<T>(&self, body: T) -> Response<T> {
        let mut response = Response::new(body);
        insert_query_id(response.metadata_mut(), Some(self.query_id));
        self.caller.insert_token(response.metadata_mut());
        response
    }

    /// The single value of a request header.
    pub(crate) fn header(&self, name: &'static str) -> Result<Option<String>, Failure> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.any(|other| other != value) {
            return Err(Failure::invalid(format!(
                "header {name} came with several values; clear it before you set it again"
            )));
        }
        match value.to_str() {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(Failure::invalid(format!(
                "header {name} is not plain ASCII text"
            ))),
        }
    }

    /// Whether a header says `true`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, Failure> {
        match self.header(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(Failure::invalid(format!(
                "header {name} is either true or false"
            ))),
        }
    }

    /// Makes an ingest safe to repeat.
    pub(crate) fn idempotency_key(&self) -> Result<Option<String>, Failure> {
        self.header(headers::IDEMPOTENCY_KEY)
    }

    /// Where a statement of this call runs.
    pub(crate) fn context(&self, transaction: Option<Arc<Transaction>>) -> StatementContext {
        let options = self.shared.sessions.options(&self.caller);
        self.context_in(options.schema, transaction)
    }

    /// The same with a schema that was current when the statement was prepared.
    pub(crate) fn context_in(
        &self,
        default_schema: String,
        transaction: Option<Arc<Transaction>>,
    ) -> StatementContext {
        StatementContext {
            engine: self.shared.engine.clone(),
            tenant: Arc::clone(&self.tenant),
            tenant_name: self.caller.tenant.name.clone(),
            user_id: self.caller.user.id,
            default_schema,
            transaction,
            system_tables: Arc::new(ServerTables::new(Arc::clone(&self.shared), &self.caller)),
            progress: self.progress.clone(),
        }
    }

    /// A handle of another tenant or user is no handle at all.
    pub(crate) fn not_found(what: &str) -> Failure {
        Failure::new(
            ErrorKind::NotFound,
            format!("no such {what}; ask for a new one"),
        )
    }
}
