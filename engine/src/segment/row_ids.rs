//! Rows that keep their ids when they are moved to another segment.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Schema};
use quiver_catalog::{
    Column, ColumnDefault, ColumnId, ROW_ID_COLUMN, ROW_ID_FIELD, SNAPSHOT_COLUMN, SNAPSHOT_FIELD,
    TableVersion,
};

use crate::error::{EngineError, Result};

/// Where rows lie: the place of the segment in its table's list, the position in it, and the row's id
/// if it is in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowPlaces<'a> {
    pub(crate) segments: &'a Int64Array,
    pub(crate) positions: &'a Int64Array,
    pub(crate) in_file: &'a Int64Array,
}

impl RowPlaces<'_> {
    /// The place of the segment of a row, and its position there.
    ///
    /// # Errors
    /// `Internal` when there is no such place.
    pub(crate) fn of(&self, row: usize) -> Result<(usize, u64)> {
        let segment = usize::try_from(self.segments.value(row)).ok();
        let position = u64::try_from(self.positions.value(row)).ok();
        segment
            .zip(position)
            .ok_or_else(|| EngineError::internal("the place of a row is not negative"))
    }

    /// The ids of the rows of `table`: in the file, or following from their places. Rows that are not
    /// committed have none.
    ///
    /// # Errors
    /// `Internal` when there is no such place.
    pub(crate) fn row_ids(&self, table: &TableVersion) -> Result<Int64Array> {
        let ids = (0..self.segments.len()).map(|row| {
            if self.in_file.is_valid(row) {
                return Ok(Some(self.in_file.value(row)));
            }
            let (segment, _) = self.of(row)?;
            let first = table.segments[segment].row_id_start;
            Ok(first.map(|first| first + self.positions.value(row)))
        });
        Ok(ids.collect::<Result<Vec<Option<i64>>>>()?.into())
    }
}

/// The snapshots in which the rows at `places` were added: in the file, or that of their segment. A
/// segment that was restored is later than what its file says.
///
/// # Errors
/// `Internal` when there is no such place.
pub(crate) fn row_snapshots(
    places: &RowPlaces<'_>,
    in_file: &Int64Array,
    table: &TableVersion,
) -> Result<Int64Array> {
    let snapshots = (0..in_file.len()).map(|row| {
        let (segment, _) = places.of(row)?;
        let begin = table.segments[segment].begin_snapshot.0;
        Ok(match in_file.is_valid(row) {
            true => in_file.value(row).max(begin),
            false => begin,
        })
    });
    Ok(snapshots.collect::<Result<Vec<i64>>>()?.into())
}

/// The column of a segment that holds the ids of its rows.
pub(crate) fn row_id_column() -> Column {
    hidden_column(ROW_ID_FIELD, ROW_ID_COLUMN)
}

/// The column of a merged segment that holds the snapshots in which its rows were added.
pub(crate) fn snapshot_column() -> Column {
    hidden_column(SNAPSHOT_FIELD, SNAPSHOT_COLUMN)
}

fn hidden_column(id: i64, name: &str) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type: DataType::Int64,
        nullable: false,
        children: vec![],
        default: ColumnDefault::default(),
    }
}

/// Rows with their ids in one more column.
///
/// # Errors
/// `Arrow` when there are not as many of both.
pub(crate) fn with_row_ids(rows: &RecordBatch, ids: Int64Array) -> Result<RecordBatch> {
    with_hidden(rows, vec![(row_id_column(), ids)])
}

/// Rows with more columns.
///
/// # Errors
/// `Arrow` when they are not equally long.
pub(crate) fn with_hidden(
    rows: &RecordBatch,
    hidden: Vec<(Column, Int64Array)>,
) -> Result<RecordBatch> {
    let mut fields: Vec<FieldRef> = rows.schema_ref().fields().iter().map(Arc::clone).collect();
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    for (column, values) in hidden {
        fields.push(Arc::new(column.to_field().with_nullable(true)));
        columns.push(Arc::new(values));
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
