#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn bound() -> Bound {
    Bound {
        flight: "0.0.0.0:4711".parse().unwrap(),
        http: "127.0.0.1:8080".parse().unwrap(),
    }
}

#[test]
fn a_development_server_says_so_and_shows_its_password() {
    let mut settings = Settings::default();
    settings.server.dev = true;
    let text = text(&settings, bound(), None);
    assert!(text.contains("DEVELOPMENT SERVER"));
    assert!(text.contains("QUIVER_PASSWORD=quiver quiver sql --uri grpc://127.0.0.1:4711\n"));
    assert!(
        text.contains("jdbc:arrow-flight-sql://127.0.0.1:4711/?useEncryption=false&user=admin")
    );
    assert!(text.contains("\"password\": \"quiver\""));
}

#[test]
fn other_servers_point_at_the_password_file_and_tls_is_in_the_addresses() {
    let mut settings = Settings::default();
    settings.server.tls.cert_file = Some("c.pem".into());
    settings.server.tls.key_file = Some("k.pem".into());
    let text = text(&settings, bound(), Some(Path::new("data/admin-password")));
    assert!(!text.contains("DEVELOPMENT"));
    assert!(text.contains("grpc+tls://127.0.0.1:4711"));
    assert!(text.contains("useEncryption=true"));
    assert!(text.contains("--password-file data/admin-password"));
    assert!(!text.contains("password=quiver"));
}
