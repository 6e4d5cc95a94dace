//! The database connections of many catalogs, with one bound on how many are open.
//!
//! Every connection costs a thread and three file descriptors, so a node with thousands of tenants
//! keeps only those that were used last. A connection that is in use is lent out and never closed;
//! an idle one may be closed for the sake of another catalog, and is opened again when needed.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error::{CatalogError, Result, storage};
use crate::sqlite;

#[cfg(test)]
mod tests;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// From [`Connections::register`].
    pub(crate) catalog: u64,
    pub(crate) role: Role,
}

/// What a connection is for: a commit must not wait for someone who lists snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Write,
    Read,
}

/// A bounded number of open connections, shared by the catalogs of a node. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    open_max: usize,
    /// One for each connection that may be open.
    places: Arc<Semaphore>,
    state: Mutex<State>,
    /// A connection became idle or was closed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Least recently used first.
    idle: VecDeque<(Owner, Open)>,
    catalogs: u64,
}

/// An open connection with its place, which is free once the connection is closed.
#[derive(Debug)]
struct Open {
    connection: SqliteConnection,
    place: OwnedSemaphorePermit,
}

/// How a caller comes to its connection.
enum Way {
    /// Its own, which was idle.
    Own(Open),
    /// A new one, for which one of another catalog has to be closed.
    Instead(Open),
    /// A new one.
    New(OwnedSemaphorePermit),
    /// All are in use.
    Wait,
}

impl Connections {
    /// Up to `open_max` connections at a time, at least one.
    pub fn new(open_max: usize) -> Self {
        let open_max = open_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            shared: Arc::new(Shared {
                open_max,
                places: Arc::new(Semaphore::new(open_max)),
                state: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// Connections that are open now, in use or not.
    pub fn open_count(&self) -> usize {
        self.shared.open_max - self.shared.places.available_permits()
    }

    /// Connections that are lent out now: each waits for the database, or is being opened.
    pub fn lent_count(&self) -> usize {
        let state = self.shared.state.lock();
        self.open_count() - state.idle.len()
    }

    /// A number for a catalog, never given twice.
    pub(crate) fn register(&self) -> u64 {
        let mut state = self.shared.state.lock();
        state.catalogs += 1;
        state.catalogs
    }

    /// Lends the owner's connection, opening it if need be; waits while all are in use. Whoever
    /// holds a connection must not ask for another one: all could wait for each other.
    pub(crate) async fn lend(&self, owner: Owner, path: &Path, create: bool) -> Result<Lent> {
        let mut lent = Lent {
            owner,
            connection: None,
            place: None,
            shared: Arc::clone(&self.shared),
        };
        loop {
            // Before the look: what changes after it must not be missed.
            let changed = self.shared.changed.notified();
            match self.shared.find(owner) {
                Way::Own(Open { connection, place }) => {
                    lent.connection = Some(connection);
                    lent.place = Some(place);
                    return Ok(lent);
                }
                Way::Instead(Open { connection, place }) => {
                    lent.place = Some(place);
                    if let Err(error) = close(connection).await {
                        // Not this caller's catalog, and whatever was committed is durable.
                        tracing::warn!(%error, "an idle catalog was not closed cleanly");
                    }
                }
                Way::New(place) => lent.place = Some(place),
                Way::Wait => {
                    changed.await;
                    continue;
                }
            }
            lent.connection = Some(sqlite::connect(path, create).await?);
            return Ok(lent);
        }
    }

    /// Closes what a catalog has open and nobody uses; its files are closed when this returns.
    pub(crate) async fn close(&self, catalog: u64) -> Result<()> {
        let mut result = Ok(());
        for Open { connection, place } in self.shared.take_idle(catalog) {
            result = result.and(close(connection).await);
            drop(place);
        }
        self.shared.changed.notify_waiters();
        result
    }

    /// The same without waiting for the end of it.
    pub(crate) fn abandon(&self, catalog: u64) {
        drop(self.shared.take_idle(catalog));
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    fn find(&self, owner: Owner) -> Way {
        let mut state = self.state.lock();
        let own = state.idle.iter().position(|(idle, _)| *idle == owner);
        if let Some((_, open)) = own.and_then(|position| state.idle.remove(position)) {
            return Way::Own(open);
        }
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Way::New(place);
        }
        match state.idle.pop_front() {
            Some((_, open)) => Way::Instead(open),
            None => Way::Wait,
        }
    }

    fn take_idle(&self, catalog: u64) -> Vec<Open> {
        let mut state = self.state.lock();
        let (own, others) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|(owner, _)| owner.catalog == catalog);
        state.idle = others;
        let own: VecDeque<(Owner, Open)> = own;
        own.into_iter().map(|(_, open)| open).collect()
    }
}

async fn close(connection: SqliteConnection) -> Result<()> {
    connection
        .close()
        .await
        .map_err(storage("close the catalog database"))
}

/// A connection in use. Whoever fails or is cancelled drops it: a connection in an unknown state
/// is closed and never used again.
#[derive(Debug)]
pub(crate) struct Lent {
    owner: Owner,
    /// Absent while it is being opened.
    connection: Option<SqliteConnection>,
    place: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl Lent {
    /// The connection.
    pub(crate) fn get(&mut self) -> Result<&mut SqliteConnection> {
        self.connection.as_mut().ok_or(CatalogError::Stopping {
            action: "use the catalog database",
        })
    }

    /// Gives back a connection that is fit to be used again.
    pub(crate) fn keep(mut self) {
        if let (Some(connection), Some(place)) = (self.connection.take(), self.place.take()) {
            let mut state = self.shared.state.lock();
            state
                .idle
                .push_back((self.owner, Open { connection, place }));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.connection.take());
        drop(self.place.take());
        self.shared.changed.notify_waiters();
    }
}
