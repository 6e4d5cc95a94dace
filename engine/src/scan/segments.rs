//! The part of a scan that reads segment files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::UInt64Array;
use arrow::datatypes::{FieldRef, Schema};
use chrono::DateTime;
use datafusion::catalog::Session;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetRowSelection,
};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectMeta;
use object_store::path::Path;
use quiver_catalog::{Segment, TableVersion};
use roaring::RoaringTreemap;

use super::columns_by_id::ColumnsById;
use super::deletes::left_rows;
use super::footers::{OldColumns, SegmentReaders};
use super::parts::SegmentPart;
use super::statistics::SegmentStatistics;
use crate::tenant::LiveView;

/// Bytes before the footer that are read with it: room for the page index of an ordinary segment.
const PAGE_INDEX_BYTES: u64 = 32 * 1024;
/// Statistics of single files are put into a plan only up to this many (files times columns): at
/// about 300 bytes each they would outweigh what later filters can still prune.
const FILE_STATISTICS_MAX: usize = 20_000;
/// Length and magic after the footer.
const TRAILER_BYTES: u64 = 8;

/// How segments are to be read.
#[derive(Debug)]
pub(crate) struct SegmentScan<'a> {
    pub(crate) table: &'a TableVersion,
    pub(crate) statistics: &'a SegmentStatistics,
    pub(crate) store_url: &'a ObjectStoreUrl,
    /// Columns of the table, in this order; all of them if `None`.
    pub(crate) projection: Option<&'a [usize]>,
    /// Columns that filters look at; their bounds go into the plan for filters that come up later.
    pub(crate) filtered: &'a [usize],
    /// Rows that are enough.
    pub(crate) limit: Option<usize>,
    /// Whether rows are filtered while they are decoded.
    pub(crate) row_filter: bool,
    /// What is to be read of the segments, if not all.
    pub(crate) parts: Option<&'a [SegmentPart]>,
    /// Rows that are not to be read, by the place of their segment.
    pub(crate) deleted: &'a HashMap<usize, Arc<RoaringTreemap>>,
    /// Whether some of these are not in the statistics.
    pub(crate) deletes_more: bool,
    /// Columns beside those of the table; `projection` counts them after these.
    pub(crate) extra: Option<&'a ExtraColumns>,
    /// Keeps the files.
    pub(crate) live: Option<&'a Arc<LiveView>>,
}

/// What a change of rows has to know of each row.
#[derive(Debug)]
pub(crate) struct ExtraColumns {
    /// In the file, or NULL.
    pub(crate) in_file: FieldRef,
    /// The snapshot that added it, in the file, or NULL.
    pub(crate) snapshot: FieldRef,
    /// The place of the segment.
    pub(crate) segment: FieldRef,
    /// The position in the segment.
    pub(crate) position: FieldRef,
}

impl SegmentScan<'_> {
    /// A plan that returns the rows of the segments at the places `kept`.
    pub(crate) fn plan(
        &self,
        state: &dyn Session,
        kept: &UInt64Array,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = state.config_options().execution.target_partitions;
        let groups = self.groups(kept, partitions.max(1))?;
        let source = Arc::new(self.source(state)?);
        let statistics = match self.extra {
            Some(_) => Statistics::new_unknown(self.schema().table_schema()),
            None if self.parts.is_some() || self.deletes_more => self.summary(kept).to_inexact(),
            None => self.summary(kept),
        };
        let by_id = self.table.altered_snapshot.map(|_| {
            let columns = Arc::new(self.table.columns.clone());
            Arc::new(ColumnsById { columns }) as Arc<dyn PhysicalExprAdapterFactory>
        });
        let config = FileScanConfigBuilder::new(self.store_url.clone(), source)
            .with_expr_adapter(by_id)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(self.projection.map(<[usize]>::to_vec))?
            .with_limit(self.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn source(&self, state: &dyn Session) -> Result<ParquetSource> {
        let runtime = state.runtime_env();
        let store = runtime.object_store(self.store_url)?;
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let readers = SegmentReaders {
            readers: CachedParquetFileReaderFactory::new(store, footers),
            _live: self.live.cloned(),
        };
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let row_filter = self.row_filter || options.global.pushdown_filters;
        Ok(ParquetSource::new(self.schema())
            .with_table_parquet_options(options)
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(true)
            .with_pushdown_filters(row_filter)
            .with_reorder_filters(true)
            .with_parquet_file_reader_factory(Arc::new(readers)))
    }

    fn schema(&self) -> TableSchema {
        let own = &self.table.arrow_schema;
        let Some(extra) = self.extra else {
            return TableSchema::builder(Arc::clone(own)).build();
        };
        let mut fields: Vec<FieldRef> = own.fields().iter().map(Arc::clone).collect();
        fields.extend([&extra.in_file, &extra.snapshot].map(Arc::clone));
        TableSchema::builder(Arc::new(Schema::new(fields)))
            .with_table_partition_cols(vec![Arc::clone(&extra.segment)])
            .with_virtual_columns(vec![Arc::clone(&extra.position)])
            .build()
    }

    /// The files, spread so that the partitions get about equally many bytes. Within a partition
    /// they stay in the order in which they were written.
    fn groups(&self, kept: &UInt64Array, partitions: usize) -> Result<Vec<FileGroup>> {
        let kept = kept.values().iter().map(|at| *at as usize);
        let mut parts: Vec<SegmentPart> = match self.parts {
            None => kept.map(SegmentPart::whole).collect(),
            Some(parts) => {
                let kept: HashSet<usize> = kept.collect();
                let parts = parts.iter().filter(|part| kept.contains(&part.at));
                parts.cloned().collect()
            }
        };
        let few = parts.len() * self.table.columns.len() <= FILE_STATISTICS_MAX;
        let with_statistics = few && self.extra.is_none();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes(self.table)));
        let mut groups = vec![(0_u64, Vec::new()); partitions.min(parts.len())];
        for part in parts {
            if let Some(group) = groups.iter_mut().min_by_key(|(total, _)| *total) {
                group.0 += part.bytes(self.table);
                group.1.push(part);
            }
        }
        let groups = groups.into_iter().map(|(_, mut parts)| {
            parts.sort_unstable_by_key(|part| part.at);
            let files = parts.iter().map(|part| self.file(part, with_statistics));
            // No statistics for the group: its reader would take them as exact even under a filter.
            Ok(FileGroup::new(files.collect::<Result<_>>()?))
        });
        groups.collect()
    }

    fn file(&self, part: &SegmentPart, with_statistics: bool) -> Result<PartitionedFile> {
        let segment: &Segment = &self.table.segments[part.at];
        let location = format!("{}/{}", self.table.path.trim_end_matches('/'), segment.path);
        let meta = ObjectMeta {
            location: Path::parse(location).map_err(object_store::Error::from)?,
            // A segment never changes, so its footer may be cached under any one date.
            last_modified: DateTime::UNIX_EPOCH,
            size: segment.file_size_bytes,
            e_tag: None,
            version: None,
        };
        let tail = segment.footer_size + TRAILER_BYTES + PAGE_INDEX_BYTES;
        let tail = usize::try_from(tail.min(segment.file_size_bytes)).unwrap_or(usize::MAX);
        let mut file = PartitionedFile::new_from_meta(meta).with_metadata_size_hint(tail);
        if !self.table.has_current_columns(segment) {
            file = file.with_extension(OldColumns);
        }
        if self.extra.is_some() {
            let place = i64::try_from(part.at).unwrap_or(i64::MAX);
            file.partition_values = vec![ScalarValue::from(place)];
        }
        if let Some(deleted) = self.deleted.get(&part.at) {
            let left = left_rows(deleted, segment.record_count);
            file = file.with_extension(ParquetRowSelection::new(left));
        }
        let statistics = |at: usize| {
            let statistics = self.summary(&UInt64Array::from_value(at as u64, 1));
            match self.deletes_more {
                true => statistics.to_inexact(),
                false => statistics,
            }
        };
        Ok(match &part.begin_in {
            // Statistics of the whole say too little about a part.
            Some(range) => file.with_range(range.start, range.end),
            None if with_statistics => file.with_statistics(Arc::new(statistics(part.at))),
            None => file,
        })
    }

    /// Statistics of the segments at `kept`, for the columns the scan has to do with.
    fn summary(&self, kept: &UInt64Array) -> Statistics {
        self.statistics.summary(self.table, kept, &|index| {
            self.projection
                .is_none_or(|projection| projection.contains(&index))
                || self.filtered.contains(&index)
        })
    }
}

/// As many of the segments at `kept` as are needed for `rows` rows.
pub(crate) fn first_rows(table: &TableVersion, kept: &UInt64Array, rows: usize) -> UInt64Array {
    let mut found = 0_u64;
    let enough = kept.values().iter().take_while(|at| {
        let more = found < rows as u64;
        found += table.segments[**at as usize].live_count();
        more
    });
    UInt64Array::from_iter_values(enough.copied())
}
