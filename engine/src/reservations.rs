//! What one ingest at a time may use: whoever comes later waits for the outcome.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

/// An ingest that uses something now.
#[derive(Debug)]
struct Running {
    /// The transaction it belongs to.
    transaction_id: Option<Uuid>,
    ended: watch::Receiver<()>,
}

type Map<S> = Arc<Mutex<HashMap<S, Running>>>;

/// What is in use, by scope.
#[derive(Debug)]
pub(crate) struct Reservations<S: Eq + Hash> {
    running: Map<S>,
}

impl<S: Eq + Hash> Default for Reservations<S> {
    fn default() -> Self {
        Self {
            running: Map::default(),
        }
    }
}

/// The right to use a scope alone, until this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation<S: Eq + Hash> {
    running: Map<S>,
    scope: S,
    _outcome: watch::Sender<()>,
}

impl<S: Eq + Hash> Reservation<S> {
    pub(crate) fn scope(&self) -> &S {
        &self.scope
    }
}

impl<S: Eq + Hash> Drop for Reservation<S> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.scope);
    }
}

impl<S: Eq + Hash + Clone> Reservations<S> {
    /// Waits until nobody else uses `scope`, then reserves it. `None` when the other one belongs to
    /// the same transaction: it ends only with that, for which nobody would wait in vain but the
    /// transaction itself.
    pub(crate) async fn reserve(
        &self,
        scope: S,
        transaction_id: Option<Uuid>,
    ) -> Option<Reservation<S>> {
        loop {
            let mut ended = {
                let mut running = self.running.lock();
                match running.get(&scope) {
                    Some(other) => {
                        if transaction_id.is_some() && other.transaction_id == transaction_id {
                            return None;
                        }
                        other.ended.clone()
                    }
                    None => {
                        let (sender, ended) = watch::channel(());
                        let entry = Running {
                            transaction_id,
                            ended,
                        };
                        running.insert(scope.clone(), entry);
                        return Some(Reservation {
                            running: Arc::clone(&self.running),
                            scope,
                            _outcome: sender,
                        });
                    }
                }
            };
            // An error means that the other ingest ended: look again.
            let _ended = ended.changed().await;
        }
    }
}
