//! What differs between two versions: exactly what a commit has to write. Because it is computed
//! from the versions and not from the changes, memory and database cannot drift apart.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::names::quoted;
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
        let mut diff = Self {
            dropped_schemas: schemas(before, after),
            dropped_tables: vec![],
            created_schemas: schemas(after, before),
            created_tables: vec![],
            appended: vec![],
        };
        diff.compare_tables(before, after);
        diff
    }

    /// Both sides in the order of their ids: looking each table up on the other side would dominate
    /// commits to catalogs with thousands of tables.
    fn compare_tables(&mut self, before: &'a CatalogVersion, after: &'a CatalogVersion) {
        let (mut old, mut new) = (before.tables().peekable(), after.tables().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => left.id.cmp(&right.id),
            };
            let left = if order.is_le() { old.next() } else { None };
            let right = if order.is_ge() { new.next() } else { None };
            match (left, right) {
                (Some(left), Some(right)) if Arc::ptr_eq(left, right) => {}
                (Some(left), Some(right)) => self.add_appended(right, left.segments.len()),
                (Some(left), None) => self.dropped_tables.push(left),
                (None, Some(right)) => {
                    self.created_tables.push(right);
                    self.add_appended(right, 0);
                }
                (None, None) => {}
            }
        }
    }

    fn add_appended(&mut self, table: &'a TableVersion, known: usize) {
        let new = &table.segments[known..];
        if !new.is_empty() {
            self.appended.push((table, new));
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
