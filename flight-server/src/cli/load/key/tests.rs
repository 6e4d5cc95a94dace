#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn table(name: &str) -> TableName {
    TableName {
        schema: "main".to_owned(),
        name: name.to_owned(),
    }
}

fn write(path: &Path, content: &[u8], modified_s: u64) {
    std::fs::write(path, content).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(modified_s))
        .unwrap();
}

#[test]
fn the_key_is_the_same_for_the_same_file_and_table_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.csv");
    let key = |table_name: &str, run| idempotency_key(&path, &table(table_name), run).unwrap();
    write(&path, b"n\n1\n", 5);
    let first = key("t", None);
    assert_eq!(first, key("t", None));
    assert_eq!(first.len(), "load-".len() + 2 * KEY_BYTES);
    assert_ne!(first, key("u", None));
    assert_ne!(first, key("t", Some("run")));
    write(&path, b"n\n2\n", 5);
    assert_ne!(first, key("t", None), "content");
    write(&path, b"n\n1\n", 6);
    assert_ne!(first, key("t", None), "time of change");
    write(&path, b"n\n1\n", 5);
    assert_eq!(first, key("t", None));
    // Another way to the same file.
    let detour = directory.path().join(".").join("a.csv");
    assert_eq!(first, idempotency_key(&detour, &table("t"), None).unwrap());
}

#[test]
fn both_ends_of_a_large_file_count() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    let mut content = vec![0; 3 * 1024 * 1024];
    let mut keys = std::collections::BTreeSet::new();
    for at in [0, content.len() - 1] {
        content[at] = 1;
        write(&path, &content, 5);
        keys.insert(idempotency_key(&path, &table("t"), None).unwrap());
    }
    assert_eq!(keys.len(), 2);
}

/// A key that changes with a new version would load files twice after an upgrade.
#[test]
fn the_digest_is_fixed_for_ever() {
    let digest = keyed_digest(DOMAIN, &[b"/a".as_slice(), b"main".as_slice()]);
    let hex: String = digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, "05a37389");
}
