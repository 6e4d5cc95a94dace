//! Several endpoints for one query: each is a share of its rows, fetched on its own.
//!
//! Clients ask for them by a header, for many read the first endpoint alone and would take it for
//! the whole. All endpoints of a query belong to one read view, and each can be fetched again until
//! it expires: a task that failed elsewhere reads the same rows when it is repeated.

use std::sync::Arc;

use arrow_flight::sql::{Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightEndpoint, RenewFlightEndpointRequest, Ticket};
use bytes::Bytes;
use prost::Message;
use quiver_catalog::ErrorKind;
use quiver_engine::Transaction;
use quiver_proto::{Purpose, headers};

use super::call::Call;
use super::command::Request;
use super::execute::{Executed, Execution};
use super::statement::{RowSource, StatementRecord};
use crate::status::{Classify, Failure};

/// A ticket and, if it stands for rows that do not change, how long it does.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Signed handle of a statement record.
    pub(crate) handle: Bytes,
    pub(crate) expires_at_micros: Option<i64>,
}

impl Endpoint {
    pub(crate) fn to_flight(&self) -> FlightEndpoint {
        let ticket = TicketStatementQuery {
            statement_handle: self.handle.clone(),
        };
        FlightEndpoint {
            ticket: Some(Ticket {
                ticket: ticket.as_any().encode_to_vec().into(),
            }),
            expiration_time: self.expires_at_micros.map(timestamp),
            ..Default::default()
        }
    }
}

impl Call {
    /// Endpoints of a query whose rows are to be shared out; `None` where one is as good.
    pub(crate) async fn keep_shares(
        &self,
        execution: &Execution<'_>,
        text: &str,
    ) -> Result<Option<Executed>, Failure> {
        let wanted = self.endpoints_wanted()?;
        let (parsed, parameters) = (execution.parsed, execution.parameters.as_ref());
        let is_one_query = parameters.is_none_or(|rows| rows.num_rows() == 1);
        if wanted < 2 || !is_one_query {
            return Ok(None);
        }
        let leasing = async {
            let lease = execution.context.lease(parsed, parameters, wanted).await;
            lease.map_err(|error| error.failure())
        };
        let Some(lease) = self.statement_stop().bound(leasing).await? else {
            return Ok(None);
        };
        let record = |share| StatementRecord {
            source: RowSource::Share {
                lease: Arc::clone(&lease),
                share,
            },
            schema: Arc::clone(lease.schema()),
            text: text.into(),
            default_schema: execution.context.default_schema.clone(),
            transaction_id: execution
                .context
                .transaction
                .as_ref()
                .map(|transaction: &Arc<Transaction>| transaction.id()),
        };
        let mut endpoints = Vec::with_capacity(lease.share_count());
        for share in 0..lease.share_count() {
            match self.keep_statement(record(share)) {
                Ok(endpoint) => endpoints.push(endpoint),
                // One endpoint keeps nothing in memory.
                Err(failure) if failure.kind == ErrorKind::Overloaded => {
                    for endpoint in &endpoints {
                        self.forget_statement(endpoint)?;
                    }
                    return Ok(None);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(Some(Executed::Rows {
            endpoints,
            schema: Arc::clone(lease.schema()),
            row_count: None,
        }))
    }

    /// How many endpoints the client can make use of.
    fn endpoints_wanted(&self) -> Result<usize, Failure> {
        let name = headers::ENDPOINTS;
        let Some(text) = self.header(name)? else {
            return Ok(1);
        };
        let wanted: usize = text
            .trim()
            .parse()
            .ok()
            .filter(|wanted| *wanted > 0)
            .ok_or_else(|| Failure::invalid(format!("{name} is no whole number from 1")))?;
        Ok(wanted.min(self.shared.settings.query.endpoints_max))
    }

    /// `RenewFlightEndpoint`: the endpoint with a later end.
    pub(crate) fn renew_endpoint(&self, body: &Bytes) -> Result<FlightEndpoint, Failure> {
        let malformed =
            |_| Failure::invalid("the body of the action is no RenewFlightEndpointRequest");
        let request = RenewFlightEndpointRequest::decode(&**body).map_err(malformed)?;
        let ticket = request.endpoint.and_then(|endpoint| endpoint.ticket);
        let ticket = ticket.ok_or_else(|| {
            Failure::invalid("RenewFlightEndpoint names no endpoint with a ticket")
        })?;
        let Request::Command(command) = Request::of_bytes(&ticket.ticket)? else {
            return Err(not_renewable());
        };
        let Command::TicketStatementQuery(ticket) = *command else {
            return Err(not_renewable());
        };
        let claims = self.verify_ticket(&ticket.statement_handle)?;
        if claims.purpose != Purpose::Lease {
            return Err(not_renewable());
        }
        Ok(self.renew_statement(&claims)?.to_flight())
    }
}

fn not_renewable() -> Failure {
    Failure::new(
        ErrorKind::Precondition,
        "only an endpoint with an expiration time can be renewed: this one reads anew whenever it \
         is fetched; execute the statement again when it has expired",
    )
}

/// A time as the protocol has it.
pub(crate) fn timestamp(micros: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: (micros.rem_euclid(1_000_000) * 1000) as i32,
    }
}
