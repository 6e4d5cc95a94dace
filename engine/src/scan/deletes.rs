//! Rows of segments that are not to be read: what delete files list, and what a transaction has
//! deleted itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use quiver_catalog::{DeleteFile, SNAPSHOT_COLUMN, Segment, SnapshotId, TableVersion};
use roaring::{MultiOps, RoaringTreemap};

use super::segment_file::SegmentFile;
use crate::error::EngineError;
use crate::segment::{read_dated_delete_file, read_delete_file};

/// Memory for lists that were read, in bytes, about.
const CACHE_BYTES: u64 = 64 << 20;
/// Lists that are kept, about.
const CACHE_ITEMS: usize = 10_000;
/// Delete files that are read at the same time.
const READS_MAX: usize = 16;

/// Rows by segment: by its path, because what is not committed has no id yet.
pub(crate) type DeletedRows = BTreeMap<String, RoaringTreemap>;

/// All rows of a segment.
pub(crate) fn all_rows(segment: &Segment) -> RoaringTreemap {
    let mut rows = RoaringTreemap::new();
    rows.insert_range(0..segment.record_count);
    rows
}

/// A delete file as of a snapshot. Files never change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    store: String,
    path: String,
    at: Option<SnapshotId>,
}

/// Delete files that were read, of all tenants.
#[derive(Debug)]
pub(crate) struct DeleteFiles {
    known: Cache<Key, Arc<RoaringTreemap>, ByBytes>,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<RoaringTreemap>> for ByBytes {
    fn weight(&self, key: &Key, deleted: &Arc<RoaringTreemap>) -> u64 {
        (key.path.len() + key.store.len() + deleted.serialized_size()) as u64 + 200
    }
}

impl Default for DeleteFiles {
    fn default() -> Self {
        Self {
            known: Cache::with_weighter(CACHE_ITEMS, CACHE_BYTES, ByBytes),
        }
    }
}

impl DeleteFiles {
    /// The deleted rows of a segment of `table`, as of its list. `at` is the snapshot that is read,
    /// if it is not the newest.
    pub(crate) async fn of_segment(
        &self,
        store: (&ObjectStoreUrl, &Arc<dyn ObjectStore>),
        table: &TableVersion,
        segment: &Segment,
        at: Option<SnapshotId>,
    ) -> Result<Option<Arc<RoaringTreemap>>> {
        let Some(deletes) = &segment.deletes else {
            return Ok(None);
        };
        let (url, store) = store;
        let path = format!("{}{}", table.path, deletes.path);
        let key = Key {
            store: url.as_str().to_owned(),
            path,
            at,
        };
        if let Some(known) = self.known.get(&key) {
            return Ok(Some(known));
        }
        let location = Path::parse(&key.path).map_err(object_store::Error::from)?;
        let bytes = store.get(&location).await?.bytes().await?;
        let deleted = read_delete_file(bytes, at)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let deleted = Arc::new(deleted);
        self.known.insert(key, Arc::clone(&deleted));
        Ok(Some(deleted))
    }

    /// The rows of a list, with their snapshots where it names them.
    pub(crate) async fn dated(
        &self,
        store: &Arc<dyn ObjectStore>,
        table: &TableVersion,
        list: &DeleteFile,
    ) -> Result<Vec<(u64, Option<SnapshotId>)>> {
        let path = format!("{}{}", table.path, list.path);
        let location = Path::parse(&path).map_err(object_store::Error::from)?;
        let bytes = store.get(&location).await?.bytes().await?;
        read_dated_delete_file(bytes).map_err(|error| DataFusionError::External(Box::new(error)))
    }

    /// Rows of a merged segment that were added after `at`.
    async fn later_rows(
        &self,
        (url, store): (&ObjectStoreUrl, &Arc<dyn ObjectStore>),
        table: &TableVersion,
        segment: &Segment,
        at: Option<SnapshotId>,
    ) -> Result<Option<Arc<RoaringTreemap>>> {
        let Some(at) = at.filter(|_| has_later_rows(segment, at)) else {
            return Ok(None);
        };
        let key = Key {
            store: url.as_str().to_owned(),
            path: format!("{}{}", table.path, segment.path),
            at: Some(at),
        };
        if let Some(known) = self.known.get(&key) {
            return Ok(Some(known));
        }
        let location = Path::parse(&key.path).map_err(object_store::Error::from)?;
        let reader = SegmentFile::new(store, location, segment);
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [SNAPSHOT_COLUMN]);
        let mut batches = builder.with_projection(mask).build()?;
        let (mut later, mut position) = (RoaringTreemap::new(), 0);
        while let Some(batch) = batches.try_next().await? {
            let snapshots = batch.columns().first();
            let snapshots = snapshots.and_then(|column| column.as_primitive_opt::<Int64Type>());
            let snapshots = snapshots.ok_or_else(|| {
                let message = format!("segment {} has no snapshots of its rows", segment.id);
                DataFusionError::External(Box::new(EngineError::Corruption { message }))
            })?;
            for snapshot in snapshots.values() {
                if *snapshot > at.0 {
                    later.insert(position);
                }
                position += 1;
            }
        }
        let later = Arc::new(later);
        self.known.insert(key, Arc::clone(&later));
        Ok(Some(later))
    }

    /// What is not to be read of the segments at the places `kept`, by place.
    pub(crate) async fn of_table(
        &self,
        store: (&ObjectStoreUrl, &Arc<dyn ObjectStore>),
        table: &TableVersion,
        own: &DeletedRows,
        kept: &[u64],
        at: Option<SnapshotId>,
    ) -> Result<HashMap<usize, Arc<RoaringTreemap>>> {
        let places = kept.iter().filter_map(|at| usize::try_from(*at).ok());
        let places: Vec<usize> = places
            .filter(|place| {
                let segment = &table.segments[*place];
                segment.deletes.is_some()
                    || own.contains_key(&segment.path)
                    || has_later_rows(segment, at)
            })
            .collect();
        let reads = places.into_iter().map(|place| async move {
            let segment = &table.segments[place];
            let mut lists = vec![];
            lists.extend(self.of_segment(store, table, segment, at).await?);
            lists.extend(self.later_rows(store, table, segment, at).await?);
            if let Some(own) = own.get(&segment.path) {
                lists.push(Arc::new(own.clone()));
            }
            let deleted = match lists.as_slice() {
                [single] => Arc::clone(single),
                lists => Arc::new(lists.iter().map(Arc::as_ref).union()),
            };
            Ok::<_, DataFusionError>((place, deleted))
        });
        futures::stream::iter(reads)
            .buffer_unordered(READS_MAX)
            .try_collect()
            .await
    }
}

fn has_later_rows(segment: &Segment, at: Option<SnapshotId>) -> bool {
    segment
        .partial_max
        .zip(at)
        .is_some_and(|(last, at)| at < last)
}

/// The rows that are left of `row_count`.
pub(crate) fn left_rows(deleted: &RoaringTreemap, row_count: u64) -> RowSelection {
    let mut selectors = vec![];
    let mut next = 0;
    let mut push = |selector: RowSelector| {
        if selector.row_count > 0 {
            selectors.push(selector);
        }
    };
    let count = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    for (from, to) in runs(deleted) {
        let (from, to) = (from.min(row_count), to.min(row_count));
        push(RowSelector::select(count(next, from)));
        push(RowSelector::skip(count(from, to)));
        next = to;
    }
    push(RowSelector::select(count(next, row_count)));
    RowSelection::from(selectors)
}

/// Runs of positions that follow each other: the first, and the one after the last.
fn runs(positions: &RoaringTreemap) -> impl Iterator<Item = (u64, u64)> {
    let mut positions = positions.iter().peekable();
    std::iter::from_fn(move || {
        let first = positions.next()?;
        let mut end = first + 1;
        while positions.next_if_eq(&end).is_some() {
            end += 1;
        }
        Some((first, end))
    })
}

#[cfg(test)]
mod tests;
