//! Headers come back as they were, and their bytes never change.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn hex(message: &impl Message) -> String {
    let bytes = message.encode_to_vec();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn come_back<M: Message + PartialEq + Default + Debug>(message: &M) {
    let bytes = message.encode_to_vec();
    assert_eq!(&M::decode(bytes.as_slice()).unwrap(), message);
}

fn stream() -> impl Strategy<Value = CommittedStream> {
    (vec(any::<u8>(), 0..20), any::<(i64, u32, u64)>()).prop_map(
        |(stream_id, (table_id, batch_count, row_count))| CommittedStream {
            stream_id,
            table_id,
            batch_count,
            row_count,
        },
    )
}

fn key() -> impl Strategy<Value = IdempotencyEntry> {
    let texts = any::<(String, String)>();
    let digest = vec(any::<u8>(), 0..40);
    (texts, digest, any::<(u64, i64, u64, i64)>()).prop_map(|((key, mode), digest, numbers)| {
        let (user_id, table_id, record_count, created_micros) = numbers;
        IdempotencyEntry {
            user_id,
            table_id,
            key,
            mode,
            record_count,
            digest,
            created_micros,
        }
    })
}

fn step() -> impl Strategy<Value = ProducerEntry> {
    any::<(i64, String, u64, u64, i64)>().prop_map(|entry| {
        let (table_id, producer, epoch, producer_sequence, updated_micros) = entry;
        ProducerEntry {
            table_id,
            producer,
            epoch,
            producer_sequence,
            updated_micros,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(
        numbers in any::<(u64, u64, u64)>(),
        commit_id in vec(any::<u8>(), 0..20),
        streams in vec(stream(), 0..5),
        idempotency in vec(key(), 0..5),
        producers in vec(step(), 0..5),
    ) {
        let (tenant_id, sequence, epoch) = numbers;
        come_back(&PrepareRecord { tenant_id, commit_id, streams: streams.clone() });
        come_back(&CommitRecord { tenant_id, sequence, epoch, streams, idempotency, producers });
    }

    #[test]
    fn rows_headers_come_back(
        numbers in any::<(u64, i64, u32, u64)>(),
        stream_id in vec(any::<u8>(), 0..20),
        schema in vec(any::<u8>(), 0..200),
    ) {
        let (tenant_id, table_id, batch_index, row_count) = numbers;
        let header = RowsHeader { tenant_id, table_id, stream_id, batch_index, row_count, schema };
        come_back(&header);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = RowsHeader::decode(bytes.as_slice());
        let _ = CommitRecord::decode(bytes.as_slice());
        let _ = PrepareRecord::decode(bytes.as_slice());
    }
}

fn example_streams() -> Vec<CommittedStream> {
    vec![CommittedStream {
        stream_id: vec![0xaa, 0xbb],
        table_id: -1,
        batch_count: 3,
        row_count: 300,
    }]
}

fn example_commit() -> CommitRecord {
    CommitRecord {
        tenant_id: 1,
        sequence: 2,
        epoch: 3,
        streams: example_streams(),
        idempotency: vec![IdempotencyEntry {
            user_id: 4,
            table_id: 5,
            key: "key".to_owned(),
            mode: "m".to_owned(),
            record_count: 6,
            digest: vec![0xcc],
            created_micros: 7,
        }],
        producers: vec![],
    }
}

/// Log files of every earlier version hold these bytes.
#[test]
fn field_numbers_and_types_stay() {
    let header = RowsHeader {
        tenant_id: 1,
        table_id: 2,
        stream_id: vec![0xaa, 0xbb],
        batch_index: 3,
        row_count: 300,
        schema: vec![0xcc],
    };
    assert_eq!(hex(&header), "080110021a02aabb200328ac023201cc");
    let streams = "0a02aabb10ffffffffffffffffff01180320ac02";
    let prepare = PrepareRecord {
        tenant_id: 1,
        commit_id: vec![0xdd],
        streams: example_streams(),
    };
    assert_eq!(hex(&prepare), format!("08011201dd1a14{streams}"));
    let key = "080410051a036b657922016d28063201cc3807";
    assert_eq!(
        hex(&example_commit()),
        format!("0801100218032214{streams}2a13{key}")
    );
    let with_producer = CommitRecord {
        producers: vec![ProducerEntry {
            table_id: 8,
            producer: "p".to_owned(),
            epoch: 9,
            producer_sequence: 10,
            updated_micros: 11,
        }],
        ..example_commit()
    };
    let producer = "08081201701809200a280b";
    assert_eq!(
        hex(&with_producer),
        format!("0801100218032214{streams}2a13{key}320b{producer}")
    );
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let mut bytes = example_commit().encode_to_vec();
    // Field 99, two bytes.
    bytes.extend_from_slice(&[0x9a, 0x06, 0x02, 1, 2]);
    assert_eq!(
        CommitRecord::decode(bytes.as_slice()).unwrap(),
        example_commit()
    );
}

#[test]
fn a_length_beyond_the_end_is_refused_before_anything_is_allocated() {
    for field in [0x0a_u8, 0x1a, 0x22, 0x2a, 0x32] {
        // 2^62 bytes are to follow.
        let hostile = [field, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
        assert!(RowsHeader::decode(&hostile[..]).is_err());
        assert!(CommitRecord::decode(&hostile[..]).is_err());
        assert!(PrepareRecord::decode(&hostile[..]).is_err());
    }
}

#[test]
fn a_known_field_of_another_type_is_refused() {
    // Field 1 as bytes instead of a number.
    let renumbered = [0x0a, 1, 0];
    assert!(RowsHeader::decode(&renumbered[..]).is_err());
    assert!(CommitRecord::decode(&renumbered[..]).is_err());
    assert!(PrepareRecord::decode(&renumbered[..]).is_err());
}
