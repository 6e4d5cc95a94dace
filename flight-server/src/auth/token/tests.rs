#![expect(clippy::unwrap_used, reason = "tests")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;

use super::*;

fn token() -> Token {
    Token {
        user_id: UserId(u64::MAX),
        password_version: 3,
        tenant_id: TenantId(7),
        session_id: Uuid::from_u128(42),
        issued_at_s: 1_000,
        expires_at_s: 2_000,
    }
}

fn tokens(home: &TempDir) -> Tokens {
    Tokens::new(&Keys::load_or_create(home.path()).unwrap())
}

/// The decoded JSON of one part of a token.
fn part(text: &str, index: usize) -> String {
    let encoded = text.split('.').nth(index).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

#[test]
fn a_token_returns_what_was_signed_however_old() {
    let home = TempDir::new().unwrap();
    let text = tokens(&home).sign(&token()).unwrap();
    assert_eq!(tokens(&home).verify(&text), Some(token()));
}

#[test]
fn the_wire_format_is_the_documented_one() {
    let home = TempDir::new().unwrap();
    let text = tokens(&home).sign(&token()).unwrap();
    let header: serde_json::Value = serde_json::from_str(&part(&text, 0)).unwrap();
    assert_eq!(
        header,
        serde_json::json!({ "typ": "JWT", "alg": "HS256", "kid": "1" })
    );
    let claims: serde_json::Value = serde_json::from_str(&part(&text, 1)).unwrap();
    let expected = serde_json::json!({
        "sub": u64::MAX.to_string(),
        "pwv": 3,
        "tid": 7,
        "sid": "00000000-0000-0000-0000-00000000002a",
        "iat": 1_000,
        "exp": 2_000,
    });
    assert_eq!(claims, expected);
}

#[test]
fn tokens_of_other_servers_are_refused() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let text = tokens(&there).sign(&token()).unwrap();
    assert_eq!(tokens(&here).verify(&text), None);
}

#[test]
fn nothing_but_our_own_signature_is_believed() {
    let home = TempDir::new().unwrap();
    let tokens = tokens(&home);
    let text = tokens.sign(&token()).unwrap();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let claims = signed.split_once('.').unwrap().1;
    let unsigned = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none","kid":"1"}"#);
    let other = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS512","kid":"1"}"#);
    for forged in [
        format!("{unsigned}.{claims}."),
        format!("{unsigned}.{claims}.{signature}"),
        format!("{other}.{claims}.{signature}"),
        format!("{signed}."),
        signed.to_owned(),
        String::new(),
        "..".to_owned(),
        format!("{text}.x"),
        "x".repeat(10_000),
    ] {
        assert_eq!(tokens.verify(&forged), None, "{forged}");
    }
    let changed = part(&text, 1).replace("\"tid\":7", "\"tid\":8");
    let header = signed.split_once('.').unwrap().0;
    let forged = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(changed));
    assert_eq!(tokens.verify(&forged), None);
}

#[test]
fn debug_shows_no_secret() {
    let home = TempDir::new().unwrap();
    assert_eq!(
        format!("{:?}", tokens(&home)),
        "Tokens { kid: Some(\"1\"), .. }"
    );
}
