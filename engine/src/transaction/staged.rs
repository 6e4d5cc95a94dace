//! What a transaction has staged, in the order in which it came, and the savepoints between.
//!
//! Nothing is taken away before the end but by going back to a savepoint: rows of a table that was
//! dropped later are left out when somebody asks. So a savepoint is a mark in each of the lists.

use std::collections::BTreeSet;

use quiver_catalog::{Change, TableId};
use uuid::Uuid;

use crate::commit::{CommitRequest, SettledKey, SettledStep};
use crate::error::{EngineError, Result};
use crate::ingest::StagedStream;
use crate::read_view::ReadView;
use crate::segment::UnregisteredSegments;

/// Savepoints that a transaction may have at a time.
const SAVEPOINTS_MAX: usize = 1_000;
/// Longest name of a savepoint, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A savepoint of a transaction, as its client names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Savepoint<'a> {
    /// The last one of this name.
    Named(&'a str),
    /// The one that got this number.
    Numbered(u64),
}

#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) view: Option<ReadView>,
    changes: Vec<Change>,
    replaces_table: bool,
    streams: Vec<StagedStream>,
    segments: Vec<UnregisteredSegments>,
    pub(super) keys: Vec<SettledKey>,
    pub(super) steps: Vec<SettledStep>,
    savepoints: Vec<Mark>,
    /// Savepoints so far.
    savepoint_count: u64,
}

/// How much was staged at a savepoint.
#[derive(Debug)]
struct Mark {
    number: u64,
    name: String,
    changes: usize,
    streams: usize,
    segments: usize,
    keys: usize,
    steps: usize,
}

impl Staged {
    /// Whether its commit would do anything.
    pub(super) fn wrote(&self) -> bool {
        let settles = !self.keys.is_empty() || !self.steps.is_empty();
        let adds_rows = !self.streams.is_empty() || !self.segments.is_empty();
        settles || adds_rows || !self.changes.is_empty()
    }

    pub(super) fn add(&mut self, request: CommitRequest) {
        self.changes.extend(request.changes);
        self.replaces_table |= request.replaces_table;
        let streams = request.streams.into_iter();
        self.streams
            .extend(streams.filter(|stream| !stream.is_empty()));
        self.segments.extend(request.segments);
        self.keys.extend(request.keys);
        self.steps.extend(request.steps);
    }

    /// All changes, in order; an object that was made and dropped again leaves nothing.
    pub(super) fn changes(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = vec![];
        for change in &self.changes {
            let made_here = |made: &Change| match (made, change) {
                (Change::CreateTable(table), Change::DropTable { table_id, .. }) => {
                    table.table_id == *table_id
                }
                (
                    Change::CreateSchema {
                        schema_id: made, ..
                    },
                    Change::DropSchema { schema_id },
                ) => made == schema_id,
                _ => false,
            };
            match changes.iter().position(made_here) {
                Some(position) => drop(changes.remove(position)),
                None => changes.push(change.clone()),
            }
        }
        changes
    }

    fn dropped_tables(&self) -> BTreeSet<TableId> {
        let dropped = |change: &Change| match change {
            Change::DropTable { table_id, .. } => Some(*table_id),
            _ => None,
        };
        self.changes.iter().filter_map(dropped).collect()
    }

    /// Streams into tables that are there.
    pub(super) fn streams(&self) -> impl Iterator<Item = &StagedStream> {
        let dropped = self.dropped_tables();
        let streams = self.streams.iter();
        streams.filter(move |stream| !dropped.contains(&stream.table_id()))
    }

    /// Segments of tables that are there.
    pub(super) fn segments(&self) -> impl Iterator<Item = &UnregisteredSegments> {
        let dropped = self.dropped_tables();
        let segments = self.segments.iter();
        segments.filter(move |segments| !dropped.contains(&segments.table_id()))
    }

    /// What its commit makes visible.
    pub(super) fn into_request(self, commit_id: Uuid) -> CommitRequest {
        let (changes, dropped) = (self.changes(), self.dropped_tables());
        let (mut streams, mut segments) = (self.streams, self.segments);
        streams.retain(|stream| !dropped.contains(&stream.table_id()));
        segments.retain(|segments| !dropped.contains(&segments.table_id()));
        CommitRequest {
            commit_id,
            changes,
            streams,
            segments,
            adopts_table: false,
            replaces_table: self.replaces_table,
            keys: self.keys,
            steps: self.steps,
        }
    }

    /// Sets a savepoint; returns its number. One of the same name is hidden until this one is
    /// released.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is too long, `Overloaded` for one savepoint too many.
    pub(super) fn set_savepoint(&mut self, name: &str) -> Result<u64> {
        if name.len() > NAME_BYTES_MAX {
            return Err(EngineError::invalid(format!(
                "a savepoint's name has up to {NAME_BYTES_MAX} bytes"
            )));
        }
        if self.savepoints.len() >= SAVEPOINTS_MAX {
            return Err(EngineError::Overloaded {
                message: format!("the transaction has {SAVEPOINTS_MAX} savepoints: release some"),
                retry_after_ms: 0,
            });
        }
        self.savepoint_count += 1;
        self.savepoints.push(Mark {
            number: self.savepoint_count,
            name: name.to_owned(),
            changes: self.changes.len(),
            streams: self.streams.len(),
            segments: self.segments.len(),
            keys: self.keys.len(),
            steps: self.steps.len(),
        });
        Ok(self.savepoint_count)
    }

    /// Forgets what was staged after a savepoint, which stays.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub(super) fn roll_back_to(&mut self, savepoint: Savepoint<'_>) -> Result<()> {
        let position = self.position(savepoint)?;
        self.savepoints.truncate(position + 1);
        let mark = &self.savepoints[position];
        self.changes.truncate(mark.changes);
        self.streams.truncate(mark.streams);
        self.segments.truncate(mark.segments);
        self.keys.truncate(mark.keys);
        self.steps.truncate(mark.steps);
        Ok(())
    }

    /// Forgets a savepoint and those after it; what was staged stays.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub(super) fn release(&mut self, savepoint: Savepoint<'_>) -> Result<()> {
        let position = self.position(savepoint)?;
        self.savepoints.truncate(position);
        Ok(())
    }

    fn position(&self, savepoint: Savepoint<'_>) -> Result<usize> {
        let is_it = |mark: &Mark| match savepoint {
            Savepoint::Named(name) => mark.name == name,
            Savepoint::Numbered(number) => mark.number == number,
        };
        let position = self.savepoints.iter().rposition(is_it);
        position.ok_or_else(|| EngineError::NotFound {
            what: match savepoint {
                Savepoint::Named(name) => format!("savepoint '{name}'"),
                Savepoint::Numbered(_) => "the savepoint".to_owned(),
            },
        })
    }
}
