//! What differs between two versions: exactly what a commit has to write. Because it is computed
//! from the versions and not from the changes, memory and database cannot drift apart.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::change::Replacement;
use crate::names::quoted;
use crate::segment::{DeleteFile, Segment};
use crate::table::{SchemaVersion, TableVersion};
use crate::version::CatalogVersion;

/// The differences; flushed sequences do not count.
#[derive(Debug)]
pub(crate) struct Diff<'a> {
    pub(crate) dropped_schemas: Vec<&'a SchemaVersion>,
    pub(crate) dropped_tables: Vec<&'a TableVersion>,
    pub(crate) created_schemas: Vec<&'a SchemaVersion>,
    pub(crate) created_tables: Vec<&'a TableVersion>,
    /// Tables that are there before and after, and that have other names, columns or sort keys.
    pub(crate) altered: Vec<AlteredTable<'a>>,
    /// Tables whose segments, or next row ids, are others than before.
    pub(crate) changed: Vec<ChangedSegments<'a>>,
}

/// A table that is altered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlteredTable<'a> {
    pub(crate) before: &'a TableVersion,
    pub(crate) after: &'a TableVersion,
}

impl<'a> AlteredTable<'a> {
    fn between(before: &'a TableVersion, after: &'a TableVersion) -> Option<Self> {
        let altered = Self { before, after };
        let is_altered = altered.has_other_columns() || altered.is_sorted_anew();
        (is_altered || altered.is_renamed()).then_some(altered)
    }

    pub(crate) fn has_other_columns(&self) -> bool {
        self.before.columns != self.after.columns || self.has_older_segments()
    }

    /// Whether segments from before an alteration are there again, under the same columns.
    pub(crate) fn has_older_segments(&self) -> bool {
        let (before, after) = (self.before, self.after);
        before.columns == after.columns && before.altered_snapshot != after.altered_snapshot
    }

    /// By other columns, or by columns with other names: sort keys are written with names.
    pub(crate) fn is_sorted_anew(&self) -> bool {
        let named = |table: &'a TableVersion| {
            let key = table.sort_key.iter();
            key.map(|sort| {
                (
                    sort,
                    table.column_by_id(sort.column_id).map(|own| &own.name),
                )
            })
        };
        !named(self.before).eq(named(self.after))
    }

    pub(crate) fn is_renamed(&self) -> bool {
        self.before.name != self.after.name
    }
}

/// What a commit does to the segments of one table.
#[derive(Debug)]
pub(crate) struct ChangedSegments<'a> {
    pub(crate) table: &'a TableVersion,
    pub(crate) added: Vec<&'a Segment>,
    /// Those that are not there any more.
    pub(crate) ended: Vec<&'a Segment>,
    /// Segments, with their new lists of deleted rows.
    pub(crate) deleted_from: Vec<(&'a Segment, &'a DeleteFile)>,
    /// Lists of deleted rows that are replaced.
    pub(crate) ended_deletes: Vec<&'a DeleteFile>,
}

impl<'a> ChangedSegments<'a> {
    /// Both lists are ordered by id.
    fn between(before: &'a [Arc<Segment>], table: &'a TableVersion) -> Self {
        let mut changed = Self {
            table,
            added: vec![],
            ended: vec![],
            deleted_from: vec![],
            ended_deletes: vec![],
        };
        // Most commits only add: what they share with the version before is one run.
        let shared = before
            .iter()
            .zip(table.segments.iter())
            .take_while(|(old, new)| Arc::ptr_eq(old, new))
            .count();
        let mut old = before[shared..].iter().peekable();
        let mut new = table.segments[shared..].iter().peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return changed,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => left.id.cmp(&right.id),
            };
            let left = if order.is_le() { old.next() } else { None };
            let right = if order.is_ge() { new.next() } else { None };
            changed.compare(left.map(Arc::as_ref), right.map(Arc::as_ref));
        }
    }

    fn compare(&mut self, old: Option<&'a Segment>, new: Option<&'a Segment>) {
        let old_deletes = old.and_then(|segment| segment.deletes.as_deref());
        let new_deletes = new.and_then(|segment| segment.deletes.as_deref());
        if old_deletes != new_deletes {
            self.ended_deletes.extend(old_deletes);
            self.deleted_from.extend(new.zip(new_deletes));
        }
        match (old, new) {
            (None, Some(new)) => self.added.push(new),
            (Some(old), None) => self.ended.push(old),
            _ => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.ended.is_empty() && self.deleted_from.is_empty()
    }

    /// In DuckLake's words.
    fn words(&self, replacement: Option<Replacement>) -> Vec<String> {
        let id = self.table.id;
        match replacement {
            None => {}
            Some(Replacement::Rewrite) => return vec![format!("rewrite_delete:{id}")],
            Some(Replacement::Merge) => return vec![format!("merge_adjacent:{id}")],
        }
        let deletes = !self.ended.is_empty() || !self.deleted_from.is_empty();
        let mut words = vec![];
        if !self.added.is_empty() {
            words.push(format!("inserted_into_table:{id}"));
        }
        if deletes {
            words.push(format!("deleted_from_table:{id}"));
        }
        words
    }
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
            altered: vec![],
            changed: vec![],
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
                (Some(left), Some(right)) => {
                    self.altered.extend(AlteredTable::between(left, right));
                    self.add_changed(Some(left), right);
                }
                (Some(left), None) => self.dropped_tables.push(left),
                (None, Some(right)) => {
                    self.created_tables.push(right);
                    self.add_changed(None, right);
                }
                (None, None) => {}
            }
        }
    }

    fn add_changed(&mut self, before: Option<&'a Arc<TableVersion>>, table: &'a TableVersion) {
        let segments = before.map_or(&[][..], |before| &before.segments);
        let changed = ChangedSegments::between(segments, table);
        // Rows that came and went within the commit have taken row ids.
        let numbered = before.map_or(0, |before| before.next_row_id) != table.next_row_id;
        // Statistics are of columns.
        let is_altered = before.is_some_and(|before| before.columns != table.columns);
        if numbered || is_altered || !changed.is_empty() {
            self.changed.push(changed);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dropped_schemas.is_empty()
            && self.dropped_tables.is_empty()
            && self.created_schemas.is_empty()
            && self.created_tables.is_empty()
            && self.altered.is_empty()
            && self.changed.iter().all(ChangedSegments::is_empty)
    }

    /// The list of changes in DuckLake's words. DuckDB refuses a catalog in which it does not
    /// understand one of them.
    pub(crate) fn changes_made(&self, replacement: Option<Replacement>) -> String {
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
        // That is what DuckLake calls a table with another name.
        let renamed = self.altered.iter().filter(|altered| altered.is_renamed());
        let named = self.created_tables.iter().copied();
        let named = named.chain(renamed.map(|altered| altered.after));
        let created_tables = named.map(|table| {
            format!(
                "created_table:{}.{}",
                quoted(&table.schema_name),
                quoted(&table.name)
            )
        });
        let altered = self.altered.iter();
        let altered =
            altered.filter(|altered| altered.has_other_columns() || altered.is_sorted_anew());
        let altered = altered.map(|altered| format!("altered_table:{}", altered.after.id));
        let changed = self.changed.iter();
        let changed = changed.flat_map(|table| table.words(replacement));
        let all = dropped_schemas
            .chain(dropped_tables)
            .chain(created_schemas)
            .chain(created_tables)
            .chain(altered)
            .chain(changed);
        all.collect::<Vec<_>>().join(",")
    }
}
