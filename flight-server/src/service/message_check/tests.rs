#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, NullArray, RecordBatch, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow_flight::FlightData;
use arrow_flight::utils::batches_to_flight_data;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};

use super::MessageCheck;

const LIMIT: u64 = 1024 * 1024;

fn messages(batch: &RecordBatch, compression: Option<CompressionType>) -> Vec<FlightData> {
    let options = IpcWriteOptions::default()
        .try_with_compression(compression)
        .unwrap();
    let generator = IpcDataGenerator::default();
    let mut tracker = DictionaryTracker::new(false);
    let schema =
        generator.schema_to_bytes_with_dictionary_tracker(&batch.schema(), &mut tracker, &options);
    let (dictionaries, encoded) = generator
        .encode(
            batch,
            &mut tracker,
            &options,
            &mut IpcWriteContext::default(),
        )
        .unwrap();
    let mut all = vec![schema];
    all.extend(dictionaries);
    all.push(encoded);
    all.into_iter()
        .map(|data| FlightData {
            data_header: data.ipc_message.into(),
            data_body: data.arrow_data.into(),
            ..Default::default()
        })
        .collect()
}

fn check_all(messages: &[FlightData]) -> Result<(), String> {
    let mut check = MessageCheck::new(LIMIT);
    messages.iter().try_for_each(|message| check.check(message))
}

fn one_column(array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("c", array)]).unwrap()
}

fn numbers() -> RecordBatch {
    one_column(Arc::new(Int64Array::from_iter_values(0..10_000)))
}

#[test]
fn ordinary_uploads_pass() {
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..10_000).map(|n| format!("{n}")),
    ));
    let dictionary_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let dictionary = cast(&text, &dictionary_type).unwrap();
    let nested = StructArray::from(vec![
        (
            Arc::new(Field::new("a", DataType::Utf8, true)),
            Arc::clone(&text),
        ),
        (
            Arc::new(Field::new("n", DataType::Null, true)),
            Arc::new(NullArray::new(10_000)) as ArrayRef,
        ),
    ]);
    let arrays: [ArrayRef; 4] = [
        text,
        dictionary,
        Arc::new(nested),
        Arc::new(NullArray::new(100_000)),
    ];
    for array in arrays {
        for compression in [
            None,
            Some(CompressionType::LZ4_FRAME),
            Some(CompressionType::ZSTD),
        ] {
            check_all(&messages(&one_column(Arc::clone(&array)), compression)).unwrap();
        }
    }
    let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
    check_all(&batches_to_flight_data(&Schema::empty(), vec![empty]).unwrap()).unwrap();
}

#[test]
fn a_compressed_buffer_does_not_decide_how_much_is_allocated() {
    for claimed in [1_i64 << 62, LIMIT as i64 + 1, -2, i64::MIN] {
        for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
            let mut all = messages(&numbers(), Some(codec));
            let last = all.last_mut().unwrap();
            let real = 80_000_i64.to_le_bytes();
            let mut body = last.data_body.to_vec();
            let at = body.windows(8).position(|window| window == real).unwrap();
            body[at..at + 8].copy_from_slice(&claimed.to_le_bytes());
            last.data_body = body.into();
            check_all(&all).unwrap_err();
        }
    }
}

/// The header of `batch` where every buffer says that it lies at `offset` and has `length` bytes.
fn with_buffers(message: &FlightData, offset: i64, length: i64) -> FlightData {
    let header = arrow_ipc::root_as_message(&message.data_header).unwrap();
    let batch = header.header_as_record_batch().unwrap();
    let mut patched = message.data_header.to_vec();
    for buffer in batch.buffers().unwrap() {
        let bytes: &[u8] = &buffer.0;
        let at = bytes.as_ptr() as usize - message.data_header.as_ptr() as usize;
        patched[at..at + 8].copy_from_slice(&offset.to_le_bytes());
        patched[at + 8..at + 16].copy_from_slice(&length.to_le_bytes());
    }
    FlightData {
        data_header: patched.into(),
        ..message.clone()
    }
}

#[test]
fn buffers_lie_inside_the_body_and_do_not_overlap() {
    let columns = (0..8).map(|n| (format!("c{n}"), Arc::clone(numbers().column(0))));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let all = messages(&batch, None);
    let (schema, data) = (&all[0], &all[1]);
    let whole = data.data_body.len() as i64;
    for (offset, length) in [
        (0, whole),
        (0, whole / 2),
        (whole, 1),
        (-8, 8),
        (8, -8),
        (i64::MAX, 8),
    ] {
        let patched = with_buffers(data, offset, length);
        check_all(&[schema.clone(), patched]).unwrap_err();
    }
    check_all(&[schema.clone(), with_buffers(data, 0, whole / 64)]).unwrap();
}

#[test]
fn rows_that_take_no_bytes_are_bounded() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Null, true)]));
    let many = |rows| {
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(NullArray::new(rows))]).unwrap()
    };
    check_all(&messages(&many(1 << 20), None)).unwrap();
    check_all(&messages(&many(1 << 40), None)).unwrap_err();
}

#[test]
fn one_schema_for_each_upload() {
    let all = messages(&numbers(), None);
    let again = [all[0].clone(), all[1].clone(), all[0].clone()];
    assert_eq!(check_all(&again).unwrap_err(), "it is a second schema");
}

#[test]
fn a_schema_has_a_size() {
    let name = "x".repeat(1024 * 1024);
    let fields: Vec<_> = (0..40)
        .map(|_| Field::new(&name, DataType::Int8, true))
        .collect();
    let batch = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
    check_all(&messages(&batch, None)[..1]).unwrap_err();
    let fields: Vec<_> = (0..100_001)
        .map(|n| Field::new(format!("{n}"), DataType::Int8, true))
        .collect();
    let batch = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
    check_all(&messages(&batch, None)[..1]).unwrap_err();
}

#[test]
fn dictionaries_are_bounded_over_the_whole_upload() {
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..20_000).map(|n| format!("{n:020}")),
    ));
    let dictionary_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let batch = one_column(cast(&text, &dictionary_type).unwrap());
    assert!(
        batch
            .column(0)
            .as_any()
            .is::<arrow::array::DictionaryArray<Int32Type>>()
    );
    let all = messages(&batch, None);
    let mut check = MessageCheck::new(LIMIT);
    // One that replaces the last one is no growth; one that adds to it is.
    for _ in 0..10 {
        check.check(&all[1]).unwrap();
    }
    let mut delta = all[1].clone();
    let header = arrow_ipc::root_as_message(&delta.data_header).unwrap();
    assert!(!header.header_as_dictionary_batch().unwrap().isDelta());
    delta = delta_of(&delta);
    let refused = (0..10).find_map(|_| check.check(&delta).err());
    assert!(refused.unwrap().contains("dictionaries"));
}

/// The same dictionary as an addition to the one before.
fn delta_of(message: &FlightData) -> FlightData {
    let values = |ids: std::ops::Range<i32>| {
        let text = StringArray::from_iter_values(ids.map(|n| format!("{n:020}")));
        let keys = arrow::array::Int32Array::from_iter_values(0..text.len() as i32);
        one_column(Arc::new(
            arrow::array::DictionaryArray::<Int32Type>::try_new(keys, Arc::new(text)).unwrap(),
        ))
    };
    let options = IpcWriteOptions::default()
        .with_dictionary_handling(arrow_ipc::writer::DictionaryHandling::Delta);
    let generator = IpcDataGenerator::default();
    let mut tracker = DictionaryTracker::new(false);
    let first = values(0..10);
    generator.schema_to_bytes_with_dictionary_tracker(&first.schema(), &mut tracker, &options);
    let mut encode = |batch: &RecordBatch| {
        let mut context = IpcWriteContext::default();
        generator
            .encode(batch, &mut tracker, &options, &mut context)
            .unwrap()
            .0
            .remove(0)
    };
    encode(&first);
    let delta = encode(&values(0..20_000));
    FlightData {
        data_header: delta.ipc_message.into(),
        data_body: delta.arrow_data.into(),
        ..message.clone()
    }
}
