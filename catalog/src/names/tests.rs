use super::{check_object_name, check_principal_name, directory};

#[test]
fn object_names() {
    for name in [
        "t",
        "Ümlaut",
        "with space",
        "a.b",
        "quote\"",
        &"x".repeat(128),
    ] {
        assert!(check_object_name("table", name).is_ok(), "{name}");
    }
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "a\nb",
        "nul\0",
        &"x".repeat(129),
    ] {
        assert!(check_object_name("table", name).is_err(), "{name}");
    }
}

#[test]
fn principal_names() {
    for name in ["default", "Acme-1", "a.b_c", "0"] {
        assert!(check_principal_name("tenant", name).is_ok(), "{name}");
    }
    for name in ["", ".", "a b", "ü", "a@b", "a/b", "a:b"] {
        assert!(check_principal_name("tenant", name).is_err(), "{name}");
    }
}

#[test]
fn directories_are_plain() {
    assert_eq!(directory("Events_2-x", 't', 7), "Events_2-x/");
    for name in ["a.b", "Ümlaut", "with space", "quote\""] {
        assert_eq!(directory(name, 't', 7), "t7/");
    }
}
