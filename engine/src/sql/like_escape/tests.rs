use super::translated;

#[test]
fn backslashes_take_the_place_of_the_escape() {
    for (pattern, escape, expected) in [
        ("100/%", "/", r"100\%"),
        ("a//b", "/", r"a\/b"),
        (r"a\_/_", "/", r"a\\_\_"),
        ("%_", "/", "%_"),
        ("5!%!!", "!", r"5\%\!"),
        (r"c:\%", "", r"c:\\%"),
        ("end/", "/", r"end\"),
        ("äöä%", "ä", r"\ö\%"),
    ] {
        assert_eq!(
            translated(pattern, escape),
            expected,
            "{pattern} by {escape:?}"
        );
    }
}
