use proptest::prelude::*;

use super::*;

const BIG: u64 = SEGMENT_BYTES;

fn sized(bytes: u64) -> Candidate {
    Candidate {
        bytes,
        rows: 100,
        ..Candidate::default()
    }
}

fn losing_rows(bytes: u64, deleted: u64) -> Candidate {
    Candidate {
        deleted,
        ..sized(bytes)
    }
}

fn picked(segments: &[Candidate], wanted: Wanted) -> Option<(Replacement, Vec<usize>)> {
    pick(segments, wanted, true).map(|pick| (pick.form, pick.at))
}

#[test]
fn one_small_segment_stays_as_it_is() {
    let segments = [sized(BIG), sized(10)];
    for wanted in [Wanted::Due, Wanted::Resting, Wanted::All] {
        assert_eq!(picked(&segments, wanted), None);
    }
}

#[test]
fn small_segments_wait_for_others_of_their_size_while_the_table_grows() {
    let three = [sized(10), sized(BIG), sized(10), sized(10)];
    assert_eq!(picked(&three, Wanted::Due), None);
    let all = Some((Replacement::Merge, vec![0, 2, 3]));
    assert_eq!(picked(&three, Wanted::Resting), all);
    assert_eq!(picked(&three, Wanted::All), all);
    let sizes = [1_000_000, 10, 10, 12, 15];
    let four = sizes.map(sized);
    let alike = Some((Replacement::Merge, vec![1, 2, 3, 4]));
    assert_eq!(picked(&four, Wanted::Due), alike);
}

#[test]
fn too_many_of_different_sizes_are_merged_all_the_same() {
    let growing: Vec<_> = (0..9).map(|power| sized(8_u64.pow(power))).collect();
    assert_eq!(
        picked(&growing, Wanted::Due),
        Some((Replacement::Merge, vec![0, 1, 2, 3]))
    );
}

#[test]
fn segments_that_lost_many_rows_are_rewritten_first() {
    let segments = [
        losing_rows(BIG, 19),
        losing_rows(BIG, 20),
        sized(BIG),
        sized(10),
        sized(10),
    ];
    let due = Some((Replacement::Rewrite, vec![1]));
    assert_eq!(picked(&segments, Wanted::Due), due);
    assert_eq!(picked(&segments, Wanted::Resting), due);
    let all = Some((Replacement::Rewrite, vec![0, 1]));
    assert_eq!(picked(&segments, Wanted::All), all);
}

#[test]
fn many_small_ones_that_lost_a_row_are_rewritten() {
    let mut segments = vec![losing_rows(10, 1); SMALL_MAX];
    assert_eq!(picked(&segments, Wanted::Due), None);
    segments.push(losing_rows(10, 1));
    let all = (0..=SMALL_MAX).collect();
    assert_eq!(
        picked(&segments, Wanted::Due),
        Some((Replacement::Rewrite, all))
    );
}

#[test]
fn what_transactions_hold_is_left_alone_and_lost_races_leave_merging() {
    let held = |segment: Candidate| Candidate {
        is_held: true,
        ..segment
    };
    let segments = [
        held(sized(10)),
        held(losing_rows(10, 90)),
        sized(10),
        sized(10),
    ];
    let merge = Some((Replacement::Merge, vec![2, 3]));
    assert_eq!(picked(&segments, Wanted::All), merge);
    let segments = [losing_rows(10, 90), sized(10), sized(10)];
    let merged = pick(&segments, Wanted::All, false).map(|pick| pick.at);
    assert_eq!(merged, Some(vec![1, 2]));
}

#[test]
fn segments_with_old_columns_are_rewritten_and_not_merged() {
    let old = Candidate {
        is_outdated: true,
        ..sized(10)
    };
    let segments = [old.clone(), old, sized(10)];
    assert_eq!(picked(&segments, Wanted::Resting), None);
    let all = Some((Replacement::Rewrite, vec![0, 1]));
    assert_eq!(picked(&segments, Wanted::All), all);
}

#[test]
fn large_segments_over_the_same_keys_are_merged() {
    let over = |range| Candidate {
        range: Some(range),
        ..sized(BIG)
    };
    let mut segments = vec![over((0, 9)); OVERLAP_MAX];
    segments.push(over((9, 20)));
    assert_eq!(
        picked(&segments, Wanted::Due),
        None,
        "sharing an end is no overlap"
    );
    segments.push(over((8, 12)));
    let deep = (0..OVERLAP_MAX).chain([OVERLAP_MAX + 1]).collect();
    assert_eq!(
        picked(&segments, Wanted::Due),
        Some((Replacement::Merge, deep))
    );
    let same_value = vec![over((3, 3)); 50];
    assert_eq!(picked(&same_value, Wanted::Due), None);
}

/// What a job leaves of the segments it was given, as the compactor writes them.
fn done(segments: &[Candidate], pick: &Pick) -> Vec<Candidate> {
    let taken: Vec<_> = pick.at.iter().map(|at| &segments[*at]).collect();
    let bytes: u64 = taken
        .iter()
        .map(|segment| segment.bytes * (segment.rows - segment.deleted) / segment.rows)
        .sum();
    let mut left: Vec<_> = segments.to_vec();
    for at in pick.at.iter().rev() {
        left.remove(*at);
    }
    let full = bytes / SEGMENT_BYTES;
    left.extend((0..full).map(|_| sized(SEGMENT_BYTES)));
    let rest = bytes % SEGMENT_BYTES;
    left.extend((rest > 0).then(|| sized(rest)));
    left
}

proptest! {
    #[test]
    fn picking_ends_with_few_small_segments(
        sizes in prop::collection::vec((1_u64..3 * SMALL_BYTES, 0_u64..100, any::<bool>()), 0..300),
        wanted in prop::sample::select(vec![Wanted::Due, Wanted::Resting, Wanted::All]),
    ) {
        let mut segments: Vec<_> = sizes
            .into_iter()
            .map(|(bytes, deleted, loses)| losing_rows(bytes, if loses { deleted } else { 0 }))
            .collect();
        let jobs_max = 10 * segments.len() + 10;
        for _ in 0..jobs_max {
            let Some(pick) = pick(&segments, wanted, true) else { break };
            prop_assert!(!pick.at.is_empty());
            let clean = pick.at.iter().all(|at| segments[*at].deleted == 0);
            prop_assert_eq!(clean, pick.form == Replacement::Merge);
            segments = done(&segments, &pick);
        }
        prop_assert_eq!(pick(&segments, wanted, true), None, "it comes to an end");
        let small = |with_deletes: bool| {
            let is_such = |segment: &&Candidate| segment.is_small() && (segment.deleted > 0) == with_deletes;
            segments.iter().filter(is_such).count()
        };
        prop_assert!(small(false) <= SMALL_MAX && small(true) <= SMALL_MAX);
    }

    #[test]
    fn a_growing_table_is_written_anew_a_logarithmic_number_of_times(
        flush_bytes in 1_000_u64..1 << 20,
    ) {
        let (mut segments, mut written) = (vec![], 0_u64);
        let flushes = 2_000;
        for _ in 0..flushes {
            segments.push(sized(flush_bytes));
            while let Some(pick) = pick(&segments, Wanted::Due, true) {
                written += pick.at.iter().map(|at| segments[*at].bytes).sum::<u64>();
                segments = done(&segments, &pick);
            }
        }
        prop_assert!(written < 12 * flush_bytes * flushes, "{written}");
    }
}
