#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{Int64Array, Int64Builder, ListArray, ListBuilder, StringArray};
use arrow::datatypes::Int32Type;

use super::*;

fn digest(columns: Vec<(&str, ArrayRef)>) -> [u8; 32] {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut digest = ContentDigest::new(batch.schema_ref());
    digest.update(&batch).unwrap();
    digest.finish()
}

fn ints(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

#[test]
fn small_differences_count() {
    let lists = |lists: Vec<Option<Vec<Option<i32>>>>| -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))
    };
    let texts = |texts: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    let columns = [
        ints(vec![Some(0), None]),
        ints(vec![None, Some(0)]),
        ints(vec![Some(0), Some(0)]),
        ints(vec![Some(0)]),
        ints(vec![None, None]),
        ints(vec![None]),
        texts(vec!["ab", "c"]),
        texts(vec!["a", "bc"]),
        texts(vec!["", "abc"]),
        lists(vec![Some(vec![Some(1)]), Some(vec![])]),
        lists(vec![Some(vec![]), Some(vec![Some(1)])]),
        lists(vec![None, Some(vec![Some(1)])]),
        lists(vec![Some(vec![None]), Some(vec![Some(1)])]),
        lists(vec![Some(vec![None]), Some(vec![])]),
        lists(vec![Some(vec![]), Some(vec![])]),
    ];
    let digests: Vec<_> = columns
        .iter()
        .map(|c| digest(vec![("x", Arc::clone(c))]))
        .collect();
    for (i, one) in digests.iter().enumerate() {
        assert!(
            digests[..i].iter().all(|other| other != one),
            "{:?}",
            columns[i]
        );
    }
    let one = || ints(vec![Some(1)]);
    assert_ne!(digest(vec![("x", one())]), digest(vec![("y", one())]));
}

#[test]
fn columns_added_later_do_not_count() {
    let before = digest(vec![("x", ints(vec![Some(1), None]))]);
    let added = || ints(vec![None, None]);
    let after = digest(vec![("x", ints(vec![Some(1), None])), ("y", added())]);
    assert_eq!(before, after);
}

#[test]
fn bytes_behind_nulls_do_not_count() {
    let array = Int64Array::new(vec![1, 2].into(), Some(vec![true, false].into()));
    let other = Int64Array::new(vec![1, 3].into(), Some(vec![true, false].into()));
    assert_eq!(
        digest(vec![("x", Arc::new(array) as ArrayRef)]),
        digest(vec![("x", Arc::new(other) as ArrayRef)])
    );
}

#[test]
fn stored_digests_stay_what_they_are() {
    let mut lists = ListBuilder::new(Int64Builder::new());
    lists.append_value([Some(1), None]);
    lists.append_null();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", ints(vec![Some(1), None])),
        ("b", Arc::new(lists.finish())),
    ];
    let hex: String = digest(columns)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "857510c5eb592fcd5fab671b86ac5b048f8f1624ed357d7b4e5ef045674b4054"
    );
}

#[test]
fn batches_of_another_schema_are_refused() {
    let mut digest = ContentDigest::new(&Schema::empty());
    let batch = RecordBatch::try_from_iter([("x", ints(vec![Some(1)]))]).unwrap();
    assert!(digest.update(&batch).is_err());
}
