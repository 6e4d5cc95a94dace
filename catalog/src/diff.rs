//! What differs between two versions: exactly what a commit has to write. Because it is computed from
//! the versions and not from the changes, memory and database cannot drift apart.

use std::sync::Arc;

use crate::load::quoted;
use crate::segment::Segment;
use crate::table::{SchemaVersion, TableVersion};
use crate::version::CatalogVersion;

/// The differences; flushed sequences do not count.
#[derive(Debug)]
pub(crate) struct Diff<'a> {
    pub(crate) dropped_schemas: Vec<&'a SchemaVersion>,
    pub(crate) dropped_tables: Vec<&'a TableVersion>,
    pub(crate) created_schemas: Vec<&'a SchemaVersion>,
    pub(crate) created_tables: Vec<&'a TableVersion>,
    /// Tables with their new segments.
    pub(crate) appended: Vec<(&'a TableVersion, &'a [Arc<Segment>])>,
}

impl<'a> Diff<'a> {
    pub(crate) fn between(before: &'a CatalogVersion, after: &'a CatalogVersion) -> Self {
        let is_in = |version: &CatalogVersion, schema: &SchemaVersion| {
            version
                .schema(&schema.name)
                .is_some_and(|other| other.id == schema.id)
        };
        let schemas = |of: &'a CatalogVersion, without: &CatalogVersion| {
            let changed = of.schemas().filter(|schema| !is_in(without, schema));
            changed.map(Arc::as_ref).collect()
        };
        let tables = |of: &'a CatalogVersion, without: &CatalogVersion| {
            let changed = of
                .tables()
                .filter(|table| without.table_by_id(table.id).is_none());
            changed.map(Arc::as_ref).collect()
        };
        Self {
            dropped_schemas: schemas(before, after),
            dropped_tables: tables(before, after),
            created_schemas: schemas(after, before),
            created_tables: tables(after, before),
            appended: after
                .tables()
                .filter_map(|table| appended(before, table))
                .collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dropped_schemas.is_empty()
            && self.dropped_tables.is_empty()
            && self.created_schemas.is_empty()
            && self.created_tables.is_empty()
            && self.appended.is_empty()
    }

    /// The list of changes in DuckLake's words. DuckDB refuses a catalog in which it does not
    /// understand one of them.
    pub(crate) fn changes_made(&self) -> String {
        let dropped_schemas = self
            .dropped_schemas
            .iter()
            .map(|s| format!("dropped_schema:{}", s.id));
        let dropped_tables = self
            .dropped_tables
            .iter()
            .map(|t| format!("dropped_table:{}", t.id));
        let created_schemas = self
            .created_schemas
            .iter()
            .map(|s| format!("created_schema:{}", quoted(&s.name)));
        let created_tables = self.created_tables.iter().map(|table| {
            format!(
                "created_table:{}.{}",
                quoted(&table.schema_name),
                quoted(&table.name)
            )
        });
        let appended = self
            .appended
            .iter()
            .map(|(t, _)| format!("inserted_into_table:{}", t.id));
        let all = dropped_schemas
            .chain(dropped_tables)
            .chain(created_schemas)
            .chain(created_tables)
            .chain(appended);
        all.collect::<Vec<_>>().join(",")
    }
}

fn appended<'a>(
    before: &CatalogVersion,
    table: &'a Arc<TableVersion>,
) -> Option<(&'a TableVersion, &'a [Arc<Segment>])> {
    let known = match before.table_by_id(table.id) {
        Some(old) if Arc::ptr_eq(old, table) => return None,
        Some(old) => old.segments.len(),
        None => 0,
    };
    let new = &table.segments[known..];
    (!new.is_empty()).then_some((table, new))
}
