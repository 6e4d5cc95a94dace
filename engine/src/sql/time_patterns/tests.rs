use super::chrono_pattern;

#[test]
fn postgresql_patterns_become_those_of_chrono() {
    for (theirs, ours) in [
        ("YYYY-MM-DD", "%Y-%m-%d"),
        ("YYYY-MM-DD HH24:MI:SS.US", "%Y-%m-%d %H:%M:%S.%6f"),
        ("yyyy/mm/dd hh24:mi:ss", "%Y/%m/%d %H:%M:%S"),
        ("DD Mon YY, HH12:MI PM", "%d %b %y, %I:%M %p"),
        ("FMMonth FMDD, YYYY", "%B %-d, %Y"),
        ("YYYYMMDD", "%Y%m%d"),
        ("IYYY-IW-ID", "%G-%V-%u"),
        ("YYYY-MM-DD\"T\"HH24:MI", "%Y-%m-%dT%H:%M"),
    ] {
        assert_eq!(chrono_pattern(theirs).as_deref(), Some(ours), "{theirs}");
    }
}

#[test]
fn other_patterns_stay_as_they_are() {
    for pattern in ["%Y-%m-%d", "", "- :", "Month", "hello", "999D99"] {
        assert_eq!(chrono_pattern(pattern), None, "{pattern}");
    }
}
