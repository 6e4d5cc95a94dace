use std::sync::Arc;

use proptest::prelude::*;
use quiver_catalog::{
    SchemaId, Segment, SegmentId, SnapshotId, TableId, TableVersion, columns_to_schema,
};
use uuid::Uuid;

use super::{SegmentPart, share_out};

const GROUP_ROWS: u64 = 100;

/// A table whose segments have these rows and bytes.
fn table(segments: &[(u64, u64)]) -> TableVersion {
    let segment = |(at, (rows, bytes)): (usize, &(u64, u64))| {
        Arc::new(Segment {
            id: SegmentId(at as i64),
            begin_snapshot: SnapshotId(1),
            row_id_start: Some(0),
            partial_max: None,
            deletes: None,
            path: format!("{at}.parquet"),
            record_count: *rows,
            file_size_bytes: *bytes,
            footer_size: 10,
            column_stats: vec![],
        })
    };
    TableVersion {
        id: TableId(1),
        uuid: Uuid::nil(),
        schema_id: SchemaId(0),
        schema_name: "main".to_owned(),
        name: "t".to_owned(),
        path: "main/t/".to_owned(),
        columns: vec![],
        arrow_schema: Arc::new(columns_to_schema(&[])),
        sort_key: vec![],
        segments: Arc::new(segments.iter().enumerate().map(segment).collect()),
        record_count: segments.iter().map(|(rows, _)| rows).sum(),
        file_size_bytes: segments.iter().map(|(_, bytes)| bytes).sum(),
        next_row_id: 0,
        flushed_sequence: 0,
        created_snapshot: SnapshotId(1),
        altered_snapshot: None,
        last_column_id: 100,
        column_stats: Arc::default(),
    }
}

#[test]
fn one_share_is_the_table() {
    let shares = share_out(&table(&[(1000, 5000), (10, 500)]), GROUP_ROWS, 1);
    assert_eq!(shares, [[SegmentPart::whole(0), SegmentPart::whole(1)]]);
}

#[test]
fn a_segment_is_cut_between_the_places_where_groups_begin() {
    // Four groups in a file with a footer: they begin at 4, 240, 480 and 720 of 1000 bytes.
    let shares = share_out(&table(&[(400, 1000)]), GROUP_ROWS, 4);
    for (group, offset) in [4, 240, 480, 720].into_iter().enumerate() {
        let holds = |part: &SegmentPart| {
            part.begin_in
                .as_ref()
                .is_some_and(|at| at.contains(&offset))
        };
        let holders: Vec<_> = (0..4).filter(|at| shares[*at].iter().any(holds)).collect();
        assert_eq!(holders, [group]);
    }
}

proptest! {
    #[test]
    fn every_place_is_in_one_share(
        segments in prop::collection::vec((1_u64..2000, 20_u64..100_000), 1..8),
        count in 1_usize..12,
        (at, offset) in (any::<prop::sample::Index>(), 0_u64..100_000),
    ) {
        let table = table(&segments);
        let shares = share_out(&table, GROUP_ROWS, count);
        prop_assert_eq!(shares.len(), count);
        let at = at.index(segments.len());
        let offset = (offset % segments[at].1) as i64;
        let holds = |part: &&SegmentPart| {
            part.at == at && part.begin_in.as_ref().is_none_or(|range| range.contains(&offset))
        };
        let holders = shares.iter().flatten().filter(holds).count();
        prop_assert_eq!(holders, 1);
        let bytes: u64 = shares.iter().flatten().map(|part| part.bytes(&table)).sum();
        prop_assert_eq!(bytes, table.file_size_bytes);
    }
}
