//! What ends work before its own end: a deadline, or somebody who cancels it.
//!
//! Guarantees that work which is done in time counts, even when its deadline passes in the same
//! instant. Work that is stopped is dropped; what that undoes, the work itself has to say.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use quiver_catalog::ErrorKind;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::status::Failure;

/// The gRPC header in which a client says how long it will wait.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Digits of its value, as gRPC limits them.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// When something has to be over, and who says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    cause: Cause,
}

#[derive(Debug, Clone, Copy)]
enum Cause {
    Client,
    /// `query.timeout_ms`.
    Setting(u64),
}

impl Deadline {
    /// The deadline that the client sent with its call, counted from now.
    pub(crate) fn of_client(headers: &HeaderMap) -> Option<Self> {
        let timeout = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
        let at = Instant::now().checked_add(parse_timeout(timeout)?)?;
        Some(Self {
            at,
            cause: Cause::Client,
        })
    }

    /// The deadline of a statement that begins now; 0 is none.
    pub(crate) fn of_setting(timeout_ms: u64) -> Option<Self> {
        let timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms))?;
        let at = Instant::now().checked_add(timeout)?;
        Some(Self {
            at,
            cause: Cause::Setting(timeout_ms),
        })
    }

    /// The one that comes first.
    pub(crate) fn sooner(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let by_time = |deadline: &Self| deadline.at;
        one.into_iter().chain(other).min_by_key(by_time)
    }

    /// What a client is told whose work it stopped.
    fn failure(self) -> Failure {
        let message = match self.cause {
            Cause::Client => {
                "the deadline of the call passed before its end; allow it more time".to_owned()
            }
            Cause::Setting(timeout_ms) => format!(
                "the statement took longer than query.timeout_ms = {timeout_ms} allows; make it \
                 cheaper, or have the setting raised"
            ),
        };
        Failure::new(ErrorKind::Deadline, message)
    }
}

/// Waits until `deadline`, for ever without one; then says what to tell the client.
pub(crate) async fn passed(deadline: Option<Deadline>) -> Failure {
    match deadline {
        Some(deadline) => {
            tokio::time::sleep_until(deadline.at).await;
            deadline.failure()
        }
        None => std::future::pending().await,
    }
}

/// Everything that may stop one piece of work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// When it has to be over.
    pub(crate) deadline: Option<Deadline>,
    /// Cancelled by the user who started the work.
    pub(crate) cancelled: CancellationToken,
}

impl Stop {
    /// At a deadline only.
    pub(crate) fn at(deadline: Option<Deadline>) -> Self {
        Self {
            deadline,
            cancelled: CancellationToken::new(),
        }
    }

    /// Waits until the work is to stop, and says why.
    pub(crate) async fn stopped(&self) -> Failure {
        tokio::select! {
            biased;
            failure = passed(self.deadline) => failure,
            () = self.cancelled.cancelled() => {
                Failure::new(ErrorKind::Cancelled, "the statement was cancelled by its user")
            }
        }
    }

    /// Does `work` unless it is stopped; then it is dropped. Boxed: planning takes large futures.
    pub(crate) fn bound<'a, T: Send + 'a>(
        &'a self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Failure>> {
        let bound = async move {
            tokio::select! {
                biased;
                result = work => result,
                failure = self.stopped() => Err(failure),
            }
        };
        bound.boxed()
    }
}

/// `5S`, `100m`: at most eight digits and a unit. What is not that is no timeout.
fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last().filter(char::is_ascii_alphabetic)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS_MAX || !plain {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(value * 3_600),
        'M' => Duration::from_secs(value * 60),
        'S' => Duration::from_secs(value),
        'm' => Duration::from_millis(value),
        'u' => Duration::from_micros(value),
        'n' => Duration::from_nanos(value),
        _ => return None,
    })
}
