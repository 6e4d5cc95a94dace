//! One segment, read by itself.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use quiver_catalog::Segment;

/// Length and magic after the footer.
const TRAILER_BYTES: u64 = 8;

/// The file of a segment.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    store: Arc<dyn ObjectStore>,
    location: Path,
    file_size_bytes: u64,
    footer_size: u64,
}

impl SegmentFile {
    pub(crate) fn new(store: &Arc<dyn ObjectStore>, location: Path, segment: &Segment) -> Self {
        Self {
            store: Arc::clone(store),
            location,
            file_size_bytes: segment.file_size_bytes,
            footer_size: segment.footer_size,
        }
    }
}

impl AsyncFileReader for SegmentFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let bytes = self.store.get_range(&self.location, range).await;
            bytes.map_err(external)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            let bytes = self.store.get_ranges(&self.location, &ranges).await;
            bytes.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let tail = usize::try_from(self.footer_size + TRAILER_BYTES).unwrap_or(usize::MAX);
            let file_size_bytes = self.file_size_bytes;
            let reader = ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Skip)
                .with_prefetch_hint(Some(tail));
            Ok(Arc::new(
                reader.load_and_finish(self, file_size_bytes).await?,
            ))
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
