#![expect(clippy::unwrap_used, reason = "tests")]

use http::HeaderValue;

use super::*;

#[test]
fn timeouts_are_read_as_grpc_writes_them() {
    let cases = [
        ("2H", Some(Duration::from_secs(7_200))),
        ("3M", Some(Duration::from_secs(180))),
        ("5S", Some(Duration::from_secs(5))),
        ("100m", Some(Duration::from_millis(100))),
        ("7u", Some(Duration::from_micros(7))),
        ("99999999n", Some(Duration::from_nanos(99_999_999))),
        ("123456789S", None),
        ("-5S", None),
        ("+5S", None),
        ("5", None),
        ("S", None),
        ("", None),
        ("5x", None),
        ("5é", None),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_timeout(text), expected, "{text}");
    }
}

#[test]
fn the_sooner_deadline_counts() {
    let mut headers = HeaderMap::new();
    headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
    let client = Deadline::of_client(&headers);
    let late = Deadline::of_setting(5_000);
    let soon = Deadline::of_setting(10);
    let text = |deadline: Option<Deadline>| deadline.unwrap().failure().message;
    assert!(text(Deadline::sooner(client, late)).contains("deadline of the call"));
    assert!(text(Deadline::sooner(client, soon)).contains("query.timeout_ms = 10"));
    assert!(Deadline::sooner(None, None).is_none());
    assert!(Deadline::of_setting(0).is_none());
    assert!(Deadline::of_client(&HeaderMap::new()).is_none());
}

#[tokio::test]
async fn work_is_stopped_at_its_deadline() {
    let stop = Stop::at(Deadline::of_setting(50));
    let late = stop.bound(async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(())
    });
    assert_eq!(late.await.unwrap_err().kind, ErrorKind::Deadline);
    // Past the deadline, work that is ready at once still counts.
    stop.bound(async { Ok(()) }).await.unwrap();
}

#[tokio::test]
async fn work_is_stopped_by_its_user() {
    let stop = Stop::default();
    stop.cancelled.cancel();
    let work = stop.bound(std::future::pending::<Result<(), Failure>>());
    assert_eq!(work.await.unwrap_err().kind, ErrorKind::Cancelled);
}
