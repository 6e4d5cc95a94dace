//! Which segments are worth writing anew.

use quiver_catalog::Segment;

/// Segments below this size are small: reading them costs more than their bytes.
pub(super) const SMALL_BYTES: u64 = 32 << 20;
/// The part of a segment's rows that has to be deleted for it to be written anew.
const DELETED_PART: u64 = 5;

/// Places of the segments to write anew together: those that are small, if there are several, and
/// those of which many rows are deleted. All that lost a row, if `all_deletes`.
pub(super) fn pick(segments: &[impl AsRef<Segment>], all_deletes: bool) -> Vec<usize> {
    let segment = |at: usize| segments[at].as_ref();
    let loses = |at: &usize| {
        let segment = segment(*at);
        let deleted = segment.delete_count();
        deleted > 0 && (all_deletes || deleted * DELETED_PART >= segment.record_count)
    };
    let is_small = |at: &usize| segment(*at).file_size_bytes < SMALL_BYTES;
    let several = (0..segments.len()).filter(is_small).count() > 1;
    let picked = (0..segments.len()).filter(|at| loses(at) || (several && is_small(at)));
    picked.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quiver_catalog::{DeleteFile, SegmentId, SnapshotId};

    use super::*;

    fn segment(id: i64, bytes: u64, deleted: u64) -> Arc<Segment> {
        let deletes = DeleteFile {
            id: SegmentId(100 + id),
            begin_snapshot: SnapshotId(1),
            path: String::new(),
            delete_count: deleted,
            file_size_bytes: 1,
            footer_size: 1,
            partial_max: None,
        };
        Arc::new(Segment {
            id: SegmentId(id),
            begin_snapshot: SnapshotId(1),
            row_id_start: Some(id * 100),
            partial_max: None,
            path: id.to_string(),
            record_count: 100,
            file_size_bytes: bytes,
            footer_size: 1,
            deletes: (deleted > 0).then(|| Arc::new(deletes)),
            column_stats: vec![],
        })
    }

    #[test]
    fn one_small_segment_stays_as_it_is() {
        let big = SMALL_BYTES * 4;
        assert!(pick(&[segment(1, big, 0), segment(2, 10, 0)], true).is_empty());
        let several = [segment(1, 10, 0), segment(2, big, 0), segment(3, 10, 0)];
        assert_eq!(pick(&several, false), [0, 2]);
    }

    #[test]
    fn segments_that_lost_rows_are_written_anew() {
        let big = SMALL_BYTES * 4;
        let segments = [segment(1, big, 19), segment(2, big, 20), segment(3, big, 0)];
        assert_eq!(pick(&segments, false), [1]);
        assert_eq!(pick(&segments, true), [0, 1]);
    }
}
