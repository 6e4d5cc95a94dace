#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;

fn owner(catalog: u64) -> Owner {
    Owner {
        catalog,
        role: Role::Write,
    }
}

async fn number(lent: &mut Lent) -> i64 {
    let connection = lent.get().unwrap();
    sqlx::query_scalar("SELECT 1")
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_least_recently_used_is_closed_for_another() {
    let directory = tempfile::tempdir().unwrap();
    let path = |catalog: u64| directory.path().join(format!("{catalog}.sqlite"));
    let connections = Connections::new(2);
    for catalog in [1, 2, 1, 3] {
        let mut lent = connections
            .lend(owner(catalog), &path(catalog), true)
            .await
            .unwrap();
        assert_eq!(number(&mut lent).await, 1);
        lent.keep();
        assert!(connections.open_count() <= 2);
    }
    let idle: Vec<u64> = {
        let state = connections.shared.state.lock();
        state.idle.iter().map(|(owner, _)| owner.catalog).collect()
    };
    assert_eq!(idle, [1, 3], "2 was used longest ago");
    let log = |catalog: u64| directory.path().join(format!("{catalog}.sqlite-wal"));
    assert!(!log(2).exists(), "2 was closed cleanly");
    connections.close(1).await.unwrap();
    connections.close(3).await.unwrap();
    assert_eq!(connections.open_count(), 0);
}

#[tokio::test]
async fn a_connection_in_use_is_waited_for_and_never_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |catalog: u64| directory.path().join(format!("{catalog}.sqlite"));
    let connections = Connections::new(1);
    let mut lent = connections.lend(owner(1), &path(1), true).await.unwrap();
    let (second, third) = (path(2), path(3));
    let waiting = connections.lend(owner(2), &second, true);
    let short = Duration::from_millis(50);
    assert!(tokio::time::timeout(short, waiting).await.is_err());
    assert_eq!(number(&mut lent).await, 1);

    let waiting = connections.lend(owner(2), &second, true);
    let also_waiting = connections.lend(owner(3), &third, true);
    let give_back = async {
        tokio::time::sleep(short).await;
        lent.keep();
    };
    let both = async {
        let (first, ()) = tokio::join!(waiting, give_back);
        // Failed or cancelled: not given back, but its place is free.
        drop(first.unwrap());
    };
    let (third, ()) = tokio::join!(also_waiting, both);
    assert_eq!(number(&mut third.unwrap()).await, 1);
    assert_eq!(connections.open_count(), 0);
}

#[tokio::test]
async fn a_failure_to_open_leaves_the_place_free() {
    let directory = tempfile::tempdir().unwrap();
    let connections = Connections::new(1);
    for _ in 0..3 {
        let missing = directory.path().join("missing.sqlite");
        assert!(connections.lend(owner(1), &missing, false).await.is_err());
    }
    assert_eq!(connections.open_count(), 0);
}
