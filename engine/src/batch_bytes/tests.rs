use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Int32Array, ListArray, MapBuilder, RecordBatch, StringArray,
    StringBuilder, StructArray,
};
use arrow::datatypes::{Field, Int32Type};

use super::slice_bytes;

const ROWS: usize = 1000;

fn batch_of(column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("c", column)]).expect("one column")
}

/// Nested columns of equally wide rows.
fn columns() -> Vec<ArrayRef> {
    let numbers = |row: usize| Some((0..20).map(move |n| Some((row * n) as i32)));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>((0..ROWS).map(numbers));
    let fixed =
        FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>((0..ROWS).map(numbers), 20);
    let text = StringArray::from_iter_values((0..ROWS).map(|row| format!("{row:020}")));
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for row in 0..ROWS {
        map.keys().append_value(format!("{row:010}"));
        map.values().append_value(format!("{row:010}"));
        map.append(true).expect("as many keys as values");
    }
    let list: ArrayRef = Arc::new(list);
    let field = Arc::new(Field::new("list", list.data_type().clone(), true));
    let lists = StructArray::from(vec![(field, Arc::clone(&list))]);
    vec![
        list,
        Arc::new(fixed),
        Arc::new(text),
        Arc::new(map.finish()),
        Arc::new(lists),
        Arc::new(Int32Array::from_iter_values(0..ROWS as i32)),
    ]
}

#[test]
fn a_tenth_of_the_rows_takes_a_tenth_of_the_bytes() {
    for column in columns() {
        let batch = batch_of(column);
        let whole = slice_bytes(&batch);
        assert!(
            whole >= 4 * ROWS,
            "{}: {whole}",
            batch.column(0).data_type()
        );
        for start in (0..ROWS).step_by(ROWS / 10) {
            let tenth = slice_bytes(&batch.slice(start, ROWS / 10));
            let kind = batch.column(0).data_type();
            assert!(
                tenth.abs_diff(whole / 10) < 64,
                "{kind}: {tenth} of {whole}"
            );
        }
        assert!(slice_bytes(&batch.slice(7, 0)) < 16);
    }
}
