//! Rows that arrive in their order and go to segments as they come.

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use quiver_catalog::{Column, TableVersion};

use super::options::SegmentOptions;
use super::stats::leaf_stats;
use super::unregistered::{UnregisteredSegments, part_name};
use super::writer::{SegmentForm, SegmentWriter};
use crate::batch_bytes::slice_bytes;
use crate::error::{EngineError, Result};
use crate::storage_fs::Folders;
use crate::task::blocking;

/// Rows in memory that say what the others are like.
const SAMPLE_BYTES: usize = 16 << 20;

/// Writes rows that are in order to segments of about `bytes_max` each. Holds a sample of the rows and
/// one encoded row group, however many rows there are.
pub(crate) struct SegmentStream {
    folders: Arc<Folders>,
    directory: PathBuf,
    table: Arc<TableVersion>,
    /// Those of the table, and what goes with them.
    columns: Arc<Vec<Column>>,
    may_have_nan: Arc<Vec<bool>>,
    bytes_max: u64,
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
    writer: Option<SegmentWriter>,
    written: UnregisteredSegments,
}

impl SegmentStream {
    /// For rows of `table` with columns of their own behind those of the table.
    pub(crate) fn new(
        folders: &Arc<Folders>,
        directory: PathBuf,
        table: &Arc<TableVersion>,
        hidden: Vec<Column>,
        bytes_max: u64,
    ) -> Self {
        let mut columns = table.columns.clone();
        columns.extend(hidden);
        Self {
            folders: Arc::clone(folders),
            directory,
            table: Arc::clone(table),
            may_have_nan: Arc::new(may_have_nan(table, &columns)),
            columns: Arc::new(columns),
            bytes_max,
            waiting: vec![],
            waiting_bytes: 0,
            writer: None,
            written: UnregisteredSegments::new(folders.fs(), table),
        }
    }

    /// Takes the next rows.
    ///
    /// # Errors
    /// `Io` when they cannot be written.
    pub(crate) async fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.waiting_bytes += slice_bytes(&batch);
        self.waiting.push(batch);
        if self.writer.is_none() && self.waiting_bytes < SAMPLE_BYTES {
            return Ok(());
        }
        self.write().await
    }

    /// Writes what waits; ends the segment when it is large enough.
    async fn write(&mut self) -> Result<()> {
        let (rows, begun) = (mem::take(&mut self.waiting), self.writer.take());
        self.waiting_bytes = 0;
        let (folders, directory) = (Arc::clone(&self.folders), self.directory.clone());
        let (table, columns) = (Arc::clone(&self.table), Arc::clone(&self.columns));
        let may_have_nan = Arc::clone(&self.may_have_nan);
        let write = move || -> Result<SegmentWriter> {
            if let Some(mut writer) = begun {
                for batch in &rows {
                    writer.write(batch)?;
                }
                return Ok(writer);
            }
            let leaf_count = columns.iter().map(|column| column.leaves().len()).sum();
            let form = SegmentForm {
                columns: &columns,
                sort_key: &table.sort_key,
                options: &SegmentOptions::default(),
                may_have_nan: &may_have_nan,
            };
            let stats = leaf_stats(&rows, leaf_count)?;
            let name = part_name();
            let mut writer = SegmentWriter::create(&folders, &directory, &name, &form, stats)?;
            for batch in &rows {
                writer.write_known(batch)?;
            }
            Ok(writer)
        };
        let writer = blocking(write).await.map_err(EngineError::not_stored)?;
        let is_full = writer.bytes() >= self.bytes_max;
        self.writer = Some(writer);
        match is_full {
            true => self.end_segment().await,
            false => Ok(()),
        }
    }

    async fn end_segment(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let segment = blocking(move || writer.finish()).await;
        let segment = segment.map_err(EngineError::not_stored)?;
        let path = self.directory.join(&segment.path);
        self.written.push(segment, path);
        Ok(())
    }

    /// The segments with all rows, as part files: a crash before their commit leaves nothing of them.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(crate) async fn finish(mut self) -> Result<UnregisteredSegments> {
        if !self.waiting.is_empty() {
            self.write().await?;
        }
        self.end_segment().await?;
        Ok(self.written)
    }
}

/// Whether some segment of the table may hold a NaN, for each leaf.
fn may_have_nan(table: &TableVersion, columns: &[Column]) -> Vec<bool> {
    let leaves = columns.iter().flat_map(Column::leaves);
    let may = leaves.map(|leaf| {
        leaf.data_type.is_floating()
            && table.segments.iter().any(|segment| {
                let stats = segment.stats(leaf.id);
                stats.is_none_or(|stats| stats.contains_nan != Some(false))
            })
    });
    may.collect()
}
