use super::*;
use crate::scan::testing::TestTable;
use crate::segment::testing::{columns_of, random_batch, scalar_types, seeded};

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

#[test]
fn a_longer_list_takes_over_what_is_known() {
    let mut table = TestTable::new(columns_of(&scalar_types()));
    let cache = ScanCache::default();
    let mut rng = seeded(5);
    for flush in 0..4 {
        let batch = random_batch(&table.schema, 20, 100, &mut rng);
        table.flush(&[batch]);
        let version = table.version();
        let grown = cache.statistics(&version);
        let fresh = SegmentStatistics::new(&version, None);
        // Not every column is known when the next list comes.
        for at in (0..version.columns.len()).filter(|at| (at + flush) % 3 > 0) {
            let (grown, fresh) = (grown.column(&version, at), fresh.column(&version, at));
            assert_eq!(format!("{grown:?}"), format!("{fresh:?}"));
        }
    }
    let newest = cache.statistics(&table.version());
    table.segments.truncate(2);
    let earlier = table.version();
    let of_earlier = cache.statistics(&earlier);
    let rows = of_earlier
        .column(&earlier, 0)
        .map(|column| column.null_counts.len());
    assert_eq!(rows, Some(2));
    let latest = cache.entries.lock().latest.values().next().map(Arc::clone);
    assert_eq!(
        latest.and_then(|latest| latest.last_segment()),
        newest.last_segment()
    );
}
