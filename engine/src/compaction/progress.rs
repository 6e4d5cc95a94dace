//! What compactions do now, and what they did lately.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use quiver_catalog::Replacement;

/// Ended jobs that are remembered.
const REMEMBERED_MAX: usize = 200;

/// How a job stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum JobState {
    #[default]
    Running,
    Done,
    /// With what went wrong.
    Failed(String),
}

/// A job of one table.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) schema_name: String,
    pub(crate) table_name: String,
    pub(crate) form: Replacement,
    pub(crate) segments_before: u64,
    pub(crate) bytes_before: u64,
    pub(crate) rows: u64,
    pub(crate) started_micros: i64,
    rows_done: AtomicU64,
    end: Mutex<JobEnd>,
}

/// What is known of a job when it has ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobEnd {
    pub(crate) state: JobState,
    pub(crate) segments_after: u64,
    pub(crate) bytes_after: u64,
    pub(crate) ended_micros: Option<i64>,
}

impl Job {
    pub(crate) fn rows_done(&self) -> u64 {
        self.rows_done.load(Ordering::Relaxed)
    }

    pub(super) fn add_rows(&self, count: usize) {
        self.rows_done.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) -> JobEnd {
        self.end.lock().clone()
    }
}

/// What a job is about, before it begins.
#[derive(Debug)]
pub(super) struct NewJob {
    pub(super) schema_name: String,
    pub(super) table_name: String,
    pub(super) form: Replacement,
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

/// The compactions of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Compactions {
    jobs: Mutex<VecDeque<Arc<Job>>>,
    begun: AtomicU64,
    is_paused: AtomicBool,
}

impl Compactions {
    pub(super) fn begin(&self, new: NewJob, now_micros: i64) -> Arc<Job> {
        let job = Arc::new(Job {
            id: self.begun.fetch_add(1, Ordering::Relaxed) + 1,
            schema_name: new.schema_name,
            table_name: new.table_name,
            form: new.form,
            segments_before: new.segments,
            bytes_before: new.bytes,
            rows: new.rows,
            started_micros: now_micros,
            rows_done: AtomicU64::new(0),
            end: Mutex::default(),
        });
        let mut jobs = self.jobs.lock();
        if jobs.len() >= REMEMBERED_MAX {
            jobs.pop_front();
        }
        jobs.push_back(Arc::clone(&job));
        job
    }

    pub(super) fn end(job: &Job, end: JobEnd) {
        *job.end.lock() = end;
    }

    /// Those that run, and those that ended last; oldest first.
    pub(crate) fn list(&self) -> Vec<Arc<Job>> {
        self.jobs.lock().iter().map(Arc::clone).collect()
    }

    /// Whether nothing is compacted unless somebody asks for it.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.is_paused.store(paused, Ordering::Relaxed);
    }
}
