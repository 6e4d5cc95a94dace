#![expect(clippy::unwrap_used, reason = "tests")]

use uuid::Uuid;

use super::LogPins;
use crate::error::EngineError;

#[test]
fn old_streams_are_given_up_and_can_never_commit() {
    let pins = LogPins::default();
    let old = pins.pin(Uuid::from_u128(1), 10);
    let young = pins.pin(Uuid::from_u128(2), 20);
    assert_eq!(pins.oldest(), Some(10));

    assert_eq!(pins.give_up_below(20), 1);
    assert_eq!(pins.oldest(), Some(20));
    assert!(matches!(old.check(), Err(EngineError::Conflict { .. })));
    assert!(matches!(
        old.begin_commit(),
        Err(EngineError::Conflict { .. })
    ));
    young.check().unwrap();

    drop((old, young));
    assert_eq!(pins.oldest(), None);
}

#[test]
fn a_stream_that_commits_keeps_its_log() {
    let pins = LogPins::default();
    let pin = pins.pin(Uuid::from_u128(1), 10);
    pin.begin_commit().unwrap();
    assert_eq!(pins.give_up_below(100), 0);
    assert_eq!(pins.oldest(), Some(10));
    pin.begin_commit().unwrap();
}
