//! A catalog version with some tables, for the tests of this module.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use quiver_catalog::{
    CatalogOptions, CatalogVersion, Change, NewTable, SchemaId, Stamp, SystemClock, TableId,
    TenantCatalog, assign_columns,
};
use tempfile::TempDir;

use super::{SYSTEM_TABLE, Source, VIEW, VirtualTable};

pub(super) struct Fixture {
    pub(super) version: CatalogVersion,
    pub(super) extra: Vec<VirtualTable>,
}

impl Fixture {
    /// The tables `main.a_b`, `main.axb`, `main.T` and `Raw.a_b`, and two virtual ones.
    pub(super) async fn new() -> Self {
        let home = TempDir::new().unwrap();
        let options = CatalogOptions {
            path: home.path().join("catalog.sqlite"),
            data_path: home.path().join("data"),
            create: true,
        };
        let catalog = TenantCatalog::open(options, Arc::new(SystemClock))
            .await
            .unwrap();
        let empty = catalog.current();
        let main = empty.schema("main").unwrap().id;
        let first_id = catalog.reserve_ids(5);
        let raw = SchemaId(first_id);
        let table = |offset: i64, schema_id, name: &str| {
            Change::CreateTable(NewTable {
                table_id: TableId(first_id + offset),
                schema_id,
                name: name.to_owned(),
                columns: assign_columns(&columns()).unwrap(),
                sort_key: Vec::new(),
            })
        };
        let changes = [
            Change::CreateSchema {
                schema_id: raw,
                name: "Raw".to_owned(),
            },
            table(1, main, "axb"),
            table(2, raw, "a_b"),
            table(3, main, "a_b"),
            table(4, main, "T"),
        ];
        let version = empty.apply(&changes, Stamp::overlay(&empty)).unwrap();
        catalog.close().await.unwrap();
        let extra = vec![
            virtual_table("information_schema", "tables", VIEW),
            virtual_table("system", "queries", SYSTEM_TABLE),
        ];
        Self { version, extra }
    }

    pub(super) fn source(&self) -> Source<'_> {
        Source {
            tenant: "acme",
            version: &self.version,
            extra: &self.extra,
        }
    }
}

/// The columns of every table of the fixture.
pub(super) fn columns() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("price", DataType::Decimal128(10, 2), true),
        Field::new("note", DataType::Utf8, true),
    ])
}

fn virtual_table(schema: &str, name: &str, table_type: &'static str) -> VirtualTable {
    let arrow_schema: SchemaRef = Arc::new(columns());
    VirtualTable {
        schema: schema.to_owned(),
        name: name.to_owned(),
        table_type,
        arrow_schema,
    }
}
