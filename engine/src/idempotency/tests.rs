#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const MINUTE: i64 = 60_000_000;

fn keys(count_max: u64) -> IdempotencyKeys {
    let limits = KeyLimits {
        kept_micros: 10 * MINUTE,
        count_max,
    };
    IdempotencyKeys::new(vec![], limits)
}

fn record(key: &str, sequence: u64, created_micros: i64) -> IdempotencyRecord {
    IdempotencyRecord {
        user_id: UserId(1),
        table_id: TableId(1),
        key: key.to_owned(),
        mode: "append".to_owned(),
        record_count: sequence,
        digest: vec![],
        sequence,
        created_micros,
    }
}

fn sequence_of(keys: &IdempotencyKeys, key: &str, now_micros: i64) -> Option<u64> {
    let found = keys.committed(UserId(1), TableId(1), key, now_micros);
    found.map(|record| record.sequence)
}

#[test]
fn a_later_use_of_a_key_is_not_undone_by_an_earlier_one() {
    let keys = keys(10);
    keys.commit(record("a", 7, 100));
    keys.commit(record("a", 3, 50));
    assert_eq!(sequence_of(&keys, "a", 100), Some(7));
    assert_eq!(keys.to_checkpoint(10), [record("a", 7, 100)]);
    keys.commit(record("a", 8, 200));
    assert_eq!(sequence_of(&keys, "a", 200), Some(8));
    keys.checkpointed(8);
    assert_eq!(keys.to_checkpoint(10), []);
}

#[test]
fn the_oldest_beyond_the_number_count_no_more() {
    let keys = keys(2);
    for (sequence, key) in (1..).zip(["a", "b", "c"]) {
        keys.commit(record(key, sequence, 100));
    }
    let left = ["a", "b", "c"].map(|key| sequence_of(&keys, key, 100));
    assert_eq!(left, [None, Some(2), Some(3)]);
}

#[test]
fn an_old_key_counts_no_more_even_before_it_is_pruned() {
    let keys = keys(10);
    keys.commit(record("a", 1, 0));
    assert_eq!(sequence_of(&keys, "a", 10 * MINUTE), Some(1));
    assert_eq!(sequence_of(&keys, "a", 10 * MINUTE + 1), None);
}

#[test]
fn the_catalog_is_pruned_when_it_pays() {
    let keys = keys(100);
    assert!(keys.prune(MINUTE).is_none(), "nothing to prune");
    for sequence in 0..110_u64 {
        keys.commit(record(&sequence.to_string(), sequence, MINUTE));
    }
    let limits = keys.prune(MINUTE).unwrap();
    assert_eq!(limits.count_max, 100);
    assert!(keys.prune(MINUTE).is_none(), "pruned already");
    keys.commit(record("one more", 110, MINUTE));
    assert!(
        keys.prune(MINUTE).is_none(),
        "one is not worth a transaction"
    );
    assert!(keys.prune(2 * MINUTE).is_some(), "but not for ever");
    keys.prune_failed();
    assert!(keys.prune(2 * MINUTE).is_none());
    assert!(keys.prune(3 * MINUTE).is_some(), "tried again");
    assert!(keys.prune(20 * MINUTE).is_some(), "all are too old");
    assert_eq!(keys.keys.lock().committed.len(), 0);
    assert_eq!(keys.keys.lock().by_age.len(), 0);
}
