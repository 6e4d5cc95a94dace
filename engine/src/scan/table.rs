//! The table provider.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use quiver_catalog::TableVersion;

use super::options::ScanOptions;

/// One table as one read view sees it.
#[derive(Debug)]
pub(crate) struct QuiverTable {
    table: Arc<TableVersion>,
    buffered: Vec<RecordBatch>,
    store_url: ObjectStoreUrl,
    options: ScanOptions,
}

impl QuiverTable {
    /// A provider over the segments of `table` and the `buffered` rows, which have the table's schema
    /// and are in none of these segments. Segment paths are resolved under `store_url`.
    pub(crate) fn new(
        table: Arc<TableVersion>,
        buffered: Vec<RecordBatch>,
        store_url: ObjectStoreUrl,
        options: ScanOptions,
    ) -> Self {
        Self { table, buffered, store_url, options }
    }
}

#[async_trait]
impl TableProvider for QuiverTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.arrow_schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(EmptyExec::new(self.schema())))
    }
}
