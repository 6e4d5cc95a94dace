#![expect(clippy::unwrap_used, reason = "tests")]

use futures::future::join_all;

use super::super::fixture::{Fixture, user};
use super::*;

const LIMITS: Limits = Limits {
    remember: Duration::from_secs(60),
    remembered_max: 3,
    checks_max: 2,
    waiting_max: 64,
};

fn gate(fixture: &Fixture, limits: Limits) -> PasswordGate {
    let clock: Arc<dyn Clock> = Arc::<super::super::fixture::ManualClock>::clone(&fixture.clock);
    PasswordGate::new(Arc::clone(&fixture.control), clock, limits)
}

fn attempt<'a>(tenant: &'a str, user: &'a str, password: &'a str) -> Attempt<'a> {
    Attempt {
        tenant,
        user,
        password,
        address: None,
    }
}

/// Whether the gate lets `bob@acme` in with `password`.
async fn bob(gate: &PasswordGate, password: &str) -> bool {
    match gate.check(attempt("acme", "bob", password)).await {
        Ok(_) => true,
        Err(AuthError::WrongPassword) => false,
        Err(error) => unreachable!("{error}"),
    }
}

#[tokio::test]
async fn a_right_password_is_remembered_for_a_while() {
    let fixture = Fixture::new().await;
    let gate = gate(&fixture, LIMITS);
    let found = gate.check(attempt("acme", "bob", "pw")).await.unwrap();
    assert_eq!(found, (fixture.bob.id, fixture.acme.id));
    // The catalog is not asked again: a change behind the gate's back goes unnoticed …
    fixture
        .control
        .set_password(fixture.bob.id, "new")
        .await
        .unwrap();
    assert_eq!(
        gate.check(attempt("ACME", "BOB", "pw")).await.unwrap(),
        found
    );
    assert!(bob(&gate, "new").await);
    // … until the time is over.
    fixture.clock.advance(LIMITS.remember);
    assert!(!bob(&gate, "pw").await);
}

#[tokio::test]
async fn a_changed_password_is_forgotten_when_told() {
    let fixture = Fixture::new().await;
    let gate = gate(&fixture, LIMITS);
    assert!(bob(&gate, "pw").await);
    fixture
        .control
        .set_password(fixture.bob.id, "new")
        .await
        .unwrap();
    gate.forget();
    assert!(!bob(&gate, "pw").await);
    assert!(bob(&gate, "new").await);
}

#[tokio::test]
async fn a_check_that_began_before_a_change_is_not_remembered() {
    let fixture = Fixture::new().await;
    let gate = gate(&fixture, LIMITS);
    let name = ("acme".to_owned(), "bob".to_owned(), None);
    let generation = gate.state.lock().generation;
    gate.forget();
    gate.remember([1; 32], &name, generation, fixture.bob.id, fixture.acme.id);
    assert_eq!(gate.recognise(&[1; 32]), None);
}

#[tokio::test]
async fn the_memory_is_bounded() {
    let fixture = Fixture::new().await;
    let gate = gate(&fixture, LIMITS);
    for name in ["u1", "u2", "u3", "u4"] {
        user(&fixture.control, &fixture.acme, name, "pw").await;
        gate.check(attempt("acme", name, "pw")).await.unwrap();
    }
    assert_eq!(gate.state.lock().remembered.len(), LIMITS.remembered_max);
    fixture.clock.advance(LIMITS.remember);
    gate.check(attempt("acme", "u4", "pw")).await.unwrap();
    assert_eq!(gate.state.lock().remembered.len(), 1);
}

#[tokio::test]
async fn checks_beyond_the_queue_are_turned_away() {
    let fixture = Fixture::new().await;
    let gate = gate(
        &fixture,
        Limits {
            checks_max: 1,
            // Of which one address has half.
            waiting_max: 4,
            ..LIMITS
        },
    );
    let checks = ["u1", "u2", "u3", "u4"].map(|name| gate.check(attempt("acme", name, "pw")));
    let results = join_all(checks).await;
    let busy = |result: &&Result<_, AuthError>| matches!(result, Err(AuthError::Busy { .. }));
    assert_eq!(results.iter().filter(busy).count(), 2);
    // The places are free again.
    assert!(bob(&gate, "pw").await);
}

#[test]
fn penalties_double_up_to_a_bound() {
    let expected_ms = [0, 0, 0, 250, 500, 1_000, 2_000, 4_000, 5_000, 5_000];
    for (count, expected) in expected_ms.into_iter().enumerate() {
        let count = u32::try_from(count).unwrap();
        assert_eq!(penalty(count), Duration::from_millis(expected), "{count}");
    }
    assert_eq!(penalty(u32::MAX), PENALTY_MAX);
}

#[tokio::test]
async fn repeated_failures_slow_the_name_down_whether_or_not_it_exists() {
    let fixture = Fixture::new().await;
    let gate = gate(&fixture, LIMITS);
    for (tenant, name) in [("acme", "bob"), ("acme", "nobody"), ("nowhere", "bob")] {
        for _ in 0..FREE_FAILURES {
            gate.check(attempt(tenant, name, "no")).await.unwrap_err();
        }
        let begun = tokio::time::Instant::now();
        gate.check(attempt(tenant, name, "no")).await.unwrap_err();
        assert!(begun.elapsed() >= PENALTY_MIN, "{name}@{tenant}");
    }
    // The right password still gets in, and clears the record.
    assert!(bob(&gate, "pw").await);
    assert!(
        !gate
            .state
            .lock()
            .failures
            .contains_key(&("acme".to_owned(), "bob".to_owned(), None))
    );
}

#[tokio::test]
async fn few_checks_of_a_failing_name_wait_and_cancelled_ones_make_room() {
    let fixture = Fixture::new().await;
    let gate = gate(&fixture, LIMITS);
    let name = ("acme".to_owned(), "bob".to_owned(), None);
    for _ in 0..20 {
        gate.note_failure(name.clone());
    }
    let mut waiting = Vec::new();
    for _ in 0..WAITING_PER_NAME_MAX {
        let mut check = Box::pin(gate.check(attempt("acme", "bob", "no")));
        assert!(futures::poll!(&mut check).is_pending());
        waiting.push(check);
    }
    let error = gate.check(attempt("acme", "bob", "no")).await.unwrap_err();
    assert!(
        matches!(
            error,
            AuthError::Busy {
                retry_after_ms: 5_000
            }
        ),
        "{error}"
    );
    // Other names are not affected, nor is a remembered password.
    gate.check(attempt("default", "bob", "pw")).await.unwrap();
    drop(waiting);
    assert_eq!(gate.state.lock().failures[&name].waiting, 0);
}

#[tokio::test]
async fn failures_are_forgotten_after_a_while() {
    let fixture = Fixture::new().await;
    let gate = gate(&fixture, LIMITS);
    let name = ("acme".to_owned(), "bob".to_owned(), None);
    for _ in 0..20 {
        gate.note_failure(name.clone());
    }
    fixture
        .clock
        .advance(FAILURES_FORGOTTEN_AFTER + Duration::from_micros(1));
    gate.wait_out_penalty(&name).await.unwrap();
    gate.note_failure(name.clone());
    assert_eq!(gate.state.lock().failures[&name].count, 1);
}

#[test]
fn the_record_of_failures_is_bounded() {
    let mut failures = HashMap::new();
    for index in 0..NAMES_MAX {
        let last_micros = i64::try_from(index).unwrap();
        let entry = Failures {
            count: 1,
            waiting: 0,
            last_micros,
        };
        failures.insert(("acme".to_owned(), index.to_string(), None), entry);
    }
    make_room(&mut failures, 0);
    assert_eq!(failures.len(), NAMES_MAX - 1);
    assert!(!failures.contains_key(&("acme".to_owned(), "0".to_owned(), None)));
    make_room(&mut failures, i64::MAX);
    assert!(failures.is_empty());
}

#[tokio::test]
async fn who_guesses_elsewhere_locks_nobody_out() {
    let fixture = Fixture::new().await;
    let gate = gate(&fixture, LIMITS);
    let from = |last: u8, password| Attempt {
        address: Some(IpAddr::from([10, 0, 0, last])),
        ..attempt("acme", "bob", password)
    };
    for _ in 0..FREE_FAILURES {
        gate.check(from(1, "no")).await.unwrap_err();
    }
    let guess = gate.check(from(1, "pw"));
    assert!(futures::poll!(Box::pin(guess)).is_pending());
    gate.check(from(2, "pw")).await.unwrap();
    // The guesser's failures still count, and nobody else's ever did.
    assert_eq!(gate.state.lock().failures.len(), 1);
}
