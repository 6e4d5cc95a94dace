//! DoAction.

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest,
    ActionEndTransactionRequest, Any, EndTransaction, ProstMessageExt,
};
use arrow_flight::{Action, ActionType, CancelFlightInfoResult};
use bytes::Bytes;
use prost::Message;
use quiver_catalog::ErrorKind;
use quiver_proto::{
    CloseSessionRequest, GetSessionOptionsRequest, SessionOptionValue, SetSessionOptionsRequest,
};

use super::call::Call;
use crate::sessions::SessionNames;
use crate::status::{Classify, Failure};

const TYPES: [(&str, &str); 13] = [
    (
        "CreatePreparedStatement",
        "Prepares a statement; answers its handle and schemas",
    ),
    (
        "CreatePreparedSubstraitPlan",
        "Prepares a Substrait plan; answers its handle and schemas",
    ),
    ("ClosePreparedStatement", "Closes a prepared statement"),
    ("BeginTransaction", "Begins a transaction; answers its id"),
    ("EndTransaction", "Commits a transaction or rolls it back"),
    (
        "BeginSavepoint",
        "Sets a savepoint in a transaction; answers its id",
    ),
    (
        "EndSavepoint",
        "Goes back to a savepoint, which stays, or releases it",
    ),
    (
        "CancelFlightInfo",
        "Cancels a query by its tickets and the streams that read it",
    ),
    (
        "RenewFlightEndpoint",
        "Lets an endpoint that expires be fetched for longer",
    ),
    (
        "SetSessionOptions",
        "Sets session options `catalog` and `schema`",
    ),
    ("GetSessionOptions", "Answers the session options in force"),
    (
        "CloseSession",
        "Closes the session and rolls back what it left open",
    ),
    ("CancelQuery", "As CancelFlightInfo"),
];

/// `EndSavepoint.RELEASE` and `EndSavepoint.ROLLBACK` of the protocol, which arrow-flight keeps to
/// itself.
const RELEASE_SAVEPOINT: i32 = 1;
const ROLL_BACK_TO_SAVEPOINT: i32 = 2;

/// What ListActions answers.
pub(crate) fn action_types() -> Vec<ActionType> {
    let action = |(name, description): (&str, &str)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    };
    TYPES.into_iter().map(action).collect()
}

impl Call {
    /// Executes an action; answers zero or one result body.
    pub(crate) async fn action(&self, action: Action) -> Result<Option<Bytes>, Failure> {
        let body = &action.body;
        match action.r#type.as_str() {
            "CreatePreparedStatement" => {
                let request: ActionCreatePreparedStatementRequest = unpack(body)?;
                let parsed = self.parse(&request.query)?;
                let result = self.prepare(parsed, request.transaction_id).await?;
                Ok(Some(result.to_any_bytes()))
            }
            "CreatePreparedSubstraitPlan" => {
                let request: ActionCreatePreparedSubstraitPlanRequest = unpack(body)?;
                let plan = request.plan.unwrap_or_default();
                let parsed = self.parse_plan(&plan.plan)?;
                let result = self.prepare(parsed, request.transaction_id).await?;
                Ok(Some(result.to_any_bytes()))
            }
            "ClosePreparedStatement" => {
                let request: ActionClosePreparedStatementRequest = unpack(body)?;
                self.close_prepared(&request.prepared_statement_handle)?;
                Ok(None)
            }
            "BeginTransaction" => {
                let _request: ActionBeginTransactionRequest = unpack(body)?;
                let transaction_id = self.begin_transaction().await?;
                let result = ActionBeginTransactionResult { transaction_id };
                Ok(Some(result.as_any().encode_to_vec().into()))
            }
            "EndTransaction" => {
                let request: ActionEndTransactionRequest = unpack(body)?;
                let commit = match request.action() {
                    EndTransaction::Commit => true,
                    EndTransaction::Rollback => false,
                    EndTransaction::Unspecified => {
                        return Err(Failure::invalid(
                            "EndTransaction says neither COMMIT nor ROLLBACK",
                        ));
                    }
                };
                self.end_transaction(&request.transaction_id, commit)
                    .await?;
                Ok(None)
            }
            "BeginSavepoint" => {
                let request: ActionBeginSavepointRequest = unpack(body)?;
                let savepoint_id = self
                    .begin_savepoint(&request.transaction_id, &request.name)
                    .await?;
                let result = ActionBeginSavepointResult { savepoint_id };
                Ok(Some(result.as_any().encode_to_vec().into()))
            }
            "EndSavepoint" => {
                let request: ActionEndSavepointRequest = unpack(body)?;
                let release = match request.action {
                    RELEASE_SAVEPOINT => true,
                    ROLL_BACK_TO_SAVEPOINT => false,
                    _ => {
                        return Err(Failure::invalid(
                            "EndSavepoint says neither RELEASE nor ROLLBACK",
                        ));
                    }
                };
                self.end_savepoint(&request.savepoint_id, release).await?;
                Ok(None)
            }
            "CancelFlightInfo" => {
                let result = CancelFlightInfoResult::new(self.cancel_flight_info(body)?);
                Ok(Some(result.encode_to_vec().into()))
            }
            "RenewFlightEndpoint" => Ok(Some(self.renew_endpoint(body)?.encode_to_vec().into())),
            "CancelQuery" => {
                let request: ActionCancelQueryRequest = unpack(body)?;
                let result = ActionCancelQueryResult {
                    // Both enumerations have the same numbers.
                    result: self.cancel_query(&request.info)?.into(),
                };
                Ok(Some(result.as_any().encode_to_vec().into()))
            }
            "SetSessionOptions" | "GetSessionOptions" | "CloseSession" => {
                self.session_action(&action).await.map(Some)
            }
            name => Err(Failure::new(
                ErrorKind::Unsupported,
                format!("action '{name}' is not supported; ListActions names those that are"),
            )),
        }
    }

    async fn session_action(&self, action: &Action) -> Result<Bytes, Failure> {
        let sessions = &self.shared.sessions;
        match action.r#type.as_str() {
            "SetSessionOptions" => {
                let request: SetSessionOptionsRequest = decode(&action.body)?;
                let result = sessions.set(&self.caller, &request, &self.session_names());
                Ok(result
                    .map_err(|error| error.failure())?
                    .encode_to_vec()
                    .into())
            }
            "GetSessionOptions" => {
                let _request: GetSessionOptionsRequest = decode(&action.body)?;
                Ok(sessions.get(&self.caller).encode_to_vec().into())
            }
            _ => {
                let _request: CloseSessionRequest = decode(&action.body)?;
                let closed_more = self.close_session_transactions().await;
                let result = sessions.close(&self.caller, closed_more);
                Ok(result
                    .map_err(|error| error.failure())?
                    .encode_to_vec()
                    .into())
            }
        }
    }

    fn session_names(&self) -> TenantNames<'_> {
        TenantNames { call: self }
    }

    /// SQL `SET` and `RESET`: the options of the session.
    pub(crate) async fn set_option(&self, name: &str, value: Option<&str>) -> Result<(), Failure> {
        let option = match name {
            "schema" | "search_path" | "current_schema" => "schema",
            "catalog" => "catalog",
            _ => {
                return Err(Failure::invalid(format!(
                    "there is no setting '{name}': a session has schema and catalog"
                )));
            }
        };
        if self.caller.presented_session().is_none() {
            let message = "SET needs a session: log in by Handshake, or send back the bearer token of \
                           an earlier response";
            return Err(Failure::new(ErrorKind::Precondition, message));
        }
        let value = value.map_or_else(SessionOptionValue::default, SessionOptionValue::from);
        let request = SetSessionOptionsRequest {
            session_options: [(option.to_owned(), value)].into_iter().collect(),
        };
        let result = self
            .shared
            .sessions
            .set(&self.caller, &request, &self.session_names());
        match result.map_err(|error| error.failure())?.errors.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(
                ErrorKind::NotFound,
                format!("{option} of SET not found"),
            )),
        }
    }
}

struct TenantNames<'a> {
    call: &'a Call,
}

impl SessionNames for TenantNames<'_> {
    fn catalog(&self, name: &str) -> Option<String> {
        let own = &self.call.caller.tenant.name;
        own.eq_ignore_ascii_case(name).then(|| own.clone())
    }

    fn schema(&self, name: &str) -> Option<String> {
        let catalog = self.call.tenant.catalog_version();
        catalog.schema(name).map(|schema| schema.name.clone())
    }
}

/// Flight SQL actions come in an Any.
fn unpack<M: ProstMessageExt + Default>(body: &Bytes) -> Result<M, Failure> {
    let malformed = || {
        let name = M::type_url().rsplit('.').next().unwrap_or_default();
        Failure::invalid(format!("the body of the action is no {name}"))
    };
    let any = Any::decode(&**body).map_err(|_| malformed())?;
    any.unpack::<M>().ok().flatten().ok_or_else(malformed)
}

/// Session actions come as plain messages.
fn decode<M: Message + Default>(body: &Bytes) -> Result<M, Failure> {
    M::decode(&**body).map_err(|_| Failure::invalid("the body of the action cannot be decoded"))
}
