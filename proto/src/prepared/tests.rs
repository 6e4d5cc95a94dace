#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn the_answer_travels_inside_any_with_is_update_as_field_4() {
    let answer = ActionCreatePreparedStatementResult {
        prepared_statement_handle: Bytes::from_static(b"h"),
        is_update: Some(false),
        ..Default::default()
    };
    let any = Any::decode(answer.to_any_bytes()).unwrap();
    assert_eq!(any.type_url, TYPE_URL);
    // `false` is on the wire: absent and false mean different things.
    assert_eq!(&any.value[..], [0x0a, 1, b'h', 0x20, 0]);
}

#[test]
fn an_unknown_kind_is_left_out() {
    let answer = ActionCreatePreparedStatementResult {
        dataset_schema: Bytes::from_static(b"d"),
        parameter_schema: Bytes::from_static(b"p"),
        ..Default::default()
    };
    assert_eq!(answer.encode_to_vec(), [0x12, 1, b'd', 0x1a, 1, b'p']);
}
