//! Segments that are on disk and in no catalog.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use quiver_catalog::{
    CatalogVersion, Change, Column, ColumnId, NewSegment, RowIds, TableId, TableVersion,
};

use super::{SegmentOptions, row_id_column, split, write_segment};
use crate::error::{EngineError, Result};
use crate::ids::new_id;
use crate::storage_fs::{Folders, StorageFs};

/// Rows of one segment, in bytes of memory, about; larger loads become several.
const SEGMENT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Ends the names of files whose stream may never commit.
const PART_SUFFIX: &str = ".part";

/// Segments of one table. Until they are kept, nobody knows their files, and dropping this removes
/// them.
#[derive(Debug)]
pub(crate) struct UnregisteredSegments {
    fs: Arc<dyn StorageFs>,
    table_id: TableId,
    /// The table they were written for.
    table: Arc<TableVersion>,
    segments: Vec<NewSegment>,
    paths: Vec<PathBuf>,
}

/// Rows that become one segment.
pub(crate) struct Piece {
    folders: Arc<Folders>,
    table: Arc<TableVersion>,
    /// Whether the rows have their ids with them, in one more column.
    with_row_ids: bool,
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
            with_row_ids: false,
            directory: directory.clone(),
            rows,
        };
        let pieces = split(batches, SEGMENT_BYTES_MAX);
        pieces.into_iter().map(piece).collect()
    }

    /// The same for rows that have their ids with them.
    pub(crate) fn with_row_ids(self) -> Self {
        Self {
            with_row_ids: true,
            ..self
        }
    }

    /// Writes the segment under its name; it is durable when this returns, and gone when nobody
    /// takes it. Blocking.
    ///
    /// # Errors
    /// See [`write_segment`].
    pub(crate) fn write(self) -> Result<UnregisteredSegments> {
        let name = format!("{}.parquet", new_id());
        self.write_as(&name)
    }

    /// The same as a part file, for a commit that may never come: what a crash leaves of those is
    /// removed at the next start. To be renamed by [`UnregisteredSegments::name_files`].
    ///
    /// # Errors
    /// See [`write_segment`].
    pub(crate) fn write_part(self) -> Result<UnregisteredSegments> {
        self.write_as(&part_name())
    }

    fn write_as(self, name: &str) -> Result<UnregisteredSegments> {
        let mut columns = Cow::Borrowed(&self.table.columns);
        if self.with_row_ids {
            columns.to_mut().push(row_id_column());
        }
        let (columns, sort_key) = (&columns, &self.table.sort_key);
        let options = SegmentOptions::default();
        let (folders, directory) = (&self.folders, &self.directory);
        let rows = &self.rows;
        let segment = write_segment(folders, directory, columns, sort_key, rows, name, &options)?;
        let mut written = UnregisteredSegments::new(folders.fs(), &self.table);
        let path = directory.join(&segment.path);
        written.push(segment, path);
        Ok(written)
    }
}

/// A new name for a file whose commit may never come.
pub(super) fn part_name() -> String {
    format!("{}.parquet{PART_SUFFIX}", new_id())
}

/// The name that a segment has when it is committed.
pub(crate) fn segment_name(path: &str) -> &str {
    path.strip_suffix(PART_SUFFIX).unwrap_or(path)
}

/// Removes the part files below `data` that a crash has left. To be called before anybody writes
/// there.
///
/// # Errors
/// `Io` when the folders cannot be read; files that cannot be removed stay.
pub(crate) fn remove_parts(fs: &dyn StorageFs, data: &Path) -> Result<()> {
    let parts = fs.find(data, PART_SUFFIX);
    for path in parts.map_err(|source| io_error("read", data, source))? {
        tracing::info!(path = %path.display(), "removes what a stream left that was never committed");
        remove(fs, &path);
    }
    Ok(())
}

impl UnregisteredSegments {
    /// None yet.
    pub(crate) fn new(fs: &Arc<dyn StorageFs>, table: &Arc<TableVersion>) -> Self {
        Self {
            fs: Arc::clone(fs),
            table_id: table.id,
            table: Arc::clone(table),
            segments: vec![],
            paths: vec![],
        }
    }

    pub(crate) fn table_id(&self) -> TableId {
        self.table_id
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.table.arrow_schema
    }

    /// Whether they were written for a table with the same columns, and not only such as have the same
    /// names.
    pub(crate) fn has_columns_of(&self, table: &TableVersion) -> bool {
        let ids = |table: &TableVersion| -> Vec<ColumnId> {
            let columns = table.columns.iter().flat_map(Column::preorder);
            columns.map(|column| column.id).collect()
        };
        ids(&self.table) == ids(table)
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

    /// Rows of one of them.
    pub(crate) fn row_count_of(&self, path: &str) -> u64 {
        let mut segments = self.segments.iter();
        let segment = segments.find(|segment| segment.path == path);
        segment.map_or(0, |segment| segment.record_count)
    }

    /// Takes over what `other` has, of the same table.
    pub(crate) fn add(&mut self, mut other: Self) {
        self.segments.append(&mut other.segments);
        self.paths.append(&mut other.paths);
    }

    /// One more, whose file is at `path`.
    pub(super) fn push(&mut self, segment: NewSegment, path: PathBuf) {
        self.segments.push(segment);
        self.paths.push(path);
    }

    /// All of them, leaving none.
    pub(crate) fn take(&mut self) -> Self {
        let none = Self::new(&self.fs, &self.table);
        std::mem::replace(self, none)
    }

    /// Forgets a segment and removes its file.
    pub(crate) fn discard(&mut self, path: &str) {
        let Some(at) = self
            .segments
            .iter()
            .position(|segment| segment.path == path)
        else {
            return;
        };
        self.segments.remove(at);
        remove(&*self.fs, &self.paths.remove(at));
    }

    /// Gives part files the names of segments, durably. Blocking.
    ///
    /// # Errors
    /// `Io`; those that have their names keep them until this is dropped.
    pub(crate) fn name_files(&mut self) -> Result<()> {
        let mut folder = None;
        for (segment, path) in self.segments.iter_mut().zip(&mut self.paths) {
            let Some(name) = segment.path.strip_suffix(PART_SUFFIX) else {
                continue;
            };
            let named = path.with_file_name(name);
            let renamed = self.fs.rename(path, &named);
            renamed.map_err(|source| io_error("rename", path, source))?;
            segment.path = name.to_owned();
            *path = named;
            folder = path.parent();
        }
        match folder {
            None => Ok(()),
            Some(folder) => {
                let synced = self.fs.sync_dir(folder);
                synced.map_err(|source| io_error("sync", folder, source))
            }
        }
    }

    /// The table that has been made meanwhile in the place of the one they were written for, if they
    /// may as well have been written for it: they are its segments from then on.
    pub(crate) fn adopt(&mut self, catalog: &CatalogVersion) -> Option<TableId> {
        let made = &self.table;
        let table = catalog.table(&made.schema_name, &made.name)?;
        let same = made.columns == table.columns
            && made.path == table.path
            && made.sort_key == table.sort_key
            && made.arrow_schema == table.arrow_schema;
        if !same {
            return None;
        }
        self.table_id = table.id;
        self.table = Arc::clone(table);
        Some(table.id)
    }

    /// The change that registers them.
    pub(crate) fn change(&self) -> Change {
        Change::AppendSegments {
            table_id: self.table_id,
            segments: self.segments.clone(),
        }
    }

    /// The same for a transaction that looks at its own rows: they get their ids when it commits.
    pub(crate) fn unnumbered(&self) -> Change {
        let mut segments = self.segments.clone();
        for segment in &mut segments {
            segment.row_ids = RowIds::InFile;
        }
        Change::AppendSegments {
            table_id: self.table_id,
            segments,
        }
    }

    /// From here on the catalog may know the files, whatever becomes of the task that asked it to:
    /// they stay, unless somebody knows better.
    pub(crate) fn offer(mut self) -> OfferedFiles {
        OfferedFiles {
            fs: Arc::clone(&self.fs),
            paths: std::mem::take(&mut self.paths),
        }
    }
}

/// Files that a catalog transaction registers.
#[derive(Debug)]
pub(crate) struct OfferedFiles {
    fs: Arc<dyn StorageFs>,
    paths: Vec<PathBuf>,
}

impl OfferedFiles {
    /// Files of any kind.
    pub(crate) fn new(fs: &Arc<dyn StorageFs>, paths: Vec<PathBuf>) -> Self {
        Self {
            fs: Arc::clone(fs),
            paths,
        }
    }

    /// More of them.
    pub(crate) fn extend(&mut self, paths: Vec<PathBuf>) {
        self.paths.extend(paths);
    }

    /// Removes the files: the transaction certainly did not happen.
    pub(crate) fn withdraw(self) {
        for path in &self.paths {
            remove(&*self.fs, path);
        }
    }
}

impl Drop for UnregisteredSegments {
    fn drop(&mut self) {
        for path in &self.paths {
            remove(&*self.fs, path);
        }
    }
}

/// What cannot be removed does no harm: only catalogued files count.
fn remove(fs: &dyn StorageFs, path: &Path) {
    if let Err(error) = fs.remove(path) {
        let path = path.display();
        tracing::warn!(%path, %error, "cannot remove an unregistered segment");
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> EngineError {
    EngineError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests;
