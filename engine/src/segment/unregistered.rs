//! Segments that are on disk and in no catalog.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use quiver_catalog::{Change, NewSegment, TableId, TableVersion};

use super::{SegmentOptions, split, write_segment};
use crate::error::Result;
use crate::ids::new_id;
use crate::storage_fs::{Folders, StorageFs};

/// Rows of one segment, in bytes of memory, about; larger loads become several.
const SEGMENT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Segments of one table. Until they are kept, nobody knows their files, and dropping this removes
/// them.
#[derive(Debug)]
pub(crate) struct UnregisteredSegments {
    fs: Arc<dyn StorageFs>,
    table_id: TableId,
    /// Of the table they were written for.
    schema: SchemaRef,
    segments: Vec<NewSegment>,
    paths: Vec<PathBuf>,
}

/// Rows that become one segment.
pub(crate) struct Piece {
    folders: Arc<Folders>,
    table: Arc<TableVersion>,
    directory: PathBuf,
    rows: Vec<RecordBatch>,
}

impl Piece {
    /// The rows of one table below `data`, in as many pieces as they need.
    pub(crate) fn of_table(
        folders: &Arc<Folders>,
        table: &Arc<TableVersion>,
        data: &Path,
        batches: Vec<RecordBatch>,
    ) -> Vec<Self> {
        let directory = data.join(&table.path);
        let piece = |rows| Self {
            folders: Arc::clone(folders),
            table: Arc::clone(table),
            directory: directory.clone(),
            rows,
        };
        let pieces = split(batches, SEGMENT_BYTES_MAX);
        pieces.into_iter().map(piece).collect()
    }

    /// Writes the segment; it is durable when this returns, and gone when nobody takes it. Blocking.
    ///
    /// # Errors
    /// See [`write_segment`].
    pub(crate) fn write(self) -> Result<UnregisteredSegments> {
        let (columns, sort_key) = (&self.table.columns, &self.table.sort_key);
        let options = SegmentOptions::default();
        let (folders, directory) = (&self.folders, &self.directory);
        let rows = &self.rows;
        let segment = write_segment(
            folders,
            directory,
            columns,
            sort_key,
            rows,
            new_id(),
            &options,
        )?;
        let mut written = UnregisteredSegments::new(folders.fs(), &self.table);
        written.paths.push(directory.join(&segment.path));
        written.segments.push(segment);
        Ok(written)
    }
}

impl UnregisteredSegments {
    /// None yet.
    pub(crate) fn new(fs: &Arc<dyn StorageFs>, table: &TableVersion) -> Self {
        Self {
            fs: Arc::clone(fs),
            table_id: table.id,
            schema: Arc::clone(&table.arrow_schema),
            segments: vec![],
            paths: vec![],
        }
    }

    pub(crate) fn table_id(&self) -> TableId {
        self.table_id
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn segments(&self) -> &[NewSegment] {
        &self.segments
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.record_count)
            .sum()
    }

    /// Takes over what `other` has, of the same table.
    pub(crate) fn add(&mut self, mut other: Self) {
        self.segments.append(&mut other.segments);
        self.paths.append(&mut other.paths);
    }

    /// Makes them those of another table with the same columns and the same folder.
    pub(crate) fn adopt(&mut self, table_id: TableId) {
        self.table_id = table_id;
    }

    /// The change that registers them.
    pub(crate) fn change(&self) -> Change {
        Change::AppendSegments {
            table_id: self.table_id,
            segments: self.segments.clone(),
        }
    }

    /// The catalog knows the files, or may.
    pub(crate) fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for UnregisteredSegments {
    fn drop(&mut self) {
        for path in &self.paths {
            // What cannot be removed does no harm: only catalogued files count.
            if let Err(error) = self.fs.remove(path) {
                let path = path.display();
                tracing::warn!(%path, %error, "cannot remove an unregistered segment");
            }
        }
    }
}
