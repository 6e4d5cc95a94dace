#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn arguments() -> ConnectionArgs {
    ConnectionArgs {
        uri: "grpc://127.0.0.1:50051".to_owned(),
        user: "admin".to_owned(),
        password_file: None,
        data_dir: None,
        tls_ca_file: None,
    }
}

#[test]
fn uris_are_read_with_and_without_scheme_and_port() {
    for (text, expected) in [
        ("grpc://localhost:1", ("http://localhost:1", false)),
        ("grpc+tcp://localhost:1/", ("http://localhost:1", false)),
        ("grpc+tls://db.example", ("https://db.example:50051", true)),
        ("[::1]:9", ("http://[::1]:9", false)),
        ("localhost", ("http://localhost:50051", false)),
    ] {
        let (uri, tls) = parse_uri(text).unwrap();
        assert_eq!((uri.as_str(), tls), expected, "{text}");
    }
    for text in [
        "http://localhost",
        "grpc://",
        "grpc://a:b:c",
        "grpc://u@h:1",
        "grpc://h:1/x?y",
    ] {
        let message = parse_uri(text).unwrap_err().to_string();
        assert!(
            message.contains("write grpc://HOST:PORT"),
            "{text}: {message}"
        );
    }
}

#[test]
fn a_file_beats_the_environment_and_nothing_is_an_error_that_names_the_flags() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(ADMIN_PASSWORD_FILE);
    std::fs::write(&file, "s3cret\r\nsecond line\n").unwrap();
    let variable = || Some("from the environment".to_owned());
    let with_file = ConnectionArgs {
        password_file: Some(file.clone()),
        ..arguments()
    };
    assert_eq!(with_file.password(variable()).unwrap(), "s3cret");
    let with_dir = ConnectionArgs {
        data_dir: Some(directory.path().into()),
        ..arguments()
    };
    assert_eq!(with_dir.password(variable()).unwrap(), "s3cret");
    assert_eq!(
        arguments().password(variable()).unwrap(),
        "from the environment"
    );
    std::fs::write(&file, "\n").unwrap();
    let message = with_file.password(None).unwrap_err().to_string();
    assert!(
        message.contains("no password on its first line"),
        "{message}"
    );
}

#[test]
fn tls_needs_an_authority_to_trust() {
    let tls = ConnectionArgs {
        uri: "grpc+tls://h:1".to_owned(),
        ..arguments()
    };
    assert!(
        tls.target(None)
            .unwrap_err()
            .to_string()
            .contains("--tls-ca-file")
    );
    let plain = ConnectionArgs {
        tls_ca_file: Some("ca.pem".into()),
        ..arguments()
    };
    assert!(
        plain
            .target(None)
            .unwrap_err()
            .to_string()
            .contains("grpc+tls://")
    );
}

#[test]
fn the_password_is_not_shown() {
    assert_eq!(format!("{:?}", Secret("hunter2".to_owned())), "…");
}
