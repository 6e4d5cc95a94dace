#![expect(clippy::unwrap_used, reason = "tests")]

use quiver_proto::{Claims, Purpose};
use tempfile::TempDir;

use super::*;

fn claims() -> Claims {
    Claims {
        purpose: Purpose::Statement,
        tenant_id: 1,
        user_id: 2,
        id: [3; 16],
        expires_at_micros: 4,
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn write_key(path: &Path, text: &str, mode: u32) {
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn keys_are_made_once_and_only_for_the_owner() {
    let home = TempDir::new().unwrap();
    let directory = home.path().join("data/keys");
    let first = Keys::load_or_create(&directory).unwrap();
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("token-1.key")), 0o600);
    assert_eq!(mode(&directory.join("handle-1.key")), 0o600);

    let second = Keys::load_or_create(&directory).unwrap();
    assert_eq!(first.tokens(), second.tokens());
    let handle = first.signer().sign(&claims());
    assert_eq!(
        second.signer().verify(&handle, Purpose::Statement),
        Ok(claims())
    );
}

#[test]
fn two_servers_have_different_keys() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let one = Keys::load_or_create(one.path()).unwrap();
    let two = Keys::load_or_create(two.path()).unwrap();
    assert_ne!(one.tokens()[0].secret, two.tokens()[0].secret);
    let handle = one.signer().sign(&claims());
    assert!(two.signer().verify(&handle, Purpose::Statement).is_err());
}

#[test]
fn the_highest_id_signs_and_the_older_still_verify() {
    let home = TempDir::new().unwrap();
    let old = Keys::load_or_create(home.path())
        .unwrap()
        .signer()
        .sign(&claims());
    write_key(&home.path().join("handle-10.key"), &"ab".repeat(32), 0o600);
    write_key(&home.path().join("token-2.key"), &"cd".repeat(32), 0o600);
    let keys = Keys::load_or_create(home.path()).unwrap();
    assert_eq!(keys.signer().verify(&old, Purpose::Statement), Ok(claims()));
    assert_eq!(keys.signer().sign(&claims())[2..6], 10_u32.to_le_bytes());
    let ids: Vec<u32> = keys.tokens().iter().map(|key| key.id).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(keys.tokens()[1].secret, [0xcd; 32]);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("token-1.key");
    for mode in [0o640, 0o604, 0o666] {
        write_key(&path, &"ab".repeat(32), mode);
        let error = Keys::load_or_create(home.path()).unwrap_err();
        assert!(matches!(error, KeysError::Exposed { .. }));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_damaged_key_is_refused() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("handle-1.key");
    for text in [
        "",
        "ab",
        &"zz".repeat(32),
        &"ab".repeat(33),
        &"é".repeat(32),
    ] {
        write_key(&path, text, 0o600);
        let error = Keys::load_or_create(home.path()).unwrap_err();
        assert!(
            matches!(error, KeysError::Damaged { .. }),
            "{text}: {error}"
        );
    }
    write_key(&path, &format!("{}\n", "AB".repeat(32)), 0o600);
    assert!(Keys::load_or_create(home.path()).is_ok());
}

#[test]
fn other_files_and_unfinished_keys_do_no_harm() {
    let home = TempDir::new().unwrap();
    for name in [
        "token-1.new",
        "token-x.key",
        "token-.key",
        "notes.txt",
        "handle-1.key.bak",
    ] {
        fs::write(home.path().join(name), "unfinished").unwrap();
    }
    let keys = Keys::load_or_create(home.path()).unwrap();
    assert_eq!(keys.tokens().len(), 1);
    assert!(!home.path().join("token-1.new").exists());
}

#[test]
fn debug_shows_no_secret() {
    let home = TempDir::new().unwrap();
    write_key(&home.path().join("token-1.key"), &"ab".repeat(32), 0o600);
    let keys = Keys::load_or_create(home.path()).unwrap();
    let text = format!("{keys:?}");
    assert!(!text.contains("171") && !text.contains("ab"), "{text}");
}
