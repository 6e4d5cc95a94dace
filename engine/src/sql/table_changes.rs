//! `table_changes('t', from, to)`: the rows that a table gained and lost in a range of snapshots.
//!
//! As DuckLake has it: both ends are included, rows are shown with the columns that the table has at
//! the end, and a row that keeps its id is updated rather than deleted and inserted. Rows that only
//! move, as compaction moves them, are not changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::catalog::view::ViewTable;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprFunctionExt, LogicalPlanBuilder, ScalarUDF, Volatility, WindowUDF,
    create_udf, ident, lit, when,
};
use quiver_catalog::{
    CatalogVersion, ROW_ID_COLUMN, SNAPSHOT_COLUMN, Segment, SegmentChanges, SnapshotId,
    TableChanges, TableVersion,
};
use roaring::{MultiOps, RoaringTreemap};

use crate::error::{EngineError, Result};
use crate::read_view::ReadView;
use crate::scan::{
    BufferedRows, ChangeTarget, DeletedRows, POSITION_COLUMN, QuiverTable, SEGMENT_COLUMN,
    SegmentPart, SegmentStatistics, TableRows, all_rows,
};
use crate::segment::{RowPlaces, row_snapshots};
use crate::tenant::Tenant;

mod pair;

use pair::{ALONE, Pair, SAME};

const SNAPSHOT: &str = "snapshot_id";
const ROW_ID: &str = "rowid";
const CHANGE: &str = "change_type";

/// The changes of a table of `catalog`, which is that of the last snapshot of the range.
///
/// # Errors
/// `NotFound` when a snapshot that it takes has expired, `InvalidArgument` for a table with a column of
/// the name of one that is added.
pub(super) async fn table_changes(
    tenant: &Tenant,
    view: &ReadView,
    catalog: &CatalogVersion,
    table: &TableVersion,
    from: SnapshotId,
) -> Result<ViewTable> {
    let taken = |name: &str| table.columns.iter().any(|column| column.name == name);
    let added = [SNAPSHOT, ROW_ID, CHANGE];
    if let Some(name) = added.into_iter().find(|name| taken(name)) {
        return Err(EngineError::invalid(format!(
            "table_changes has a column '{name}' of its own, and so has {}.{}: rename that",
            table.schema_name, table.name
        )));
    }
    let range = (from, catalog.snapshot_id);
    let changes = tenant.catalog().table_changes(table.id, range).await?;
    let inserted = inserted(&changes, range);
    let (removed, never) = removed(tenant, table, &changes, range).await?;
    let mixed = mixed(&inserted, &removed);
    let reading = Reading {
        tenant,
        view,
        catalog,
        table,
    };
    let adds_to_mixed = |segment: &Arc<Segment>| {
        let snapshots = segment.begin_snapshot..=segment.last_snapshot();
        mixed.range(snapshots).next().is_some()
    };
    let (paired, inserted): (Vec<_>, Vec<_>) = inserted.into_iter().partition(adds_to_mixed);
    let mut all = reading.inserted(inserted, &never, &changes.rewrites, range)?;
    let (lost, removed) = Removed::split(removed, &mixed);
    if !removed.is_empty() {
        all = all.union(reading.removed(removed)?.build()?)?;
    }
    if !mixed.is_empty() {
        let pairs = reading.inserted(paired, &never, &changes.rewrites, range)?;
        let pairs = pairs.union(reading.removed(lost)?.build()?)?;
        all = all.union(with_updates(pairs)?.build()?)?;
    }
    Ok(ViewTable::new(all.build()?, None))
}

/// Snapshots that may have both removed and added rows.
fn mixed(inserted: &[Arc<Segment>], removed: &[Removed]) -> BTreeSet<SnapshotId> {
    let removed = removed.iter().flat_map(|segment| &segment.rows);
    let removed: BTreeSet<SnapshotId> = removed.map(|(snapshot, _)| *snapshot).collect();
    let adds = |snapshot: &SnapshotId| {
        let mut segments = inserted.iter();
        segments.any(|own| own.begin_snapshot <= *snapshot && *snapshot <= own.last_snapshot())
    };
    removed.into_iter().filter(adds).collect()
}

/// The segments that may hold rows that were added in the range.
fn inserted(changes: &TableChanges, (from, _): (SnapshotId, SnapshotId)) -> Vec<Arc<Segment>> {
    let segments = changes.segments.iter().map(|changes| &changes.segment);
    let adds = |segment: &&Segment| {
        let only_moved =
            segment.partial_max.is_none() && changes.rewrites.contains(&segment.begin_snapshot);
        segment.last_snapshot() >= from && !only_moved
    };
    segments.filter(adds).cloned().map(Arc::new).collect()
}

/// A segment that lost rows in the range.
struct Removed {
    segment: Arc<Segment>,
    /// No row twice.
    rows: Vec<(SnapshotId, RoaringTreemap)>,
}

impl Removed {
    /// Those of these snapshots, and the others.
    fn split(all: Vec<Self>, snapshots: &BTreeSet<SnapshotId>) -> (Vec<Self>, Vec<Self>) {
        let (mut within, mut others) = (vec![], vec![]);
        for Self { segment, rows } in all {
            let (own, rest): (Vec<_>, Vec<_>) = rows
                .into_iter()
                .partition(|(snapshot, _)| snapshots.contains(snapshot));
            for (rows, part) in [(own, &mut within), (rest, &mut others)] {
                if !rows.is_empty() {
                    let segment = Arc::clone(&segment);
                    part.push(Self { segment, rows });
                }
            }
        }
        (within, others)
    }
}

/// What segments lost in the range, and rows that they have never shown: the other ones of a segment
/// that was restored.
async fn removed(
    tenant: &Tenant,
    table: &TableVersion,
    changes: &TableChanges,
    range: (SnapshotId, SnapshotId),
) -> Result<(Vec<Removed>, DeletedRows)> {
    let (mut removed, mut never) = (vec![], DeletedRows::new());
    for changed in &changes.segments {
        let segment = &changed.segment;
        let mut rows = removed_rows(tenant, table, changed, &changes.rewrites, range).await?;
        if segment.partial_max.is_none()
            && let Some(own) = rows.remove(&segment.begin_snapshot)
        {
            never.insert(segment.path.clone(), own);
        }
        if !rows.is_empty() {
            removed.push(Removed {
                segment: Arc::new(segment.clone()),
                rows: rows.into_iter().collect(),
            });
        }
    }
    Ok((removed, never))
}

/// The rows that a segment lost, by snapshot.
async fn removed_rows(
    tenant: &Tenant,
    table: &TableVersion,
    changes: &SegmentChanges,
    rewrites: &BTreeSet<SnapshotId>,
    (from, to): (SnapshotId, SnapshotId),
) -> Result<BTreeMap<SnapshotId, RoaringTreemap>> {
    let reading = tenant.reading();
    let store = reading.runtime.object_store(&reading.store_url)?;
    let mut gone = RoaringTreemap::new();
    let mut removed: BTreeMap<SnapshotId, RoaringTreemap> = BTreeMap::new();
    for list in &changes.deletes {
        let rows = &reading.scan_options.delete_files;
        for (position, at) in rows.dated(&store, table, list).await? {
            let at = at.unwrap_or(list.begin_snapshot);
            // A later list has the rows of an earlier one as well.
            if at <= to && gone.insert(position) && at >= from {
                removed.entry(at).or_default().insert(position);
            }
        }
    }
    if let Some(ended) = changes.ended.filter(|ended| !rewrites.contains(ended)) {
        let rest = all_rows(&changes.segment) - gone;
        if !rest.is_empty() {
            *removed.entry(ended).or_default() |= rest;
        }
    }
    Ok(removed)
}

/// What rows are read with.
struct Reading<'a> {
    tenant: &'a Tenant,
    view: &'a ReadView,
    catalog: &'a CatalogVersion,
    table: &'a TableVersion,
}

impl Reading<'_> {
    /// A scan of these segments and no other, without the `deleted` rows.
    fn scan(
        &self,
        name: &str,
        segments: Vec<Arc<Segment>>,
        deleted: DeletedRows,
    ) -> Result<(LogicalPlanBuilder, Arc<TableVersion>)> {
        let parts: Vec<_> = (0..segments.len()).map(SegmentPart::whole).collect();
        let catalog = self.catalog.with_segments(self.table.id, segments);
        let table = catalog.table_by_id(self.table.id).map(Arc::clone);
        let table = table.ok_or_else(|| EngineError::internal("a table has its id"))?;
        let reading = self.tenant.reading();
        let rows = TableRows {
            deleted: Arc::new(deleted),
            live: Some(Arc::clone(self.view.live())),
            ..TableRows::new(BufferedRows::new(Box::new(Vec::new)))
        };
        // Their statistics are nobody else's: the segments are not those of any version.
        let target = ChangeTarget::new(QuiverTable::of_parts(
            Arc::clone(&table),
            Arc::new(SegmentStatistics::new(&table, None)),
            parts.into(),
            rows,
            reading.store_url.clone(),
            reading.scan_options.clone(),
        ));
        let scan = LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(target)), None)?;
        Ok((scan, table))
    }

    fn inserted(
        &self,
        segments: Vec<Arc<Segment>>,
        never: &DeletedRows,
        rewrites: &BTreeSet<SnapshotId>,
        (from, to): (SnapshotId, SnapshotId),
    ) -> Result<LogicalPlanBuilder> {
        let is_merged = segments.iter().any(|segment| segment.partial_max.is_some());
        let (scan, table) = self.scan("inserted", segments, never.clone())?;
        let snapshots = Arc::clone(&table);
        let snapshot = places_udf("snapshot_of_inserted", move |places, in_file| {
            row_snapshots(places, in_file, &snapshots)
        });
        let snapshot = snapshot.call(places(SNAPSHOT_COLUMN)).alias(SNAPSHOT);
        let rows = self.project(scan, &table, snapshot, "insert")?;
        if !is_merged {
            return Ok(rows);
        }
        // Some of its rows may be from before or after, or have only been moved.
        let within = ident(SNAPSHOT).between(lit(from.0), lit(to.0));
        let moved = rewrites.iter().map(|snapshot| lit(snapshot.0)).collect();
        Ok(rows.filter(within.and(ident(SNAPSHOT).in_list(moved, true)))?)
    }

    fn removed(&self, removed: Vec<Removed>) -> Result<LogicalPlanBuilder> {
        let mut others = DeletedRows::new();
        for Removed { segment, rows } in &removed {
            let rows = rows.iter().map(|(_, rows)| rows).union();
            others.insert(segment.path.clone(), all_rows(segment) - rows);
        }
        let dates: Vec<Dates> = removed.iter().map(|own| Dates::new(&own.rows)).collect();
        let segments = removed.iter().map(|own| Arc::clone(&own.segment)).collect();
        let (scan, table) = self.scan("removed", segments, others)?;
        let snapshot = places_udf("snapshot_of_removed", move |places, in_file| {
            let snapshot = |row| {
                let (segment, position) = places.of(row)?;
                Ok(dates[segment].of(position).0)
            };
            let snapshots = (0..in_file.len()).map(snapshot);
            Ok(snapshots.collect::<Result<Vec<i64>>>()?.into())
        });
        let snapshot = snapshot.call(places(SNAPSHOT_COLUMN)).alias(SNAPSHOT);
        self.project(scan, &table, snapshot, "delete")
    }

    fn project(
        &self,
        scan: LogicalPlanBuilder,
        table: &Arc<TableVersion>,
        snapshot: Expr,
        change: &str,
    ) -> Result<LogicalPlanBuilder> {
        let ids = Arc::clone(table);
        let row_id = places_udf(&format!("rowid_of_{change}"), move |places, _| {
            places.row_ids(&ids)
        });
        let row_id = row_id.call(places(ROW_ID_COLUMN)).alias(ROW_ID);
        let mut columns = vec![snapshot, row_id, lit(change).alias(CHANGE)];
        let own = self.table.columns.iter();
        columns.extend(own.map(|column| ident(column.name.as_str())));
        Ok(scan.project(columns)?)
    }
}

/// When each removed row of a segment was removed.
struct Dates {
    /// Most of them.
    most: SnapshotId,
    others: HashMap<u64, SnapshotId>,
}

impl Dates {
    fn new(rows: &[(SnapshotId, RoaringTreemap)]) -> Self {
        let most = rows.iter().max_by_key(|(_, rows)| rows.len());
        let most = most.map_or(SnapshotId(0), |(snapshot, _)| *snapshot);
        let others = rows.iter().filter(|(snapshot, _)| *snapshot != most);
        let others = others.flat_map(|(snapshot, rows)| rows.iter().map(|row| (row, *snapshot)));
        Self {
            most,
            others: others.collect(),
        }
    }

    fn of(&self, row: u64) -> SnapshotId {
        self.others.get(&row).copied().unwrap_or(self.most)
    }
}

/// Where a row lies, and one more column.
fn places(in_file: &str) -> Vec<Expr> {
    [in_file, SEGMENT_COLUMN, POSITION_COLUMN]
        .map(ident)
        .to_vec()
}

/// A function of [`places`].
fn places_udf(
    name: &str,
    of: impl Fn(&RowPlaces<'_>, &Int64Array) -> Result<Int64Array> + Send + Sync + 'static,
) -> ScalarUDF {
    let call = move |arguments: &[ColumnarValue]| -> DataFusionResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let numbers = |at: usize| -> DataFusionResult<&Int64Array> {
            let numbers = arrays[at].as_primitive_opt::<Int64Type>();
            let error = || EngineError::internal("the place of a row is a number");
            numbers.ok_or_else(|| DataFusionError::External(Box::new(error())))
        };
        let places = RowPlaces {
            in_file: numbers(0)?,
            segments: numbers(1)?,
            positions: numbers(2)?,
        };
        let found = of(&places, places.in_file);
        let found = found.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(ColumnarValue::Array(Arc::new(found) as ArrayRef))
    };
    let types = vec![DataType::Int64; 3];
    create_udf(
        name,
        types,
        DataType::Int64,
        Volatility::Immutable,
        Arc::new(call),
    )
}

/// What is deleted and inserted in one snapshot, under one id, is updated; or only moved, if it has the
/// same values.
fn with_updates(all: LogicalPlanBuilder) -> Result<LogicalPlanBuilder> {
    const PAIR: &str = "_quiver_pair";
    let fields = all.schema().fields().iter();
    let names: Vec<String> = fields.map(|field| field.name().clone()).collect();
    let own = names
        .iter()
        .filter(|name| ![SNAPSHOT, ROW_ID, CHANGE].contains(&name.as_str()));
    let values = own.map(|name| ident(name.as_str())).collect();
    let pair = WindowFunction::new(Arc::new(WindowUDF::from(Pair::default())), values);
    let pair = Expr::from(pair)
        .partition_by(vec![ident(SNAPSHOT), ident(ROW_ID)])
        .build()?
        .alias(PAIR);
    let change = when(ident(PAIR).eq(lit(ALONE)), ident(CHANGE))
        .when(ident(CHANGE).eq(lit("insert")), lit("update_postimage"))
        .otherwise(lit("update_preimage"))?
        .alias(CHANGE);
    let columns = names.iter().map(|name| match name.as_str() {
        CHANGE => change.clone(),
        name => ident(name),
    });
    let columns: Vec<Expr> = columns.collect();
    let paired = all.window(vec![pair])?;
    Ok(paired
        .filter(ident(PAIR).not_eq(lit(SAME)))?
        .project(columns)?)
}
