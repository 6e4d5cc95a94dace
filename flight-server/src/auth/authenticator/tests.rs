#![expect(clippy::unwrap_used, reason = "tests")]

use arrow_flight::BasicAuth;
use prost::Message;

use super::super::fixture::{Fixture, basic, headers, user};
use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

impl Fixture {
    async fn call(&self, entries: &[(&'static str, &str)]) -> Result<TenantContext, AuthError> {
        self.authenticator
            .authenticate(&headers(entries), None)
            .await
    }

    /// A token of a fresh session of `bob@acme`.
    async fn token(&self) -> String {
        self.token_of("bob@acme:pw").await
    }

    async fn token_of(&self, login: &str) -> String {
        let headers = headers(&[("authorization", &basic(login))]);
        let context = self
            .authenticator
            .handshake(&headers, None, None)
            .await
            .unwrap();
        context.new_token.unwrap()
    }
}

#[tokio::test]
async fn basic_without_a_session_begins_one() {
    let fixture = Fixture::new().await;
    let context = fixture
        .call(&[("authorization", &basic("bob@acme:pw"))])
        .await
        .unwrap();
    assert_eq!(
        (context.user.id, context.tenant.id),
        (fixture.bob.id, fixture.acme.id)
    );
    assert!(context.session_is_new && context.presented_session().is_none());
    let token = context.new_token.unwrap();

    let next = fixture
        .call(&[("authorization", &bearer(&token))])
        .await
        .unwrap();
    assert_eq!(next.presented_session(), Some(context.session_id));
    assert_eq!(
        next.token_expires_at_micros,
        context.token_expires_at_micros
    );
    assert_eq!(next.new_token, None);
}

#[tokio::test]
async fn the_tenant_of_a_bare_name() {
    let fixture = Fixture::new().await;
    let login = basic("bob:pw");
    let context = fixture.call(&[("authorization", &login)]).await.unwrap();
    assert_eq!(context.user.id, fixture.other_bob.id);
    let headers = [("authorization", login.as_str()), ("x-tenant-id", "ACME")];
    assert_eq!(
        fixture.call(&headers).await.unwrap().user.id,
        fixture.bob.id
    );
    let login = basic("BOB@Acme:pw");
    let headers = [("authorization", login.as_str()), ("x-tenant-id", "acme")];
    assert_eq!(
        fixture.call(&headers).await.unwrap().user.id,
        fixture.bob.id
    );
}

#[tokio::test]
async fn the_tenant_header_cannot_contradict_the_login() {
    let fixture = Fixture::new().await;
    let token = bearer(&fixture.token().await);
    for authorization in [basic("bob@acme:pw"), token] {
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-tenant-id", "default"),
        ];
        assert!(matches!(
            fixture.call(&headers).await,
            Err(AuthError::Disagree)
        ));
    }
}

#[tokio::test]
async fn refusals_tell_nothing_about_who_exists() {
    let fixture = Fixture::new().await;
    let mut texts = Vec::new();
    for login in [
        "bob@acme:no",
        "nobody@acme:pw",
        "bob@nowhere:pw",
        "bob@acme:",
    ] {
        let error = fixture
            .call(&[("authorization", &basic(login))])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), quiver_catalog::ErrorKind::Unauthenticated);
        texts.push(error.to_string());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(matches!(fixture.call(&[]).await, Err(AuthError::Missing)));
}

#[tokio::test]
async fn several_credentials_of_one_user_agree() {
    let fixture = Fixture::new().await;
    let (login, token) = (basic("bob@acme:pw"), bearer(&fixture.token().await));
    for pair in [[&login, &token], [&token, &login]] {
        let entries = pair.map(|value| ("authorization", value.as_str()));
        let context = fixture.call(&entries).await.unwrap();
        assert!(!context.session_is_new);
        assert_eq!(context.new_token, None);
    }
    let wrong = basic("bob@acme:no");
    let entries = [("authorization", token.as_str()), ("authorization", &wrong)];
    assert!(matches!(
        fixture.call(&entries).await,
        Err(AuthError::WrongPassword)
    ));
}

#[tokio::test]
async fn credentials_of_two_users_are_refused() {
    let fixture = Fixture::new().await;
    let (one, two) = (
        fixture.token().await,
        fixture.token_of("bob@default:pw").await,
    );
    for entries in [
        [
            ("authorization", bearer(&one)),
            ("authorization", bearer(&two)),
        ],
        [
            ("authorization", bearer(&one)),
            ("authorization", basic("bob@default:pw")),
        ],
        [
            ("authorization", bearer(&one)),
            ("cookie", format!("arrow_flight_session_id={two}")),
        ],
    ] {
        let entries = entries
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let error = fixture.call(&entries).await.unwrap_err();
        assert!(matches!(error, AuthError::Disagree), "{error}");
    }
}

#[tokio::test]
async fn of_two_sessions_the_newer_token_wins() {
    let fixture = Fixture::new().await;
    let old = bearer(&fixture.token().await);
    fixture.clock.advance(Duration::from_secs(1));
    let new = fixture.token().await;
    let session = fixture
        .call(&[("authorization", &bearer(&new))])
        .await
        .unwrap()
        .session_id;
    let new = bearer(&new);
    for pair in [[&old, &new], [&new, &old]] {
        let entries = pair.map(|value| ("authorization", value.as_str()));
        assert_eq!(fixture.call(&entries).await.unwrap().session_id, session);
    }
}

#[tokio::test]
async fn a_token_is_renewed_once_half_of_its_time_is_over() {
    let fixture = Fixture::new().await;
    let token = fixture.token().await;
    let call = || async { fixture.call(&[("authorization", &bearer(&token))]).await };
    let first = call().await.unwrap();
    fixture.clock.advance(12 * HOUR);
    assert_eq!(call().await.unwrap().new_token, None);
    fixture.clock.advance(Duration::from_secs(1));
    let renewed = call().await.unwrap();
    assert_eq!(renewed.session_id, first.session_id);
    assert!(!renewed.session_is_new);
    assert!(renewed.token_expires_at_micros > first.token_expires_at_micros);
    let token = renewed.new_token.unwrap();
    let next = fixture
        .call(&[("authorization", &bearer(&token))])
        .await
        .unwrap();
    assert_eq!(next.session_id, first.session_id);
}

#[tokio::test]
async fn an_expired_token_is_refused_alone_and_passed_over_beside_a_valid_one() {
    let fixture = Fixture::new().await;
    let old = bearer(&fixture.token().await);
    fixture.clock.advance(24 * HOUR);
    assert!(matches!(
        fixture.call(&[("authorization", &old)]).await,
        Err(AuthError::ExpiredToken)
    ));
    let new = bearer(&fixture.token().await);
    let entries = [("authorization", old.as_str()), ("authorization", &new)];
    assert!(!fixture.call(&entries).await.unwrap().session_is_new);
    let login = basic("bob@acme:pw");
    let entries = [("authorization", old.as_str()), ("authorization", &login)];
    assert!(fixture.call(&entries).await.unwrap().session_is_new);
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_forged_ones_are_never_passed_over() {
    let fixture = Fixture::new().await;
    let token = fixture.token().await;
    let entries = headers(&[("authorization", &bearer(&token))]);
    let context = fixture
        .restarted()
        .authenticate(&entries, None)
        .await
        .unwrap();
    assert_eq!(context.user.id, fixture.bob.id);

    let stranger = Fixture::new().await.token().await;
    for entries in [
        vec![("authorization", bearer(&stranger))],
        vec![
            ("authorization", bearer(&token)),
            ("authorization", bearer(&stranger)),
        ],
        vec![("authorization", bearer("nonsense"))],
    ] {
        let entries: Vec<_> = entries
            .iter()
            .map(|(n, value)| (*n, value.as_str()))
            .collect();
        assert!(matches!(
            fixture.call(&entries).await,
            Err(AuthError::InvalidToken)
        ));
    }
}

#[tokio::test]
async fn a_cookie_is_as_good_as_a_bearer_token() {
    let fixture = Fixture::new().await;
    let token = fixture.token().await;
    let cookie = format!("a=b; arrow_flight_session_id={token}");
    let context = fixture.call(&[("cookie", &cookie)]).await.unwrap();
    assert_eq!(context.user.id, fixture.bob.id);
    assert!(!context.session_is_new);
    // With a password beside it, it still names the session.
    let login = basic("bob@acme:pw");
    let entries = [("authorization", login.as_str()), ("cookie", &cookie)];
    assert_eq!(
        fixture.call(&entries).await.unwrap().session_id,
        context.session_id
    );
}

#[tokio::test]
async fn a_cookie_of_another_server_counts_for_nothing() {
    let fixture = Fixture::new().await;
    let cookie = "arrow_flight_session_id=foreign";
    assert!(matches!(
        fixture.call(&[("cookie", cookie)]).await,
        Err(AuthError::InvalidToken)
    ));
    let login = basic("bob@acme:pw");
    let entries = [("authorization", login.as_str()), ("cookie", cookie)];
    assert!(fixture.call(&entries).await.unwrap().session_is_new);
}

#[tokio::test]
async fn a_dropped_user_is_out_at_once() {
    let fixture = Fixture::new().await;
    let (login, token) = (basic("bob@acme:pw"), bearer(&fixture.token().await));
    fixture.control.drop_user(fixture.bob.id).await.unwrap();
    let error = fixture
        .call(&[("authorization", &token)])
        .await
        .unwrap_err();
    assert!(matches!(error, AuthError::InvalidToken), "{error}");
    // Also while the password is still remembered.
    let error = fixture
        .call(&[("authorization", &login)])
        .await
        .unwrap_err();
    assert!(matches!(error, AuthError::WrongPassword), "{error}");
}

#[tokio::test]
async fn a_user_who_was_made_anew_gets_in_at_once() {
    let fixture = Fixture::new().await;
    let entries = [("authorization", &*basic("bob@acme:pw"))];
    let token = bearer(&fixture.token().await);
    fixture.call(&entries).await.unwrap();
    fixture.control.drop_user(fixture.bob.id).await.unwrap();
    let again = user(&fixture.control, &fixture.acme, "bob", "pw").await;
    assert_eq!(fixture.call(&entries).await.unwrap().user.id, again.id);
    // The old token was another user's.
    let error = fixture
        .call(&[("authorization", &token)])
        .await
        .unwrap_err();
    assert!(matches!(error, AuthError::InvalidToken), "{error}");
}

#[tokio::test]
async fn a_handshake_always_begins_a_session() {
    let fixture = Fixture::new().await;
    let token = fixture.token().await;
    let before = fixture
        .call(&[("authorization", &bearer(&token))])
        .await
        .unwrap();
    let entries = headers(&[("authorization", &bearer(&token))]);
    let context = fixture
        .authenticator
        .handshake(&entries, None, None)
        .await
        .unwrap();
    assert_ne!(context.session_id, before.session_id);
    assert!(context.session_is_new && context.new_token.is_some());
}

#[tokio::test]
async fn the_legacy_payload_counts_only_without_other_credentials() {
    let fixture = Fixture::new().await;
    let payload = |username: &str, password: &str| {
        BasicAuth {
            username: username.into(),
            password: password.into(),
        }
        .encode_to_vec()
    };
    let none = HeaderMap::new();
    let auth = &fixture.authenticator;
    let context = auth
        .handshake(&none, None, Some(&payload("bob@acme", "pw")))
        .await
        .unwrap();
    assert_eq!(context.user.id, fixture.bob.id);
    let error = auth
        .handshake(&none, None, Some(&payload("bob@acme", "no")))
        .await
        .unwrap_err();
    assert!(matches!(error, AuthError::WrongPassword));
    assert!(matches!(
        auth.handshake(&none, None, Some(b"")).await,
        Err(AuthError::Missing)
    ));
    let entries = headers(&[("authorization", &basic("bob@acme:pw"))]);
    let context = auth
        .handshake(&entries, None, Some(&payload("bob@default", "no")))
        .await
        .unwrap();
    assert_eq!(context.user.id, fixture.bob.id);
}

#[tokio::test]
async fn the_token_goes_into_the_response_header_and_never_into_logs() {
    let fixture = Fixture::new().await;
    let context = fixture
        .call(&[("authorization", &basic("bob@acme:pw"))])
        .await
        .unwrap();
    let mut metadata = tonic::metadata::MetadataMap::new();
    context.insert_token(&mut metadata);
    let token = context.new_token.clone().unwrap();
    assert_eq!(
        metadata.get("authorization").unwrap().to_str().unwrap(),
        bearer(&token)
    );
    assert!(!format!("{context:?} {metadata:?}").contains(&token));

    let next = fixture
        .call(&[("authorization", &bearer(&token))])
        .await
        .unwrap();
    let mut metadata = tonic::metadata::MetadataMap::new();
    next.insert_token(&mut metadata);
    assert!(metadata.is_empty());
}

#[tokio::test]
async fn a_token_ends_with_the_password_it_was_granted_for() {
    let fixture = Fixture::new().await;
    let token = bearer(&fixture.token().await);
    fixture.call(&[("authorization", &token)]).await.unwrap();
    let changed = fixture.control.set_password(fixture.bob.id, "new").await;
    changed.unwrap();
    let error = fixture
        .call(&[("authorization", &token)])
        .await
        .unwrap_err();
    assert!(matches!(error, AuthError::InvalidToken), "{error}");
    let token = bearer(&fixture.token_of("bob@acme:new").await);
    fixture.call(&[("authorization", &token)]).await.unwrap();
}

#[tokio::test]
async fn an_api_key_is_refused_and_not_ignored() {
    let fixture = Fixture::new().await;
    let entries = [
        ("authorization", &*basic("bob@acme:pw")),
        ("x-api-key", "k"),
    ];
    let error = fixture.call(&entries).await.unwrap_err();
    assert!(error.to_string().contains("x-api-key"), "{error}");
}
