//! Columns of a table that is altered.

use arrow::datatypes::{DataType, Field};

use super::{Column, ColumnDefault, assign, check_column_name};
use crate::error::{CatalogError, Result};
use crate::ids::ColumnId;
use crate::names::fold;

/// Adds a column behind the others: of the table, or of the struct `parent`. Takes ids from `next_id` on.
pub(crate) fn add(
    columns: &mut Vec<Column>,
    parent: Option<ColumnId>,
    field: &Field,
    default: &ColumnDefault,
    next_id: &mut i64,
) -> Result<()> {
    let Some(parent) = parent else {
        check_free(columns, None, field.name())?;
        let mut column = assign(field, field.name(), field.name(), 0, next_id)?;
        column.default = default.clone();
        columns.push(column);
        return Ok(());
    };
    edit(columns, parent, &mut |column| {
        if !matches!(column.data_type, DataType::Struct(_)) {
            return Err(invalid(column, "it has no fields of its own"));
        }
        check_free(&column.children, None, field.name())?;
        // How deep it is, the check of the whole says.
        let mut child = assign(field, field.name(), field.name(), 1, next_id)?;
        child.default = default.clone();
        column.children.push(child);
        Ok(())
    })
}

/// Removes a column.
pub(crate) fn remove(columns: &mut Vec<Column>, id: ColumnId) -> Result<()> {
    if let Some(at) = columns.iter().position(|column| column.id == id) {
        if columns.len() == 1 {
            return Err(invalid(
                &columns[at],
                "a table, or a struct, needs a column",
            ));
        }
        columns.remove(at);
        return Ok(());
    }
    let is_above = |column: &&mut Column| column.preorder().iter().any(|below| below.id == id);
    let Some(above) = columns.iter_mut().find(is_above) else {
        return Err(CatalogError::not_found("column", &id));
    };
    let is_own = above.children.iter().any(|child| child.id == id);
    if is_own && !matches!(above.data_type, DataType::Struct(_)) {
        return Err(invalid(above, "the parts of lists and maps stay"));
    }
    remove(&mut above.children, id)?;
    above.rebuild();
    Ok(())
}

/// Changes a column wherever it is; types above it follow.
pub(crate) fn edit(
    columns: &mut [Column],
    id: ColumnId,
    change: &mut dyn FnMut(&mut Column) -> Result<()>,
) -> Result<()> {
    for column in columns.iter_mut() {
        if column.id == id {
            change(column)?;
            column.rebuild();
            return Ok(());
        }
        if column.preorder().iter().any(|below| below.id == id) {
            edit(&mut column.children, id, change)?;
            column.rebuild();
            return Ok(());
        }
    }
    Err(CatalogError::not_found("column", &id))
}

impl Column {
    /// Another name for the column with an id, which is one of `columns` or below them.
    pub(crate) fn rename(columns: &mut [Self], id: ColumnId, name: &str) -> Result<()> {
        if let Some(at) = columns.iter().position(|column| column.id == id) {
            check_free(columns, Some(id), name)?;
            name.clone_into(&mut columns[at].name);
            return Ok(());
        }
        for column in columns.iter_mut() {
            let own = column.children.iter().any(|child| child.id == id);
            if own && !matches!(column.data_type, DataType::Struct(_)) {
                return Err(invalid(
                    column,
                    "the parts of lists and maps have fixed names",
                ));
            }
            if column.preorder().iter().any(|below| below.id == id) {
                Self::rename(&mut column.children, id, name)?;
                column.rebuild();
                return Ok(());
            }
        }
        Err(CatalogError::not_found("column", &id))
    }
}

/// Whether every value of one type is one of the other, as DuckLake has it.
pub(crate) fn check_widening(column: &Column, to: &DataType) -> Result<()> {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    let holds: &[DataType] = match &column.data_type {
        Int8 => &[Int16, Int32, Int64],
        Int16 => &[Int32, Int64],
        Int32 => &[Int64],
        UInt8 => &[UInt16, UInt32, UInt64],
        UInt16 => &[UInt32, UInt64],
        UInt32 => &[UInt64],
        Float32 => &[Float64],
        _ => &[],
    };
    if holds.contains(to) || *to == column.data_type {
        return Ok(());
    }
    Err(CatalogError::InvalidColumn {
        column: column.name.clone(),
        reason: "only integers become wider ones of the same sign, and REAL becomes DOUBLE: add a \
                 column of the new type, and UPDATE it",
    })
}

fn check_free(columns: &[Column], own: Option<ColumnId>, name: &str) -> Result<()> {
    check_column_name(name, name)?;
    let taken = columns
        .iter()
        .any(|column| Some(column.id) != own && fold(&column.name) == fold(name));
    if taken {
        return Err(CatalogError::AlreadyExists {
            what: "column",
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn invalid(column: &Column, reason: &'static str) -> CatalogError {
    CatalogError::InvalidColumn {
        column: column.name.clone(),
        reason,
    }
}
