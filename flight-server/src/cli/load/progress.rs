//! A bar over the bytes of all files, with rows per second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

const TEMPLATE: &str = "{bar:32} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg} ETA {eta}";

/// Shared by all uploads. Draws on standard error when that is a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    rows: AtomicU64,
    started: Instant,
}

impl Progress {
    /// Nothing to show yet.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self {
            bar,
            rows: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Says how many files there are.
    pub(crate) fn announce(&self, files: usize) {
        self.bar.set_message(format!("{files} files"));
    }

    /// Starts the bar.
    pub(crate) fn start(&self, bytes: u64) {
        self.bar.set_length(bytes);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            self.bar.set_style(style);
        }
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// Adds what an upload has read; a repeated upload takes its share back with [`Self::undo`].
    pub(crate) fn add(&self, rows: u64, bytes: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        self.bar.inc(bytes);
        let rate = rows as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let (rows, rate) = (HumanCount(rows), HumanCount(rate as u64));
        self.bar.set_message(format!("{rows} rows, {rate} rows/s"));
    }

    /// Takes back what a failed attempt had read.
    pub(crate) fn undo(&self, rows: u64, bytes: u64) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
        self.bar
            .set_position(self.bar.position().saturating_sub(bytes));
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
