//! Rows come back as they were, from where they lie; anything else is refused.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ops::Range;

use arrow::array::{Array, ArrayData, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use arrow::ipc::CompressionType;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::segment::testing::{nested_types, random_batch, scalar_types, seeded};

fn place(batch_index: u32) -> RowsPlace {
    RowsPlace {
        tenant_id: 7,
        table_id: 8,
        stream_id: Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        batch_index,
    }
}

/// A schema of every canonical type; every third column is NOT NULL.
fn every_type() -> SchemaRef {
    let types = scalar_types().into_iter().chain(nested_types());
    let fields = types.enumerate().map(|(at, (name, data_type))| {
        let field = Field::new(name, data_type, at % 3 != 2);
        field.with_metadata([("ARROW:extension:name".into(), name.into())].into())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn encode(batch: &RecordBatch, batch_index: u32) -> Vec<u8> {
    let ipc = IpcBatch::encode(batch).unwrap();
    let rows = batch.num_rows() as u64;
    encode_rows(place(batch_index), &batch.schema(), rows, ipc).concat()
}

/// In memory as replay has it: the payload starts at a multiple of 64.
fn aligned(payload: &[u8]) -> Bytes {
    let mut memory = vec![0; payload.len() + ALIGNMENT_BYTES];
    let start = memory.as_ptr().align_offset(ALIGNMENT_BYTES);
    memory[start..start + payload.len()].copy_from_slice(payload);
    Bytes::from(memory).slice(start..start + payload.len())
}

fn decode(payload: &[u8], schema: &SchemaRef) -> Result<RecordBatch> {
    decode_rows(&aligned(payload))?.batch(schema)
}

fn is_corruption<T>(result: &Result<T>) -> bool {
    matches!(result, Err(EngineError::Corruption { .. }))
}

fn small_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("text", DataType::Utf8, false),
    ]))
}

fn small() -> RecordBatch {
    let n = Int64Array::from(vec![Some(1), None, Some(-3)]);
    let text = StringArray::from(vec!["a", "", "ccc"]);
    RecordBatch::try_new(small_schema(), vec![Arc::new(n), Arc::new(text)]).unwrap()
}

/// Where the bytes of all buffers lie in memory.
fn buffer_places(data: &ArrayData) -> Vec<Range<usize>> {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    let own = data.buffers().iter().chain(nulls);
    let mut places: Vec<_> = own
        .filter(|buffer| !buffer.is_empty())
        .map(|buffer| {
            let start = buffer.as_ptr() as usize;
            start..start + buffer.len()
        })
        .collect();
    places.extend(data.child_data().iter().flat_map(buffer_places));
    places
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn rows_of_every_type_come_back(seed in any::<u64>(), rows in 0_usize..60, cut in 0_usize..20) {
        let schema = every_type();
        let whole = random_batch(&schema, rows, 1000, &mut seeded(seed));
        let batch = whole.slice(cut.min(rows), rows - cut.min(rows));
        for batch_index in [0, 1, u32::MAX] {
            let record = decode_rows(&aligned(&encode(&batch, batch_index))).unwrap();
            let told = (record.tenant_id, record.table_id, record.stream_id, record.batch_index);
            prop_assert_eq!(told, (7, 8, place(0).stream_id, batch_index));
            prop_assert_eq!(record.row_count, batch.num_rows() as u64);
            let first = (batch_index == 0).then(|| Arc::clone(&schema));
            prop_assert_eq!(&record.schema, &first, "only the first record has the schema");
            prop_assert_eq!(&record.batch(&schema).unwrap(), &batch);
        }
    }

    #[test]
    fn arrays_are_slices_of_the_payload_at_multiples_of_64(seed in any::<u64>()) {
        let schema = every_type();
        let payload = aligned(&encode(&random_batch(&schema, 30, 1000, &mut seeded(seed)), 0));
        let batch = decode_rows(&payload).unwrap().batch(&schema).unwrap();
        let start = payload.as_ptr() as usize;
        let places = buffer_places(&StructArray::from(batch).into_data());
        prop_assert!(places.len() > 60);
        for place in places {
            prop_assert_eq!(place.start % ALIGNMENT_BYTES, 0);
            prop_assert!(start <= place.start && place.end <= start + payload.len());
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(is_corruption(&decode(&bytes, &small_schema())));
    }

    #[test]
    fn no_change_of_bytes_makes_the_decoder_panic(
        changes in vec(any::<(prop::sample::Index, u8)>(), 1..6),
        seed in any::<u64>(),
    ) {
        let schema = every_type();
        let mut payload = encode(&random_batch(&schema, 5, 1000, &mut seeded(seed)), 0);
        for (at, value) in changes {
            *at.get_mut(&mut payload) = value;
        }
        let decoded = decode(&payload, &schema);
        prop_assert!(decoded.is_ok() || is_corruption(&decoded));
    }
}

#[test]
fn any_bit_may_flip_without_a_panic() {
    let payload = encode(&small(), 0);
    for bit in 0..payload.len() * 8 {
        let mut flipped = payload.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let decoded = decode(&flipped, &small_schema());
        assert!(decoded.is_ok() || is_corruption(&decoded), "bit {bit}");
    }
}

#[test]
fn a_record_that_is_cut_or_followed_by_more_is_refused() {
    let mut payload = encode(&small(), 0);
    for bytes in 0..payload.len() {
        let cut = aligned(&payload[..bytes]);
        assert!(is_corruption(&decode_rows(&cut)), "cut to {bytes}");
    }
    payload.push(0);
    assert!(is_corruption(&decode_rows(&aligned(&payload))));
}

#[test]
fn lengths_that_wrap_around_are_refused() {
    let payload = encode(&small(), 0);
    let length = payload.len() as u64;
    let lengths = [0, 1, u32::MAX - 63, u32::MAX];
    for (header, ipc) in lengths.iter().flat_map(|a| lengths.map(|b| (*a, b))) {
        let body_at = (16 + u64::from(header) + u64::from(ipc)).next_multiple_of(64);
        for body in [
            length.wrapping_sub(body_at),
            u64::MAX,
            u64::MAX - 63,
            1 << 63,
        ] {
            let mut hostile = payload.clone();
            hostile[0..4].copy_from_slice(&header.to_le_bytes());
            hostile[4..8].copy_from_slice(&ipc.to_le_bytes());
            hostile[8..16].copy_from_slice(&body.to_le_bytes());
            let decoded = decode(&hostile, &small_schema());
            assert!(is_corruption(&decoded), "{header} {ipc} {body}");
        }
    }
}

/// A record with a header and an IPC message of the test's own.
fn record(header: &RowsHeader, ipc: &IpcBatch) -> Vec<u8> {
    let prefix = prefix(header, &ipc.header, ipc.body.len());
    [prefix, ipc.body.clone()].concat()
}

fn small_header() -> RowsHeader {
    RowsHeader {
        tenant_id: 7,
        table_id: 8,
        stream_id: place(0).stream_id.as_bytes().to_vec(),
        batch_index: 1,
        row_count: 3,
        schema: vec![],
    }
}

#[test]
fn what_a_header_says_must_be_so() {
    let ipc = IpcBatch::encode(&small()).unwrap();
    let good = record(&small_header(), &ipc);
    assert_eq!(decode(&good, &small_schema()).unwrap(), small());
    let row_counts = [0, 2, 4, u64::MAX].map(|row_count| RowsHeader {
        row_count,
        ..small_header()
    });
    let stream_ids = [0, 15, 17].map(|bytes| RowsHeader {
        stream_id: vec![1; bytes],
        ..small_header()
    });
    let schema = RowsHeader {
        schema: vec![1; 100],
        ..small_header()
    };
    for header in row_counts.iter().chain(&stream_ids).chain([&schema]) {
        assert!(is_corruption(&decode(
            &record(header, &ipc),
            &small_schema()
        )));
    }
}

#[test]
fn rows_of_another_schema_are_refused() {
    let payload = encode(&small(), 1);
    let fields = small_schema().fields().clone();
    let others = [
        vec![&fields[1], &fields[0]],
        vec![&fields[0], &fields[1], &fields[0]],
    ];
    for other in others {
        let other: Vec<_> = other.into_iter().cloned().collect();
        assert!(is_corruption(&decode(
            &payload,
            &Arc::new(Schema::new(other))
        )));
    }
}

#[test]
fn a_compressed_message_is_refused_whatever_size_it_promises() {
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::LZ4_FRAME))
        .unwrap();
    let (_, encoded) = IpcDataGenerator::default()
        .encode(
            &small(),
            &mut DictionaryTracker::new(true),
            &options,
            &mut IpcWriteContext::default(),
        )
        .unwrap();
    let mut body = encoded.arrow_data;
    // Each compressed buffer starts with its size after decompression.
    body[0..8].copy_from_slice(&(1_i64 << 50).to_le_bytes());
    let ipc = IpcBatch {
        header: encoded.ipc_message.into(),
        body: body.into(),
    };
    let decoded = decode(&record(&small_header(), &ipc), &small_schema());
    assert!(is_corruption(&decoded));
}

#[test]
fn a_schema_in_place_of_a_batch_is_refused() {
    let ipc = IpcBatch {
        header: encode_schema(&small_schema()).into(),
        body: Bytes::new(),
    };
    let decoded = decode(&record(&small_header(), &ipc), &small_schema());
    assert!(is_corruption(&decoded));
}

#[test]
fn dictionaries_do_not_reach_the_log() {
    let values: arrow::array::DictionaryArray<arrow::datatypes::Int8Type> =
        ["a", "b", "a"].into_iter().collect();
    let field = Field::new("d", values.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(values)]).unwrap();
    assert!(IpcBatch::encode(&batch).is_err());
}

/// The body starts at a multiple of 64 in the payload, whatever is before it.
#[test]
fn the_body_is_aligned_for_every_length_of_the_header() {
    for table_id in (0..63).map(|shift| 1_i64 << shift) {
        let ipc = IpcBatch::encode(&small()).unwrap();
        let body = ipc.body.clone();
        let place = RowsPlace {
            table_id,
            ..place(1)
        };
        let parts = encode_rows(place, &small_schema(), 3, ipc);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].len() % ALIGNMENT_BYTES, 0);
        assert_eq!(parts[1].as_ptr(), body.as_ptr(), "the body is not copied");
    }
}

/// A record as it was written when this test was: it must stay readable.
#[test]
fn old_records_stay_readable() {
    let digits = GOLDEN.concat();
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let record = decode_rows(&aligned(&bytes)).unwrap();
    assert_eq!(record.schema, Some(small_schema()));
    assert_eq!((record.tenant_id, record.table_id), (7, 8));
    assert_eq!(record.stream_id, place(0).stream_id);
    assert_eq!((record.batch_index, record.row_count), (0, 3));
    assert_eq!(record.batch(&small_schema()).unwrap(), small());
}

const GOLDEN: [&str; 15] = [
    "d3000000c80000000001000000000000080710081a100102030405060708090a0b0c0d0e0f10280332b8011000000000",
    "000a000c000a00090004000a000000100000000001040008000800000004000800000004000000020000005400000014",
    "00000010001400100000000f0004000000080010000000180000000c0000000000000510000000000000000400040004",
    "0000000400000074657874000000001000140010000e000f00040000000800100000001800000020000000000001021c",
    "00000008000c0004000b0008000000400000000000000100000000010000006e000000100000000c001a001800170004",
    "0008000c000000200000000001000000000000000000000000000304000a0018000c00080004000a0000003c00000010",
    "000000030000000000000000000000020000000300000000000000010000000000000003000000000000000000000000",
    "000000000000000500000000000000000000000100000000000000400000000000000018000000000000008000000000",
    "000000000000000000000080000000000000001000000000000000c00000000000000004000000000000000000000000",
    "000000000000000000000000000000000500000000000000000000000000000000000000000000000000000000000000",
    "000000000000000000000000000000000000000000000000000000000000000001000000000000000000000000000000",
    "fdffffffffffffff00000000000000000000000000000000000000000000000000000000000000000000000000000000",
    "000000000100000001000000040000000000000000000000000000000000000000000000000000000000000000000000",
    "000000000000000000000000000000006163636300000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
];
