//! Rows that keep their ids when they are moved to another segment.

use arrow::datatypes::DataType;
use quiver_catalog::{Column, ColumnId, ROW_ID_COLUMN, ROW_ID_FIELD};

/// The column of a segment that holds the ids of its rows.
pub(crate) fn row_id_column() -> Column {
    Column {
        id: ColumnId(ROW_ID_FIELD),
        name: ROW_ID_COLUMN.to_owned(),
        data_type: DataType::Int64,
        nullable: false,
        children: vec![],
    }
}
