//! Columns with the ids that tie them to the fields of a Parquet file.
//!
//! Nested columns are a tree in the order of DuckLake: a struct's fields, a list's `element`, a
//! map's `key` and `value`. Ids never change, so a renamed column still finds its values in old
//! segments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};

use crate::error::{CatalogError, Result};
use crate::ids::ColumnId;
use crate::names::fold;
use crate::types::{Shape, ducklake_type};

mod alter;
#[cfg(test)]
mod tests;

pub(crate) use alter::{add, check_widening, edit, remove};

/// Field metadata by which Parquet writers take the field id.
const PARQUET_FIELD_ID: &str = "PARQUET:field_id";
/// What a list's child is called in Parquet and in the catalog.
const LIST_CHILD: &str = "element";
/// What it is called in Arrow: functions that make lists call it so, and types with other names
/// are other types to them.
const ARROW_LIST_CHILD: &str = "item";
/// What a map's repeated group is called in Parquet.
const MAP_ENTRIES: &str = "key_value";
const MAP_KEY: &str = "key";
const MAP_VALUE: &str = "value";
/// Deepest nesting; DuckDB and Parquet readers recurse.
const DEPTH_MAX: usize = 32;
/// Begin the names of columns that stand beside those of a table.
const RESERVED_PREFIXES: [&str; 2] = ["_quiver_", "_ducklake_internal_"];
/// Longest column name, in bytes.
const COLUMN_NAME_BYTES_MAX: usize = 1024;

/// A column of a table, or a nested part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Unique in the table over all levels and for its whole life; the Parquet field id.
    pub id: ColumnId,
    /// Name; `element`, `key` or `value` for the parts of lists and maps.
    pub name: String,
    /// Canonical Arrow type; nested types are built from the children.
    pub data_type: DataType,
    /// Whether values may be missing.
    pub nullable: bool,
    /// The nested columns; empty for leaves.
    pub children: Vec<Column>,
    /// What rows have that name no value.
    pub default: ColumnDefault,
}

/// What stands for values that nobody gave, as DuckLake writes them; `None` is NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnDefault {
    /// For rows of segments that were written before the column was added.
    pub initial: Option<String>,
    /// For new rows.
    pub value: Option<String>,
}

impl Column {
    /// The plain Arrow field, without metadata.
    pub fn to_field(&self) -> Field {
        Field::new(&self.name, self.data_type.clone(), self.nullable)
    }

    /// The Arrow field as a Parquet writer needs it: it and every nested field carry their field
    /// id.
    pub fn to_parquet_field(&self) -> Field {
        let mut children = self.children.iter().map(Self::to_parquet_field);
        let data_type = match (&self.data_type, children.next()) {
            (DataType::List(_), Some(element)) => DataType::List(Arc::new(element)),
            (data_type, first) => {
                nested_type(data_type, first.into_iter().chain(children).collect())
            }
        };
        let metadata = HashMap::from([(PARQUET_FIELD_ID.to_owned(), self.id.to_string())]);
        Field::new(&self.name, data_type, self.nullable).with_metadata(metadata)
    }

    /// The columns that hold values, in order: itself if it is not nested. Statistics are kept for
    /// these.
    pub fn leaves(&self) -> Vec<&Self> {
        if self.is_leaf() {
            return vec![self];
        }
        self.children.iter().flat_map(Self::leaves).collect()
    }

    /// Itself and all nested columns, parents first.
    pub fn preorder(&self) -> Vec<&Self> {
        let nested = self.children.iter().flat_map(Self::preorder);
        std::iter::once(self).chain(nested).collect()
    }

    /// Whether it holds values itself.
    pub fn is_leaf(&self) -> bool {
        !matches!(
            self.data_type,
            DataType::List(_) | DataType::Struct(_) | DataType::Map(_, _)
        )
    }

    /// Puts a column together from what the catalog stores; `None` if the children do not fit.
    pub(crate) fn from_parts(
        id: ColumnId,
        name: String,
        shape: Shape,
        nullable: bool,
        mut children: Vec<Self>,
    ) -> Option<Self> {
        if let (Shape::Map { .. }, Some(key)) = (&shape, children.first_mut()) {
            // Other writers do not say so.
            key.nullable = false;
        }
        let fits = match shape {
            Shape::Leaf(_) => children.is_empty(),
            Shape::List => children.len() == 1,
            Shape::Map { .. } => children.len() == 2,
            Shape::Struct => !children.is_empty(),
        };
        if !fits {
            return None;
        }
        let fields: Vec<Field> = children.iter().map(Self::to_field).collect();
        let data_type = match shape {
            Shape::Leaf(data_type) => data_type,
            Shape::List => list_type(fields),
            Shape::Struct => DataType::Struct(Fields::from(fields)),
            Shape::Map { sorted } => map_type(fields, sorted),
        };
        Some(Self {
            id,
            name,
            data_type,
            nullable,
            children,
            default: ColumnDefault::default(),
        })
    }

    /// Takes over the types of its children.
    fn rebuild(&mut self) {
        if !self.is_leaf() {
            let fields = self.children.iter().map(Self::to_field).collect();
            self.data_type = nested_type(&self.data_type, fields);
        }
    }
}

/// Gives the fields of an Arrow schema column ids: 1 and up, parents before their children.
///
/// The names of map children become those of Parquet; metadata is dropped.
///
/// # Errors
/// `InvalidColumn` for empty or doubled names (case does not count) and for more than 32 levels;
/// `UnsupportedType` for types that are not canonical; both name the column.
pub fn assign_columns(schema: &Schema) -> Result<Vec<Column>> {
    if schema.fields().is_empty() {
        let reason = "a table needs at least one column";
        return Err(CatalogError::InvalidColumn {
            column: String::new(),
            reason,
        });
    }
    let mut next_id = 1;
    assign_fields(schema.fields(), "", 0, &mut next_id)
}

/// The plain Arrow schema of a table.
pub fn columns_to_schema(columns: &[Column]) -> Schema {
    Schema::new(columns.iter().map(Column::to_field).collect::<Vec<_>>())
}

fn assign_fields(
    fields: &Fields,
    parent: &str,
    depth: usize,
    next_id: &mut i64,
) -> Result<Vec<Column>> {
    let mut names = HashSet::new();
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let path = join(parent, field.name());
        check_column_name(field.name(), &path)?;
        if !names.insert(fold(field.name())) {
            let reason = "another column has the same name (upper and lower case count as equal)";
            return Err(CatalogError::InvalidColumn {
                column: path,
                reason,
            });
        }
        columns.push(assign(field, field.name(), &path, depth, next_id)?);
    }
    Ok(columns)
}

fn assign(
    field: &Field,
    name: &str,
    path: &str,
    depth: usize,
    next_id: &mut i64,
) -> Result<Column> {
    if depth > DEPTH_MAX {
        let reason = "it is nested deeper than 32 levels";
        return Err(CatalogError::InvalidColumn {
            column: path.to_owned(),
            reason,
        });
    }
    let unsupported = || CatalogError::UnsupportedType {
        column: path.to_owned(),
        data_type: field.data_type().clone(),
    };
    ducklake_type(field.data_type()).map_err(|_| unsupported())?;
    let id = ColumnId(*next_id);
    *next_id += 1;
    let children = match field.data_type() {
        DataType::List(child) => {
            let path = join(path, LIST_CHILD);
            vec![assign(child, LIST_CHILD, &path, depth + 1, next_id)?]
        }
        DataType::Struct(fields) if fields.is_empty() => return Err(unsupported()),
        DataType::Struct(fields) => assign_fields(fields, path, depth + 1, next_id)?,
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(unsupported());
            };
            let [key, value] = pair.as_ref() else {
                return Err(unsupported());
            };
            let key = assign(key, MAP_KEY, &join(path, MAP_KEY), depth + 1, next_id)?;
            let value = assign(value, MAP_VALUE, &join(path, MAP_VALUE), depth + 1, next_id)?;
            // A map without keys has no meaning; Parquet demands the field to be required.
            vec![
                Column {
                    nullable: false,
                    ..key
                },
                value,
            ]
        }
        _ => vec![],
    };
    let fields = children.iter().map(Column::to_field).collect();
    let data_type = nested_type(field.data_type(), fields);
    Ok(Column {
        id,
        name: name.to_owned(),
        data_type,
        nullable: field.is_nullable(),
        children,
        default: ColumnDefault::default(),
    })
}

/// The type with its nested fields replaced.
fn nested_type(data_type: &DataType, children: Vec<Field>) -> DataType {
    match data_type {
        DataType::List(_) => list_type(children),
        DataType::Struct(_) => DataType::Struct(Fields::from(children)),
        DataType::Map(_, sorted) => map_type(children, *sorted),
        leaf => leaf.clone(),
    }
}

fn list_type(children: Vec<Field>) -> DataType {
    let element = children
        .into_iter()
        .next()
        .expect("a list column has one child");
    DataType::List(Arc::new(element.with_name(ARROW_LIST_CHILD)))
}

fn map_type(children: Vec<Field>, sorted: bool) -> DataType {
    let pair = DataType::Struct(Fields::from(children));
    DataType::Map(Arc::new(Field::new(MAP_ENTRIES, pair, false)), sorted)
}

fn check_column_name(name: &str, path: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "its name must not be empty: give it one with AS"
    } else if name.len() > COLUMN_NAME_BYTES_MAX {
        "its name must not be longer than 1024 bytes: give it a shorter one with AS"
    } else if name.contains('\0') {
        "its name must not contain a zero byte"
    } else if RESERVED_PREFIXES
        .iter()
        .any(|own| fold(name).starts_with(own))
    {
        "names that begin with _quiver_ or _ducklake_internal_ are taken: use another one"
    } else {
        return Ok(());
    };
    Err(CatalogError::InvalidColumn {
        column: path.to_owned(),
        reason,
    })
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}
