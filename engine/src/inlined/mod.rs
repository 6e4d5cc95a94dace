//! Rows and deletions that DuckDB keeps in the catalog itself, below a limit that it is given: they
//! move to files when a tenant is opened, with their ids and their history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use bytes::Bytes;
use quiver_catalog::{
    Inlined, InlinedDeletions, InlinedRow, InlinedRows, NewDeleteFile, SnapshotId, StoredDeletions,
    StoredInlined, StoredList, StoredRows, TenantCatalog, columns_to_schema,
};

use crate::error::{EngineError, Result};
use crate::ids::new_id;
use crate::segment::{
    OfferedFiles, SegmentOptions, check_rows, check_storable, read_dated_delete_file,
    row_id_column, snapshot_column, with_hidden, write_dated_delete_file, write_segment,
};
use crate::storage_fs::Folders;
use crate::task::blocking;

mod notation;
mod values;

use values::array_of;

/// Moves all of them to files below `data`. What was moved is there once, whenever this is cut off.
///
/// # Errors
/// `Unsupported` for values that cannot be read; `Io` and `Unavailable`.
pub(crate) async fn store(
    folders: &Arc<Folders>,
    data: &Path,
    catalog: &TenantCatalog,
) -> Result<()> {
    let inlined = catalog.inlined().await?;
    if inlined.is_empty() {
        return Ok(());
    }
    let files = Files {
        folders: Arc::clone(folders),
        data: data.to_path_buf(),
        written: vec![],
    };
    let (inlined, stored) = blocking(move || {
        let stored = files.write(&inlined)?;
        Ok((inlined, stored))
    })
    .await?;
    catalog.store_inlined(&inlined, &stored).await?;
    tracing::info!(
        segments = stored.segments.len(),
        lists = stored.deletions.len(),
        "moved rows that another program kept in the catalog to files"
    );
    Ok(())
}

/// Where files are written.
struct Files {
    folders: Arc<Folders>,
    data: PathBuf,
    written: Vec<PathBuf>,
}

impl Files {
    /// All of it, or none.
    fn write(mut self, inlined: &Inlined) -> Result<StoredInlined> {
        let stored = self.write_all(inlined);
        if stored.is_err() {
            OfferedFiles::new(self.folders.fs(), self.written).withdraw();
        }
        stored
    }

    fn write_all(&mut self, inlined: &Inlined) -> Result<StoredInlined> {
        let mut stored = StoredInlined::default();
        for rows in &inlined.rows {
            stored.segments.push(self.write_rows(rows)?);
        }
        for deletions in &inlined.deletions {
            stored.deletions.push(self.write_list(deletions)?);
        }
        Ok(stored)
    }

    fn write_rows(&mut self, inlined: &InlinedRows) -> Result<StoredRows> {
        let rows = &inlined.rows;
        check_storable(&inlined.columns)?;
        let batch = batch_of(inlined)?;
        let mut columns = inlined.columns.clone();
        columns.extend([row_id_column(), snapshot_column()]);
        let directory = self.data.join(&inlined.folder);
        let name = format!("{}.parquet", new_id());
        let options = SegmentOptions::default();
        let segment = write_segment(
            &self.folders,
            &directory,
            &columns,
            &[],
            &[batch],
            &name,
            &options,
        )?;
        self.written.push(directory.join(&segment.path));
        let deleted = rows.iter().enumerate().filter_map(|(at, row)| {
            let end = row.end?;
            Some((at as u64, end))
        });
        let deleted = Deleted::new(deleted.collect(), segment.record_count, inlined.dropped);
        let path = format!("{}{}", inlined.folder, segment.path);
        let deletes = self.write_deletes(&directory, &path, &deleted.listed)?;
        let begins = rows.iter().map(|row| row.begin);
        Ok(StoredRows {
            table_id: inlined.table_id,
            range: range(begins).ok_or_else(no_rows)?,
            segment,
            ended: deleted.ended,
            deletes,
        })
    }

    fn write_list(&mut self, inlined: &InlinedDeletions) -> Result<StoredDeletions> {
        let directory = self.data.join(&inlined.folder);
        let mut deleted = inlined.rows.clone();
        if let Some(listed) = &inlined.listed {
            let list = self.read(&directory.join(&listed.path))?;
            for (position, at) in read_dated_delete_file(list)? {
                deleted.insert(position, at.unwrap_or(listed.begin_snapshot));
            }
        }
        let deleted = Deleted::new(deleted, inlined.record_count, inlined.removed);
        let path = format!("{}{}", inlined.folder, inlined.segment_path);
        Ok(StoredDeletions {
            deletes: self.write_deletes(&directory, &path, &deleted.listed)?,
            ended: deleted.ended,
            of: inlined.clone(),
        })
    }

    fn write_deletes(
        &mut self,
        directory: &Path,
        segment: &str,
        deleted: &BTreeMap<u64, SnapshotId>,
    ) -> Result<Option<StoredList>> {
        let Some(range) = range(deleted.values().copied()) else {
            return Ok(None);
        };
        let file: NewDeleteFile =
            write_dated_delete_file(&self.folders, directory, segment, deleted)?;
        self.written.push(directory.join(&file.path));
        Ok(Some(StoredList { file, range }))
    }

    fn read(&self, path: &Path) -> Result<Bytes> {
        let failed = |source| EngineError::Io {
            action: "read",
            path: path.to_path_buf(),
            source,
        };
        let file = self.folders.fs().open_read(path).map_err(failed)?;
        let length = file.len().map_err(failed)?;
        let length = usize::try_from(length).map_err(|_| no_rows())?;
        let mut bytes = vec![0; length];
        let mut read = 0;
        while read < bytes.len() {
            match file
                .read_at(read as u64, &mut bytes[read..])
                .map_err(failed)?
            {
                0 => break,
                count => read += count,
            }
        }
        bytes.truncate(read);
        Ok(bytes.into())
    }
}

/// The deleted rows of one segment.
struct Deleted {
    /// The snapshot from which on it is not there, or none of its rows is left.
    ended: Option<SnapshotId>,
    /// Those that were deleted before that.
    listed: BTreeMap<u64, SnapshotId>,
}

impl Deleted {
    fn new(
        mut listed: BTreeMap<u64, SnapshotId>,
        record_count: u64,
        removed: Option<SnapshotId>,
    ) -> Self {
        let is_whole = listed.len() as u64 == record_count;
        let last = listed.values().max().copied().filter(|_| is_whole);
        let ended = last.into_iter().chain(removed).min();
        if let Some(ended) = ended {
            listed.retain(|_, at| *at < ended);
        }
        Self { ended, listed }
    }
}

fn range(snapshots: impl Iterator<Item = SnapshotId>) -> Option<(SnapshotId, SnapshotId)> {
    snapshots.fold(None, |range, at| match range {
        None => Some((at, at)),
        Some((first, last)) => Some((at.min(first), at.max(last))),
    })
}

fn no_rows() -> EngineError {
    EngineError::internal("rows of the catalog that are none")
}

/// The rows with their ids and snapshots.
fn batch_of(inlined: &InlinedRows) -> Result<RecordBatch> {
    let rows = &inlined.rows;
    let columns = inlined.columns.iter().enumerate().map(|(at, column)| {
        let values = rows.iter().map(|row| row.values[at].clone());
        let unreadable = |reason: String| EngineError::Unsupported {
            what: format!(
                "a value of column '{}' that another program keeps in the catalog ({reason}; let it \
                 CALL ducklake_flush_inlined_data)",
                column.name
            ),
        };
        array_of(column, values.collect()).map_err(unreadable)
    });
    let columns = columns.collect::<Result<_>>()?;
    let schema = Arc::new(columns_to_schema(&inlined.columns));
    let values = RecordBatch::try_new(schema, columns)?;
    check_rows(&values)?;
    let numbers = |of: fn(&InlinedRow) -> i64| Int64Array::from_iter_values(rows.iter().map(of));
    with_hidden(
        &values,
        vec![
            (row_id_column(), numbers(|row| row.row_id)),
            (snapshot_column(), numbers(|row| row.begin.0)),
        ],
    )
}
