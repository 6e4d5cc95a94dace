#![expect(clippy::unwrap_used, reason = "tests")]

use http::HeaderValue;

use super::*;

fn presented(headers: &[(&'static str, &str)]) -> Result<Presented, AuthError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    Presented::from_headers(&map)
}

fn basic_header(login: &str) -> String {
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(login)
    )
}

fn refused(headers: &[(&'static str, &str)]) {
    assert!(
        matches!(presented(headers), Err(AuthError::Malformed { .. })),
        "{headers:?}"
    );
}

#[test]
fn basic_with_and_without_padding() {
    for login in [
        "bob:pw",
        "bob:pwd",
        "bob:pwd1",
        "bob:",
        "bob:a:b",
        "bob:pässwörd",
    ] {
        let padded = basic_header(login);
        for header in [padded.as_str(), padded.trim_end_matches('=')] {
            let found = presented(&[("authorization", header)]).unwrap();
            let (user, password) = login.split_once(':').unwrap();
            assert_eq!(found.logins[0].user, user);
            assert_eq!(found.logins[0].password, password);
            assert_eq!(found.logins[0].tenant, None);
        }
    }
}

#[test]
fn schemes_are_recognised_without_regard_to_case() {
    let login = basic_header("bob:pw").replace("Basic", "bAsIc");
    let found = presented(&[
        ("authorization", login.as_str()),
        ("authorization", "BEARER t"),
    ])
    .unwrap();
    assert_eq!(found.logins.len(), 1);
    assert_eq!(found.tokens, ["t"]);
}

#[test]
fn the_tenant_follows_the_last_at_sign() {
    let login = |name: &str| {
        let header = basic_header(&format!("{name}:pw"));
        presented(&[("authorization", header.as_str())]).map(|mut found| found.logins.remove(0))
    };
    let found = login("bob@acme").unwrap();
    assert_eq!(
        (found.user.as_str(), found.tenant.as_deref()),
        ("bob", Some("acme"))
    );
    let found = login("bob@mail.example@acme").unwrap();
    assert_eq!(found.user, "bob@mail.example");
    for incomplete in ["", "@acme", "bob@", "@"] {
        assert!(
            matches!(login(incomplete), Err(AuthError::Malformed { .. })),
            "{incomplete}"
        );
    }
}

#[test]
fn several_values_also_joined_by_a_proxy() {
    let joined = format!("{}, Bearer t1,Bearer t2", basic_header("bob:pw"));
    let found = presented(&[
        ("authorization", joined.as_str()),
        ("authorization", "Bearer t3"),
    ])
    .unwrap();
    assert_eq!(found.logins.len(), 1);
    assert_eq!(found.tokens, ["t1", "t2", "t3"]);
    let many = ["Bearer t"; CREDENTIALS_MAX + 1].join(",");
    refused(&[("authorization", &many)]);
}

#[test]
fn unreadable_authorization_is_refused() {
    refused(&[("authorization", "Digest abc")]);
    refused(&[("authorization", "Basic")]);
    refused(&[("authorization", "Basic ###")]);
    refused(&[("authorization", "Basic /w==")]);
    refused(&[("authorization", &basic_header("no colon"))]);
    refused(&[(
        "authorization",
        &basic_header(&format!("bob:{}", "x".repeat(2_000))),
    )]);
    let mut map = HeaderMap::new();
    map.insert(
        "authorization",
        HeaderValue::from_bytes(b"Bearer \xff").unwrap(),
    );
    assert!(Presented::from_headers(&map).is_err());
}

#[test]
fn the_session_cookie_among_others() {
    let found = presented(&[
        ("cookie", "a=1; arrow_flight_session_id=t1; b=2"),
        ("cookie", "arrow_flight_session_id=\"t2\""),
        ("cookie", "arrow_flight_session_id="),
        ("cookie", "arrow_flight_session_idx=t3"),
    ])
    .unwrap();
    assert_eq!(found.cookies, ["t1", "t2"]);
    assert!(found.tokens.is_empty() && !found.is_empty());
}

#[test]
fn the_legacy_token_header() {
    let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode("token");
    let found = presented(&[("auth-token-bin", encoded.as_str())]).unwrap();
    assert_eq!(found.tokens, ["token"]);
    refused(&[("auth-token-bin", "*")]);
}

#[test]
fn the_tenant_header_has_one_value() {
    let found = presented(&[("x-tenant-id", "acme"), ("x-tenant-id", "ACME")]).unwrap();
    assert_eq!(found.tenant.unwrap().to_lowercase(), "acme");
    refused(&[("x-tenant-id", "acme"), ("x-tenant-id", "other")]);
    refused(&[("x-tenant-id", " ")]);
}

#[test]
fn the_legacy_payload_is_a_login() {
    let auth = BasicAuth {
        username: "bob@acme".into(),
        password: "pw".into(),
    };
    let mut found = Presented::default();
    found.add_legacy_payload(&auth.encode_to_vec()).unwrap();
    assert_eq!(found.logins[0].tenant.as_deref(), Some("acme"));
    assert!(
        Presented::default()
            .add_legacy_payload(b"\xff\xff")
            .is_err()
    );
    let nobody = BasicAuth::default().encode_to_vec();
    assert!(Presented::default().add_legacy_payload(&nobody).is_err());
}

#[test]
fn debug_shows_no_password() {
    let found = presented(&[("authorization", &basic_header("bob:secret"))]).unwrap();
    assert!(!format!("{:?}", found.logins[0]).contains("secret"));
}
