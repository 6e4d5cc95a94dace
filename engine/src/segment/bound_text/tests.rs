#![expect(clippy::unwrap_used, reason = "tests")]

use std::cmp::Ordering;

use proptest::prelude::{any, prop_assert, prop_assert_ne, proptest};

use super::*;
use crate::segment::testing::{random_scalar, scalar_types, seeded};

fn both(value: &ScalarValue) -> (Option<String>, Option<String>) {
    (bound_text(value, Side::Min), bound_text(value, Side::Max))
}

#[track_caller]
fn exact(value: ScalarValue, text: &str) {
    assert_eq!(both(&value), (Some(text.to_owned()), Some(text.to_owned())));
    let parsed = parse_bounds([Some(text)].into_iter(), &value.data_type()).unwrap();
    assert_eq!(ScalarValue::try_from_array(&parsed, 0).unwrap(), value);
}

#[test]
fn texts_are_those_of_ducklake() {
    let utc = || Some(Arc::from("UTC"));
    let berlin = || Some(Arc::from("Europe/Berlin"));
    exact(ScalarValue::Boolean(Some(false)), "0");
    exact(ScalarValue::Boolean(Some(true)), "1");
    exact(ScalarValue::Int8(Some(-7)), "-7");
    exact(ScalarValue::UInt64(Some(u64::MAX)), "18446744073709551615");
    exact(ScalarValue::Float32(Some(-1.5)), "-1.5");
    exact(ScalarValue::Float64(Some(1.0)), "1.0");
    exact(ScalarValue::Float64(Some(1e30)), "1e30");
    exact(ScalarValue::Float64(Some(f64::NEG_INFINITY)), "-inf");
    exact(ScalarValue::Decimal128(Some(-1200), 10, 3), "-1.200");
    exact(ScalarValue::Decimal128(Some(5), 38, 10), "0.0000000005");
    exact(ScalarValue::Utf8(Some("é".to_owned())), "é");
    exact(ScalarValue::Utf8(Some(String::new())), "");
    exact(ScalarValue::Binary(Some(vec![0xAA, 0, 0x62])), "AA0062");
    exact(ScalarValue::Date32(Some(-3652)), "1960-01-02");
    exact(
        ScalarValue::Time64Microsecond(Some(45_296_123_456)),
        "12:34:56.123456",
    );
    exact(ScalarValue::Time64Microsecond(Some(0)), "00:00:00");
    exact(
        ScalarValue::TimestampSecond(Some(0), None),
        "1970-01-01 00:00:00",
    );
    exact(
        ScalarValue::TimestampMillisecond(Some(500), None),
        "1970-01-01 00:00:00.5",
    );
    exact(
        ScalarValue::TimestampNanosecond(Some(-1), None),
        "1969-12-31 23:59:59.999999999",
    );
    exact(
        ScalarValue::TimestampMicrosecond(Some(250_000), utc()),
        "1970-01-01 00:00:00.25+00",
    );
    exact(
        ScalarValue::TimestampMicrosecond(Some(0), berlin()),
        "1970-01-01 00:00:00+00",
    );
    let uuid = Uuid::from_u128(0xb9f7_c2a0_0000_4000_8000_0000_0000_0001);
    let uuid = ScalarValue::FixedSizeBinary(16, Some(uuid.as_bytes().to_vec()));
    exact(uuid, "b9f7c2a0-0000-4000-8000-000000000001");
}

#[test]
fn what_has_no_common_text_has_no_bound() {
    let values = [
        ScalarValue::Float64(Some(f64::NAN)),
        ScalarValue::Int64(None),
        ScalarValue::Date32(Some(i32::MAX)),
        ScalarValue::Date32(Some(-800_000)),
        ScalarValue::TimestampSecond(Some(i64::MAX), None),
        ScalarValue::TimestampMillisecond(Some(253_402_300_800_000), None),
    ];
    for value in values {
        assert_eq!(both(&value), (None, None), "{value}");
    }
}

#[test]
fn long_texts_are_cut_so_that_they_still_bound() {
    let text = |value: &str| both(&ScalarValue::Utf8(Some(value.to_owned())));
    let (min, max) = text(&"a".repeat(300));
    assert_eq!(min.unwrap(), "a".repeat(256));
    assert_eq!(max.unwrap(), format!("{}b", "a".repeat(255)));
    let (min, max) = text(&format!("{}\u{10FFFF}x", "a".repeat(252)));
    assert_eq!(min.unwrap(), format!("{}\u{10FFFF}", "a".repeat(252)));
    assert_eq!(
        max.unwrap(),
        format!("{}b", "a".repeat(251)),
        "the last character has no next one"
    );
    let (_, max) = text(&format!("{}\u{D7FF}é", "a".repeat(253)));
    assert_eq!(
        max.unwrap(),
        format!("{}\u{E000}", "a".repeat(253)),
        "over the surrogates"
    );
    let (min, max) = text("ab\0c");
    assert_eq!(
        (min.unwrap(), max.unwrap()),
        ("ab".to_owned(), "ac".to_owned())
    );
    assert_eq!(text("\0"), (Some(String::new()), None));
    let blob = |value: Vec<u8>| both(&ScalarValue::Binary(Some(value)));
    let (min, max) = blob(vec![1; 300]);
    assert_eq!(min.unwrap(), "01".repeat(256));
    assert_eq!(max.unwrap(), format!("{}02", "01".repeat(255)));
    assert_eq!(blob(vec![0xFF; 300]).1, None);
    assert_eq!(blob(vec![0xFF; 256]).1.unwrap(), "FF".repeat(256));
}

#[test]
fn texts_of_foreign_writers_that_make_no_sense_are_unknown() {
    for (_, data_type) in scalar_types() {
        let texts = [Some("?!"), None, Some("zz")];
        let parsed = parse_bounds(texts.into_iter(), &data_type).unwrap();
        assert_eq!(parsed.data_type(), &data_type);
        assert_eq!(parsed.len(), 3);
        if data_type != DataType::Utf8 {
            assert_eq!(parsed.null_count(), 3, "{data_type}");
        }
    }
}

proptest! {
    #[test]
    fn texts_bound_the_values_they_come_from(seed in any::<u64>()) {
        let rng = &mut seeded(seed);
        for (name, data_type) in scalar_types() {
            let value = random_scalar(&data_type, 1_000_000, rng);
            let (min, max) = both(&value);
            for (text, wrong) in [(min, Ordering::Greater), (max, Ordering::Less)] {
                let Some(text) = text else { continue };
                prop_assert!(text.len() <= 2 * BOUND_BYTES_MAX, "{}", name);
                let bound = parse_bounds([Some(text.as_str())].into_iter(), &data_type).unwrap();
                let bound = ScalarValue::try_from_array(&bound, 0).unwrap();
                prop_assert!(!bound.is_null(), "{} {}", name, text);
                prop_assert_ne!(bound.partial_cmp(&value), Some(wrong), "{} {}", name, text);
            }
        }
    }
}
