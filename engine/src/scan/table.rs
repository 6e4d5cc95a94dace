//! The table provider.

use std::sync::{Arc, OnceLock};

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics};
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use quiver_catalog::{SnapshotId, TableVersion};

use super::buffered::{BufferedRows, BufferedScan};
use super::deletes::DeletedRows;
use super::options::ScanOptions;
use super::parts::SegmentPart;
use super::pruning::prune;
use super::row_filter;
use super::segments::{ExtraColumns, SegmentScan, first_rows};
use super::statistics::SegmentStatistics;
use crate::segment::column_default;
use crate::tenant::LiveView;

/// What a read view has of a table beside its segments.
#[derive(Debug)]
pub(crate) struct TableRows {
    /// Rows that are in none of the segments. They have the table's schema.
    pub(crate) buffered: BufferedRows,
    /// Rows of the segments that the reader's own transaction has deleted.
    pub(crate) deleted: Arc<DeletedRows>,
    /// The snapshot of the segments, if it is not the newest.
    pub(crate) at: Option<SnapshotId>,
    /// Keeps the files of the segments, for as long as a plan reads them.
    pub(crate) live: Option<Arc<LiveView>>,
}

impl TableRows {
    /// Rows in memory, and all rows of the segments.
    pub(crate) fn new(buffered: BufferedRows) -> Self {
        Self {
            buffered,
            deleted: Arc::default(),
            at: None,
            live: None,
        }
    }
}

/// One table as one read view sees it.
#[derive(Debug)]
pub(crate) struct QuiverTable {
    table: Arc<TableVersion>,
    rows: TableRows,
    store_url: ObjectStoreUrl,
    options: ScanOptions,
    statistics: Arc<SegmentStatistics>,
    /// What is to be read of the segments, if not all.
    parts: Option<Arc<[SegmentPart]>>,
    /// By column, what an INSERT without a value gives it; made for the first one that asks.
    defaults: OnceLock<Vec<Option<Expr>>>,
}

impl QuiverTable {
    /// A provider over the segments of `table` and other `rows`. Segment paths are resolved under
    /// `store_url`.
    pub(crate) fn new(
        table: Arc<TableVersion>,
        rows: TableRows,
        store_url: ObjectStoreUrl,
        options: ScanOptions,
    ) -> Self {
        let statistics = options.cache.statistics(&table);
        Self {
            table,
            rows,
            store_url,
            options,
            statistics,
            parts: None,
            defaults: OnceLock::new(),
        }
    }

    /// The same for some `parts` of the segments of `table`, whose `statistics` the caller keeps.
    pub(crate) fn of_parts(
        table: Arc<TableVersion>,
        statistics: Arc<SegmentStatistics>,
        parts: Arc<[SegmentPart]>,
        rows: TableRows,
        store_url: ObjectStoreUrl,
        options: ScanOptions,
    ) -> Self {
        Self {
            table,
            rows,
            store_url,
            options,
            statistics,
            parts: Some(parts),
            defaults: OnceLock::new(),
        }
    }

    /// The table as the read view has it.
    pub(crate) fn version(&self) -> &Arc<TableVersion> {
        &self.table
    }

    fn buffered_rows(&self) -> usize {
        self.rows.buffered.iter().map(RecordBatch::num_rows).sum()
    }

    /// Places of the segments that may hold rows for which all `filters` are true.
    pub(crate) fn kept_segments(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<UInt64Array> {
        let predicate = self.predicate(state, filters)?;
        Ok(prune(&self.table, &self.statistics, predicate.as_ref()))
    }

    fn predicate(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(None);
        };
        let schema = DFSchema::try_from(self.table.arrow_schema.as_ref().clone())?;
        state.create_physical_expr(filter, &schema).map(Some)
    }

    /// Places of the columns that `filters` look at.
    fn filtered(&self, filters: &[Expr]) -> Vec<usize> {
        let columns = filters.iter().flat_map(Expr::column_refs);
        columns
            .filter_map(|column| self.table.arrow_schema.index_of(&column.name).ok())
            .collect()
    }

    fn scan_buffered(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = BufferedScan {
            schema: self.projected_schema(projection)?,
            projection,
            limit,
            partitions_max: state.config_options().execution.target_partitions,
            merge_below_rows: self.options.buffered_batch_rows_min,
        };
        scan.plan(&self.rows.buffered)
    }

    /// A plan that reads the segments at the places `kept`, with columns beside those of the table if
    /// there are some.
    pub(super) async fn scan_segments(
        &self,
        state: &dyn Session,
        (projection, extra): (Option<&[usize]>, Option<&ExtraColumns>),
        filters: &[Expr],
        limit: Option<usize>,
        kept: &UInt64Array,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let row_filter = self.options.row_filters
            && extra.is_none()
            && self.has_plain_filters(filters)
            && row_filter::pays(&self.table, &self.statistics, projection, filters);
        let store = state.runtime_env().object_store(&self.store_url)?;
        let deleted = self.options.delete_files.of_table(
            (&self.store_url, &store),
            &self.table,
            &self.rows.deleted,
            kept.values(),
            self.rows.at,
        );
        let scan = SegmentScan {
            table: &self.table,
            statistics: &self.statistics,
            store_url: &self.store_url,
            projection,
            filtered: &self.filtered(filters),
            limit,
            row_filter,
            parts: self.parts.as_deref(),
            deleted: &deleted.await?,
            deletes_more: self.deletes_more(),
            extra,
            live: self.rows.live.as_ref(),
        };
        scan.plan(state, kept)
    }

    /// Whether filters look at columns that every segment has as they are: DataFusion decides before it
    /// sees a file how far it filters rows, and counts on parts of structs that an old one lacks.
    fn has_plain_filters(&self, filters: &[Expr]) -> bool {
        let plain = |at: usize| self.table.columns[at].is_leaf();
        self.table.altered_snapshot.is_none() || self.filtered(filters).into_iter().all(plain)
    }

    /// Whether it is the table as it was.
    pub(crate) fn is_historic(&self) -> bool {
        self.rows.at.is_some()
    }

    /// Whether fewer rows are there than the statistics say.
    fn deletes_more(&self) -> bool {
        !self.rows.deleted.is_empty() || self.rows.at.is_some()
    }

    fn projected_schema(&self, projection: Option<&[usize]>) -> Result<SchemaRef> {
        Ok(match projection {
            Some(projection) => Arc::new(self.table.arrow_schema.project(projection)?),
            None => Arc::clone(&self.table.arrow_schema),
        })
    }
}

#[async_trait]
impl TableProvider for QuiverTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.arrow_schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        let at = self.table.arrow_schema.index_of(column).ok()?;
        let defaults = self.defaults.get_or_init(|| {
            let columns = self.table.columns.iter().map(column_default);
            columns
                .map(|value| Some(Expr::Literal(value?, None)))
                .collect()
        });
        defaults[at].as_ref()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection.map(Vec::as_slice);
        // With filters a limit counts rows that match, which only the plan above can do; and how
        // many rows a part has, nobody knows before it is read.
        let counts = self.parts.is_none() && !self.deletes_more();
        let limit = limit.filter(|_| filters.is_empty() && counts);
        let mut kept = self.kept_segments(state, filters)?;
        if let Some(limit) = limit {
            kept = first_rows(
                &self.table,
                &kept,
                limit.saturating_sub(self.buffered_rows()),
            );
        }
        tracing::debug!(
            table_id = self.table.id.0,
            segments = self.table.segments.len(),
            segments_kept = kept.len(),
            rows_buffered = self.buffered_rows(),
            "scan planned"
        );
        let mut parts = Vec::with_capacity(2);
        let is_read = |at: &u64| {
            let own = self.parts.as_deref();
            own.is_none_or(|own| own.iter().any(|part| part.at as u64 == *at))
        };
        if kept.values().iter().any(is_read) {
            let scan = self.scan_segments(state, (projection, None), filters, limit, &kept);
            parts.push(scan.await?);
        }
        if self.buffered_rows() > 0 {
            parts.push(self.scan_buffered(state, projection, limit)?);
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(self.projected_schema(projection)?))),
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }

    /// Filters help to leave out data but never decide alone: the plan checks every row again.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| filter_support(filter))
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        if self.parts.is_some() {
            return None;
        }
        let all = UInt64Array::from_iter_values(0..self.table.segments.len() as u64);
        let mut stored = self.statistics.summary(&self.table, &all, &|_| true);
        if self.deletes_more() {
            stored = stored.to_inexact();
        }
        if self.buffered_rows() == 0 {
            return Some(stored);
        }
        let buffered = super::statistics::of_batches(&self.rows.buffered, &self.table.arrow_schema);
        if self.table.segments.is_empty() {
            return Some(buffered);
        }
        let schema = &self.table.arrow_schema;
        let merged = Statistics::try_merge_iter([&stored, &buffered], schema).ok()?;
        debug_assert!(self.deletes_more() || matches!(merged.num_rows, Precision::Exact(_)));
        Some(merged)
    }
}

/// What a scan can do with a filter: leave out data that cannot match.
pub(crate) fn filter_support(filter: &Expr) -> TableProviderFilterPushDown {
    if filter.is_volatile() || looks_elsewhere(filter) {
        TableProviderFilterPushDown::Unsupported
    } else {
        TableProviderFilterPushDown::Inexact
    }
}

/// Whether the value of `filter` depends on more than the row.
fn looks_elsewhere(filter: &Expr) -> bool {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut found = false;
    let walked = filter.apply(|expr| {
        found |= matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        );
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    found || walked.is_err()
}
