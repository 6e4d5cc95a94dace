//! A table whose rows are to be changed: what says which row is which stands beside its columns.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use parquet::arrow::RowNumber;
use quiver_catalog::{ROW_ID_COLUMN, SNAPSHOT_COLUMN};

use super::segments::ExtraColumns;
use super::table::{QuiverTable, filter_support};

/// The place of a row's segment in the table's list.
pub(crate) const SEGMENT_COLUMN: &str = "_quiver_segment";
/// The row's position in the segment.
pub(crate) const POSITION_COLUMN: &str = "_quiver_position";

static EXTRA_COLUMNS: LazyLock<ExtraColumns> = LazyLock::new(|| {
    let position = Field::new(POSITION_COLUMN, DataType::Int64, false);
    ExtraColumns {
        in_file: Arc::new(Field::new(ROW_ID_COLUMN, DataType::Int64, true)),
        snapshot: Arc::new(Field::new(SNAPSHOT_COLUMN, DataType::Int64, true)),
        segment: Arc::new(Field::new(SEGMENT_COLUMN, DataType::Int64, false)),
        position: Arc::new(position.with_extension_type(RowNumber)),
    }
});

/// A table all of whose rows are in segments, with four columns more: the row's id and the snapshot that
/// added it if they are in the file, and those named above.
#[derive(Debug)]
pub(crate) struct ChangeTarget {
    table: QuiverTable,
    schema: SchemaRef,
}

impl ChangeTarget {
    pub(crate) fn new(table: QuiverTable) -> Self {
        let ExtraColumns {
            in_file,
            snapshot,
            segment,
            position,
        } = &*EXTRA_COLUMNS;
        let own = table.version().arrow_schema.fields().iter();
        let fields = own
            .chain([in_file, snapshot, segment, position])
            .map(Arc::clone);
        Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>())),
            table,
        }
    }
}

#[async_trait]
impl TableProvider for ChangeTarget {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection.map(Vec::as_slice);
        let kept = self.table.kept_segments(state, filters)?;
        if kept.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(self.schema.project(projection)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let extra = Some(&*EXTRA_COLUMNS);
        self.table
            .scan_segments(state, (projection, extra), filters, None, &kept)
            .await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let own = &self.table.version().arrow_schema;
        let is_own = |filter: &&Expr| {
            let columns = filter.column_refs();
            columns
                .iter()
                .all(|column| own.field_with_name(&column.name).is_ok())
        };
        Ok(filters
            .iter()
            .map(|filter| match is_own(filter) {
                true => filter_support(filter),
                false => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }
}
