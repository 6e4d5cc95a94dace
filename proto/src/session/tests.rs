#![expect(clippy::unwrap_used, reason = "tests")]

use prost::Message;

use super::*;

/// One option of each kind, encoded by hand from the field numbers of `Flight.proto`.
#[test]
fn values_have_the_field_numbers_of_the_specification() {
    let cases: Vec<(OptionValue, Vec<u8>)> = vec![
        (OptionValue::String("ab".into()), vec![0x0a, 2, b'a', b'b']),
        (OptionValue::Bool(true), vec![0x10, 1]),
        (
            OptionValue::Int64(-2),
            [&[0x19][..], &(-2i64).to_le_bytes()].concat(),
        ),
        (
            OptionValue::Double(0.5),
            [&[0x21][..], &0.5f64.to_le_bytes()].concat(),
        ),
        (
            OptionValue::StringList(StringListValue {
                values: vec!["x".into(), "y".into()],
            }),
            vec![0x2a, 6, 0x0a, 1, b'x', 0x0a, 1, b'y'],
        ),
    ];
    for (value, bytes) in cases {
        let message = SessionOptionValue {
            option_value: Some(value),
        };
        assert_eq!(message.encode_to_vec(), bytes);
        assert_eq!(SessionOptionValue::decode(&bytes[..]).unwrap(), message);
    }
}

#[test]
fn an_option_without_value_decodes_as_erasure() {
    // map entry {1: "schema", 2: {}}
    let entry = [&[0x0a, 6][..], b"schema", &[0x12, 0]].concat();
    let body = [&[0x0a, u8::try_from(entry.len()).unwrap()][..], &entry].concat();
    let request = SetSessionOptionsRequest::decode(&body[..]).unwrap();
    assert_eq!(request.session_options["schema"].option_value, None);
}

#[test]
fn results_have_the_numbers_of_the_specification() {
    let error = SessionOptionError {
        value: SessionOptionErrorValue::InvalidName.into(),
    };
    let result = SetSessionOptionsResult {
        errors: [("k".to_owned(), error)].into(),
    };
    assert_eq!(
        result.encode_to_vec(),
        [0x0a, 7, 0x0a, 1, b'k', 0x12, 2, 8, 1]
    );

    let closed = CloseSessionResult {
        status: CloseSessionStatus::Closed.into(),
    };
    assert_eq!(closed.encode_to_vec(), [8, 1]);
    let not = CloseSessionResult {
        status: CloseSessionStatus::NotCloseable.into(),
    };
    assert_eq!(not.encode_to_vec(), [8, 3]);
}
