#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::Int32Array;
use arrow::datatypes::{Field, Fields, Int32Type};

use super::*;

fn leaves(array: ArrayRef) -> Vec<(Vec<Option<i32>>, u64)> {
    let mut found = Vec::new();
    visit_leaves(&array, &mut |leaf| {
        let values = leaf.values.as_primitive::<Int32Type>().iter().collect();
        found.push((values, leaf.absent));
        Ok(())
    })
    .unwrap();
    found
}

fn list_of(lengths: &[usize], nulls: Vec<bool>, values: ArrayRef) -> ListArray {
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    ListArray::new(field, offsets, values, Some(NullBuffer::from(nulls)))
}

fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

#[test]
fn what_lies_behind_a_null_struct_is_null() {
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int32, false),
        Field::new("b", DataType::Int32, true),
    ]);
    let nulls = NullBuffer::from(vec![true, false, true]);
    let b: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(5), Some(6)]));
    let array = StructArray::new(fields, vec![ints(&[1, 2, 3]), b], Some(nulls));
    let found = leaves(Arc::new(array));
    assert_eq!(found[0], (vec![Some(1), None, Some(3)], 0));
    assert_eq!(found[1], (vec![None, None, Some(6)], 0));
}

#[test]
fn what_lies_behind_a_null_list_is_nobodys() {
    let values = ints(&[1, 2, 3, 4, 5, 6]);
    let list = list_of(&[2, 2, 0, 2], vec![true, false, true, true], values);
    let expected = (vec![Some(1), Some(2), Some(5), Some(6)], 2);
    assert_eq!(
        leaves(Arc::new(list.clone())),
        std::slice::from_ref(&expected)
    );
    let sliced = list.slice(2, 2);
    assert_eq!(leaves(Arc::new(sliced)), [(vec![Some(5), Some(6)], 1)]);
    assert_eq!(leaves(Arc::new(list.slice(1, 0))), [(vec![], 0)]);
}

#[test]
fn absence_adds_up_over_the_levels() {
    let inner = list_of(&[1, 0, 2], vec![true, true, true], ints(&[7, 8, 9]));
    let outer = list_of(
        &[2, 0, 1, 0],
        vec![true, true, true, false],
        Arc::new(inner),
    );
    assert_eq!(
        leaves(Arc::new(outer)),
        [(vec![Some(7), Some(8), Some(9)], 3)]
    );
}
