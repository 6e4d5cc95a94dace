//! The Flight call `Handshake`.

use std::net::IpAddr;
use std::time::Duration;

use arrow_flight::{HandshakeRequest, HandshakeResponse};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use http::HeaderMap;
use quiver_proto::headers;
use tonic::{Response, Status};

use super::authenticator::Authenticator;
use crate::status::IntoStatus;

/// How long a client that has not proved who it is may keep us waiting.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

impl Authenticator {
    /// Answers `Handshake`: the new session's token goes into the response header `authorization`,
    /// where the drivers look for it, and into the payload, where clients of the legacy form do.
    ///
    /// # Errors
    /// The status that refuses the login.
    pub(crate) async fn answer_handshake<S>(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        mut requests: S,
    ) -> Result<Response<BoxStream<'static, Result<HandshakeResponse, Status>>>, Status>
    where
        S: Stream<Item = Result<HandshakeRequest, Status>> + Unpin,
    {
        // A client that logs in by header may write nothing and wait for us with its side still
        // open.
        let first = match headers.contains_key(headers::AUTHORIZATION) {
            true => None,
            false => first_request(&mut requests).await?,
        };
        let protocol_version = first.as_ref().map_or(0, |request| request.protocol_version);
        let payload = first.as_ref().map(|request| request.payload.as_ref());
        let context = self
            .handshake(headers, address, payload)
            .await
            .map_err(|error| error.into_status(None))?;
        let token = context.new_token.clone().unwrap_or_default();
        let answer = HandshakeResponse {
            protocol_version,
            payload: token.into_bytes().into(),
        };
        let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
        context.insert_token(response.metadata_mut());
        Ok(response)
    }
}

/// What the client writes first; nothing, if it writes nothing in time or ends its side.
async fn first_request<S>(requests: &mut S) -> Result<Option<HandshakeRequest>, Status>
where
    S: Stream<Item = Result<HandshakeRequest, Status>> + Unpin,
{
    match tokio::time::timeout(FIRST_REQUEST_MAX, requests.next()).await {
        Ok(first) => first.transpose(),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
