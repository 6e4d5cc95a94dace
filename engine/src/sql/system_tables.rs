//! Schema `system`: tables that show state, each tenant its own.
//!
//! The engine keeps those of `schemas.rs`; the server adds its own through [`SystemTables`]. Rows are
//! made when a statement reads the table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::TableType;

use quiver_catalog::{ProducerRecord, Replacement};

use self::schemas::own_tables;
use super::context::StatementContext;
use super::functions::ListedFunction;
use crate::compaction::{Job, JobEnd, JobState};
use crate::error::Result;
use crate::read_view::ReadView;

mod schemas;

/// A table of schema `system`.
#[derive(Debug, Clone)]
pub struct SystemTable {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub schema: SchemaRef,
}

/// System tables that somebody else than the engine keeps.
#[async_trait]
pub trait SystemTables: Send + Sync + std::fmt::Debug {
    /// The tables there are for this caller.
    fn tables(&self) -> Vec<SystemTable>;

    /// The rows of one of [`SystemTables::tables`] now.
    async fn rows(&self, name: &str) -> Result<RecordBatch>;
}

/// The schema as a session sees it.
#[derive(Debug)]
pub(crate) struct SystemSchema {
    context: StatementContext,
    view: ReadView,
}

impl StatementContext {
    /// All tables of schema `system`.
    pub fn system_table_list(&self) -> Vec<SystemTable> {
        let mut tables = own_tables();
        tables.extend(self.system_tables.tables());
        tables.sort_by_key(|table| table.name);
        tables
    }
}

impl SystemSchema {
    pub(crate) const NAME: &'static str = "system";

    pub(crate) fn new(context: StatementContext, view: ReadView) -> Self {
        Self { context, view }
    }

    async fn rows(&self, name: &str) -> Result<RecordBatch> {
        match name {
            "snapshots" => self.snapshots().await,
            "segments" => self.segments(),
            "tables" => self.tables(),
            "wal" => self.wal(),
            "functions" => self.functions(),
            "producers" => self.producers(),
            "compactions" => self.compactions(),
            "snapshot_names" => self.snapshot_names().await,
            "dropped_tables" => self.dropped_tables().await,
            "files_scheduled_for_deletion" => self.scheduled_files().await,
            _ => self.context.system_tables.rows(name).await,
        }
    }

    async fn snapshots(&self) -> Result<RecordBatch> {
        let snapshots = self.context.tenant.catalog().snapshots().await?;
        let times: Vec<_> = snapshots
            .iter()
            .map(|snapshot| snapshot.time_micros)
            .collect();
        batch(
            "snapshots",
            vec![
                Arc::new(Int64Array::from_iter_values(
                    snapshots.iter().map(|s| s.id.0),
                )),
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
                Arc::new(Int64Array::from_iter_values(
                    snapshots.iter().map(|s| s.schema_version),
                )),
                Arc::new(StringArray::from_iter_values(
                    snapshots.iter().map(|s| s.changes.as_str()),
                )),
            ],
        )
    }

    fn segments(&self) -> Result<RecordBatch> {
        let tables: Vec<_> = self.view.catalog().tables().collect();
        let rows: Vec<_> = tables
            .iter()
            .flat_map(|table| table.segments.iter().map(move |segment| (*table, segment)))
            .collect();
        batch(
            "segments",
            vec![
                texts_of(
                    rows.iter()
                        .map(|(table, _)| table.schema_name.as_str())
                        .collect(),
                ),
                texts_of(rows.iter().map(|(table, _)| table.name.as_str()).collect()),
                Arc::new(Int64Array::from_iter_values(
                    rows.iter().map(|(_, s)| s.id.0),
                )),
                texts_of(
                    rows.iter()
                        .map(|(_, segment)| segment.path.as_str())
                        .collect(),
                ),
                Arc::new(UInt64Array::from_iter_values(
                    rows.iter().map(|(_, s)| s.record_count),
                )),
                Arc::new(UInt64Array::from_iter_values(
                    rows.iter().map(|(_, s)| s.file_size_bytes),
                )),
                Arc::new(Int64Array::from_iter_values(
                    rows.iter().map(|(_, s)| s.begin_snapshot.0),
                )),
                Arc::new(UInt64Array::from_iter_values(
                    rows.iter().map(|(_, s)| s.delete_count()),
                )),
            ],
        )
    }

    fn tables(&self) -> Result<RecordBatch> {
        let tables: Vec<_> = self.view.catalog().tables().collect();
        let buffered: Vec<u64> = tables
            .iter()
            .map(|table| {
                self.view
                    .buffered(table.id)
                    .iter()
                    .map(|b| b.num_rows() as u64)
                    .sum()
            })
            .collect();
        let counts = |values: Vec<u64>| -> ArrayRef { Arc::new(UInt64Array::from(values)) };
        batch(
            "tables",
            vec![
                texts_of(
                    tables
                        .iter()
                        .map(|table| table.schema_name.as_str())
                        .collect(),
                ),
                texts_of(tables.iter().map(|table| table.name.as_str()).collect()),
                Arc::new(Int64Array::from_iter_values(
                    tables.iter().map(|table| table.id.0),
                )),
                counts(
                    tables
                        .iter()
                        .zip(&buffered)
                        .map(|(t, rows)| t.record_count + rows)
                        .collect(),
                ),
                counts(buffered),
                counts(
                    tables
                        .iter()
                        .map(|table| table.segments.len() as u64)
                        .collect(),
                ),
                counts(tables.iter().map(|table| table.file_size_bytes).collect()),
            ],
        )
    }

    /// What can be called in SQL.
    fn functions(&self) -> Result<RecordBatch> {
        let all = self.context.engine.template().functions();
        let texts = |value: fn(&ListedFunction) -> Option<&str>| -> ArrayRef {
            Arc::new(all.iter().map(value).collect::<StringArray>())
        };
        batch(
            "functions",
            vec![
                texts(|function| Some(&function.name)),
                texts(|function| Some(function.kind)),
                texts(|function| function.syntax.as_deref()),
                texts(|function| function.description.as_deref()),
            ],
        )
    }

    /// How far the producers of the tables have come, now.
    fn producers(&self) -> Result<RecordBatch> {
        let catalog = self.view.catalog();
        let all = self.context.tenant.producers().all();
        let rows: Vec<_> = all
            .iter()
            .filter_map(|record| Some((catalog.table_by_id(record.table_id)?, record)))
            .collect();
        let (tables, places): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let counts = |value: fn(&ProducerRecord) -> u64| -> ArrayRef {
            let values = places.iter().map(|place| value(place));
            Arc::new(UInt64Array::from_iter_values(values))
        };
        let times: Vec<_> = places.iter().map(|place| place.updated_micros).collect();
        batch(
            "producers",
            vec![
                texts_of(
                    tables
                        .iter()
                        .map(|table| table.schema_name.as_str())
                        .collect(),
                ),
                texts_of(tables.iter().map(|table| table.name.as_str()).collect()),
                texts_of(places.iter().map(|place| place.producer.as_str()).collect()),
                counts(|place| place.epoch),
                counts(|place| place.producer_sequence),
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            ],
        )
    }

    /// Jobs that run, and those that ended last.
    fn compactions(&self) -> Result<RecordBatch> {
        let jobs = self.context.tenant.compactions().list();
        let ends: Vec<_> = jobs.iter().map(|job| job.end()).collect();
        let counts = |value: fn(&Job) -> u64| -> ArrayRef {
            let values = jobs.iter().map(|job| value(job));
            Arc::new(UInt64Array::from_iter_values(values))
        };
        let times = |values: Vec<Option<i64>>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        };
        let texts = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let state = |end: &JobEnd| match &end.state {
            JobState::Running => ("running", None),
            JobState::Done => ("done", None),
            JobState::Failed(error) => ("failed", Some(error.clone())),
        };
        let states: Vec<_> = ends.iter().map(state).collect();
        let form = |job: &Arc<Job>| match job.form {
            Replacement::Merge => Some("merge"),
            Replacement::Rewrite => Some("rewrite"),
        };
        let after = |value: fn(&JobEnd) -> u64| -> ArrayRef {
            let values = ends.iter().map(|end| end.ended_micros.map(|_| value(end)));
            Arc::new(values.collect::<UInt64Array>())
        };
        batch(
            "compactions",
            vec![
                counts(|job| job.id),
                texts_of(jobs.iter().map(|job| job.schema_name.as_str()).collect()),
                texts_of(jobs.iter().map(|job| job.table_name.as_str()).collect()),
                texts(jobs.iter().map(form).collect()),
                texts(states.iter().map(|(state, _)| Some(*state)).collect()),
                counts(|job| job.rows),
                counts(Job::rows_done),
                counts(|job| job.segments_before),
                after(|end| end.segments_after),
                counts(|job| job.bytes_before),
                after(|end| end.bytes_after),
                times(jobs.iter().map(|job| Some(job.started_micros)).collect()),
                times(ends.iter().map(|end| end.ended_micros).collect()),
                texts(states.iter().map(|(_, error)| error.as_deref()).collect()),
            ],
        )
    }

    async fn dropped_tables(&self) -> Result<RecordBatch> {
        let tables = self.context.tenant.catalog().dropped_tables().await?;
        let times: Vec<_> = tables.iter().map(|table| table.dropped_micros).collect();
        let last = tables.iter().map(|table| table.last_snapshot.0);
        batch(
            "dropped_tables",
            vec![
                texts_of(tables.iter().map(|t| t.schema_name.as_str()).collect()),
                texts_of(tables.iter().map(|t| t.name.as_str()).collect()),
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
                Arc::new(Int64Array::from_iter_values(last)),
            ],
        )
    }

    async fn snapshot_names(&self) -> Result<RecordBatch> {
        let names = self.context.tenant.catalog().snapshot_names().await?;
        let times: Vec<_> = names.iter().map(|name| name.created_micros).collect();
        batch(
            "snapshot_names",
            vec![
                texts_of(names.iter().map(|name| name.name.as_str()).collect()),
                Arc::new(Int64Array::from_iter_values(names.iter().map(|n| n.id.0))),
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            ],
        )
    }

    /// Files that no snapshot needs any more.
    async fn scheduled_files(&self) -> Result<RecordBatch> {
        let files = self.context.tenant.catalog().scheduled_files().await?;
        let times: Vec<_> = files.iter().map(|file| file.since_micros).collect();
        batch(
            "files_scheduled_for_deletion",
            vec![
                Arc::new(Int64Array::from_iter_values(files.iter().map(|f| f.id.0))),
                texts_of(files.iter().map(|file| file.path.as_str()).collect()),
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            ],
        )
    }

    /// The tenant's rows that are in the log and not in segments.
    fn wal(&self) -> Result<RecordBatch> {
        let tenant = &self.context.tenant;
        let statuses = tenant.memtables().statuses();
        let names = statuses.iter().map(|(id, _, _)| tenant.table_name(*id));
        let frozen: Vec<_> = statuses.iter().map(|(_, frozen, _)| *frozen).collect();
        let times: Vec<_> = statuses
            .iter()
            .map(|(_, _, status)| status.first_at_micros)
            .collect();
        let lsns: Vec<_> = statuses
            .iter()
            .map(|(_, _, status)| status.first_lsn)
            .collect();
        batch(
            "wal",
            vec![
                Arc::new(StringArray::from_iter_values(names)),
                Arc::new(BooleanArray::from(frozen)),
                Arc::new(UInt64Array::from_iter_values(
                    statuses.iter().map(|(_, _, s)| s.row_count),
                )),
                Arc::new(UInt64Array::from_iter_values(
                    statuses.iter().map(|(_, _, s)| s.bytes),
                )),
                Arc::new(UInt64Array::from(lsns)),
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            ],
        )
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        self.context
            .system_table_list()
            .iter()
            .map(|table| table.name.to_owned())
            .collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if !self.table_exist(name) {
            return Ok(None);
        }
        let external = |error| DataFusionError::External(Box::new(error));
        let rows = self.rows(name).await.map_err(external)?;
        Ok(Some(Arc::new(MemTable::try_new(
            rows.schema(),
            vec![vec![rows]],
        )?)))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.context
            .system_table_list()
            .iter()
            .any(|table| table.name == name)
    }
}

fn batch(table: &str, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let schema = own_tables()
        .into_iter()
        .find(|own| own.name == table)
        .map(|own| own.schema);
    let schema = schema.ok_or_else(|| crate::EngineError::internal("an unlisted system table"))?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn texts_of(values: Vec<&str>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}
