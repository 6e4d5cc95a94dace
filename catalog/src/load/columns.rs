//! Columns and sort keys as rows, put together to trees.

use std::collections::HashMap;
use std::path::Path;

use sqlx::SqliteConnection;

use super::{by_table, failed};
use crate::column::{Column, ColumnDefault};
use crate::error::{CatalogError, Result};
use crate::ids::{ColumnId, SnapshotId, TableId};
use crate::names::quoted;
use crate::table::SortColumn;
use crate::types::Shape;

struct ColumnRow {
    column_id: i64,
    name: String,
    shape: Shape,
    nullable: bool,
    parent: Option<i64>,
    default: ColumnDefault,
}

type ColumnColumns = (
    i64,
    i64,
    String,
    String,
    i64,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
);

/// What was ever said of the columns of a table, up to a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnHistory {
    /// The highest id.
    pub(super) last_id: i64,
    /// When the table was made.
    first: SnapshotId,
    /// The last snapshot that changed one, if that was not when the table was made.
    pub(super) altered: Option<SnapshotId>,
}

/// By table.
pub(super) async fn read_history(
    connection: &mut SqliteConnection,
    at: SnapshotId,
) -> Result<HashMap<TableId, ColumnHistory>> {
    let rows: Vec<(i64, i64, i64, i64, Option<i64>)> = sqlx::query_as(
        "SELECT table_id, max(column_id), min(begin_snapshot), \
           max(CASE WHEN begin_snapshot <= ?1 THEN begin_snapshot ELSE 0 END), \
           max(CASE WHEN end_snapshot <= ?1 THEN end_snapshot END) \
         FROM ducklake_column GROUP BY table_id",
    )
    .bind(at.0)
    .fetch_all(connection)
    .await
    .map_err(failed("read the history of the columns"))?;
    let entry = |(table_id, last_id, first, last, ended): (i64, i64, i64, i64, Option<i64>)| {
        let last = last.max(ended.unwrap_or(0));
        let history = ColumnHistory {
            last_id,
            first: SnapshotId(first),
            altered: (last > first).then_some(SnapshotId(last)),
        };
        (TableId(table_id), history)
    };
    Ok(rows.into_iter().map(entry).collect())
}

pub(super) async fn read(
    connection: &mut SqliteConnection,
    path: &Path,
    at: SnapshotId,
    histories: &HashMap<TableId, ColumnHistory>,
) -> Result<HashMap<TableId, Vec<Column>>> {
    let rows: Vec<ColumnColumns> = sqlx::query_as(
        "SELECT c.table_id, c.column_id, c.column_name, c.column_type, c.nulls_allowed, \
           c.parent_column, q.arrow_type, c.initial_default, c.default_value, \
           c.default_value_type, h.first_snapshot \
         FROM ducklake_column c \
         JOIN (SELECT table_id, column_id, min(begin_snapshot) AS first_snapshot \
           FROM ducklake_column GROUP BY table_id, column_id) h \
           ON h.table_id = c.table_id AND h.column_id = c.column_id \
         LEFT JOIN quiver_column q ON q.table_id = c.table_id AND q.column_id = c.column_id \
         WHERE c.begin_snapshot <= ?1 AND (c.end_snapshot IS NULL OR ?1 < c.end_snapshot) \
         ORDER BY c.table_id, c.column_order, c.column_id",
    )
    .bind(at.0)
    .fetch_all(connection)
    .await
    .map_err(failed("read the columns"))?;
    let mut tables: HashMap<TableId, Vec<ColumnRow>> = HashMap::new();
    for row in rows {
        let (table_id, column_id, name, ducklake_type, nulls_allowed, parent, ..) = row;
        let (.., arrow_type, initial, value, value_type, first) = row;
        let shape = shape(&ducklake_type, arrow_type.as_deref()).ok_or_else(|| {
            let reason = format!("column {name} has type {ducklake_type}, which is not supported");
            CatalogError::UnsupportedCatalog {
                path: path.to_owned(),
                reason,
            }
        })?;
        let history = histories.get(&TableId(table_id));
        let is_later = history.is_some_and(|history| SnapshotId(first) > history.first);
        // Other writers say of a field that they add to a struct that it is never NULL, which it is in
        // all rows from before.
        let may_miss = parent.is_some() && is_later && initial.is_none();
        let row = ColumnRow {
            column_id,
            name,
            shape,
            nullable: nulls_allowed != 0 || may_miss,
            parent,
            default: ColumnDefault {
                initial,
                // Of expressions, only the writer that knows them knows the value.
                value: value
                    .filter(|text| value_type.as_deref() == Some("literal") && text != "NULL"),
            },
        };
        tables.entry(TableId(table_id)).or_default().push(row);
    }
    let build = |(id, rows): (TableId, Vec<ColumnRow>)| Ok((id, trees(id, rows)?));
    tables.into_iter().map(build).collect()
}

/// The exact type counts only while it fits DuckLake's, which another writer may have changed.
fn shape(ducklake_type: &str, arrow_type: Option<&str>) -> Option<Shape> {
    let plain = Shape::parse(ducklake_type)?;
    let Some(exact) = arrow_type.and_then(Shape::parse) else {
        return Some(plain);
    };
    let fits = match (&exact, &plain) {
        (Shape::Leaf(exact), Shape::Leaf(_)) => {
            crate::types::ducklake_type(exact).is_ok_and(|name| name == ducklake_type)
        }
        (Shape::Map { .. }, Shape::Map { .. }) => true,
        (exact, plain) => exact == plain,
    };
    Some(if fits { exact } else { plain })
}

fn trees(table_id: TableId, rows: Vec<ColumnRow>) -> Result<Vec<Column>> {
    let mut children: HashMap<Option<i64>, Vec<ColumnRow>> = HashMap::new();
    let mut left = rows.len();
    for row in rows {
        children.entry(row.parent).or_default().push(row);
    }
    let columns = take_children(None, &mut children, &mut left);
    columns.filter(|_| left == 0).ok_or_else(|| {
        CatalogError::corruption(format!("the columns of table {table_id} do not form trees"))
    })
}

/// Takes the children out, so a cycle cannot be followed for ever.
fn take_children(
    parent: Option<i64>,
    children: &mut HashMap<Option<i64>, Vec<ColumnRow>>,
    left: &mut usize,
) -> Option<Vec<Column>> {
    let rows = children.remove(&parent).unwrap_or_default();
    *left -= rows.len();
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let nested = take_children(Some(row.column_id), children, left)?;
        let id = ColumnId(row.column_id);
        let column = Column::from_parts(id, row.name, row.shape, row.nullable, nested)?;
        columns.push(Column {
            default: row.default,
            ..column
        });
    }
    Some(columns)
}

/// Sort keys in DuckDB's dialect; only plain columns are understood.
pub(super) async fn read_sort_keys(
    connection: &mut SqliteConnection,
    path: &Path,
    at: SnapshotId,
    columns: &HashMap<TableId, Vec<Column>>,
) -> Result<HashMap<TableId, Vec<SortColumn>>> {
    let rows: Vec<(i64, String, String, String)> = sqlx::query_as(
        "SELECT i.table_id, e.expression, e.sort_direction, e.null_order \
         FROM ducklake_sort_info i JOIN ducklake_sort_expression e ON e.sort_id = i.sort_id \
         WHERE i.begin_snapshot <= ?1 AND (i.end_snapshot IS NULL OR ?1 < i.end_snapshot) \
         ORDER BY i.table_id, e.sort_key_index",
    )
    .bind(at.0)
    .fetch_all(connection)
    .await
    .map_err(failed("read the sort keys"))?;
    let rows = rows
        .into_iter()
        .map(|(table_id, expression, direction, nulls)| {
            (
                table_id,
                (expression, direction == "DESC", nulls == "NULLS_FIRST"),
            )
        });
    let mut sort_keys = HashMap::new();
    for (table_id, expressions) in by_table(rows) {
        let mut sort_key = Vec::with_capacity(expressions.len());
        for (expression, descending, nulls_first) in expressions {
            let columns = columns
                .get(&table_id)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let column = columns
                .iter()
                .find(|c| quoted(&c.name) == expression || c.name == expression);
            let Some(column) = column else {
                let reason = format!("table {table_id} is sorted by {expression}");
                return Err(CatalogError::UnsupportedCatalog {
                    path: path.to_owned(),
                    reason,
                });
            };
            sort_key.push(SortColumn {
                column_id: column.id,
                descending,
                nulls_first,
            });
        }
        sort_keys.insert(table_id, sort_key);
    }
    Ok(sort_keys)
}
