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
use quiver_engine::QueryLease;
use quiver_proto::{Claims, Purpose, headers};
use uuid::Uuid;

use super::call::Call;
use super::command::Request;
use super::execute::{Executed, Execution};
use super::handles::{Handles, Keepable};
use crate::auth::random;
use crate::status::{Classify, Failure};

/// What a share takes beside its part of the lease.
const HEAD_BYTES: usize = 256;

/// One share of a query whose rows are shared out.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) lease: Arc<QueryLease>,
    /// From 0.
    pub(crate) number: usize,
    /// For `system.queries`: without passwords.
    pub(crate) text: Arc<str>,
}

/// All of them. They have room of their own: however many there are, statements find theirs.
pub(crate) type Shares = Handles<Share>;

impl Keepable for Share {
    fn kept_bytes(&self) -> usize {
        HEAD_BYTES + self.text.len() + self.lease.bytes() / self.lease.share_count()
    }
}

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
        let endpoints = self.keep_lease(&lease, text);
        Ok(endpoints.map(|endpoints| Executed::Rows {
            endpoints,
            schema: Arc::clone(lease.schema()),
            row_count: None,
        }))
    }

    /// Keeps all shares of a lease; `None` when there is no room for them: one endpoint needs none.
    fn keep_lease(&self, lease: &Arc<QueryLease>, text: &str) -> Option<Vec<Endpoint>> {
        let (tenant_id, shares) = (self.caller.tenant.id, &self.shared.shares);
        let expires_at_micros = self.lease_end();
        let ids: Vec<_> = (0..lease.share_count()).map(|_| random::uuid()).collect();
        for (number, id) in ids.iter().enumerate() {
            let share = Share {
                lease: Arc::clone(lease),
                number,
                text: text.into(),
            };
            let kept = shares.insert(tenant_id, *id, share, expires_at_micros);
            if kept.is_err() {
                for id in ids {
                    shares.remove(tenant_id, id);
                }
                return None;
            }
        }
        let endpoints = ids
            .into_iter()
            .map(|id| self.endpoint(id, expires_at_micros));
        Some(endpoints.collect())
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
        let (id, expires_at_micros) = (Uuid::from_bytes(claims.id), self.lease_end());
        let shares = &self.shared.shares;
        match shares.renew(self.caller.tenant.id, id, expires_at_micros) {
            Some(_) => Ok(self.endpoint(id, expires_at_micros).to_flight()),
            None => Err(self.not_held(&claims)),
        }
    }

    /// The share behind a ticket of this user; valid until it expires, from any connection.
    pub(crate) fn share(&self, claims: &Claims) -> Result<Share, Failure> {
        let id = Uuid::from_bytes(claims.id);
        let share = self.shared.shares.get(self.caller.tenant.id, id);
        share.ok_or_else(|| self.not_held(claims))
    }

    fn not_held(&self, claims: &Claims) -> Failure {
        if claims.expires_at_micros <= self.shared.clock.now_micros() {
            return Self::expired();
        }
        Failure::new(
            ErrorKind::Conflict,
            "the rows of the endpoint are not held any more: it was cancelled, or the server started \
             anew; execute the statement again and fetch all endpoints",
        )
    }

    fn endpoint(&self, id: Uuid, expires_at_micros: i64) -> Endpoint {
        Endpoint {
            handle: self.sign(Purpose::Lease, id, expires_at_micros),
            expires_at_micros: Some(expires_at_micros),
        }
    }

    /// When a share that is kept now ends.
    fn lease_end(&self) -> i64 {
        let ttl_ms = self.shared.settings.session.lease_ttl_ms;
        self.shared.clock.now_micros() + ttl_ms as i64 * 1000
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
