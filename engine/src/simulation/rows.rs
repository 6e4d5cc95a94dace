//! The rows of the simulation: each column is a function of the row's id.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{cast, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};

/// Rows of one unit; ids of a unit start at a multiple of it.
pub(super) const UNIT_IDS: i64 = 1_000;

/// The rows with these ids.
pub(super) fn rows(ids: &[i64]) -> RecordBatch {
    let present = |id: i64, nth: i64| id % nth != 0;
    let texts = ids.iter().map(|id| {
        let repeated = "row ".repeat((id % 37) as usize);
        present(*id, 11).then(|| format!("{repeated}{id}"))
    });
    let prices = ids.iter().map(|id| match id % 13 {
        0 => None,
        1 => Some(f64::NAN),
        2 => Some(-0.0),
        _ => Some(*id as f64 / 7.0),
    });
    let days = ids
        .iter()
        .map(|id| present(*id, 5).then_some((id % 40_000) as i32));
    let times = ids
        .iter()
        .map(|id| present(*id, 3).then_some(id * 1_234_567));
    let amounts = ids
        .iter()
        .map(|id| present(*id, 17).then_some(i128::from(id * 31)));
    let flags = ids.iter().map(|id| present(*id, 4).then_some(id % 2 == 0));
    let tags = ids.iter().map(|id| {
        let tags = (0..id % 4).map(|tag| present(tag, 3).then_some(id + tag));
        present(*id, 6).then(|| tags.collect::<Vec<_>>())
    });
    let amounts: Decimal128Array = amounts.collect();
    let columns: [(&str, ArrayRef); 8] = [
        ("id", Arc::new(Int64Array::from(ids.to_vec()))),
        ("text", Arc::new(texts.collect::<StringArray>())),
        ("price", Arc::new(prices.collect::<Float64Array>())),
        ("day", Arc::new(days.collect::<Date32Array>())),
        (
            "at",
            Arc::new(
                times
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
        ),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(18, 2).expect("a decimal")),
        ),
        ("flag", Arc::new(flags.collect::<BooleanArray>())),
        (
            "tags",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(tags)),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

/// What columns hold that are added later.
pub(super) const EXTRA: i64 = 77;

/// The schema of [`rows`].
pub(super) fn schema() -> SchemaRef {
    rows(&[]).schema()
}

/// The ids of rows that a query answered, in order; every value must be what its id says.
pub(super) fn checked_ids(schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<i64> {
    let all = concat_batches(schema, batches).expect("batches of one schema");
    let order = sort_to_indices(all.column(0), None, None).expect("ids can be sorted");
    let sorted = take_record_batch(&all, &order).expect("rows can be taken");
    let ids = sorted.column(0).as_any().downcast_ref::<Int64Array>();
    let ids = ids.expect("ids are numbers").values().to_vec();
    let expected = rows(&ids);
    let named = |schema: &Schema| -> Vec<String> {
        schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect()
    };
    let (found, wanted) = (named(&sorted.schema()), named(&expected.schema()));
    assert_eq!(found[..wanted.len()], wanted);
    // Added by ALTER TABLE, with a default value that nobody changes.
    assert!(
        found[wanted.len()..]
            .iter()
            .all(|name| name.starts_with("extra"))
    );
    for extra in &sorted.columns()[wanted.len()..] {
        let extra = extra.as_any().downcast_ref::<Int64Array>();
        let extra = extra.expect("an added column holds numbers");
        let same = extra.null_count() == 0 && extra.values().iter().all(|value| *value == EXTRA);
        assert!(same, "an added column has its default");
    }
    for (found, expected) in sorted.columns().iter().zip(expected.columns()) {
        let found = cast(found, expected.data_type()).expect("the type is kept");
        assert_eq!(
            found.to_data(),
            cast(expected, expected.data_type())
                .expect("itself")
                .to_data()
        );
    }
    ids
}
