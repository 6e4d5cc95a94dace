#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn one_address_leaves_places_for_others() {
    let places = Places::new(4);
    let at = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
    let take = |address| Places::take(&places, address);
    let first = [take(at(1)), take(at(1))];
    assert!(first.iter().all(Option::is_some));
    assert!(take(at(1)).is_none());
    let _others = [take(at(2)).unwrap(), take(None).unwrap()];
    assert!(take(at(4)).is_none());
    drop(first);
    assert!(take(at(4)).is_some());
    assert_eq!(places.taken.lock().len(), 2);
}
