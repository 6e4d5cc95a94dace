#![expect(clippy::unwrap_used, reason = "tests")]

mod arrays;

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;
use quiver_catalog::{assign_columns, columns_to_schema};

use self::arrays::Source;
use super::{Adapter, ContentDigest, canonical_schema, logical_rebatch, logical_schema};

/// Every value as arrow shows it, which is the same for a value in all its layouts.
fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let column = |array: &dyn Array| {
        let formatter = ArrayFormatter::try_new(array, &options).unwrap();
        (0..array.len())
            .map(|row| formatter.value(row).to_string())
            .collect()
    };
    batch.columns().iter().map(|array| column(array)).collect()
}

fn digest(schema: &Schema, batches: &[RecordBatch]) -> [u8; 32] {
    let mut digest = ContentDigest::new(schema);
    batches
        .iter()
        .for_each(|batch| digest.update(batch).unwrap());
    digest.finish()
}

/// Written and read again, which validates every buffer.
fn through_ipc(batch: &RecordBatch) -> RecordBatch {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    writer.write(batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    StreamReader::try_new(bytes.as_slice(), None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
}

/// The message of a batch decoded under another schema, as a log does with verbatim messages.
fn relabelled(batch: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    const END_BYTES: usize = 8;
    let stream = |schema: &SchemaRef, batch: Option<&RecordBatch>| {
        let mut writer = StreamWriter::try_new(Vec::new(), schema).unwrap();
        batch
            .into_iter()
            .for_each(|batch| writer.write(batch).unwrap());
        writer.into_inner().unwrap()
    };
    let header = stream(batch.schema_ref(), None).len() - END_BYTES;
    let mut bytes = stream(schema, None);
    bytes.truncate(bytes.len() - END_BYTES);
    bytes.extend_from_slice(&stream(batch.schema_ref(), Some(batch))[header..]);
    StreamReader::try_new(bytes.as_slice(), None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
}

fn cut(batch: &RecordBatch, at: usize) -> Vec<RecordBatch> {
    vec![
        batch.slice(0, at),
        batch.slice(at, 0),
        batch.slice(at, batch.num_rows() - at),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn values_survive_and_digests_ignore_the_cuts(seed in any::<u64>(), rows in 0_usize..40) {
        let mut source = Source::new(seed);
        let incoming: SchemaRef = Arc::new(Schema::new(source.fields(3)));
        let batch = source.batch(&incoming, rows);
        let table: SchemaRef = Arc::new(canonical_schema(&incoming).unwrap());

        let adapted = Adapter::new(&incoming, &table).unwrap().adapt(batch.clone()).unwrap();
        prop_assert_eq!(adapted.schema_ref(), &table);
        prop_assert_eq!(texts(&adapted), texts(&batch));
        prop_assert_eq!(&through_ipc(&adapted), &adapted);
        let columns = assign_columns(&table).unwrap();
        prop_assert_eq!(&columns_to_schema(&columns), table.as_ref());
        if Adapter::new(&incoming, &table).unwrap().is_identity() {
            prop_assert_eq!(&relabelled(&batch, &table), &adapted);
        }
        // Canonical is a fixed point, and adapting it again copies nothing.
        prop_assert_eq!(&canonical_schema(&table).unwrap(), table.as_ref());
        let again = Adapter::new(&table, &table).unwrap();
        prop_assert!(again.is_identity());
        prop_assert_eq!(&again.adapt(adapted.clone()).unwrap(), &adapted);

        let adapter = Adapter::new(&incoming, &table).unwrap();
        let pieces: Vec<_> = cut(&batch, source.below(rows + 1))
            .into_iter()
            .map(|piece| adapter.adapt(piece).unwrap())
            .collect();
        prop_assert_eq!(texts(&concat_batches(&table, &pieces).unwrap()), texts(&batch));
        let whole = digest(&table, std::slice::from_ref(&adapted));
        prop_assert_eq!(digest(&table, &pieces), whole);
        prop_assert_eq!(digest(&table, &cut(&adapted, source.below(rows + 1))), whole);
    }

    #[test]
    fn results_keep_their_values_under_the_logical_schema(seed in any::<u64>()) {
        let mut source = Source::new(seed);
        let physical: SchemaRef = Arc::new(Schema::new(source.fields(3)));
        let batch = source.batch(&physical, 17);
        let logical: SchemaRef = Arc::new(logical_schema(&physical));
        let sent = logical_rebatch(batch.clone(), &logical).unwrap();
        prop_assert_eq!(sent.schema_ref(), &logical);
        prop_assert_eq!(texts(&sent), texts(&batch));
    }

    #[test]
    fn a_changed_row_changes_the_digest(seed in any::<u64>(), rows in 2_usize..20) {
        let mut source = Source::new(seed);
        let incoming: SchemaRef = Arc::new(Schema::new(source.fields(2)));
        let table: SchemaRef = Arc::new(canonical_schema(&incoming).unwrap());
        let adapt = |batch| Adapter::new(&incoming, &table).unwrap().adapt(batch).unwrap();
        let one = adapt(source.batch(&incoming, rows));
        let other = adapt(source.batch(&incoming, rows));
        let are_equal = texts(&one) == texts(&other);
        prop_assert_eq!(digest(&table, &[one]) == digest(&table, &[other]), are_equal);
    }
}
