//! One file in portions of so many rows, each committed by itself: an interrupted load goes on with
//! the first portion that is missing.
//!
//! The file is a producer of its table and its portions are numbered from 1 on, so the server takes
//! each of them once and tells which was the last.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::LoadError;
use super::progress::Progress;
use super::upload::{Failure, Loaded, Mode, Opened, Read, Tally, Upload, before_next};
use crate::cli::client::{FlightClient, Identity, Ingested, Producer};

impl Upload {
    /// The file as a producer. The same rows are a portion only among portions of one size, and of
    /// a text that is read in one way.
    fn producer(&self, portion_rows: u64) -> String {
        format!("{}-{portion_rows}{}", self.key, self.options.mark())
    }

    /// Refuses a file of which a part is in the table already, as portions that this load would not
    /// recognise. `begun` are the producers of the table that are files.
    ///
    /// # Errors
    /// When there is such a part.
    pub(super) fn refuse_other_portions(&self, begun: &[Producer]) -> Result<(), LoadError> {
        let own = self.portion_rows.map(|rows| self.producer(rows));
        let others = begun.iter().map(|producer| &producer.name);
        let mut others = others.filter(|name| Some(*name) != own.as_ref());
        let options = |name: &'_ String| {
            let options = name.strip_prefix(&self.key)?.strip_prefix('-')?;
            Some(options.to_owned())
        };
        let Some(options) = others.find_map(options) else {
            return Ok(());
        };
        let rows = options.split('-').next().unwrap_or_default();
        Err(LoadError::Shape {
            path: self.path.clone(),
            message: format!(
                "a part of it may be in the table, from a load with --portion-rows {rows}: load it \
                 with that again, and with the same --no-header and --delimiter"
            ),
        })
    }

    /// Uploads the portions that the server does not have, again when it asks for it.
    ///
    /// # Errors
    /// When the file or the server refuses; the portions before that are in the table.
    pub(super) async fn run_in_portions(
        &self,
        client: &mut FlightClient,
        progress: &Arc<Progress>,
        portion_rows: u64,
    ) -> Result<Loaded, LoadError> {
        let producer = self.producer(portion_rows);
        let (mut attempt, mut came_to, mut first_last) = (1, 0, None);
        loop {
            let tally = Arc::new(Tally::new(Arc::clone(progress)));
            let place = (self.table.schema.as_str(), self.table.name.as_str());
            let known = client.producers(place, &producer).await;
            let error = match known.map_err(|source| self.refused(source)) {
                Ok(known) => {
                    let own = known.iter().find(|known| known.name == producer);
                    let last = own.map_or(0, |own| own.last_sequence);
                    // Whoever gets on has not failed in vain.
                    attempt = if last > came_to { 1 } else { attempt };
                    came_to = last;
                    let before = *first_last.get_or_insert(last);
                    let numbers = (last, portion_rows);
                    match self.send_portions(client, &tally, &producer, numbers).await {
                        Ok(()) => return Ok(loaded(&tally, before, portion_rows)),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            tally.undo();
            before_next(&mut attempt, error).await?;
        }
    }

    /// Sends every portion after the `last` one, to the end of the file.
    async fn send_portions(
        &self,
        client: &mut FlightClient,
        tally: &Arc<Tally>,
        producer: &str,
        (last, portion_rows): (u64, u64),
    ) -> Result<(), LoadError> {
        let Opened { schema, batches } = self.open(tally).await?;
        let mut rows = RowsLeft {
            batches,
            next: None,
        };
        rows.skip(last.saturating_mul(portion_rows)).await;
        let mut sequence = last;
        // A file without rows makes its table all the same.
        while rows.are_there().await || sequence == 0 {
            sequence += 1;
            let mode = match sequence {
                1 => self.mode,
                _ => Mode::Append,
            };
            let failure = Failure::default();
            let (sender, receiver) = mpsc::channel(1);
            let portion = ReceiverStream::new(receiver);
            let messages = self.messages(Arc::clone(&schema), portion, mode, &failure);
            let identity = Identity::Step { producer, sequence };
            let (sent, answer) = tokio::join!(
                rows.send(portion_rows, sender),
                client.ingest(messages, identity)
            );
            let Ingested {
                rows: counted,
                duplicate,
            } = self.answer(answer, &failure)?;
            // Another run of the same load may be a little ahead.
            if !duplicate {
                self.check_count(sent, counted)?;
            }
        }
        Ok(())
    }
}

fn loaded(tally: &Tally, portions_before: u64, portion_rows: u64) -> Loaded {
    let rows = tally.rows();
    let rows_before = portions_before.saturating_mul(portion_rows).min(rows);
    Loaded {
        rows: rows - rows_before,
        rows_before,
        duplicate: portions_before > 0 && rows_before == rows,
    }
}

/// The rows of a file that are still to be sent.
struct RowsLeft {
    batches: mpsc::Receiver<Read>,
    /// Was read already.
    next: Option<Read>,
}

impl RowsLeft {
    /// Whether a row is left, or a mistake that has to be told.
    async fn are_there(&mut self) -> bool {
        while self.next.is_none() {
            match self.batches.recv().await {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(read) => self.next = Some(read),
                None => return false,
            }
        }
        true
    }

    /// Up to `rows` rows, of one batch.
    async fn take(&mut self, rows: u64) -> Option<Read> {
        if rows == 0 || !self.are_there().await {
            return None;
        }
        let batch = match self.next.take()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        let room = usize::try_from(rows).unwrap_or(usize::MAX);
        if batch.num_rows() <= room {
            return Some(Ok(batch));
        }
        self.next = Some(Ok(batch.slice(room, batch.num_rows() - room)));
        Some(Ok(batch.slice(0, room)))
    }

    /// Leaves out rows; a mistake among them stays the next thing.
    async fn skip(&mut self, mut rows: u64) {
        while let Some(read) = self.take(rows).await {
            match read {
                Ok(batch) => rows -= batch.num_rows() as u64,
                Err(error) => {
                    self.next = Some(Err(error));
                    return;
                }
            }
        }
    }

    /// Sends a portion, as long as somebody wants it; returns its rows.
    async fn send(&mut self, portion_rows: u64, sender: mpsc::Sender<Read>) -> u64 {
        let mut sent = 0;
        while let Some(read) = self.take(portion_rows - sent).await {
            let is_last = read.is_err();
            sent += read.as_ref().map_or(0, |batch| batch.num_rows() as u64);
            if sender.send(read).await.is_err() || is_last {
                break;
            }
        }
        sent
    }
}
