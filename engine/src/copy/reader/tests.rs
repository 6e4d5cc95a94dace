#![expect(clippy::panic, reason = "tests")]

use super::*;

#[test]
fn a_panic_is_an_error_and_not_the_end() {
    let schema = SchemaRef::new(arrow::datatypes::Schema::empty());
    let mut next = 0;
    let reader = std::iter::from_fn(move || {
        next += 1;
        match next {
            1 => Some(Ok(RecordBatch::new_empty(SchemaRef::clone(&schema)))),
            _ => panic!("damaged"),
        }
    });
    let mut batches = explained(reader, "f".into(), "Parquet");
    assert!(batches.next().is_some_and(|batch| batch.is_ok()));
    let error = batches
        .next()
        .and_then(Result::err)
        .map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("its content is damaged")));
    assert!(batches.next().is_none());
}
