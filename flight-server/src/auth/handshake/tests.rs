#![expect(clippy::unwrap_used, reason = "tests")]

use arrow_flight::BasicAuth;
use prost::Message;
use tonic::Code;

use super::super::fixture::{Fixture, basic, headers as header_map};
use super::*;

fn request(payload: Vec<u8>) -> HandshakeRequest {
    HandshakeRequest {
        protocol_version: 3,
        payload: payload.into(),
    }
}

/// The token in the response header, and the whole stream.
async fn read(
    response: Response<BoxStream<'static, Result<HandshakeResponse, Status>>>,
) -> (String, Vec<HandshakeResponse>) {
    let header = response
        .metadata()
        .get("authorization")
        .unwrap()
        .to_str()
        .unwrap();
    let token = header.strip_prefix("Bearer ").unwrap().to_owned();
    let answers: Vec<_> = response.into_inner().collect().await;
    (token, answers.into_iter().map(Result::unwrap).collect())
}

#[tokio::test]
async fn a_login_by_header_is_answered_without_reading_the_stream() {
    let fixture = Fixture::new().await;
    let entries = header_map(&[("authorization", &basic("bob@acme:pw"))]);
    let answer = fixture
        .authenticator
        .answer_handshake(&entries, None, stream::pending())
        .await
        .unwrap();
    let (token, answers) = read(answer).await;
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].payload, token.as_bytes());
    let entries = header_map(&[("authorization", &format!("Bearer {token}"))]);
    assert_eq!(
        fixture
            .authenticator
            .authenticate(&entries, None)
            .await
            .unwrap()
            .user
            .id,
        fixture.bob.id
    );
}

#[tokio::test]
async fn a_login_by_payload_uses_the_legacy_token_header_afterwards() {
    let fixture = Fixture::new().await;
    let login = BasicAuth {
        username: "bob@acme".into(),
        password: "pw".into(),
    };
    let requests = stream::iter([Ok(request(login.encode_to_vec()))]);
    let none = HeaderMap::new();
    let answer = fixture
        .authenticator
        .answer_handshake(&none, None, requests)
        .await
        .unwrap();
    let (_, answers) = read(answer).await;
    assert_eq!(answers[0].protocol_version, 3);

    let mut metadata = tonic::metadata::MetadataMap::new();
    let token = tonic::metadata::BinaryMetadataValue::from_bytes(&answers[0].payload);
    metadata.insert_bin("auth-token-bin", token);
    let context = fixture
        .authenticator
        .authenticate(metadata.as_ref(), None)
        .await
        .unwrap();
    assert_eq!(context.user.id, fixture.bob.id);
}

#[tokio::test]
async fn refusals_have_the_right_codes() {
    let fixture = Fixture::new().await;
    let none = HeaderMap::new();
    let cases = [
        (none.clone(), vec![]),
        (none.clone(), vec![Ok(request(vec![]))]),
        (none.clone(), vec![Ok(request(b"\xff".to_vec()))]),
        (
            header_map(&[("authorization", &basic("bob@acme:no"))]),
            vec![],
        ),
    ];
    for (headers, requests) in cases {
        let requests = stream::iter(requests);
        let answer = fixture
            .authenticator
            .answer_handshake(&headers, None, requests)
            .await;
        assert_eq!(answer.err().unwrap().code(), Code::Unauthenticated);
    }
    let broken = stream::iter([Err(crate::status::status(
        quiver_catalog::ErrorKind::Cancelled,
        "gone",
        None,
        None,
    ))]);
    let answer = fixture
        .authenticator
        .answer_handshake(&none, None, broken)
        .await;
    assert_eq!(answer.err().unwrap().code(), Code::Cancelled);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for() {
    let fixture = Fixture::new().await;
    let silent = stream::pending();
    let answer = fixture
        .authenticator
        .answer_handshake(&HeaderMap::new(), None, silent)
        .await;
    assert_eq!(answer.err().unwrap().code(), Code::Unauthenticated);
}
