use super::{from_text, to_text};

#[test]
fn times_come_back() {
    for micros in [0, 1, -1, 1_795_226_065_153_198, 1_600_000_000_000_000] {
        assert_eq!(from_text(&to_text(micros)), Some(micros));
    }
    assert_eq!(
        to_text(1_795_226_065_153_198),
        "2026-11-21 01:54:25.153198+00"
    );
}

#[test]
fn other_writers_shorten_and_use_their_zone() {
    let micros = Some(1_795_226_065_500_000);
    assert_eq!(from_text("2026-11-21 01:54:25.5+00"), micros);
    assert_eq!(from_text("2026-11-21 03:54:25.5+02"), micros);
    assert_eq!(from_text("2026-11-21 07:24:25.5+05:30"), micros);
    assert_eq!(
        from_text("2026-11-21 01:54:25+00"),
        Some(1_795_226_065_000_000)
    );
    assert_eq!(from_text("yesterday"), None);
}
