use super::*;

#[test]
fn a_flush_cuts_at_the_views_below_it() {
    let pins = Arc::new(ViewPins::default());
    assert_eq!(pins.cuts(10), [10]);
    let (_four, _nine, _ten) = (pins.pin(4), pins.pin(9), pins.pin(10));
    let again = pins.pin(4);
    assert_eq!(pins.cuts(10), [4, 9, 10]);
    drop(again);
    assert_eq!(pins.cuts(10), [4, 9, 10]);
    assert_eq!(pins.cuts(5), [4, 5]);
}

#[test]
fn many_views_do_not_make_many_segments() {
    let pins = Arc::new(ViewPins::default());
    let _views: Vec<_> = (0..100).map(|sequence| pins.pin(sequence)).collect();
    assert_eq!(pins.cuts(1000).len(), HEEDED_MAX + 1);
}

#[test]
fn flushed_segments_are_known_to_views_from_before() {
    let pins = Arc::new(ViewPins::default());
    pins.note_flushed([("nobody".to_owned(), 1)]);
    pins.flush_is_seen();
    let view = pins.pin(5);
    pins.note_flushed([("old".to_owned(), 5), ("new".to_owned(), 6)]);
    let between = pins.pin(6);
    pins.flush_is_seen();
    let after = pins.pin(7);
    assert!(pins.belongs("old", 5) && pins.belongs("new", 6));
    assert!(!pins.belongs("new", 5) && !pins.belongs("nobody", 5));
    drop(view);
    assert!(pins.belongs("new", 6));
    drop(between);
    assert!(
        !pins.belongs("old", 7),
        "all views that are left have seen it"
    );
    pins.note_flushed([("newest".to_owned(), 7)]);
    pins.flush_is_seen();
    assert!(pins.belongs("newest", 7));
    drop(after);
    assert!(!pins.belongs("newest", 7));
}
