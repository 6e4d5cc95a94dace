#![expect(clippy::unwrap_used, reason = "tests")]

use clap::Parser;

use super::*;
use crate::cli::tests::stub::{self, Stub};

#[derive(Debug, Parser)]
enum Line {
    Tenant(TenantArgs),
    User(UserArgs),
}

/// Runs a command line against the stub with the password in a file.
async fn run(stub: &Stub, line: &str) -> Result<(), CliError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "quiver\n").unwrap();
    let uri = stub.target().shown;
    let path = file.path().display();
    let line = format!("quiver {line} --uri {uri} --password-file {path}");
    match Line::parse_from(line.split(' ')) {
        Line::Tenant(arguments) => tenant(arguments).await,
        Line::User(arguments) => user(arguments).await,
    }
}

#[tokio::test]
async fn commands_become_statements_with_quoted_names() {
    let stub = stub::start().await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "it's\n").unwrap();
    let secret = secret.path().display();
    for (line, expected) in [
        ("tenant create acme".to_owned(), "CREATE TENANT \"acme\""),
        (
            "tenant create a\"b --if-not-exists".to_owned(),
            "CREATE TENANT IF NOT EXISTS \"a\"\"b\"",
        ),
        (
            "tenant drop acme --if-exists".to_owned(),
            "DROP TENANT IF EXISTS \"acme\"",
        ),
        ("tenant list".to_owned(), "SELECT * FROM system.tenants"),
        (
            format!("user create bob --tenant acme --new-password-file {secret}"),
            "CREATE USER \"bob\" IN TENANT \"acme\" PASSWORD 'it''s'",
        ),
        (
            format!("user password bob --new-password-file {secret}"),
            "ALTER USER \"bob\" PASSWORD 'it''s'",
        ),
        (
            "user drop bob --tenant acme".to_owned(),
            "DROP USER \"bob\" IN TENANT \"acme\"",
        ),
        ("user list".to_owned(), "SELECT * FROM system.users"),
    ] {
        run(&stub, &line).await.unwrap();
        assert_eq!(stub.state.lock().statements.pop().unwrap(), expected);
    }
}

#[test]
fn a_made_password_is_long_and_new_every_time() {
    let made = NewPassword {
        new_password_file: None,
        ask: false,
    };
    let (first, second) = (made.get().unwrap(), made.get().unwrap());
    assert!(first.is_made && first.text.len() == PASSWORD_LETTERS);
    assert!(first.text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_ne!(first.text, second.text);
}
