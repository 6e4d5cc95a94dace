//! Queries that were planned before.
//!
//! A client asks what a query returns before it fetches the rows, and executes the same text again
//! and again. So a logical plan is kept: not what it reads, only from which tables, because plans
//! must neither hold rows nor segments that nobody else wants any more. It is good for as long as
//! these tables have the same columns.

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::default_table_source::{DefaultTableSource, provider_as_source};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    Expr, LogicalPlan, TableProviderFilterPushDown, TableScan, TableSource, Volatility,
};
use quiver_catalog::{CatalogVersion, TableId, TableVersion};

use super::provider::table_provider;
use super::query::QueryPlan;
use crate::error::{EngineError, Result};
use crate::read_view::ReadView;
use crate::scan::{QuiverTable, filter_support};
use crate::tenant::Tenant;

/// A planned query over tables that are not bound to any version of them.
#[derive(Debug)]
pub(crate) struct KnownQuery {
    plan: LogicalPlan,
    tables: Vec<Arc<NamedTable>>,
    promised: QueryPlan,
    /// Whether a function means something else in every statement, as `now()` does.
    is_timely: bool,
    /// The plan after the rules that do not depend on rows.
    optimized: OnceLock<LogicalPlan>,
    /// About what all of it takes in memory.
    bytes: u64,
}

/// What an operator, a column of one and an expression take in a plan, about.
const NODE_BYTES: u64 = 1024;
const FIELD_BYTES: u64 = 256;
const EXPR_BYTES: u64 = 256;
/// Plans that take more are not kept.
const BYTES_MAX: u64 = 4 << 20;

/// A table by its name, and what plans rely on.
#[derive(Debug)]
pub(super) struct NamedTable {
    id: TableId,
    schema_name: String,
    name: String,
    arrow_schema: SchemaRef,
}

impl KnownQuery {
    /// Keeps a plan whose tables are all the tenant's own; `None` for others, which show a state
    /// that no name stands for.
    pub(crate) fn of(plan: &LogicalPlan, promised: &QueryPlan) -> Result<Option<Self>> {
        let mut tables = vec![];
        let mut is_own = true;
        let mut is_timely = false;
        let mut bytes = 0;
        plan.apply_with_subqueries(|node| {
            use LogicalPlan::{Analyze, DescribeTable, Explain, Extension, TableScan as Scan};
            match node {
                Scan(scan) => match of_tenant(scan) {
                    Some(table) => tables.push(Arc::new(NamedTable::of(table))),
                    None => is_own = false,
                },
                Explain(_) | Analyze(_) | DescribeTable(_) | Extension(_) => is_own = false,
                _ => {}
            }
            bytes += NODE_BYTES + FIELD_BYTES * node.schema().fields().len() as u64;
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    bytes += EXPR_BYTES;
                    if let Expr::Literal(value, _) = expr {
                        bytes += value.size() as u64;
                    }
                    is_timely |= changes_by_statement(expr);
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        // As it was planned, and optimized.
        bytes *= 2;
        if !is_own || bytes > BYTES_MAX {
            return Ok(None);
        }
        let unbound = |scan: TableScan| match of_tenant(&scan) {
            Some(table) => Ok(Arc::new(NamedTable::of(table)) as Arc<dyn TableSource>),
            None => Err(internal("a table of nobody")),
        };
        Ok(Some(Self {
            plan: with_sources(plan.clone(), unbound)?,
            tables,
            promised: promised.clone(),
            is_timely,
            optimized: OnceLock::new(),
            bytes,
        }))
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the query means the same with this catalog.
    pub(crate) fn is_good(&self, catalog: &CatalogVersion) -> bool {
        self.tables
            .iter()
            .all(|table| table.find(catalog).is_some())
    }

    /// What it returns and needs.
    pub(crate) fn promised(&self) -> &QueryPlan {
        &self.promised
    }

    /// The plan, for questions about types.
    pub(crate) fn plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// Whether it must be optimized by the session of each statement.
    pub(crate) fn is_timely(&self) -> bool {
        self.is_timely
    }

    /// The plan over what `view` shows of its tables.
    pub(crate) fn bound(&self, tenant: &Tenant, view: &ReadView) -> Result<LogicalPlan> {
        bind(self.plan.clone(), tenant, view)
    }

    /// As [`Self::bound`], optimized once for all.
    pub(crate) fn bound_optimized(
        &self,
        session: &SessionState,
        tenant: &Tenant,
        view: &ReadView,
    ) -> Result<LogicalPlan> {
        let optimized = match self.optimized.get() {
            Some(optimized) => optimized,
            None => {
                let optimized = session.optimize(&self.plan)?;
                self.optimized.get_or_init(|| optimized)
            }
        };
        bind(optimized.clone(), tenant, view)
    }
}

impl NamedTable {
    pub(super) fn of(table: &TableVersion) -> Self {
        Self {
            id: table.id,
            schema_name: table.schema_name.clone(),
            name: table.name.clone(),
            arrow_schema: Arc::clone(&table.arrow_schema),
        }
    }

    /// The table as it is there, if it is the same and has the same columns.
    fn find<'c>(&self, catalog: &'c CatalogVersion) -> Option<&'c Arc<TableVersion>> {
        let table = catalog.table(&self.schema_name, &self.name)?;
        (table.id == self.id && table.arrow_schema == self.arrow_schema).then_some(table)
    }
}

impl TableSource for NamedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.arrow_schema)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| filter_support(filter))
            .collect())
    }
}

fn of_tenant(scan: &TableScan) -> Option<&Arc<TableVersion>> {
    own_table(scan).map(QuiverTable::version)
}

/// What a scan reads, if it is one of the tenant's own tables.
pub(super) fn own_table(scan: &TableScan) -> Option<&QuiverTable> {
    let source = scan.source.downcast_ref::<DefaultTableSource>()?;
    let table = source.table_provider.downcast_ref::<QuiverTable>()?;
    // A name stands for a table as it is now.
    (!table.is_historic()).then_some(table)
}

/// Whether an expression has another value in every statement, as `now()` has.
pub(super) fn changes_by_statement(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call)
        if call.func.signature().volatility == Volatility::Stable)
}

fn bind(plan: LogicalPlan, tenant: &Tenant, view: &ReadView) -> Result<LogicalPlan> {
    let bound = |scan: TableScan| {
        let named = scan.source.downcast_ref::<NamedTable>();
        let table = named.and_then(|named| named.find(view.catalog()));
        let table = table.ok_or_else(|| internal("a plan was used that is not good any more"))?;
        let provider = table_provider(tenant, view, table);
        Ok(provider_as_source(Arc::new(provider)))
    };
    with_sources(plan, bound)
}

/// The plan with other sources of its tables.
pub(super) fn with_sources(
    plan: LogicalPlan,
    mut source: impl FnMut(TableScan) -> Result<Arc<dyn TableSource>, DataFusionError>,
) -> Result<LogicalPlan> {
    let replaced = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let source = source(scan.clone())?;
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan {
            source,
            ..scan
        })))
    })?;
    Ok(replaced.data)
}

fn internal(message: &str) -> DataFusionError {
    DataFusionError::External(Box::new(EngineError::internal(message)))
}
