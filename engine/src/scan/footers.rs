//! Footers of segments, kept for the next reader with their page indexes.
//!
//! DataFusion's reader keeps a footer as it was first asked for, which is without the page index, and
//! then reads and decodes that index for every query that has a filter.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, PageIndexPolicy, ParquetMetaData};

use crate::tenant::LiveView;

/// Readers of segments that share their footers. A plan holds them until its last row is read.
#[derive(Debug)]
pub(crate) struct SegmentReaders {
    pub(crate) readers: CachedParquetFileReaderFactory,
    pub(crate) _live: Option<Arc<LiveView>>,
}

impl ParquetFileReaderFactory for SegmentReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_bytes: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let has_old_columns = file.extension::<OldColumns>().is_some();
        let reader = self
            .readers
            .create_reader(partition, file, footer_bytes, metrics)?;
        Ok(Box::new(SegmentReader {
            reader,
            has_old_columns,
        }))
    }
}

/// Marks a file from before its table was altered: its columns are told by their ids, which the schema
/// of Arrow in the footer would hide.
#[derive(Debug)]
pub(crate) struct OldColumns;

/// A reader that always asks for the page index.
struct SegmentReader {
    reader: Box<dyn AsyncFileReader + Send>,
    has_old_columns: bool,
}

impl AsyncFileReader for SegmentReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.reader.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.reader.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let options = options.cloned().unwrap_or_default();
        let options = options.with_page_index_policy(PageIndexPolicy::Optional);
        async move {
            let metadata = self.reader.get_metadata(Some(&options)).await?;
            Ok(match self.has_old_columns {
                true => without_arrow_schema(&metadata),
                false => metadata,
            })
        }
        .boxed()
    }
}

/// The same footer without the schema of Arrow: fields then have the ids of their columns.
fn without_arrow_schema(metadata: &ParquetMetaData) -> Arc<ParquetMetaData> {
    let file = metadata.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        None,
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let plain = ParquetMetaData::new(file, metadata.row_groups().to_vec());
    let plain = plain
        .into_builder()
        .set_column_index(metadata.column_index().cloned())
        .set_offset_index(metadata.offset_index().cloned());
    Arc::new(plain.build())
}
