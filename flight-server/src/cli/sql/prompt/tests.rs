#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::history;

#[test]
fn the_history_file_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("quiver/history");
    history::prepare(&path).unwrap();
    history::prepare(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn it_lies_where_the_desktop_rules_say() {
    let path = |state: Option<&str>| {
        history::path(|name| match name {
            "XDG_STATE_HOME" => state.map(PathBuf::from),
            _ => Some(PathBuf::from("/home/u")),
        })
    };
    assert_eq!(
        path(None).unwrap(),
        PathBuf::from("/home/u/.local/state/quiver/history")
    );
    assert_eq!(
        path(Some("/s")).unwrap(),
        PathBuf::from("/s/quiver/history")
    );
    assert_eq!(
        path(Some("rel")).unwrap(),
        PathBuf::from("/home/u/.local/state/quiver/history")
    );
    assert_eq!(history::path(|_| None), None);
}

#[test]
fn passwords_are_not_remembered() {
    assert!(history::may_be_remembered("SELECT 1;"));
    assert!(!history::may_be_remembered("create user bob password 'x';"));
}
