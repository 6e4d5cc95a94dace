//! The columns that an ingest brings and its table lacks.

use arrow::datatypes::{DataType, FieldRef, Fields, Schema};
use quiver_catalog::{
    Alteration, Change, Column, ColumnDefault, ColumnId, TableVersion, assign_columns,
};

use crate::canonical::canonical_schema;
use crate::error::Result;
use crate::segment::check_storable;

/// What adds them, behind the columns and the fields of structs that are there: rows from before have
/// none of their values.
///
/// # Errors
/// `InvalidArgument` for a column that no table can have.
pub(super) fn new_columns(table: &TableVersion, incoming: &Schema) -> Result<Vec<Change>> {
    let mut added = vec![];
    of_fields(&table.columns, None, incoming.fields(), &mut added)?;
    let change = |alteration| Change::AlterTable {
        table_id: table.id,
        alteration,
    };
    Ok(added.into_iter().map(change).collect())
}

fn of_fields(
    columns: &[Column],
    parent: Option<ColumnId>,
    incoming: &Fields,
    added: &mut Vec<Alteration>,
) -> Result<()> {
    let mut new: Vec<FieldRef> = vec![];
    for field in incoming {
        let name = field.name().to_lowercase();
        let column = columns.iter().find(|own| own.name.to_lowercase() == name);
        match column {
            Some(column) => below(column, field.data_type(), added)?,
            None => new.push(field.as_ref().clone().with_nullable(true).into()),
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    let new = assign_columns(&canonical_schema(&Schema::new(new))?)?;
    check_storable(&new)?;
    added.extend(new.iter().map(|column| Alteration::AddColumn {
        parent,
        field: column.to_field(),
        default: ColumnDefault::default(),
    }));
    Ok(())
}

/// The same for the fields of a struct, wherever it is.
fn below(column: &Column, incoming: &DataType, added: &mut Vec<Alteration>) -> Result<()> {
    use DataType::{FixedSizeList, LargeList, LargeListView, List, ListView, Map, Struct};
    match (&column.data_type, incoming, column.children.as_slice()) {
        (Struct(_), Struct(fields), children) => {
            of_fields(children, Some(column.id), fields, added)
        }
        (
            List(_),
            List(item)
            | LargeList(item)
            | ListView(item)
            | LargeListView(item)
            | FixedSizeList(item, _),
            [element],
        ) => below(element, item.data_type(), added),
        (Map(..), Map(entries, _), [_, values]) => match entries.data_type() {
            Struct(pair) if pair.len() == 2 => below(values, pair[1].data_type(), added),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
