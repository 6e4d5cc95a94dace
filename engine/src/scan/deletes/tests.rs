use super::*;

fn left(deleted: &[u64], rows: u64) -> Vec<(bool, usize)> {
    let deleted = deleted.iter().copied().collect();
    let selection = left_rows(&deleted, rows);
    selection
        .iter()
        .map(|selector| (selector.skip, selector.row_count))
        .collect()
}

#[test]
fn the_rows_between_are_left() {
    assert_eq!(left(&[], 3), [(false, 3)]);
    assert_eq!(left(&[0, 1], 3), [(true, 2), (false, 1)]);
    assert_eq!(left(&[2], 3), [(false, 2), (true, 1)]);
    assert_eq!(
        left(&[1, 4, 5], 8),
        [(false, 1), (true, 1), (false, 2), (true, 2), (false, 2)]
    );
    assert_eq!(left(&[0, 1, 2], 3), [(true, 3)]);
}
