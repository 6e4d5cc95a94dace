//! Tasks that take turns on one thread: which of them goes on next is drawn from a seed.
//!
//! The runtime of one thread polls woken tasks in the order in which they were woken. Each task
//! here puts itself to the end of that line, as often as its luck wants it: some tasks are a little
//! late, some a lot. What would wake a task from another thread (the catalog's database) is waited
//! for on the spot, so the order hangs on the seed alone.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::coop::{Unconstrained, unconstrained};

/// How often, of 100 times, a task stands back when its turn comes.
const STANDS_BACK: [u32; 4] = [0, 30, 60, 95];

/// What is waited for longer never comes.
const RINGS_WITHIN: Duration = Duration::from_secs(60);

thread_local! {
    static TURNS: RefCell<Option<Turns>> = const { RefCell::new(None) };
}

struct Turns {
    rng: StdRng,
    drawn: u64,
    /// Answers how many tasks wait for another thread.
    waiting_outside: Box<dyn Fn() -> usize>,
    /// One task goes on by itself.
    is_alone: bool,
    running: Arc<AtomicUsize>,
}

/// While it is there, the tasks that this thread starts take turns.
pub(crate) struct TurnsDrawn;

impl TurnsDrawn {
    /// `waiting_outside` tells how many calls wait for another thread; at most one task may have any.
    pub(crate) fn new(seed: u64, waiting_outside: impl Fn() -> usize + 'static) -> Self {
        let turns = Turns {
            rng: StdRng::seed_from_u64(seed),
            drawn: 0,
            waiting_outside: Box::new(waiting_outside),
            is_alone: false,
            running: Arc::default(),
        };
        let before = TURNS.replace(Some(turns));
        assert!(before.is_none(), "the turns of one life at a time");
        Self
    }
}

impl Drop for TurnsDrawn {
    fn drop(&mut self) {
        TURNS.set(None);
    }
}

fn with<T>(work: impl FnOnce(&mut Turns) -> T) -> Option<T> {
    TURNS.with_borrow_mut(|turns| turns.as_mut().map(work))
}

/// Whether tasks take turns on this thread.
pub(crate) fn are_drawn() -> bool {
    with(|_| ()).is_some()
}

/// Where tasks take turns, nobody looks at the clock.
pub(crate) fn patience(elsewhere: Duration) -> Duration {
    match are_drawn() {
        true => Duration::MAX,
        false => elsewhere,
    }
}

/// Turns so far.
pub(crate) fn drawn() -> u64 {
    with(|turns| turns.drawn).unwrap_or(0)
}

/// Tasks that were started and have not ended.
pub(crate) fn running() -> usize {
    with(|turns| turns.running.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Lets others go first, as often as luck wants.
pub(crate) async fn others() {
    let times = |turns: &mut Turns| match turns.is_alone {
        true => 0,
        false => turns.rng.random_range(0..5),
    };
    for _ in 0..with(times).unwrap_or(0) {
        tokio::task::yield_now().await;
    }
}

/// Whether a task waits for another thread, which is the one that asks.
pub(crate) fn waits_outside() -> bool {
    let waits = |turns: &Turns| turns.is_alone || (turns.waiting_outside)() > 0;
    TURNS.with_borrow(|turns| turns.as_ref().is_some_and(waits))
}

/// Goes on to the end of `work` without a turn of anybody else: it waits for other threads, and not
/// for other tasks.
pub(crate) async fn alone<T>(work: impl Future<Output = T>) -> T {
    with(|turns| turns.is_alone = true);
    let done = work.await;
    with(|turns| turns.is_alone = false);
    done
}

/// The future as a task that takes turns, where they are drawn.
pub(crate) fn taking_turns<F: Future>(future: F) -> TakingTurns<F> {
    let place = with(|turns| {
        turns.running.fetch_add(1, Ordering::Relaxed);
        Place {
            stands_back: STANDS_BACK[turns.rng.random_range(0..STANDS_BACK.len())],
            running: Arc::clone(&turns.running),
        }
    });
    TakingTurns {
        // What a task may do at a time is drawn here, not counted by the runtime.
        future: Box::pin(unconstrained(future)),
        place,
    }
}

struct Place {
    stands_back: u32,
    running: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// From [`taking_turns`].
pub(crate) struct TakingTurns<F> {
    future: Pin<Box<Unconstrained<F>>>,
    place: Option<Place>,
}

impl<F: Future> Future for TakingTurns<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(place) = &self.place else {
            return self.future.as_mut().poll(context);
        };
        let stands_back = place.stands_back;
        let others_first = with(|turns| {
            turns.drawn += 1;
            turns.rng.random_range(0..100) < stands_back
        });
        if others_first == Some(true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bell = Arc::new(Bell {
            state: Mutex::new(Ringing {
                heard_here: true,
                rung: false,
            }),
            heard: Condvar::new(),
            outer: context.waker().clone(),
        });
        let waker = Waker::from(Arc::clone(&bell));
        loop {
            let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                return polled;
            }
            if !waits_outside() {
                bell.pass_on();
                return polled;
            }
            bell.wait(std::any::type_name::<F>());
        }
    }
}

/// A waker that can be waited for.
struct Bell {
    state: Mutex<Ringing>,
    heard: Condvar,
    outer: Waker,
}

struct Ringing {
    /// By the task's own thread, which is in it; later the runtime has to be told.
    heard_here: bool,
    rung: bool,
}

impl Bell {
    fn wait(&self, task: &str) {
        let mut state = self.state.lock();
        while !state.rung {
            let waited = self.heard.wait_for(&mut state, RINGS_WITHIN);
            assert!(!waited.timed_out(), "nobody answered {task}");
        }
        state.rung = false;
    }

    fn pass_on(&self) {
        let mut state = self.state.lock();
        state.heard_here = false;
        if state.rung {
            self.outer.wake_by_ref();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.lock();
        state.rung = true;
        self.heard.notify_one();
        if !state.heard_here {
            self.outer.wake_by_ref();
        }
    }
}
