//! Catalogs in temporary folders, small tables and made-up segments.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::datatypes::{DataType, Field, Fields, Schema};
use quiver_catalog::{
    CatalogOptions, CatalogVersion, Change, Clock, Column, ColumnStats, Commit, NewDeleteFile,
    NewSegment, NewTable, RowIds, SchemaId, TableId, TableVersion, TenantCatalog, assign_columns,
};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub(crate) struct StillClock(AtomicI64);

impl StillClock {
    pub(crate) fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::Relaxed);
    }
}

impl Clock for StillClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<StillClock>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
        }
    }

    pub(crate) fn options(&self) -> CatalogOptions {
        let folder = self.folder.path();
        CatalogOptions {
            path: folder.join("catalog.sqlite"),
            data_path: folder.join("data"),
            create: true,
        }
    }

    pub(crate) async fn open(&self) -> TenantCatalog {
        let clock: Arc<dyn Clock> = Arc::<StillClock>::clone(&self.clock);
        TenantCatalog::open(self.options(), clock).await.unwrap()
    }

    pub(crate) async fn reopen(&self, catalog: TenantCatalog) -> TenantCatalog {
        catalog.close().await.unwrap();
        self.open().await
    }

    /// A connection of its own, as another program would have one.
    pub(crate) async fn sql(&self) -> SqliteConnection {
        sql(&self.options().path).await
    }
}

pub(crate) async fn sql(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap()
}

/// `a BIGINT`, `b` text, `p` a struct of a double `x` and a list of ints.
pub(crate) fn columns() -> Vec<Column> {
    let element = Field::new("element", DataType::Int32, true);
    let point = Fields::from(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("l", DataType::List(Arc::new(element)), true),
    ]);
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("p", DataType::Struct(point), true),
    ]);
    assign_columns(&schema).unwrap()
}

pub(crate) fn new_table(table_id: TableId, name: &str) -> NewTable {
    NewTable {
        table_id,
        schema_id: SchemaId(0),
        name: name.to_owned(),
        columns: columns(),
        sort_key: vec![],
    }
}

pub(crate) fn create_table(catalog: &TenantCatalog, name: &str) -> (TableId, Change) {
    let table_id = TableId(catalog.reserve_ids(1));
    (table_id, Change::CreateTable(new_table(table_id, name)))
}

/// A segment whose values of `a` lie between two bounds.
pub(crate) fn segment(name: &str, rows: u64, min: i64, max: i64) -> NewSegment {
    let leaves: Vec<Column> = columns().iter().flat_map(Column::leaves).cloned().collect();
    let column_stats = leaves.iter().map(|leaf| {
        let (min, max) = match leaf.data_type {
            DataType::Int64 | DataType::Int32 => (min.to_string(), max.to_string()),
            DataType::Float64 => (format!("{min}.0"), format!("{max}.0")),
            _ => (
                format!("{:06}", min + 100_000),
                format!("{:06}~", max + 100_000),
            ),
        };
        ColumnStats {
            column_id: leaf.id,
            column_size_bytes: 10 * rows,
            value_count: rows,
            null_count: 0,
            min: Some(min),
            max: Some(max),
            contains_nan: (leaf.data_type == DataType::Float64).then_some(false),
        }
    });
    NewSegment {
        path: format!("{name}.parquet"),
        record_count: rows,
        file_size_bytes: 1000 + rows,
        footer_size: 200,
        row_ids: RowIds::New,
        column_stats: column_stats.collect(),
    }
}

pub(crate) fn append(table_id: TableId, segments: Vec<NewSegment>) -> Change {
    Change::AppendSegments { table_id, segments }
}

pub(crate) fn changes(changes: Vec<Change>) -> Commit {
    Commit {
        changes,
        ..Commit::default()
    }
}

/// A list of deleted rows.
pub(crate) fn delete_file(name: &str, delete_count: u64) -> NewDeleteFile {
    NewDeleteFile {
        path: format!("{name}-deletes.parquet"),
        delete_count,
        file_size_bytes: 500 + delete_count,
        footer_size: 100,
    }
}

/// A version without what a fresh start knows better: the statistics of tables cover segments that
/// were removed since the last start.
pub(crate) fn without_table_stats(version: &CatalogVersion) -> Vec<TableVersion> {
    let tables = version.tables().map(|table| {
        let mut table = table.as_ref().clone();
        table.column_stats = Arc::default();
        table
    });
    tables.collect()
}

/// Historic versions do not know how far tables were flushed and which row ids were given, so that
/// does not count.
pub(crate) fn assert_same_history(historic: &CatalogVersion, remembered: &CatalogVersion) {
    let show = |version: &CatalogVersion| {
        let mut tables = without_table_stats(version);
        for table in &mut tables {
            table.flushed_sequence = 0;
            table.next_row_id = 0;
        }
        (
            version.snapshot_id,
            version.snapshot_time_micros,
            version.schema_version,
            tables,
        )
    };
    assert_eq!(show(historic), show(remembered));
    assert!(historic.schemas().eq(remembered.schemas()));
}

/// Polls a future so often, then drops it. Says whether it was done before.
pub(crate) async fn poll_times<F: Future>(future: F, polls: usize) -> bool {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if futures::poll!(future.as_mut()).is_ready() {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_micros(200)).await;
    }
    false
}
