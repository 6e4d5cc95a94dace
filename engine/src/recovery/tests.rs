use super::*;

#[test]
fn a_gap_above_the_catalog_is_found() {
    let commits = |sequences: &[u64]| -> Vec<CommitRecord> {
        let commit = |sequence: &u64| CommitRecord {
            sequence: *sequence,
            ..Default::default()
        };
        sequences.iter().map(commit).collect()
    };
    for whole in [&[][..], &[3, 5], &[8, 9], &[2, 7, 8], &[8]] {
        assert_eq!(missing_commits(7, &commits(whole)), None, "{whole:?}");
    }
    assert_eq!(missing_commits(7, &commits(&[9, 10])), Some(8..=8));
    assert_eq!(missing_commits(7, &commits(&[5, 8, 12, 14])), Some(9..=11));
    assert_eq!(missing_commits(0, &commits(&[2])), Some(1..=1));
}
