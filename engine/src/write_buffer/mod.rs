//! Committed rows that are in the WAL and not yet in segments: memtables and the byte budget.

mod budget;
mod memtable;
mod memtable_set;

pub(crate) use budget::{Budget, CommittedBytes, Reservation};
pub(crate) use memtable::Memtable;
pub(crate) use memtable_set::MemtableSet;
