#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::*;

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

#[test]
fn results_get_the_promised_names_types_and_metadata() {
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
    let given = schema(vec![Field::new("t.a", DataType::Utf8View, true)]);
    let batch = RecordBatch::try_new(given, vec![texts]).unwrap();
    let metadata = [("k".to_owned(), "v".to_owned())];
    let promised = schema(vec![
        Field::new("a", DataType::Utf8, true).with_metadata(metadata.into()),
    ]);
    let sent = logical_rebatch(batch, &promised).unwrap();
    assert_eq!(sent.schema_ref(), &promised);
    assert!(logical_rebatch(sent, &promised).is_ok());
}

#[test]
fn broken_promises_are_our_fault() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let given = schema(vec![Field::new("a", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(given, vec![numbers]).unwrap();
    let promises = [
        schema(vec![Field::new("a", DataType::Int64, false)]),
        schema(vec![Field::new("a", DataType::Utf8, true)]),
        schema(vec![]),
    ];
    for promised in promises {
        let error = logical_rebatch(batch.clone(), &promised).unwrap_err();
        assert!(matches!(error, EngineError::Internal { .. }), "{error}");
    }
}

#[test]
fn results_without_columns_keep_their_rows() {
    let options = RecordBatchOptions::new().with_row_count(Some(5));
    let batch = RecordBatch::try_new_with_options(schema(vec![]), vec![], &options).unwrap();
    let metadata = [("k".to_owned(), "v".to_owned())];
    let promised = Arc::new(Schema::empty().with_metadata(metadata.into()));
    assert_eq!(logical_rebatch(batch, &promised).unwrap().num_rows(), 5);
}
