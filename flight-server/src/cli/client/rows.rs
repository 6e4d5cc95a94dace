//! Rows of a result, endpoint after endpoint.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::{FlightInfo, Ticket};
use futures::{StreamExt, TryStreamExt};

use super::{ClientError, FlightClient};

/// Fetches batches on demand. Dropping it cancels what is still running.
pub(crate) struct Rows {
    client: FlightClient,
    info: FlightInfo,
    tickets: VecDeque<Ticket>,
    current: Option<FlightRecordBatchStream>,
}

impl Rows {
    pub(super) fn new(client: FlightClient, mut info: FlightInfo) -> Self {
        let endpoints = std::mem::take(&mut info.endpoint);
        let tickets = endpoints
            .into_iter()
            .filter_map(|endpoint| endpoint.ticket)
            .collect();
        Self {
            client,
            info,
            tickets,
            current: None,
        }
    }

    /// The schema announced for all batches.
    ///
    /// # Errors
    /// When it does not decode.
    pub(crate) fn schema(&self) -> Result<SchemaRef, ClientError> {
        if self.info.schema.is_empty() {
            return Ok(Schema::empty().into());
        }
        Ok(self.info.clone().try_decode_schema()?.into())
    }

    /// The next batch, or `None` after the last one.
    ///
    /// # Errors
    /// What the server answered, or a broken stream.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, ClientError> {
        loop {
            if let Some(stream) = &mut self.current {
                match stream.next().await {
                    Some(batch) => return Ok(Some(batch?)),
                    None => self.current = None,
                }
            }
            let Some(ticket) = self.tickets.pop_front() else {
                return Ok(None);
            };
            let data = self.client.fetch(ticket).await?.map_err(Into::into);
            self.current = Some(FlightRecordBatchStream::new_from_flight_data(data));
        }
    }

    /// All batches at once, for small answers.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) async fn collect(mut self) -> Result<Vec<RecordBatch>, ClientError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }
}
