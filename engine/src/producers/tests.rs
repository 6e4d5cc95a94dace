#![expect(clippy::unwrap_used, reason = "tests")]

use quiver_catalog::ErrorKind;

use super::*;

const TABLE: TableId = TableId(1);

fn step(epoch: u64, sequence: u64) -> ProducerStep {
    ProducerStep {
        producer: "p".to_owned(),
        epoch,
        sequence,
    }
}

/// Place `(epoch, producer_sequence)` as of a commit.
fn record(epoch: u64, producer_sequence: u64, sequence: u64) -> ProducerRecord {
    ProducerRecord {
        table_id: TABLE,
        producer: "p".to_owned(),
        epoch,
        producer_sequence,
        sequence,
        updated_micros: 0,
    }
}

#[test]
fn the_number_decides() {
    let last = record(3, 7, 100);
    let admit = |epoch, sequence| step(epoch, sequence).admit(Some(&last));
    assert_eq!(admit(3, 8).unwrap(), Admission::Next);
    assert_eq!(admit(4, 8).unwrap(), Admission::Next);
    for sequence in [1, 7] {
        let repetition = |raises_epoch| Admission::Repetition { raises_epoch };
        assert_eq!(admit(3, sequence).unwrap(), repetition(false));
        assert_eq!(admit(4, sequence).unwrap(), repetition(true));
    }
    for (epoch, sequence, told) in [
        (3, 9, "send 8 next"),
        (4, 9, "send 8 next"),
        (2, 8, "epoch 3"),
    ] {
        let error = admit(epoch, sequence).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition);
        assert!(error.to_string().contains(told), "{error}");
    }
    assert_eq!(step(0, 1).admit(None).unwrap(), Admission::Next);
    assert_eq!(
        step(9, 2).admit(None).unwrap_err().kind(),
        ErrorKind::Precondition
    );
}

#[test]
fn numbers_and_names_that_no_producer_has() {
    let named = |producer: String| ProducerStep {
        producer,
        ..step(0, 1)
    };
    named("x".repeat(256)).check().unwrap();
    step(i64::MAX as u64, i64::MAX as u64).check().unwrap();
    for wrong in [
        named(String::new()),
        named("x".repeat(257)),
        step(0, 0),
        step(0, u64::MAX),
        step(u64::MAX, 1),
    ] {
        assert_eq!(
            wrong.check().unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
}

#[test]
fn a_checkpoint_is_as_of_its_cut() {
    let producers = Producers::default();
    for number in 1..=5 {
        producers.commit(record(0, number, number * 10));
    }
    assert_eq!(producers.to_checkpoint(9), []);
    assert_eq!(producers.to_checkpoint(30), [record(0, 3, 30)]);
    producers.checkpointed(30);
    assert_eq!(producers.to_checkpoint(39), []);
    assert_eq!(producers.to_checkpoint(u64::MAX), [record(0, 5, 50)]);
    assert_eq!(producers.last(TABLE, "p"), Some(record(0, 5, 50)));
}

/// A log is replayed on top of a checkpoint that may be younger than its beginning.
#[test]
fn replay_never_brings_a_producer_back() {
    let producers = Producers::new(vec![record(1, 3, 30)]);
    for number in 1..=4 {
        producers.commit(record(u64::from(number > 2), number, number * 10));
    }
    assert_eq!(producers.last(TABLE, "p"), Some(record(1, 4, 40)));
    assert_eq!(producers.to_checkpoint(u64::MAX), [record(1, 4, 40)]);
}

#[test]
fn producers_go_with_their_table() {
    let producers = Producers::default();
    producers.commit(record(0, 1, 10));
    producers.retain_tables(|table_id| table_id == TABLE);
    assert_eq!(producers.all().len(), 1);
    producers.retain_tables(|table_id| table_id != TABLE);
    assert_eq!(
        (producers.all(), producers.to_checkpoint(u64::MAX)),
        (vec![], vec![])
    );
    assert_eq!(producers.last(TABLE, "p"), None);
}
