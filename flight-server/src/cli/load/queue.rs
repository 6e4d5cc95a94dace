//! Uploads several files at the same time, over a connection each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::error::LoadError;
use super::progress::Progress;
use super::upload::{Loaded, Upload};
use crate::cli::client::{FlightClient, Target};

/// What all files came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    files: usize,
    rows: u64,
    duplicate_files: usize,
    /// Of which something was there before, or all.
    files_before: usize,
    rows_before: u64,
}

impl Outcome {
    /// Counts one file.
    pub(crate) fn add(&mut self, loaded: Loaded) {
        match loaded.duplicate {
            true => self.duplicate_files += 1,
            false => self.files += 1,
        }
        self.files_before += usize::from(loaded.duplicate || loaded.rows_before > 0);
        self.rows += loaded.rows;
        self.rows_before += loaded.rows_before;
    }

    /// The last line of the command.
    pub(crate) fn summary(&self, elapsed: Duration) -> String {
        let Self {
            files,
            rows,
            files_before,
            rows_before,
            ..
        } = self;
        let seconds = elapsed.as_secs_f64();
        let rate = (*rows as f64 / seconds.max(0.001)) as u64;
        let mut text = format!("{rows} rows loaded from {files} files");
        if *files > 0 {
            text.push_str(&format!(" in {seconds:.2} s ({rate} rows/s)"));
        }
        if *files_before > 0 {
            text.push_str(&format!(
                "; already loaded: {rows_before} rows of {files_before} files"
            ));
        }
        text
    }
}

/// Files waiting for a connection, and what came of the others.
pub(crate) struct Queue {
    files: usize,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    waiting: VecDeque<Upload>,
    outcome: Outcome,
    failed: Option<LoadError>,
}

impl Queue {
    /// Files to upload after those counted in `outcome`.
    pub(crate) fn new(waiting: VecDeque<Upload>, outcome: Outcome) -> Self {
        let files = waiting.len() + outcome.files + outcome.duplicate_files;
        let shared = Arc::new(Mutex::new(Shared {
            waiting,
            outcome,
            failed: None,
        }));
        Self { files, shared }
    }

    /// Uploads them all, over `client` and further connections.
    ///
    /// # Errors
    /// The first file that failed; uploads that were running are completed, no new ones started.
    pub(crate) async fn run(
        self,
        target: &Target,
        client: FlightClient,
        parallel: usize,
        progress: &Arc<Progress>,
    ) -> Result<Outcome, LoadError> {
        let workers = parallel.min(self.shared.lock().waiting.len());
        let mut running = JoinSet::new();
        let mut own = Some(client);
        for _ in 0..workers {
            let client = match own.take() {
                Some(client) => client,
                // One connection is one task, here and in the server: it would be the limit.
                None => FlightClient::connect(target)
                    .await
                    .map_err(LoadError::Connect)?,
            };
            running.spawn(work(client, Arc::clone(&self.shared), Arc::clone(progress)));
        }
        while running.join_next().await.is_some() {}
        let mut shared = self.shared.lock();
        match shared.failed.take() {
            None => Ok(shared.outcome.clone()),
            Some(source) => {
                let loaded = shared.outcome.files + shared.outcome.duplicate_files;
                let files = self.files;
                Err(LoadError::Stopped {
                    source: Box::new(source),
                    loaded,
                    files,
                })
            }
        }
    }
}

async fn work(mut client: FlightClient, shared: Arc<Mutex<Shared>>, progress: Arc<Progress>) {
    loop {
        let next = {
            let mut shared = shared.lock();
            if shared.failed.is_some() {
                None
            } else {
                shared.waiting.pop_front()
            }
        };
        let Some(upload) = next else { return };
        let outcome = upload.run(&mut client, &progress).await;
        let mut shared = shared.lock();
        match outcome {
            Ok(loaded) => shared.outcome.add(loaded),
            Err(error) => {
                shared.failed.get_or_insert(error);
            }
        }
    }
}
