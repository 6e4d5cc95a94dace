//! Reading a version out of the database, and refusing what contradicts itself or what nothing here
//! could read correctly. Knows nothing of how it was written: DuckDB may have.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::column::{Column, columns_to_schema};
use crate::error::{CatalogError, Result, storage};
use crate::ids::{SchemaId, SnapshotId, TableId};
use crate::leaf_index::LeafIndex;
use crate::load::rows::{SchemaRow, SnapshotRow, TableRow};
use crate::names::fold;
use crate::private;
use crate::segment::Segment;
use crate::stats::merge_stats;
use crate::table::{SchemaVersion, TableVersion};
use crate::time_text;
use crate::version::CatalogVersion;

mod columns;
mod rows;
mod segments;

/// The newest version and the id counter that goes with it.
pub(crate) struct Loaded {
    pub(crate) version: CatalogVersion,
    pub(crate) next_catalog_id: i64,
}

pub(crate) async fn current(connection: &mut SqliteConnection, path: &Path) -> Result<Loaded> {
    let snapshot = rows::last_snapshot(connection)
        .await?
        .ok_or_else(|| CatalogError::corruption("it has no snapshot"))?;
    let next_catalog_id = snapshot.next_catalog_id;
    let mut version = read(connection, path, snapshot).await?;
    let flushed = private::flushed(connection).await?;
    let stats = rows::table_stats(connection).await?;
    let ids: Vec<TableId> = version.tables.keys().copied().collect();
    for id in ids {
        let Some(table) = version.table_mut(id) else {
            continue;
        };
        table.flushed_sequence = flushed.get(&id).copied().unwrap_or(0);
        check_against_stats(table, stats.get(&id).copied())?;
    }
    check_counters(&version, next_catalog_id)?;
    Ok(Loaded {
        version,
        next_catalog_id,
    })
}

pub(crate) async fn at_snapshot(
    connection: &mut SqliteConnection,
    path: &Path,
    snapshot_id: SnapshotId,
) -> Result<CatalogVersion> {
    let snapshot = rows::snapshot(connection, snapshot_id)
        .await?
        .ok_or_else(|| CatalogError::not_found("snapshot", &snapshot_id))?;
    read(connection, path, snapshot).await
}

/// The columns that a table had in a snapshot.
pub(crate) async fn columns_of(
    connection: &mut SqliteConnection,
    path: &Path,
    table_id: TableId,
    at: SnapshotId,
) -> Result<Vec<Column>> {
    let histories = columns::read_history(connection, at).await?;
    let mut columns = columns::read(connection, path, at, &histories).await?;
    let none = || CatalogError::corruption(format!("table {table_id} had no columns in {at}"));
    columns.remove(&table_id).ok_or_else(none)
}

async fn read(
    connection: &mut SqliteConnection,
    path: &Path,
    snapshot: SnapshotRow,
) -> Result<CatalogVersion> {
    let at = SnapshotId(snapshot.snapshot_id);
    rows::refuse_unknown_features(connection, path).await?;
    let schemas = rows::schemas(connection, at).await?;
    let tables = rows::tables(connection, at).await?;
    let mut histories = columns::read_history(connection, at).await?;
    let mut columns = columns::read(connection, path, at, &histories).await?;
    let mut sort_keys = columns::read_sort_keys(connection, path, at, &columns).await?;
    let mut segments = segments::read(connection, path, at).await?;

    let mut version = CatalogVersion {
        snapshot_id: at,
        snapshot_time_micros: time_text::from_text(&snapshot.snapshot_time).ok_or_else(|| {
            CatalogError::corruption(format!("snapshot_time is {:?}", snapshot.snapshot_time))
        })?,
        schema_version: snapshot.schema_version,
        catalog_uuid: rows::catalog_uuid(connection).await?,
        next_file_id: snapshot.next_file_id,
        schemas: Arc::default(),
        tables: BTreeMap::new(),
    };
    add_schemas(&mut version, schemas)?;
    for row in tables {
        let id = TableId(row.table_id);
        let parts = TableParts {
            columns: columns.remove(&id).unwrap_or_default(),
            history: histories.remove(&id),
            sort_key: sort_keys.remove(&id).unwrap_or_default(),
            segments: segments.remove(&id).unwrap_or_default(),
        };
        add_table(&mut version, row, parts)?;
    }
    if let Some((id, _)) = segments.into_iter().next() {
        return Err(CatalogError::corruption(format!(
            "segments of table {id}, which is not there"
        )));
    }
    Ok(version)
}

fn add_schemas(version: &mut CatalogVersion, rows: Vec<SchemaRow>) -> Result<()> {
    let mut schemas = BTreeMap::new();
    for row in rows {
        let schema = SchemaVersion {
            id: SchemaId(row.schema_id),
            uuid: parse_uuid(&row.schema_uuid)?,
            path: row.path,
            created_snapshot: SnapshotId(row.begin_snapshot),
            tables: BTreeMap::new(),
            name: row.schema_name,
        };
        if let Some(other) = schemas.insert(fold(&schema.name), Arc::new(schema)) {
            return Err(CatalogError::corruption(format!(
                "two schemas are named {}",
                other.name
            )));
        }
    }
    version.schemas = Arc::new(schemas);
    Ok(())
}

struct TableParts {
    columns: Vec<Column>,
    history: Option<columns::ColumnHistory>,
    sort_key: Vec<crate::SortColumn>,
    segments: Vec<Arc<Segment>>,
}

fn add_table(version: &mut CatalogVersion, row: TableRow, parts: TableParts) -> Result<()> {
    let id = TableId(row.table_id);
    // Changed in place: nobody else holds this version yet.
    let schema = Arc::make_mut(&mut version.schemas)
        .values_mut()
        .find(|schema| schema.id.0 == row.schema_id)
        .map(Arc::make_mut)
        .ok_or_else(|| {
            CatalogError::corruption(format!("table {id} is in schema {}", row.schema_id))
        })?;
    if parts.columns.is_empty() {
        return Err(CatalogError::corruption(format!(
            "table {id} has no columns"
        )));
    }
    let mut table = TableVersion {
        id,
        uuid: parse_uuid(&row.table_uuid)?,
        schema_id: schema.id,
        schema_name: schema.name.clone(),
        path: format!("{}{}", schema.path, row.path),
        name: row.table_name,
        arrow_schema: Arc::new(columns_to_schema(&parts.columns)),
        columns: parts.columns,
        sort_key: parts.sort_key,
        segments: Arc::default(),
        record_count: 0,
        file_size_bytes: 0,
        next_row_id: 0,
        flushed_sequence: 0,
        created_snapshot: SnapshotId(row.begin_snapshot),
        altered_snapshot: parts.history.and_then(|history| history.altered),
        last_column_id: parts.history.map_or(0, |history| history.last_id),
        column_stats: Arc::default(),
    };
    add_segments(&mut table, parts.segments)?;
    if schema.tables.insert(fold(&table.name), id).is_some() {
        let reason = format!("two tables are named {}", table.qualified_name());
        return Err(CatalogError::corruption(reason));
    }
    version.tables.insert(id, Arc::new(table));
    Ok(())
}

fn add_segments(table: &mut TableVersion, segments: Vec<Arc<Segment>>) -> Result<()> {
    let mut column_stats = vec![];
    let leaves = LeafIndex::new(&table.columns);
    for segment in &segments {
        merge_stats(&mut column_stats, &leaves, &segment.column_stats);
    }
    table.column_stats = Arc::new(column_stats);
    table.next_row_id = check_row_ids(table.id, &segments)?;
    table.set_segments(segments);
    Ok(())
}

/// No two rows have one id: segments with the ids of others are copies of them, and a row is in one of
/// both. Merged segments may have the ids in their files, whatever the catalog says. Returns the id after
/// the last.
fn check_row_ids(table_id: TableId, segments: &[Arc<Segment>]) -> Result<i64> {
    let numbered = segments
        .iter()
        .filter(|segment| segment.partial_max.is_none())
        .filter_map(|segment| Some((segment.row_id_start?, segment)));
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort_unstable_by_key(|(first, _)| *first);
    let mut next_row_id = 0;
    let mut last: Option<(i64, u64, u64)> = None;
    for (first, segment) in numbered {
        let (rows, live) = (segment.record_count, segment.live_count());
        let known = last.filter(|(start, count, _)| (*start, *count) == (first, rows));
        let others = known.map_or(0, |(_, _, others)| others);
        last = Some((first, rows, others + live));
        let is_copy = known.is_some() && others + live <= rows;
        if first < next_row_id && !is_copy {
            let reason = format!("segment {} repeats row ids of table {table_id}", segment.id);
            return Err(CatalogError::corruption(reason));
        }
        let count = i64::try_from(segment.record_count).unwrap_or(i64::MAX);
        next_row_id = first.saturating_add(count);
    }
    Ok(next_row_id)
}

/// What the catalog says in total has to hold for its segments. It may count rows loosely.
fn check_against_stats(table: &mut TableVersion, stats: Option<rows::TableStatsRow>) -> Result<()> {
    let Some(stats) = stats else {
        if table.segments.is_empty() {
            return Ok(());
        }
        return Err(CatalogError::corruption(format!(
            "table {} has no statistics",
            table.id
        )));
    };
    if stats.next_row_id < table.next_row_id {
        let reason = format!("table {} has row ids above {}", table.id, stats.next_row_id);
        return Err(CatalogError::corruption(reason));
    }
    table.next_row_id = stats.next_row_id;
    Ok(())
}

fn check_counters(version: &CatalogVersion, next_catalog_id: i64) -> Result<()> {
    let last_schema = version
        .schemas()
        .map(|schema| schema.id.0)
        .max()
        .unwrap_or(0);
    let last_table = version.tables().map(|table| table.id.0).max().unwrap_or(0);
    if last_schema.max(last_table) >= next_catalog_id {
        return Err(CatalogError::corruption(format!(
            "ids above {next_catalog_id} are in use"
        )));
    }
    let segments = version.tables().flat_map(|table| table.segments.iter());
    let last_segment = segments.map(|segment| segment.id.0).max().unwrap_or(-1);
    if last_segment >= version.next_file_id {
        let reason = format!("segment ids above {} are in use", version.next_file_id);
        return Err(CatalogError::corruption(reason));
    }
    Ok(())
}

fn parse_uuid(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|_| CatalogError::corruption(format!("uuid is {text:?}")))
}

/// Groups rows by their table.
fn by_table<T>(rows: impl Iterator<Item = (i64, T)>) -> HashMap<TableId, Vec<T>> {
    let mut grouped: HashMap<TableId, Vec<T>> = HashMap::new();
    for (table_id, row) in rows {
        grouped.entry(TableId(table_id)).or_default().push(row);
    }
    grouped
}

fn failed(what: &'static str) -> impl FnOnce(sqlx::Error) -> CatalogError {
    storage(what)
}
