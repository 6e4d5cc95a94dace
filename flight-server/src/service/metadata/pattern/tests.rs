#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::StringArray;
use arrow::compute::like;
use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(pattern: &str, yes: &[&str], no: &[&str]) {
    let compiled = Pattern::new(Some(pattern));
    for name in yes {
        assert!(compiled.matches(name), "{pattern:?} should match {name:?}");
    }
    for name in no {
        assert!(
            !compiled.matches(name),
            "{pattern:?} should not match {name:?}"
        );
    }
}

#[test]
fn no_pattern_matches_everything() {
    for name in ["", "a", "main"] {
        assert!(Pattern::new(None).matches(name));
    }
}

#[test]
fn wildcards() {
    check("abc", &["abc"], &["", "ab", "abcd", "ABC"]);
    check("", &[""], &["a"]);
    check("%", &["", "a", "äöü"], &[]);
    check("a%", &["a", "ab", "a%"], &["", "ba"]);
    check("%a", &["a", "ba", "aaa"], &["ab"]);
    check("%a%b%", &["ab", "xaxbx", "aab"], &["ba", "a"]);
    check("a_c", &["abc", "a_c", "aäc"], &["ac", "abbc"]);
    check("__", &["ab", "äö"], &["a", "abc"]);
    check("%%%", &["", "x"], &[]);
    check("_%_", &["ab", "abc"], &["a", ""]);
    check("%ab%ab", &["abab", "xabxab", "ababab"], &["ab", "aba"]);
}

#[test]
fn escapes() {
    check(r"a\_c", &["a_c"], &["abc"]);
    check(r"a\%", &["a%"], &["ab", "a"]);
    check(r"a\\b", &[r"a\b"], &["ab"]);
    check(r"a\b", &["ab"], &[r"a\b"]);
    check(r"a\", &[r"a\"], &["a"]);
}

#[test]
fn exactness_is_about_the_text_as_written() {
    let pattern = Pattern::new(Some("a_b"));
    assert!(pattern.is_exactly("a_b") && pattern.matches("axb"));
    assert!(!pattern.is_exactly("axb"));
}

/// A backtracking matcher would need longer than anybody waits.
#[test]
fn many_wildcards_stay_cheap() {
    let pattern = Pattern::new(Some(&"%a".repeat(200)));
    assert!(!pattern.matches(&"a".repeat(199)));
    assert!(pattern.matches(&"a".repeat(400)));
}

proptest! {
    /// `LIKE` of SQL and the patterns of metadata mean the same.
    #[test]
    fn agrees_with_like(pattern in "[ab%_ä]{0,8}", name in "[abä]{0,8}") {
        let names = StringArray::from(vec![name.clone()]);
        let expected = like(&names, &StringArray::new_scalar(&pattern)).unwrap().value(0);
        prop_assert_eq!(Pattern::new(Some(&pattern)).matches(&name), expected);
    }

    #[test]
    fn an_escaped_name_matches_itself_alone(name in "[ab%_\\\\]{0,6}", other in "[ab%_\\\\]{0,6}") {
        let escaped = name.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
        prop_assert_eq!(Pattern::new(Some(&escaped)).matches(&other), name == other);
        prop_assert!(Pattern::new(Some(&escaped)).matches(&name));
    }
}
