#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::symlink;

use super::*;

/// A tenant's area with a file, beside a secret that must never be reached.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("files/in")).unwrap();
        fs::create_dir_all(root.path().join("files-of-another")).unwrap();
        fs::write(root.path().join("files/in/a.csv"), "x\n1\n").unwrap();
        fs::write(root.path().join("secret"), "secret").unwrap();
        fs::write(root.path().join("files-of-another/secret"), "secret").unwrap();
        Self { root }
    }

    fn area(&self) -> PathBuf {
        self.root.path().join("files")
    }

    fn link(&self, target: &str, name: &str) {
        symlink(target, self.area().join(name)).unwrap();
    }

    /// The message, which must not show anything of the machine.
    fn refused(&self, user_path: &str, for_write: bool) -> String {
        let error = resolve(&self.area(), user_path, for_write).unwrap_err();
        let message = error.to_string();
        assert!(
            !message.contains(self.root.path().to_str().unwrap()),
            "{message}"
        );
        assert!(!message.contains('\n') && message.len() < 400, "{message}");
        message
    }
}

#[test]
fn files_inside_are_found() {
    let machine = Machine::new();
    machine.link("in/a.csv", "inside");
    machine.link("in", "folder");
    let wanted = machine.area().canonicalize().unwrap().join("in/a.csv");
    for path in [
        "in/a.csv",
        "./in/a.csv",
        "in//a.csv",
        "inside",
        "folder/a.csv",
    ] {
        assert_eq!(
            resolve(&machine.area(), path, false).unwrap(),
            wanted,
            "{path}"
        );
        assert_eq!(
            resolve(&machine.area(), path, true).unwrap(),
            wanted,
            "{path}"
        );
    }
    let new = resolve(&machine.area(), "out/deep/b.parquet", true).unwrap();
    assert_eq!(
        new,
        machine
            .area()
            .canonicalize()
            .unwrap()
            .join("out/deep/b.parquet")
    );
}

#[test]
fn what_is_not_a_plain_relative_path_is_refused() {
    let machine = Machine::new();
    let absolute = machine.root.path().join("secret");
    let long = "x/".repeat(600) + "x";
    let table = [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("../secret", "goes up"),
        ("in/../../secret", "goes up"),
        ("in/..", "goes up"),
        ("~/secret", "starts with '~'"),
        ("file:///etc/passwd", "is a URL"),
        ("file:/etc/passwd", "is a URL"),
        ("s3://bucket/a.csv", "is a URL"),
        ("https://host/a.csv", "is a URL"),
        ("C:/a.csv", "names a drive"),
        ("c:a.csv", "names a drive"),
        ("..\\secret", "backslash"),
        ("in\0/a.csv", "control characters"),
        ("in\n/a.csv", "control characters"),
        ("in/*.csv", "pattern"),
        ("in/?.csv", "pattern"),
        ("in/[ab].csv", "pattern"),
        ("in/", "names a folder"),
        (".", "names a folder"),
        (long.as_str(), "too long"),
    ];
    for (path, wanted) in table {
        for for_write in [false, true] {
            let message = machine.refused(path, for_write);
            assert!(message.contains(wanted), "{path}: {message}");
            assert!(
                message.contains("relative to the tenant's folder"),
                "{path}: {message}"
            );
        }
    }
    let message = resolve(&machine.area(), absolute.to_str().unwrap(), false).unwrap_err();
    assert!(message.to_string().contains("is absolute"));
}

#[test]
fn links_that_lead_outside_are_refused_alike() {
    let machine = Machine::new();
    machine.link("../secret", "up");
    machine.link("/etc/passwd", "absolute");
    machine.link("../files-of-another", "sibling");
    machine.link("..", "parent");
    machine.link("../nothing", "dangling");
    machine.link("nothing", "dangling-inside");
    machine.link("ring", "ring");
    let paths = [
        "up",
        "absolute",
        "sibling/secret",
        "parent/secret",
        "dangling",
        "dangling-inside",
        "ring",
    ];
    for path in paths {
        for for_write in [false, true] {
            let message = machine.refused(path, for_write);
            assert!(
                message.contains("is a link that leads outside"),
                "{path}: {message}"
            );
        }
    }
    let message = machine.refused("parent/files/in/a.csv", false);
    assert!(message.contains("leads outside"), "{message}");
}

#[test]
fn only_plain_files_are_opened() {
    let machine = Machine::new();
    assert_eq!(
        machine.refused("in/b.csv", false),
        "file 'in/b.csv' not found"
    );
    assert_eq!(
        machine.refused("nowhere/b.csv", false),
        "file 'nowhere/b.csv' not found"
    );
    assert!(machine.refused("in", false).contains("is not a file"));
    assert!(machine.refused("in", true).contains("is not a file"));
    assert!(
        machine
            .refused("in/a.csv/b", false)
            .contains("goes through something")
    );
    assert!(
        machine
            .refused("in/a.csv/b", true)
            .contains("goes through something")
    );
    assert!(
        machine
            .refused(&"n".repeat(300), false)
            .contains("too long")
    );
    let _socket = std::os::unix::net::UnixListener::bind(machine.area().join("socket")).unwrap();
    assert!(machine.refused("socket", false).contains("is not a file"));
}

#[test]
fn an_area_that_is_not_there_yet_has_no_files() {
    let machine = Machine::new();
    let area = machine.root.path().join("later/files");
    assert!(matches!(
        resolve(&area, "a.csv", false),
        Err(EngineError::NotFound { .. })
    ));
    assert_eq!(resolve(&area, "a.csv", true).unwrap(), area.join("a.csv"));
}
