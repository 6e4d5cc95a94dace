//! PollFlightInfo: statements that take long, without a call that waits for them.
//!
//! The first poll begins the statement, which then runs on its own. Whoever polls waits a little,
//! and is told either how it ended or with which descriptor to ask again. Asking again gives the
//! same answer until it is forgotten. A query is planned here and does its work in DoGet; what
//! changes something takes effect here, once. A statement that nobody asks for any more is stopped.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::{FlightDescriptor, FlightInfo, PollInfo};
use bytes::Bytes;
use quiver_catalog::ErrorKind;
use quiver_engine::{Progress, task};
use quiver_proto::{HANDLE_BYTES, Purpose};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;
use uuid::Uuid;

use super::call::Call;
use super::endpoint::timestamp;
use super::handles::{Handles, Keepable};
use crate::auth::random;
use crate::status::Failure;
use crate::stop::{Deadline, Stop};

/// How long a poll waits for an end; less than any client's patience.
const WAIT: Duration = Duration::from_secs(1);
/// What a running statement takes here beside its descriptor.
const HEAD_BYTES: usize = 1024;

/// A statement that was begun by a poll. The last one that is dropped stops it.
#[derive(Debug, Clone)]
pub(crate) struct PolledStatement {
    /// What it was begun with.
    descriptor: FlightDescriptor,
    outcome: watch::Receiver<Option<Result<FlightInfo, Failure>>>,
    cancelled: CancellationToken,
    progress: Arc<Progress>,
    _stops: Arc<DropGuard>,
}

/// All of them.
pub(crate) type PolledStatements = Handles<PolledStatement>;

impl Keepable for PolledStatement {
    fn kept_bytes(&self) -> usize {
        HEAD_BYTES + self.descriptor.cmd.len()
    }
}

impl Call {
    /// Answers PollFlightInfo.
    pub(crate) async fn poll(&self, descriptor: FlightDescriptor) -> Result<PollInfo, Failure> {
        if is_handle(&descriptor.cmd) {
            let id = self.polled_id(&descriptor.cmd)?;
            let expires_at_micros = self.poll_expiry();
            let polls = &self.shared.polls;
            let statement = polls.renew(self.caller.tenant.id, id, expires_at_micros);
            let statement = statement.ok_or_else(|| {
                Failure::new(
                    ErrorKind::Precondition,
                    "nobody asked for the statement any more, so that it was stopped: execute it again",
                )
            })?;
            return match ended(&statement).await {
                Some(outcome) => Ok(done(outcome?)),
                None => Ok(self.running_info(&statement, descriptor.cmd, expires_at_micros)),
            };
        }
        let statement = self.begin_polled(descriptor);
        if let Some(outcome) = ended(&statement).await {
            return Ok(done(outcome?));
        }
        let (id, expires_at_micros) = (random::uuid(), self.poll_expiry());
        let tenant_id = self.caller.tenant.id;
        let kept = statement.clone();
        self.shared
            .polls
            .insert(tenant_id, id, kept, expires_at_micros)?;
        let handle = self.sign(Purpose::Poll, id, expires_at_micros);
        Ok(self.running_info(&statement, handle, expires_at_micros))
    }

    /// Stops a statement by the handle of its poll.
    pub(crate) fn cancel_polled(&self, handle: &[u8]) -> Result<(), Failure> {
        let id = self.polled_id(handle)?;
        if let Some(statement) = self.shared.polls.get(self.caller.tenant.id, id) {
            statement.cancelled.cancel();
        }
        Ok(())
    }

    fn polled_id(&self, handle: &[u8]) -> Result<Uuid, Failure> {
        let claims = self.verify(handle, Purpose::Poll, "descriptor")?;
        Ok(Uuid::from_bytes(claims.id))
    }

    fn poll_expiry(&self) -> i64 {
        let ttl_ms = self.shared.settings.session.statement_ttl_ms;
        self.shared.clock.now_micros() + ttl_ms as i64 * 1000
    }

    fn begin_polled(&self, descriptor: FlightDescriptor) -> PolledStatement {
        let (sender, outcome) = watch::channel(None);
        let cancelled = CancellationToken::new();
        let timeout_ms = self.shared.settings.query.timeout_ms;
        let stop = Stop {
            deadline: Deadline::of_setting(timeout_ms),
            cancelled: cancelled.clone(),
        };
        // The call that begins it ends before it.
        let progress = Arc::<Progress>::default();
        let call = self.in_background(Arc::clone(&progress));
        let telling = Arc::clone(&progress);
        let begun = descriptor.clone();
        let span = self.span().clone();
        drop(task::spawn(
            async move {
                let outcome = stop.bound(call.flight_info(begun)).await;
                telling.end();
                sender.send_replace(Some(outcome));
            }
            .instrument(span),
        ));
        PolledStatement {
            descriptor,
            outcome,
            progress,
            _stops: Arc::new(cancelled.clone().drop_guard()),
            cancelled,
        }
    }

    /// A statement that runs has no endpoints; its handle is what CancelFlightInfo takes.
    fn running_info(
        &self,
        statement: &PolledStatement,
        handle: Bytes,
        expires_at_micros: i64,
    ) -> PollInfo {
        let info = FlightInfo {
            flight_descriptor: Some(statement.descriptor.clone()),
            total_records: -1,
            total_bytes: -1,
            app_metadata: handle.clone(),
            ..Default::default()
        };
        PollInfo {
            info: Some(info),
            flight_descriptor: Some(FlightDescriptor::new_cmd(handle)),
            progress: statement.progress.fraction(),
            expiration_time: Some(timestamp(expires_at_micros)),
        }
    }
}

/// Whether a command is a handle: SQL text and Flight SQL messages begin otherwise.
pub(crate) fn is_handle(command: &[u8]) -> bool {
    command.len() == HANDLE_BYTES && command[1] == Purpose::Poll as u8
}

fn done(info: FlightInfo) -> PollInfo {
    PollInfo {
        info: Some(info),
        progress: Some(1.0),
        ..Default::default()
    }
}

/// How it ended, if it does so soon.
async fn ended(statement: &PolledStatement) -> Option<Result<FlightInfo, Failure>> {
    let mut outcome = statement.outcome.clone();
    let waited = tokio::time::timeout(WAIT, outcome.wait_for(Option::is_some)).await;
    match waited {
        Ok(Ok(outcome)) => outcome.clone(),
        Ok(Err(_)) => Some(Err(Failure::internal(
            "a polled statement ended without an outcome",
        ))),
        Err(_) => None,
    }
}
