//! Queries: planned against one read view, streamed with the schema that was promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement as DfStatement;
use futures::StreamExt;

use super::context::StatementContext;
use super::planning::plan_statement;
use super::repeated_names::restore_name;
use crate::canonical::{logical_rebatch, logical_schema};
use crate::error::{EngineError, Result};
use crate::query_runtime::{Pumped, pump};

/// What a query will return and needs.
#[derive(Debug, Clone)]
pub struct QueryPlan {
    /// Schema of the rows while parameters are open.
    pub open_schema: SchemaRef,
    /// Schema of the rows with the parameters given; every execution delivers exactly this.
    pub schema: SchemaRef,
    /// Parameters `$1`, `$2` … in order; those whose type is open are `Utf8`.
    pub parameters: SchemaRef,
}

/// The rows of a query. Dropping them cancels it.
pub struct QueryRows {
    /// As promised by [`QueryPlan::schema`].
    pub schema: SchemaRef,
    /// The rows.
    pub stream: Pumped<RecordBatch>,
}

impl std::fmt::Debug for QueryRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryRows")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl StatementContext {
    /// Plans a query without executing it, with a row of parameters where there is one already.
    ///
    /// # Errors
    /// `InvalidArgument` for SQL that has no meaning, `NotFound` for unknown tables.
    pub async fn plan(
        &self,
        query: &DfStatement,
        placeholders: usize,
        values: Option<&RecordBatch>,
    ) -> Result<QueryPlan> {
        let (context, query, values) = (self.clone(), query.clone(), values.cloned());
        let plan = async move {
            let session = context.new_session().await?;
            let plan = read_only_plan(&session, query).await?;
            let parameters = parameter_schema(&plan, placeholders)?;
            let open_schema = promised_schema(&plan);
            let schema = match values {
                Some(values) => {
                    promised_schema(&plan.with_param_values(row_parameters(&values, 0)?)?)
                }
                None => Arc::clone(&open_schema),
            };
            Ok(QueryPlan {
                open_schema,
                schema,
                parameters,
            })
        };
        self.engine.query_runtime().run(plan).await
    }

    /// Parameters of a statement that is executed for its effect.
    ///
    /// # Errors
    /// As [`StatementContext::plan`].
    pub async fn update_parameters(
        &self,
        statement: &super::Statement,
        placeholders: usize,
    ) -> Result<SchemaRef> {
        if placeholders == 0 {
            return Ok(Arc::new(Schema::empty()));
        }
        match statement {
            super::Statement::Insert(insert) => {
                if let Some((_, rows)) = self.constant_rows(insert).await? {
                    return Ok(rows.parameters(placeholders));
                }
                let (context, insert) = (self.clone(), insert.clone());
                let plan = async move {
                    let session = context.new_session().await?;
                    let plan = context.insert_plan(&session, &insert).await?;
                    parameter_schema(&plan, placeholders)
                };
                self.engine.query_runtime().run(plan).await
            }
            _ => Ok(Arc::new(Schema::new(open_parameters(placeholders)))),
        }
    }

    /// Executes a query with one row of parameters.
    ///
    /// # Errors
    /// As [`StatementContext::plan`]; errors while running come in the stream.
    pub async fn rows(
        &self,
        query: &DfStatement,
        parameters: Option<&RecordBatch>,
    ) -> Result<QueryRows> {
        let (context, query, parameters) = (self.clone(), query.clone(), parameters.cloned());
        let rows = async move {
            let session = context.new_session().await?;
            let plan = read_only_plan(&session, query).await?;
            let plan = match parameters {
                Some(batch) => plan.with_param_values(row_parameters(&batch, 0)?)?,
                None => plan,
            };
            run(&session, plan).await
        };
        self.engine.query_runtime().run(rows).await
    }
}

/// Executes a logical plan. To be called on the query runtime, where the rows are then made.
pub(crate) async fn run(session: &SessionState, plan: LogicalPlan) -> Result<QueryRows> {
    let schema = promised_schema(&plan);
    let physical = session.create_physical_plan(&plan).await?;
    let rows = execute_stream(physical, session.task_ctx())?;
    let promised = Arc::clone(&schema);
    // The plan holds rows of memtables. They count as used as long as a read view does, and the
    // session's catalogs hold that.
    let catalogs = Arc::clone(session.catalog_list());
    let stream = pump(rows.map(move |batch| {
        let _held = &catalogs;
        logical_rebatch(batch?, &promised)
    }));
    Ok(QueryRows { schema, stream })
}

/// Plans a statement that may only read: any other node is refused, wherever it hides.
pub(crate) async fn read_only_plan(
    session: &SessionState,
    statement: DfStatement,
) -> Result<LogicalPlan> {
    let plan = plan_statement(session, statement).await?;
    let read_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    read_only.verify_plan(&plan)?;
    Ok(plan)
}

/// Result columns are nullable throughout: the planner's and the executor's idea of which cannot be
/// NULL differ, and a client that was promised one must not get the other.
pub(crate) fn promised_schema(plan: &LogicalPlan) -> SchemaRef {
    let schema = logical_schema(plan.schema().as_arrow());
    let nullable = |field| restore_name(field).as_ref().clone().with_nullable(true);
    Arc::new(Schema::new(
        schema.fields().iter().map(nullable).collect::<Vec<_>>(),
    ))
}

fn parameter_schema(plan: &LogicalPlan, placeholders: usize) -> Result<SchemaRef> {
    let types: BTreeMap<String, Option<DataType>> =
        plan.get_parameter_types()?.into_iter().collect();
    let mut fields = open_parameters(placeholders);
    for (position, field) in fields.iter_mut().enumerate() {
        if let Some(Some(data_type)) = types.get(&format!("${}", position + 1)) {
            *field = field.clone().with_data_type(data_type.clone());
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn open_parameters(count: usize) -> Vec<Field> {
    (1..=count)
        .map(|n| Field::new(format!("${n}"), DataType::Utf8, true))
        .collect()
}

/// Values of `$1`, `$2` … from one row, by position.
pub(crate) fn row_parameters(batch: &RecordBatch, row: usize) -> Result<ParamValues> {
    if row >= batch.num_rows() {
        return Err(EngineError::invalid(
            "the statement has parameters: bind one row of values",
        ));
    }
    let columns = batch.columns().iter();
    let values: Vec<_> = columns
        .map(|column| ScalarValue::try_from_array(column, row).map(ScalarAndMetadata::from))
        .collect::<Result<_, DataFusionError>>()?;
    Ok(ParamValues::List(values))
}
