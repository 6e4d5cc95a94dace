//! What a transaction has staged, in the order in which it came, and the savepoints between.
//!
//! Nothing is taken away before the end but by going back to a savepoint: rows of a table that was
//! dropped later are left out when somebody asks. So a savepoint is a mark in each of the lists.

use std::collections::{BTreeSet, HashSet};

use arrow::record_batch::RecordBatch;
use quiver_catalog::{Change, Stamp, TableId};
use uuid::Uuid;

use crate::commit::{
    CommitRequest, SettledKey, SettledStep, altered_tables, check_segments, check_table,
};
use crate::error::{EngineError, Result};
use crate::ingest::StagedStream;
use crate::read_view::ReadView;
use crate::row_changes::{RowChange, unite};
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
    row_changes: Vec<RowChange>,
    /// What of these lists does not count any more.
    superseded: Vec<Superseded>,
    /// Counts how often something was taken out of these lists.
    generation: u64,
    pub(super) keys: Vec<SettledKey>,
    pub(super) steps: Vec<SettledStep>,
    savepoints: Vec<Mark>,
    /// Savepoints so far.
    savepoint_count: u64,
}

/// Rows of a table that are in segments now.
#[derive(Debug)]
struct Superseded {
    table_id: TableId,
    /// Those of so many streams.
    streams: usize,
}

/// Streams whose rows somebody has taken.
#[derive(Debug)]
pub(super) struct TakenStreams {
    count: usize,
    generation: u64,
}

/// How much was staged at a savepoint.
#[derive(Debug)]
struct Mark {
    number: u64,
    name: String,
    changes: usize,
    streams: usize,
    segments: usize,
    row_changes: usize,
    superseded: usize,
    keys: usize,
    steps: usize,
}

impl Staged {
    /// Whether its commit would do anything.
    pub(super) fn wrote(&self) -> bool {
        let settles = !self.keys.is_empty() || !self.steps.is_empty();
        let adds_rows = !self.streams.is_empty() || !self.segments.is_empty();
        settles || adds_rows || !self.changes.is_empty() || !self.row_changes.is_empty()
    }

    /// # Errors
    /// `Conflict` when another statement of the transaction has deleted one of its rows, or altered its
    /// table, meanwhile.
    pub(super) fn add(&mut self, request: CommitRequest) -> Result<()> {
        self.check_columns(&request)?;
        let mut row_changes = self.row_changes.clone();
        row_changes.extend(request.row_changes);
        unite(&row_changes)?;
        self.row_changes = row_changes;
        self.changes.extend(request.changes);
        self.replaces_table |= request.replaces_table;
        let streams = request.streams.into_iter();
        self.streams
            .extend(streams.filter(|stream| !stream.is_empty()));
        self.segments.extend(request.segments);
        self.keys.extend(request.keys);
        self.steps.extend(request.steps);
        Ok(())
    }

    /// All rows of an altered table have the columns that it has in the end.
    fn check_columns(&self, request: &CommitRequest) -> Result<()> {
        let mut changes = self.changes();
        changes.extend(request.changes.iter().cloned());
        let altered = altered_tables(&changes);
        let Some(view) = self.view.as_ref().filter(|_| !altered.is_empty()) else {
            return Ok(());
        };
        let after = view
            .catalog()
            .apply(&changes, Stamp::overlay(view.catalog()))?;
        let is_altered =
            |table_id| altered.contains(&table_id) && after.table_by_id(table_id).is_some();
        for stream in self.streams().chain(&request.streams) {
            if is_altered(stream.table_id()) {
                check_table(&after, stream.table_id(), stream.schema())?;
            }
        }
        for segments in self.segments().chain(&request.segments) {
            if is_altered(segments.table_id()) {
                check_segments(&after, segments)?;
            }
        }
        Ok(())
    }

    /// The rows of all streams into a table, and what they were taken from.
    pub(super) fn stream_rows(&self, table_id: TableId) -> (TakenStreams, Vec<RecordBatch>) {
        let own = self
            .streams()
            .filter(|stream| stream.table_id() == table_id);
        let rows = own.flat_map(|stream| stream.batches().iter().cloned());
        let taken = TakenStreams {
            count: self.streams.len(),
            generation: self.generation,
        };
        (taken, rows.collect())
    }

    /// The rows of the streams that were taken, those into one table, are in `segments` from now on.
    ///
    /// # Errors
    /// `Conflict` when some of them are not there any more.
    pub(super) fn move_to_segments(
        &mut self,
        taken: &TakenStreams,
        segments: UnregisteredSegments,
    ) -> Result<()> {
        if taken.generation != self.generation {
            return Err(EngineError::Conflict {
                message: "the transaction went back while the statement ran: try again".to_owned(),
            });
        }
        self.superseded.push(Superseded {
            table_id: segments.table_id(),
            streams: taken.count,
        });
        self.segments.push(segments);
        Ok(())
    }

    /// Whether there are rows in segments that its views do not show.
    pub(super) fn deletes_rows(&self) -> bool {
        !self.row_changes.is_empty()
    }

    /// Deleted rows of tables that are there.
    pub(super) fn row_changes(&self) -> Vec<RowChange> {
        let dropped = self.dropped_tables();
        let changes = self.row_changes.iter();
        let counting = changes.filter(|change| !dropped.contains(&change.table_id));
        counting.cloned().collect()
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
            match (changes.iter().position(made_here), change) {
                (Some(position), Change::DropTable { table_id, .. }) => {
                    changes.remove(position);
                    let alters = |change: &Change| match change {
                        Change::AlterTable { table_id: own, .. } => own == table_id,
                        _ => false,
                    };
                    changes.retain(|change| !alters(change));
                }
                (Some(position), _) => drop(changes.remove(position)),
                (None, _) => changes.push(change.clone()),
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

    /// Streams into tables that are there, whose rows are in no segment.
    pub(super) fn streams(&self) -> impl Iterator<Item = &StagedStream> {
        let dropped = self.dropped_tables();
        let streams = self.streams.iter().enumerate();
        let counting = streams.filter(move |(at, stream)| {
            let table_id = stream.table_id();
            let mut moved = self.superseded.iter().filter(|s| s.table_id == table_id);
            moved.all(|moved| *at >= moved.streams) && !dropped.contains(&table_id)
        });
        counting.map(|(_, stream)| stream)
    }

    /// Segments of tables that are there.
    pub(super) fn segments(&self) -> impl Iterator<Item = &UnregisteredSegments> {
        let dropped = self.dropped_tables();
        let segments = self.segments.iter();
        segments.filter(move |segments| !dropped.contains(&segments.table_id()))
    }

    /// What its commit makes visible.
    pub(super) fn into_request(self, commit_id: Uuid) -> CommitRequest {
        let (changes, row_changes) = (self.changes(), self.row_changes());
        let is_there: HashSet<Uuid> = self.streams().map(StagedStream::id).collect();
        let counting: Vec<bool> = self
            .segments
            .iter()
            .map(|own| self.segments().any(|other| std::ptr::eq(own, other)))
            .collect();
        let (mut streams, segments) = (self.streams, self.segments);
        streams.retain(|stream| is_there.contains(&stream.id()));
        let segments = segments.into_iter().zip(counting);
        let segments = segments.filter_map(|(own, counts)| counts.then_some(own));
        let segments = segments.collect();
        CommitRequest {
            commit_id,
            changes,
            streams,
            segments,
            row_changes,
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
            row_changes: self.row_changes.len(),
            superseded: self.superseded.len(),
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
        self.generation += 1;
        let mark = &self.savepoints[position];
        self.changes.truncate(mark.changes);
        self.streams.truncate(mark.streams);
        self.segments.truncate(mark.segments);
        self.row_changes.truncate(mark.row_changes);
        self.superseded.truncate(mark.superseded);
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
