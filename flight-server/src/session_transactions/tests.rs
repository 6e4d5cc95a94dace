#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::auth::fixture::Fixture;
use crate::auth::random;

const IDLE_MAX: Duration = Duration::from_secs(3_600);

/// The sessions as a run of the server finds them.
async fn run(fixture: &Fixture, per_tenant_max: usize) -> SessionTransactions {
    let limits = MarkLimits {
        idle_max: IDLE_MAX,
        per_tenant_max,
    };
    let control = Arc::clone(&fixture.control);
    let clock = Arc::clone(&fixture.clock);
    let loaded = SessionTransactions::load(control, clock, limits).await;
    loaded.unwrap()
}

#[tokio::test]
async fn the_next_run_knows_who_was_in_a_transaction_until_it_is_given_up() {
    let fixture = Fixture::new().await;
    let (tenant, idle) = (fixture.acme.id, random::uuid());
    for begun_by in [BegunBy::Protocol, BegunBy::Sql] {
        let session = random::uuid();
        let first = run(&fixture, 10).await;
        first.begin(session, tenant, begun_by).await.unwrap();
        assert_eq!(first.lost(session), None);
        first.sweep().await.unwrap();

        let second = run(&fixture, 10).await;
        assert_eq!(
            (second.lost(session), second.lost(idle)),
            (Some(begun_by), None)
        );
        second.ended(session);
        assert_eq!(second.lost(session), None);
        fixture.clock.advance(MARK_KEPT);
        second.sweep().await.unwrap();
        assert_eq!(run(&fixture, 10).await.lost(session), None);
    }
    assert_eq!(fixture.control.marked_sessions().await.unwrap(), []);
}

#[tokio::test]
async fn one_transaction_after_the_other_keeps_the_mark() {
    let fixture = Fixture::new().await;
    let (tenant, session) = (fixture.acme.id, random::uuid());
    let sessions = run(&fixture, 10).await;
    for _ in 0..3 {
        sessions
            .begin(session, tenant, BegunBy::Protocol)
            .await
            .unwrap();
        fixture.clock.advance(MARK_KEPT);
        sessions.sweep().await.unwrap();
        assert_eq!(fixture.control.marked_sessions().await.unwrap().len(), 1);
        sessions.ended(session);
        sessions.sweep().await.unwrap();
    }
    // The stronger mark replaces the weaker one.
    sessions.begin(session, tenant, BegunBy::Sql).await.unwrap();
    assert_eq!(run(&fixture, 10).await.lost(session), Some(BegunBy::Sql));
}

#[tokio::test]
async fn a_lost_transaction_is_replaced_by_the_next() {
    let fixture = Fixture::new().await;
    let (tenant, session) = (fixture.acme.id, random::uuid());
    run(&fixture, 10)
        .await
        .begin(session, tenant, BegunBy::Sql)
        .await
        .unwrap();
    let sessions = run(&fixture, 10).await;
    sessions.begin(session, tenant, BegunBy::Sql).await.unwrap();
    assert_eq!(sessions.lost(session), None);
    assert_eq!(run(&fixture, 10).await.lost(session), Some(BegunBy::Sql));
}

#[tokio::test]
async fn sessions_that_are_over_are_forgotten_and_others_are_not() {
    let fixture = Fixture::new().await;
    let (tenant, session, other) = (fixture.acme.id, random::uuid(), random::uuid());
    let sessions = run(&fixture, 10).await;
    for session in [session, other] {
        sessions
            .begin(session, tenant, BegunBy::Protocol)
            .await
            .unwrap();
    }
    fixture.clock.advance(IDLE_MAX / 2);
    assert_eq!(sessions.lost(other), None);
    fixture.clock.advance(IDLE_MAX / 2);
    sessions.sweep().await.unwrap();
    let marks = fixture.control.marked_sessions().await.unwrap();
    assert_eq!(marks.len(), 1);
    assert_eq!((marks[0].session_id, marks[0].tenant_id), (other, tenant));
}

#[tokio::test]
async fn a_tenant_has_so_many_and_no_more() {
    let fixture = Fixture::new().await;
    let sessions = run(&fixture, 1).await;
    let (tenant, session) = (fixture.acme.id, random::uuid());
    sessions
        .begin(session, tenant, BegunBy::Protocol)
        .await
        .unwrap();
    sessions
        .begin(session, tenant, BegunBy::Protocol)
        .await
        .unwrap();
    let refused = sessions
        .begin(random::uuid(), tenant, BegunBy::Protocol)
        .await;
    assert!(matches!(refused, Err(MarkError::TooMany { max: 1 })));
    let other = fixture.other_bob.tenant_id;
    sessions
        .begin(random::uuid(), other, BegunBy::Protocol)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_transaction_of_sql_is_known_by_its_session() {
    let fixture = Fixture::new().await;
    let (tenant, session, id) = (fixture.acme.id, random::uuid(), random::uuid());
    let sessions = run(&fixture, 10).await;
    sessions.set_sql(session, id);
    assert_eq!(sessions.sql(session), None, "not marked");
    sessions.begin(session, tenant, BegunBy::Sql).await.unwrap();
    sessions.set_sql(session, id);
    assert_eq!(sessions.sql(session), Some(id));
    assert_eq!(sessions.take_sql(session), Some(id));
    assert_eq!(sessions.sql(session), None);
}
