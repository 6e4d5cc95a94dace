#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::{Budget, Reservation};
use crate::error::EngineError;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(5);

#[tokio::test]
async fn a_caller_that_goes_away_while_waiting_takes_nothing() {
    let (node, a, b) = (
        Budget::new("node", 100),
        Budget::new("a", 100),
        Budget::new("b", 100),
    );
    let mut full = Reservation::new(&node, &b);
    full.grow(60, SHORT).await.unwrap();
    let full = full.commit();

    let mut waiting = Reservation::new(&node, &a);
    let cut_short = tokio::time::timeout(SHORT, waiting.grow(50, LONG)).await;
    assert!(cut_short.is_err());
    assert_eq!(a.used_bytes(), (0, 0));
    assert_eq!(node.used_bytes(), (0, 60));

    drop(full);
    waiting.grow(50, SHORT).await.unwrap();
    assert_eq!(a.used_bytes(), (50, 0));
    drop(waiting);
    assert_eq!(
        (a.used_bytes(), b.used_bytes(), node.used_bytes()),
        ((0, 0), (0, 0), (0, 0))
    );
}

#[tokio::test]
async fn what_never_fits_is_refused_at_once_and_takes_nothing() {
    let (node, tenant) = (Budget::new("node", 100), Budget::new("tenant", 1000));
    let mut reservation = Reservation::new(&node, &tenant);
    let refused = reservation.grow(101, LONG).await;
    assert!(matches!(refused, Err(EngineError::Overloaded { .. })));
    assert_eq!((tenant.used_bytes(), node.used_bytes()), ((0, 0), (0, 0)));
}

#[tokio::test]
async fn a_waiting_writer_goes_on_when_rows_are_flushed() {
    let (node, tenant) = (Budget::new("node", 100), Budget::new("tenant", 1000));
    let mut first = Reservation::new(&node, &tenant);
    first.grow(80, SHORT).await.unwrap();
    let first = first.commit();
    let mut second = Reservation::new(&node, &tenant);
    let (grown, ()) = tokio::join!(second.grow(80, LONG), async {
        node.flush_wanted().await;
        drop(first);
    });
    grown.unwrap();
    assert_eq!(node.used_bytes(), (80, 0));
}
