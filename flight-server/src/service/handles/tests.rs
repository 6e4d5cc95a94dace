#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

const ACME: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);
const TTL: i64 = 1_000;
const LIMITS: HandleLimits = HandleLimits {
    count_max: 3,
    bytes_max: 100,
};

#[derive(Debug, Default)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value of a given size.
#[derive(Debug, Clone, PartialEq)]
struct Sized(usize);

impl Keepable for Sized {
    fn kept_bytes(&self) -> usize {
        self.0
    }
}

struct Fixture {
    handles: Handles<Sized>,
    clock: Arc<ManualClock>,
}

impl Fixture {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        Self {
            handles: Handles::new("things", LIMITS, shared),
            clock,
        }
    }

    fn advance(&self, micros: i64) {
        self.clock.0.fetch_add(micros, Ordering::Relaxed);
    }

    fn keep(&self, tenant_id: TenantId, number: u128, bytes: usize) -> Result<(), Failure> {
        let expires = self.clock.now_micros() + TTL;
        self.handles
            .insert(tenant_id, id(number), Sized(bytes), expires)
    }

    fn has(&self, number: u128) -> bool {
        self.handles.get(ACME, id(number)).is_some()
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[test]
fn a_value_ends_at_its_time_and_is_swept() {
    let f = Fixture::new();
    f.keep(ACME, 1, 10).unwrap();
    f.advance(TTL - 1);
    f.keep(ACME, 2, 20).unwrap();
    assert!(f.has(1) && f.has(2));
    f.advance(1);
    assert!(!f.has(1), "it has ended before anybody swept");
    assert_eq!(f.handles.usage(), (2, 30));
    f.handles.sweep();
    assert_eq!(f.handles.usage(), (1, 20));
    assert!(f.has(2));
    f.advance(TTL);
    f.handles.sweep();
    assert_eq!(f.handles.usage(), (0, 0));
    assert!(
        f.handles.shelves.lock().is_empty(),
        "no empty shelf is kept"
    );
}

#[test]
fn a_full_tenant_is_refused_and_loses_nothing() {
    let f = Fixture::new();
    for number in 1..=3 {
        f.keep(ACME, number, 10).unwrap();
    }
    let failure = f.keep(ACME, 4, 10).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Overloaded);
    assert!(
        failure.message.contains("tenant_statements_max"),
        "{failure}"
    );
    assert!((1..=3).all(|number| f.has(number)));
    // Another tenant has room of its own.
    f.keep(OTHER, 4, 10).unwrap();
    assert!(f.handles.get(OTHER, id(1)).is_none());
    assert!(f.handles.get(ACME, id(4)).is_none());
}

#[test]
fn bytes_are_a_limit_too() {
    let f = Fixture::new();
    f.keep(ACME, 1, 60).unwrap();
    let failure = f.keep(ACME, 2, 50).unwrap_err();
    assert!(
        failure.message.contains("tenant_statement_bytes_max"),
        "{failure}"
    );
    f.keep(ACME, 3, 40).unwrap();
    assert!(f.handles.remove(ACME, id(1)));
    assert!(!f.handles.remove(ACME, id(1)));
    f.keep(ACME, 4, 60).unwrap();
    assert_eq!(f.handles.usage(), (2, 100));
}

#[test]
fn what_has_ended_makes_room_first_and_what_is_used_up_next() {
    let f = Fixture::new();
    f.keep(ACME, 1, 10).unwrap();
    f.advance(TTL);
    f.keep(ACME, 2, 10).unwrap();
    f.advance(1);
    f.keep(ACME, 3, 10).unwrap();
    f.handles.use_up(ACME, id(3)).unwrap();
    f.keep(ACME, 4, 10).unwrap();
    assert!(f.has(2) && f.has(3) && f.has(4), "the ended one went");
    f.keep(ACME, 5, 10).unwrap();
    assert!(f.has(2) && !f.has(3) && f.has(4) && f.has(5));
    f.keep(ACME, 6, 10).unwrap_err();
    // What fits nowhere pushes nothing out.
    f.handles.use_up(ACME, id(2)).unwrap();
    f.keep(ACME, 7, 101).unwrap_err();
    assert!(f.has(2));
}

#[test]
fn a_used_up_value_can_be_had_again_while_there_is_room() {
    let f = Fixture::new();
    f.keep(ACME, 1, 10).unwrap();
    assert_eq!(f.handles.use_up(ACME, id(1)), Some(Sized(10)));
    assert_eq!(f.handles.use_up(ACME, id(1)), Some(Sized(10)));
    f.advance(TTL);
    assert_eq!(f.handles.use_up(ACME, id(1)), None);
}

#[test]
fn use_keeps_a_value_alive() {
    let f = Fixture::new();
    f.keep(ACME, 1, 10).unwrap();
    for _ in 0..5 {
        f.advance(TTL - 1);
        let expires = f.clock.now_micros() + TTL;
        f.handles.renew(ACME, id(1), expires).unwrap();
        f.handles.sweep();
    }
    f.advance(TTL);
    let expires = f.clock.now_micros() + TTL;
    assert!(f.handles.renew(ACME, id(1), expires).is_none());
}

#[test]
fn a_changed_value_counts_with_its_new_size() {
    let f = Fixture::new();
    f.keep(ACME, 1, 10).unwrap();
    f.keep(ACME, 2, 50).unwrap();
    assert!(f.handles.replace(ACME, id(1), Sized(50)).unwrap());
    assert_eq!(f.handles.usage(), (2, 100));
    f.handles.replace(ACME, id(1), Sized(51)).unwrap_err();
    assert_eq!(f.handles.get(ACME, id(1)), Some(Sized(50)));
    assert!(!f.handles.replace(ACME, id(9), Sized(1)).unwrap());
    assert!(!f.handles.replace(OTHER, id(1), Sized(1)).unwrap());
}
