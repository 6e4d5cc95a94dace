//! Which statements run now and which ran lately: the source of `system.queries`.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parking_lot::Mutex;
use quiver_catalog::{Clock, TenantId};
use quiver_engine::Result;
use uuid::Uuid;

/// Statements that are remembered, over all tenants; running ones are never forgotten.
const REMEMBERED_MAX: usize = 1_000;
/// Of a statement's text.
const TEXT_BYTES_MAX: usize = 4_096;

#[derive(Debug, Clone)]
struct Entry {
    query_id: Uuid,
    tenant_id: TenantId,
    user_name: String,
    /// Without passwords.
    text: String,
    state: State,
    started_micros: i64,
    ended_micros: Option<i64>,
    row_count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Finished,
    Failed,
}

/// Running and recent statements of all tenants.
#[derive(Debug)]
pub(crate) struct Queries {
    clock: Arc<dyn Clock>,
    entries: Mutex<VecDeque<Entry>>,
}

/// A running statement; failed unless it is finished before it is dropped.
#[derive(Debug)]
pub(crate) struct RunningQuery {
    queries: Arc<Queries>,
    query_id: Uuid,
    state: State,
    row_count: u64,
}

impl Queries {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            entries: Mutex::default(),
        })
    }

    /// Notes that a statement runs. `text` must not hold passwords.
    pub(crate) fn start(
        self: &Arc<Self>,
        query_id: Uuid,
        tenant_id: TenantId,
        user_name: &str,
        text: &str,
    ) -> RunningQuery {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut entries = self.entries.lock();
        if entries.len() >= REMEMBERED_MAX {
            let ended = entries
                .iter()
                .position(|entry| entry.state != State::Running);
            if let Some(position) = ended {
                entries.remove(position);
            }
        }
        entries.push_back(Entry {
            query_id,
            tenant_id,
            user_name: user_name.to_owned(),
            text: text[..end].to_owned(),
            state: State::Running,
            started_micros: self.clock.now_micros(),
            ended_micros: None,
            row_count: 0,
        });
        RunningQuery {
            queries: Arc::clone(self),
            query_id,
            state: State::Failed,
            row_count: 0,
        }
    }

    /// Columns of `system.queries`.
    pub(crate) fn schema() -> SchemaRef {
        let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            Field::new("query_id", DataType::Utf8, true),
            Field::new("user_name", DataType::Utf8, true),
            Field::new("state", DataType::Utf8, true),
            Field::new("started_at", time(), true),
            Field::new("ended_at", time(), true),
            Field::new("record_count", DataType::UInt64, true),
            Field::new("sql", DataType::Utf8, true),
        ]))
    }

    /// Statements of one tenant, oldest first.
    pub(crate) fn rows(&self, tenant_id: TenantId) -> Result<RecordBatch> {
        let entries: Vec<_> = {
            let entries = self.entries.lock();
            entries
                .iter()
                .filter(|entry| entry.tenant_id == tenant_id)
                .cloned()
                .collect()
        };
        let text = |value: fn(&Entry) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(entries.iter().map(value)))
        };
        let started: Vec<_> = entries.iter().map(|entry| entry.started_micros).collect();
        let ended: Vec<_> = entries.iter().map(|entry| entry.ended_micros).collect();
        let columns: Vec<ArrayRef> = vec![
            text(|entry| entry.query_id.to_string()),
            text(|entry| entry.user_name.clone()),
            text(|entry| format!("{:?}", entry.state).to_lowercase()),
            Arc::new(TimestampMicrosecondArray::from(started).with_timezone("UTC")),
            Arc::new(TimestampMicrosecondArray::from(ended).with_timezone("UTC")),
            Arc::new(UInt64Array::from_iter_values(
                entries.iter().map(|entry| entry.row_count),
            )),
            text(|entry| entry.text.clone()),
        ];
        Ok(RecordBatch::try_new(Self::schema(), columns)?)
    }
}

impl RunningQuery {
    /// The statement's id.
    pub(crate) fn id(&self) -> Uuid {
        self.query_id
    }

    /// Counts rows sent or changed.
    pub(crate) fn add_rows(&mut self, rows: u64) {
        self.row_count += rows;
    }

    /// The statement did all it was to do.
    pub(crate) fn finish(mut self) {
        self.state = State::Finished;
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        let ended = self.queries.clock.now_micros();
        let mut entries = self.queries.entries.lock();
        let running =
            |entry: &&mut Entry| entry.query_id == self.query_id && entry.state == State::Running;
        if let Some(entry) = entries.iter_mut().rev().find(running) {
            entry.state = self.state;
            entry.ended_micros = Some(ended);
            entry.row_count = self.row_count;
        }
    }
}
