use super::*;
use crate::scan::testing::TestTable;
use crate::segment::testing::{columns_of, scalar_types};

#[test]
fn entries_go_with_their_lists() {
    let table = TestTable::new(columns_of(&scalar_types()));
    let cache = ScanCache::default();
    let kept = table.version();
    let first = cache.statistics(&kept);
    for _ in 0..100 {
        // Lists that are gone may lie where earlier ones lay; their statistics must not come back.
        let version = table.version();
        assert!(!Arc::ptr_eq(&first, &cache.statistics(&version)));
    }
    assert!(cache.entries.lock().by_list.len() <= 2);
    assert!(Arc::ptr_eq(&first, &cache.statistics(&kept)));
}

#[test]
fn the_entry_unused_for_longest_makes_room() {
    let table = TestTable::new(columns_of(&scalar_types()));
    let cache = ScanCache::default();
    let versions: Vec<_> = (0..=ENTRIES_MAX).map(|_| table.version()).collect();
    let statistics: Vec<_> = versions
        .iter()
        .map(|version| cache.statistics(version))
        .collect();
    assert_eq!(cache.entries.lock().by_list.len(), ENTRIES_MAX);
    assert!(Arc::ptr_eq(&statistics[1], &cache.statistics(&versions[1])));
    assert!(!Arc::ptr_eq(
        &statistics[0],
        &cache.statistics(&versions[0])
    ));
}
