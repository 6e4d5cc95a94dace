use super::*;

#[test]
fn all_streams_of_a_statement_are_cancelled_and_forgotten() {
    let running = Arc::new(RunningStatements::default());
    let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let streams = [running.enter(own), running.enter(own)];
    let untouched = running.enter(other);
    running.cancel(own);
    assert!(streams.iter().all(|stream| stream.cancelled.is_cancelled()));
    assert!(!untouched.cancelled.is_cancelled());
    drop(streams);
    assert_eq!(running.streams.lock().len(), 1);
    drop(untouched);
    assert!(running.streams.lock().is_empty());
}

#[test]
fn a_later_statement_is_not_cancelled_by_an_earlier_cancel() {
    let running = Arc::new(RunningStatements::default());
    let id = Uuid::from_u128(1);
    running.cancel(id);
    assert!(!running.enter(id).cancelled.is_cancelled());
}
