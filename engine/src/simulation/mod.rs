//! Random lives of an engine that dies at any moment, against a model of what it must show.
//!
//! A life is one tenant on a simulated disk: appends, streams, transactions, repetitions, drops and
//! flushes, while writes and syncs fail, the disk is full, and the process is killed or the power
//! cut at a named point or at any change of the disk. Everything random comes from one seed, the
//! clock is set, the log's threads are steps of the one thread that there is, so a seed replays
//! exactly. Now and then clients come in crowds, beside a flush and a drop: whose turn it is is drawn
//! from the seed too (`task/turns.rs`). The catalog is a real `SQLite` file, which is put back to what
//! it was at the moment of death: that `SQLite` keeps what it has synced is taken for granted.

mod life;
mod model;
mod node;
mod rows;

use std::io::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use life::{Ended, Life, Trace};

use crate::storage_fs::CrashPoint;

/// Lives of a test run; `QUIVER_SEEDS=1000..2000` tells others, and `make soak` lives on and on.
const SEEDS: Range<u64> = 0..1_000;

/// Statements are planned on the one thread of a life, by recursion.
const STACK_BYTES: usize = 16 << 20;

/// Runs one life; a panic is shown with the seed that replays it.
fn live(seed: u64, dies_at: Option<CrashPoint>) -> (Ended, Vec<String>) {
    let trace = Trace::default();
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(Life::new(seed, dies_at, Arc::clone(&trace)).run())
    };
    let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let mut stderr = std::io::stderr();
        let range = seed..seed + 1;
        let trace = trace.lock().join("\n");
        let told = writeln!(
            stderr,
            "{trace}\nthe failing seed is {seed} (dies at {dies_at:?}): QUIVER_SEEDS={range:?} replays it"
        );
        drop(told);
        resume_unwind(panic)
    });
    let trace = trace.lock().clone();
    (ended, trace)
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("QUIVER_SEEDS") else {
        return SEEDS;
    };
    let (from, to) = text.split_once("..").expect("QUIVER_SEEDS is like 0..100");
    let number = |text: &str| text.parse().expect("QUIVER_SEEDS has two numbers");
    number(from)..number(to)
}

/// Does `work` for each seed, on all cores.
fn for_each_seed(seeds: Range<u64>, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            let lives = || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    work(seed);
                }
            };
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            thread.spawn_scoped(scope, lives).expect("a thread");
        }
    });
}

#[test]
fn no_life_loses_doubles_or_tears_a_commit() {
    for_each_seed(seeds(), |seed| drop(live(seed, None)));
}

#[test]
fn every_crash_point_is_died_at() {
    const LIVES_MAX: u64 = 300;
    for_each_seed(0..CrashPoint::ALL.len() as u64, |index| {
        let point = CrashPoint::ALL[index as usize];
        let dies = |seed| live(seed, Some(point)).0.died_at.contains(&point);
        assert!(
            (0..LIVES_MAX).any(dies),
            "nobody died at '{}'",
            point.name()
        );
    });
}

#[test]
fn a_life_replays_exactly() {
    for_each_seed(0..20, |seed| {
        let ((_, first), (_, second)) = (live(seed, None), live(seed, None));
        assert_eq!(first, second, "seed {seed}");
        assert!(first.len() > 20, "a life has events");
    });
}
