//! What the server keeps behind the handles it gave out: tickets, prepared statements.
//!
//! Each tenant has a shelf of its own with room for a number of entries and of bytes, so that none
//! pushes out another's. Every operation takes logarithmic time. An entry ends at its time; when
//! its shelf is full, ended entries go first, then those that were used up, and then the tenant is
//! refused: nothing that may still be asked for is dropped in silence. Knows nothing of signatures.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use quiver_catalog::{Clock, ErrorKind, TenantId};
use uuid::Uuid;

use crate::status::Failure;

/// Room of one tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandleLimits {
    /// Entries: `session.tenant_statements_max`.
    pub(crate) count_max: usize,
    /// Bytes of all entries: `session.tenant_statement_bytes_max`.
    pub(crate) bytes_max: usize,
}

/// What is kept: cheap to clone, and it knows its size.
pub(crate) trait Keepable: Clone {
    /// Bytes in memory, roughly.
    fn kept_bytes(&self) -> usize;
}

/// The entries of all tenants.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    /// For messages, in the plural.
    what: &'static str,
    limits: HandleLimits,
    clock: Arc<dyn Clock>,
    shelves: Mutex<HashMap<TenantId, Shelf<T>>>,
}

impl<T: Keepable> Handles<T> {
    /// Nothing is kept yet.
    pub(crate) fn new(what: &'static str, limits: HandleLimits, clock: Arc<dyn Clock>) -> Self {
        Self {
            what,
            limits,
            clock,
            shelves: Mutex::default(),
        }
    }

    /// Keeps a value until `expires_at_micros`.
    ///
    /// # Errors
    /// `Overloaded` when the tenant has no room for it.
    pub(crate) fn insert(
        &self,
        tenant_id: TenantId,
        id: Uuid,
        value: T,
        expires_at_micros: i64,
    ) -> Result<(), Failure> {
        let entry = Entry {
            bytes: value.kept_bytes(),
            value,
            expires_at_micros,
            used_up: false,
        };
        let now = self.clock.now_micros();
        let mut dropped = vec![];
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(tenant_id).or_default();
        let result = shelf.make_room(entry.bytes, self.limits, now, &mut dropped);
        if result.is_ok() {
            shelf.put(id, entry);
        }
        drop(shelves);
        result.map_err(|limit| self.full(limit))
    }

    /// The value, unless its time has come.
    pub(crate) fn get(&self, tenant_id: TenantId, id: Uuid) -> Option<T> {
        let now = self.clock.now_micros();
        let shelves = self.shelves.lock();
        let entry = shelves.get(&tenant_id)?.entries.get(&id)?;
        (entry.expires_at_micros > now).then(|| entry.value.clone())
    }

    /// The value, which is among the first to go from now on if its tenant needs room.
    pub(crate) fn use_up(&self, tenant_id: TenantId, id: Uuid) -> Option<T> {
        let value = self.get(tenant_id, id)?;
        if let Some(shelf) = self.shelves.lock().get_mut(&tenant_id) {
            shelf.mark_used_up(id);
        }
        Some(value)
    }

    /// The value, which is kept until `expires_at_micros` from now on.
    pub(crate) fn renew(&self, tenant_id: TenantId, id: Uuid, expires_at_micros: i64) -> Option<T> {
        let value = self.get(tenant_id, id)?;
        let mut shelves = self.shelves.lock();
        let shelf = shelves.get_mut(&tenant_id)?;
        let mut entry = shelf.take(id)?;
        entry.expires_at_micros = expires_at_micros;
        shelf.put(id, entry);
        Some(value)
    }

    /// Puts a changed value in the place of one that is kept; whether it still was.
    ///
    /// # Errors
    /// `Overloaded` when the tenant has no room for it; then the old one stays.
    pub(crate) fn replace(&self, tenant_id: TenantId, id: Uuid, value: T) -> Result<bool, Failure> {
        let now = self.clock.now_micros();
        let mut dropped = vec![];
        let mut shelves = self.shelves.lock();
        let Some(shelf) = shelves.get_mut(&tenant_id) else {
            return Ok(false);
        };
        let Some(old) = shelf.take(id) else {
            return Ok(false);
        };
        let bytes = value.kept_bytes();
        let result = shelf.make_room(bytes, self.limits, now, &mut dropped);
        let entry = match result {
            Ok(()) => Entry {
                value,
                bytes,
                ..old
            },
            Err(_) => old,
        };
        shelf.put(id, entry);
        drop(shelves);
        result.map_err(|limit| self.full(limit)).map(|()| true)
    }

    /// Forgets a value; whether it was still there.
    pub(crate) fn remove(&self, tenant_id: TenantId, id: Uuid) -> bool {
        let mut shelves = self.shelves.lock();
        let taken = shelves.get_mut(&tenant_id).and_then(|shelf| shelf.take(id));
        drop(shelves);
        taken.is_some()
    }

    /// Drops everything whose time has come.
    pub(crate) fn sweep(&self) {
        let now = self.clock.now_micros();
        let mut dropped = vec![];
        let mut shelves = self.shelves.lock();
        shelves.retain(|_, shelf| {
            while let Some(entry) = shelf.pop_ended(now) {
                dropped.push(entry);
            }
            !shelf.entries.is_empty()
        });
        // What takes time to free is freed behind the lock.
        drop(shelves);
    }

    /// Entries and bytes of all tenants, ended ones that were not swept included.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let shelves = self.shelves.lock();
        shelves.values().fold((0, 0), |(count, bytes), shelf| {
            (count + shelf.entries.len(), bytes + shelf.bytes)
        })
    }

    fn full(&self, limit: Limit) -> Failure {
        let what = self.what;
        let message = match limit {
            Limit::Count(max) => format!(
                "the tenant has {max} {what} open (session.tenant_statements_max): fetch or close \
                 some, or wait until they end"
            ),
            Limit::Bytes(max) => format!(
                "the tenant's open {what} take {max} bytes (session.tenant_statement_bytes_max): \
                 fetch or close some, or wait until they end"
            ),
        };
        Failure::new(ErrorKind::Overloaded, message)
    }
}

/// Which room is used up.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Count(usize),
    Bytes(usize),
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    bytes: usize,
    expires_at_micros: i64,
    used_up: bool,
}

/// The entries of one tenant.
#[derive(Debug)]
struct Shelf<T> {
    entries: HashMap<Uuid, Entry<T>>,
    /// All of them by time.
    by_end: BTreeSet<(i64, Uuid)>,
    /// Those that were used up, by time.
    used_up: BTreeSet<(i64, Uuid)>,
    /// Sum over the entries.
    bytes: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            by_end: BTreeSet::new(),
            used_up: BTreeSet::new(),
            bytes: 0,
        }
    }
}

impl<T> Shelf<T> {
    fn put(&mut self, id: Uuid, entry: Entry<T>) {
        let place = (entry.expires_at_micros, id);
        self.by_end.insert(place);
        if entry.used_up {
            self.used_up.insert(place);
        }
        self.bytes += entry.bytes;
        self.entries.insert(id, entry);
    }

    fn take(&mut self, id: Uuid) -> Option<Entry<T>> {
        let entry = self.entries.remove(&id)?;
        let place = (entry.expires_at_micros, id);
        self.by_end.remove(&place);
        self.used_up.remove(&place);
        self.bytes -= entry.bytes;
        Some(entry)
    }

    fn mark_used_up(&mut self, id: Uuid) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.used_up = true;
            self.used_up.insert((entry.expires_at_micros, id));
        }
    }

    fn pop_ended(&mut self, now_micros: i64) -> Option<Entry<T>> {
        let (expires_at_micros, id) = *self.by_end.first()?;
        (expires_at_micros <= now_micros)
            .then(|| self.take(id))
            .flatten()
    }

    fn pop_used_up(&mut self) -> Option<Entry<T>> {
        let (_, id) = *self.used_up.first()?;
        self.take(id)
    }

    /// Drops what may be dropped until there is room; nothing at all for what can never have any.
    fn make_room(
        &mut self,
        bytes: usize,
        limits: HandleLimits,
        now_micros: i64,
        dropped: &mut Vec<Entry<T>>,
    ) -> Result<(), Limit> {
        if bytes > limits.bytes_max {
            return Err(Limit::Bytes(limits.bytes_max));
        }
        loop {
            let limit = if self.entries.len() >= limits.count_max {
                Limit::Count(limits.count_max)
            } else if self.bytes + bytes > limits.bytes_max {
                Limit::Bytes(limits.bytes_max)
            } else {
                return Ok(());
            };
            let freed = self.pop_ended(now_micros).or_else(|| self.pop_used_up());
            dropped.push(freed.ok_or(limit)?);
        }
    }
}
