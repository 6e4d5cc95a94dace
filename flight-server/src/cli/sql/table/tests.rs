#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use super::*;

fn written(batches: &[RecordBatch]) -> String {
    let mut table = TableWriter::new(Vec::new(), batches[0].schema());
    for batch in batches {
        table.write(batch).unwrap();
    }
    String::from_utf8(table.finish().unwrap()).unwrap()
}

fn batch(numbers: Vec<Option<i64>>, texts: Vec<&str>) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("text", texts, true)]).unwrap()
}

#[test]
fn numbers_stand_right_and_null_is_told_apart_from_text() {
    let text = written(&[batch(vec![Some(5), None], vec!["a", ""])]);
    assert_eq!(text, " n    | text\n------+------\n    5 | a\n NULL |\n");
}

#[test]
fn an_empty_result_still_shows_its_columns() {
    assert_eq!(written(&[batch(vec![], vec![])]), " n | text\n---+------\n");
}

#[test]
fn cells_cannot_steer_the_terminal() {
    let text = written(&[batch(vec![Some(1)], vec!["a\u{1b}[31m\nb\tü"])]);
    assert!(text.contains("a\\u{1b}[31m\\nb\\tü"), "{text}");
}

#[test]
fn later_wide_cells_push_their_line_only() {
    let first = batch(vec![Some(1); MEASURED_ROWS], vec!["a"; MEASURED_ROWS]);
    let text = written(&[first, batch(vec![Some(123_456)], vec!["b"])]);
    assert_eq!(text.lines().nth(2), Some(" 1 | a"));
    assert_eq!(text.lines().last(), Some(" 123456 | b"));
}
