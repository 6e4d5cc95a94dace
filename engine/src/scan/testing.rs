//! A table in a temporary directory, with some rows flushed and some still in memory.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use quiver_catalog::{
    Column, NewSegment, SchemaId, Segment, SegmentId, SnapshotId, SortColumn, TableId,
    TableVersion, TenantId, columns_to_schema,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{BufferedRows, QuiverTable, ScanOptions, TableRows, TenantRegistry};
use crate::segment::{SegmentOptions, write_segment};
use crate::storage_fs::{Folders, LocalFs};

pub(crate) struct TestTable {
    pub(crate) directory: TempDir,
    pub(crate) columns: Vec<Column>,
    pub(crate) schema: SchemaRef,
    pub(crate) sort_key: Vec<SortColumn>,
    pub(crate) layout: SegmentOptions,
    pub(crate) options: ScanOptions,
    pub(crate) segments: Vec<NewSegment>,
    pub(crate) buffered: Vec<RecordBatch>,
}

impl TestTable {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            schema: Arc::new(columns_to_schema(&columns)),
            columns,
            sort_key: Vec::new(),
            layout: SegmentOptions::default(),
            options: ScanOptions::default(),
            segments: Vec::new(),
            buffered: Vec::new(),
        }
    }

    pub(crate) fn flush(&mut self, batches: &[RecordBatch]) {
        let id = Uuid::from_u128(self.segments.len() as u128 + 1);
        let name = format!("{id}.parquet");
        let directory = self.directory.path().join("main/t");
        let columns = &self.columns;
        let segment = write_segment(
            &Folders::new(Arc::new(LocalFs), self.directory.path()),
            &directory,
            columns,
            &self.sort_key,
            batches,
            &name,
            &self.layout,
        )
        .unwrap();
        self.segments.push(segment);
    }

    pub(crate) fn version(&self) -> Arc<TableVersion> {
        let segments = self.segments.iter().enumerate().map(|(at, new)| {
            Arc::new(Segment {
                id: SegmentId(at as i64),
                begin_snapshot: SnapshotId(at as i64 + 1),
                row_id_start: Some(0),
                partial_max: None,
                deletes: None,
                path: new.path.clone(),
                record_count: new.record_count,
                file_size_bytes: new.file_size_bytes,
                footer_size: new.footer_size,
                column_stats: new.column_stats.clone(),
            })
        });
        Arc::new(TableVersion {
            id: TableId(1),
            uuid: Uuid::nil(),
            schema_id: SchemaId(0),
            schema_name: "main".to_owned(),
            name: "t".to_owned(),
            path: "main/t/".to_owned(),
            columns: self.columns.clone(),
            arrow_schema: Arc::clone(&self.schema),
            sort_key: self.sort_key.clone(),
            segments: Arc::new(segments.collect()),
            record_count: self
                .segments
                .iter()
                .map(|segment| segment.record_count)
                .sum(),
            file_size_bytes: self
                .segments
                .iter()
                .map(|segment| segment.file_size_bytes)
                .sum(),
            next_row_id: 0,
            flushed_sequence: 0,
            created_snapshot: SnapshotId(1),
            altered_snapshot: None,
            last_column_id: 100,
            column_stats: Arc::default(),
        })
    }

    pub(crate) fn provider(&self) -> Arc<QuiverTable> {
        let url = self.registry().url();
        let buffered = self.buffered.clone();
        let buffered = BufferedRows::new(Box::new(move || buffered));
        Arc::new(QuiverTable::new(
            self.version(),
            TableRows::new(buffered),
            url,
            self.options.clone(),
        ))
    }

    /// A session in which the table is called `t`.
    pub(crate) fn session(&self, config: SessionConfig) -> SessionContext {
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(Arc::new(self.registry()))
            .build_arc()
            .unwrap();
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.register_table("t", self.provider()).unwrap();
        context
    }

    fn registry(&self) -> TenantRegistry {
        TenantRegistry::new(Arc::new(LocalFs), TenantId(7), self.directory.path()).unwrap()
    }
}
