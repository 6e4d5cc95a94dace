//! What the micro-benchmarks (`engine/benches/micro.rs`) measure: parts of the data path that are
//! not public, each as small as it can be asked for. Only built with the feature `micro`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::ToDFSchema;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{col, lit};
use quiver_catalog::{
    Column, ColumnStats, SchemaId, Segment, SegmentId, SnapshotId, TableId, TableVersion,
    columns_to_schema,
};
use uuid::Uuid;

use crate::error::Result;
use crate::record::{IpcBatch, RowsPlace, decode_rows, encode_rows};
use crate::scan::{SegmentStatistics, prune};
use crate::segment::{SegmentOptions, write_segment};
use crate::storage_fs::{Folders, LocalFs, StorageFs};
use crate::wal::{Frame, Wal, WalSettings};
use crate::write_buffer::{Budget, Memtable, Reservation};

/// A log of its own, on the disk.
#[derive(Debug)]
pub struct Log {
    wal: Wal,
}

impl Log {
    /// Opens an empty log in `folder`, with files of 128 MiB.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn open(folder: &Path) -> Result<Self> {
        let (wal, _) = Wal::open(WalSettings::new(folder), Arc::new(LocalFs), 1, false)?;
        Ok(Self { wal })
    }

    /// Appends each payload as a frame, the last of them synced, and waits until all are durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn append(&self, payloads: &[Bytes]) -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        for (place, payload) in payloads.iter().enumerate() {
            let frame = Frame {
                kind: 1,
                parts: vec![payload.clone()],
            };
            let is_last = place + 1 == payloads.len();
            let sender = sender.clone();
            let done = Box::new(move |result: std::result::Result<u64, _>| {
                let _gone = is_last.then(|| sender.send(result));
            });
            let reservation = futures::executor::block_on(self.wal.reserve(payload.len()))?;
            self.wal.append(reservation, vec![frame], is_last, done)?;
        }
        drop(sender);
        let written = receiver.recv();
        written.map_err(|_| crate::EngineError::internal("the log stopped"))??;
        // As a flush would: the files are used again.
        self.wal.release(self.wal.written_lsn());
        Ok(())
    }
}

/// A file whose blocks have all been written before, as a recycled file of the log.
#[derive(Debug)]
pub struct RecycledFile {
    file: File,
    bytes: u64,
    at: u64,
}

impl RecycledFile {
    /// Makes one of `bytes`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn create(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = File::create(path)?;
        let zeros = vec![0; 1 << 20];
        for at in (0..bytes).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Self { file, bytes, at: 0 })
    }

    /// Writes all payloads one after the other and syncs once.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn append(&mut self, payloads: &[Bytes]) -> io::Result<()> {
        for payload in payloads {
            if self.at + payload.len() as u64 > self.bytes {
                self.at = 0;
            }
            self.file.write_all_at(payload, self.at)?;
            self.at += payload.len() as u64;
        }
        self.file.sync_data()
    }
}

/// Encodes a batch as the payload of a frame.
///
/// # Errors
/// For types that no table has.
pub fn encode(batch: &RecordBatch) -> Result<Vec<Bytes>> {
    let place = RowsPlace {
        tenant_id: 1,
        table_id: 1,
        stream_id: Uuid::nil(),
        batch_index: 1,
    };
    let ipc = IpcBatch::encode(batch)?;
    Ok(encode_rows(
        place,
        &batch.schema(),
        batch.num_rows() as u64,
        ipc,
    ))
}

/// Decodes a payload, without a copy of its buffers.
///
/// # Errors
/// When it is none.
pub fn decode(payload: &Bytes, schema: &SchemaRef) -> Result<RecordBatch> {
    decode_rows(payload)?.batch(schema)
}

/// Puts the batches into a memtable, one commit each, and takes them out again.
pub fn memtable(batches: &[RecordBatch]) -> usize {
    let memtable = Memtable::new(TableId(1));
    let budget = Budget::new("benchmark", u64::MAX);
    for (sequence, batch) in batches.iter().enumerate() {
        let reservation = Reservation::new(&budget, &budget);
        let bytes = reservation.commit();
        memtable.insert(sequence as u64, vec![batch.clone()], bytes, 1, 1);
    }
    memtable.batches(u64::MAX).len()
}

/// Writes the batches as one synced segment into `folder`, and returns its size in bytes.
///
/// # Errors
/// When the disk fails.
pub fn flush(folder: &Path, columns: &[Column], batches: &[RecordBatch]) -> Result<u64> {
    let folders = Folders::new(Arc::new(LocalFs), folder);
    let name = format!("{}.parquet", crate::ids::new_id());
    let options = SegmentOptions::default();
    let segment = write_segment(&folders, folder, columns, &[], batches, &name, &options)?;
    LocalFs
        .remove(&folder.join(name))
        .map_err(|source| crate::EngineError::Io {
            action: "remove",
            path: folder.to_path_buf(),
            source,
        })?;
    Ok(segment.file_size_bytes)
}

/// A table with many segments that have bounds and no files.
#[derive(Debug)]
pub struct PrunedTable {
    table: TableVersion,
    statistics: Arc<SegmentStatistics>,
    session: SessionState,
}

impl PrunedTable {
    /// A table of one BIGINT column `id`, with a thousand values in each segment.
    pub fn new(columns: Vec<Column>, segments: usize) -> Self {
        let segment = |at: usize| {
            let stats = ColumnStats {
                column_id: columns[0].id,
                column_size_bytes: 8000,
                value_count: 1000,
                null_count: 0,
                min: Some((at * 1000).to_string()),
                max: Some((at * 1000 + 999).to_string()),
                contains_nan: None,
            };
            Arc::new(Segment {
                id: SegmentId(at as i64),
                begin_snapshot: SnapshotId(1),
                row_id_start: Some(0),
                partial_max: None,
                deletes: None,
                path: format!("{at}.parquet"),
                record_count: 1000,
                file_size_bytes: 8000,
                footer_size: 100,
                column_stats: vec![stats],
            })
        };
        let segments: Vec<_> = (0..segments).map(segment).collect();
        let table = TableVersion {
            id: TableId(1),
            uuid: Uuid::nil(),
            schema_id: SchemaId(0),
            schema_name: "main".to_owned(),
            name: "t".to_owned(),
            path: "main/t/".to_owned(),
            arrow_schema: Arc::new(columns_to_schema(&columns)),
            columns,
            sort_key: vec![],
            record_count: segments.len() as u64 * 1000,
            file_size_bytes: segments.len() as u64 * 8000,
            segments: Arc::new(segments),
            next_row_id: 0,
            flushed_sequence: 0,
            created_snapshot: SnapshotId(1),
            altered_snapshot: None,
            last_column_id: 100,
            column_stats: Arc::default(),
        };
        let statistics = Arc::new(SegmentStatistics::new(&table, None));
        Self {
            table,
            statistics,
            session: SessionStateBuilder::new().build(),
        }
    }

    /// How many segments may hold `id`.
    ///
    /// # Errors
    /// Never, for the one column there is.
    pub fn prune(&self, id: i64) -> Result<usize> {
        let schema = self.table.arrow_schema.as_ref().clone().to_dfschema()?;
        let predicate = col(self.table.columns[0].name.as_str()).eq(lit(id));
        let predicate = self.session.create_physical_expr(predicate, &schema)?;
        Ok(prune(&self.table, &self.statistics, Some(&predicate)).len())
    }
}
