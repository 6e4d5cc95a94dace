//! The moments at which a crash is told apart: between any two of them, something became durable
//! or visible.

/// A durability edge that the engine passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CrashPoint {
    /// A start has opened the log; nothing is applied yet.
    LogOpened,
    /// A start has applied what the log holds.
    LogApplied,
    /// A batch of a stream is on its way to the log.
    RowsQueued,
    /// A part of a stream is in segments that no catalog knows.
    RowsSpilled,
    /// A commit of rows has passed every check; its record is not in the log.
    CommitReady,
    /// A commit record is durable; its rows are not visible.
    CommitSynced,
    /// Committed rows are visible; the client does not know.
    CommitPublished,
    /// Rows that the catalog decides about are durable in the log.
    PrepareSynced,
    /// A catalog transaction is about to begin.
    CatalogReady,
    /// A catalog transaction is durable; nothing of it is published.
    CatalogCommitted,
    /// A commit with a catalog transaction is visible; the client does not know.
    CatalogPublished,
    /// Memtables are frozen for a flush.
    FlushFrozen,
    /// A segment is written and not synced.
    SegmentWritten,
    /// A segment's content is durable, its name is not.
    SegmentSynced,
    /// A list of deleted rows is written and not synced.
    DeleteFileWritten,
    /// All lists of deleted rows of a commit are durable, and the catalog knows none of them.
    DeleteFilesDurable,
    /// A compaction has written all rows anew, and the catalog does not know.
    CompactionWritten,
    /// Segments have taken the place of others, and whoever asked for it does not know.
    SegmentsReplaced,
    /// The files of a table that is restored are durable, and the catalog does not know them.
    SegmentsRestored,
    /// Snapshots are forgotten; the files that only they needed are there.
    SnapshotsExpired,
    /// Files are deleted; the catalog still lists them for that.
    FilesDeleted,
    /// All segments of a flush are durable, and the catalog knows none of them.
    SegmentsDurable,
    /// A flush is registered and published; the log still has its rows.
    FlushPublished,
    /// The log was told what nobody needs any more.
    LogReleased,
}

impl CrashPoint {
    /// For errors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LogOpened => "log opened",
            Self::LogApplied => "log applied",
            Self::RowsQueued => "rows queued",
            Self::RowsSpilled => "rows spilled",
            Self::CommitReady => "commit ready",
            Self::CommitSynced => "commit synced",
            Self::CommitPublished => "commit published",
            Self::PrepareSynced => "prepare synced",
            Self::CatalogReady => "catalog ready",
            Self::CatalogCommitted => "catalog committed",
            Self::CatalogPublished => "catalog published",
            Self::FlushFrozen => "flush frozen",
            Self::SegmentWritten => "segment written",
            Self::SegmentSynced => "segment synced",
            Self::DeleteFileWritten => "delete file written",
            Self::DeleteFilesDurable => "delete files durable",
            Self::CompactionWritten => "compaction written",
            Self::SegmentsReplaced => "segments replaced",
            Self::SegmentsRestored => "segments restored",
            Self::SnapshotsExpired => "snapshots expired",
            Self::FilesDeleted => "files deleted",
            Self::SegmentsDurable => "segments durable",
            Self::FlushPublished => "flush published",
            Self::LogReleased => "log released",
        }
    }

    /// All of them, in no order.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 24] = [
        Self::SegmentsRestored,
        Self::SegmentsReplaced,
        Self::SnapshotsExpired,
        Self::FilesDeleted,
        Self::LogOpened,
        Self::LogApplied,
        Self::RowsQueued,
        Self::RowsSpilled,
        Self::CommitReady,
        Self::CommitSynced,
        Self::CommitPublished,
        Self::PrepareSynced,
        Self::CatalogReady,
        Self::CatalogCommitted,
        Self::CatalogPublished,
        Self::FlushFrozen,
        Self::SegmentWritten,
        Self::SegmentSynced,
        Self::DeleteFileWritten,
        Self::DeleteFilesDurable,
        Self::CompactionWritten,
        Self::SegmentsDurable,
        Self::FlushPublished,
        Self::LogReleased,
    ];
}
