#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn table(name: &str) -> TableName {
    TableName {
        schema: "main".to_owned(),
        name: name.to_owned(),
    }
}

#[test]
fn the_key_is_the_same_for_the_same_file_and_table_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.csv");
    let key = |table_name: &str, run| idempotency_key(&path, &table(table_name), run).unwrap();
    std::fs::write(&path, b"n\n1\n").unwrap();
    let first = key("t", None);
    assert_eq!(first, key("t", None));
    assert_eq!(first.len(), "load-".len() + 2 * KEY_BYTES);
    assert_ne!(first, key("u", None));
    assert_ne!(first, key("t", Some("run")));
    std::fs::write(&path, b"n\n2\n").unwrap();
    assert_ne!(first, key("t", None), "content");
    // Written anew, at another time and elsewhere.
    let elsewhere = directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for (name, is_same) in [("a.csv", true), ("b.csv", false)] {
        let copy = elsewhere.join(name);
        std::fs::write(&copy, b"n\n1\n").unwrap();
        let other = idempotency_key(&copy, &table("t"), None).unwrap();
        assert_eq!(other == first, is_same, "{name}");
    }
}

#[test]
fn every_byte_of_a_large_file_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    let mut content = vec![0; 3 * 1024 * 1024 + 5];
    let mut keys = std::collections::BTreeSet::new();
    for at in [0, content.len() / 2, content.len() - 1] {
        content[at] = 1;
        std::fs::write(&path, &content).unwrap();
        keys.insert(idempotency_key(&path, &table("t"), None).unwrap());
    }
    assert_eq!(keys.len(), 3);
}

/// A key that changes with a new version would load files twice after an upgrade.
#[test]
fn the_digest_is_fixed_for_ever() {
    let digest = keyed_digest(DOMAIN, &[b"/a".as_slice(), b"main".as_slice()]);
    let hex: String = digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, "fa7a1fd9");
}
