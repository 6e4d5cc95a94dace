use super::*;

#[test]
fn semicolons_end_statements_except_in_quotes_and_comments() {
    for (text, expected) in [
        ("SELECT 1", vec!["SELECT 1"]),
        (" SELECT 1 ;; \n SELECT 2;", vec!["SELECT 1", "SELECT 2"]),
        (
            "SELECT ';' ; SELECT \"a;b\"",
            vec!["SELECT ';'", "SELECT \"a;b\""],
        ),
        ("SELECT 'it''s; ok'; x", vec!["SELECT 'it''s; ok'", "x"]),
        ("-- a; b\nSELECT 1; -- end;", vec!["-- a; b\nSELECT 1"]),
        (
            "/* a; /* b; */ c; */ SELECT 1; /* ; */",
            vec!["/* a; /* b; */ c; */ SELECT 1"],
        ),
        (
            "SELECT $$a;b$$; SELECT $t$ ; $$ ; $t$",
            vec!["SELECT $$a;b$$", "SELECT $t$ ; $$ ; $t$"],
        ),
        ("SELECT $1; SELECT $2", vec!["SELECT $1", "SELECT $2"]),
        ("SELECT 'open; quote", vec!["SELECT 'open; quote"]),
        (
            "SELECT 'ü;ß'; SELECT 'é'",
            vec!["SELECT 'ü;ß'", "SELECT 'é'"],
        ),
        (" ; -- nothing\n ;", vec![]),
        ("$", vec!["$"]),
    ] {
        assert_eq!(statements(text), expected, "{text}");
    }
}

#[test]
fn typed_text_is_complete_after_its_last_semicolon() {
    for (text, expected) in [
        ("", true),
        ("SELECT 1", false),
        ("SELECT 1;", true),
        ("SELECT 1; -- done", true),
        ("SELECT ';", false),
        ("SELECT ';';", true),
        ("SELECT 1; SELECT", false),
        ("/* open", false),
    ] {
        assert_eq!(is_complete(text), expected, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_it(text in "[a;'\"$/*\\-\n ü1]{0,40}") {
        let _ = is_complete(&text);
        for statement in statements(&text) {
            proptest::prop_assert!(!statement.is_empty());
        }
    }
}
