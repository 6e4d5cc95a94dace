//! Cancelling statements by their tickets, from another call than the one that reads them.
//!
//! A cancelled ticket is gone, and every stream that was opened with it ends. So cancelling twice
//! answers the same. What took effect already cannot be cancelled.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_flight::sql::Command;
use arrow_flight::{CancelFlightInfoRequest, CancelStatus, FlightInfo};
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use quiver_proto::Purpose;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::call::Call;
use super::command::Request;
use super::poll::is_handle;
use crate::status::Failure;

/// The statements whose rows are being read.
#[derive(Debug, Default)]
pub(crate) struct RunningStatements {
    /// With the number of their streams.
    streams: Mutex<HashMap<Uuid, (CancellationToken, usize)>>,
}

/// One stream of a statement; dropped with it.
#[derive(Debug)]
pub(crate) struct RunningStream {
    statements: Arc<RunningStatements>,
    statement_id: Uuid,
    /// Cancelled with the statement.
    pub(crate) cancelled: CancellationToken,
}

impl RunningStatements {
    /// Notes that a stream of the statement begins.
    pub(crate) fn enter(self: &Arc<Self>, statement_id: Uuid) -> RunningStream {
        let mut streams = self.streams.lock();
        let (cancelled, count) = streams.entry(statement_id).or_default();
        *count += 1;
        RunningStream {
            statements: Arc::clone(self),
            statement_id,
            cancelled: cancelled.clone(),
        }
    }

    fn cancel(&self, statement_id: Uuid) {
        if let Some((cancelled, _)) = self.streams.lock().get(&statement_id) {
            cancelled.cancel();
        }
    }
}

impl Drop for RunningStream {
    fn drop(&mut self) {
        let mut streams = self.statements.streams.lock();
        if let Some((_, count)) = streams.get_mut(&self.statement_id) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.statement_id);
            }
        }
    }
}

impl Call {
    /// `CancelFlightInfo`.
    pub(crate) fn cancel_flight_info(&self, body: &Bytes) -> Result<CancelStatus, Failure> {
        let malformed =
            |_| Failure::invalid("the body of the action is no CancelFlightInfoRequest");
        let request = CancelFlightInfoRequest::decode(&**body).map_err(malformed)?;
        let info = request
            .info
            .ok_or_else(|| Failure::invalid("CancelFlightInfo names no FlightInfo"))?;
        self.cancel(&info)
    }

    /// `CancelQuery`, the older form; answers as an `ActionCancelQueryResult`.
    pub(crate) fn cancel_query(&self, info: &Bytes) -> Result<CancelStatus, Failure> {
        let malformed = |_| Failure::invalid("CancelQuery names no FlightInfo");
        self.cancel(&FlightInfo::decode(&**info).map_err(malformed)?)
    }

    fn cancel(&self, info: &FlightInfo) -> Result<CancelStatus, Failure> {
        let tickets = info.endpoint.iter().filter_map(|e| e.ticket.as_ref());
        let mut claims = vec![];
        for ticket in tickets {
            // Answers to questions about metadata have other tickets, and are short.
            if let Request::Command(command) = Request::of_bytes(&ticket.ticket)?
                && let Command::TicketStatementQuery(ticket) = *command
            {
                claims.push(self.verify_ticket(&ticket.statement_handle)?);
            }
        }
        if is_handle(&info.app_metadata) {
            self.cancel_polled(&info.app_metadata)?;
            return Ok(CancelStatus::Cancelled);
        }
        if claims.is_empty() {
            return Ok(CancelStatus::NotCancellable);
        }
        for claims in claims {
            let (tenant_id, id) = (self.caller.tenant.id, Uuid::from_bytes(claims.id));
            // In this order: a stream that begins in between finds its record gone.
            match claims.purpose {
                Purpose::Lease => self.shared.shares.remove(tenant_id, id),
                _ => self.shared.statements.remove(tenant_id, id),
            };
            self.shared.running.cancel(id);
        }
        Ok(CancelStatus::Cancelled)
    }
}
