//! Queries: planned against one read view, streamed with the schema that was promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement as DfStatement;
use futures::{StreamExt, TryStreamExt};

use super::context::StatementContext;
use super::known_query::KnownQuery;
use super::lease::QueryLease;
use super::parser::{ParsedStatement, QueryForm};
use super::planning::{plan_statement, refuse_numbers_as_times};
use super::progress::Progress;
use super::repeated_names::restore_name;
use super::statement_cache::QueryKey;
use super::substrait::logical_plan;
use crate::canonical::{logical_rebatch, logical_schema};
use crate::error::{EngineError, Result};
use crate::query_runtime::{Begun, Pumped, begin};
use crate::read_view::ReadView;

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
    /// Whether they are all there, so that reading them takes no time.
    pub is_whole: bool,
}

impl QueryRows {
    /// Rows that are there already.
    pub fn whole(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            schema,
            stream: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
            is_whole: true,
        }
    }
}

impl std::fmt::Debug for QueryRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryRows")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl StatementContext {
    /// Plans a query without executing it, with rows of parameters where there are some already.
    ///
    /// # Errors
    /// `InvalidArgument` for SQL that has no meaning, `NotFound` for unknown tables.
    pub async fn plan(
        &self,
        parsed: &Arc<ParsedStatement>,
        values: Option<&RecordBatch>,
    ) -> Result<QueryPlan> {
        let view = self.read_view().await?;
        let known = self.known_query(parsed, &view);
        if values.is_none()
            && let Some(known) = &known
        {
            return Ok(known.promised().clone());
        }
        let (context, parsed, values) = (self.clone(), Arc::clone(parsed), values.cloned());
        let plan = async move {
            let (plan, promised) = match known {
                Some(known) => (known.plan().clone(), known.promised().clone()),
                None => context.plan_anew(&context.session(&view), &parsed).await?,
            };
            let Some(values) = values else {
                return Ok(promised);
            };
            let plan = plan.with_param_values(typical_parameters(&values)?)?;
            let session = context.session(&view);
            Ok(QueryPlan {
                schema: promised_schema(&analyzed(&session, plan)?),
                ..promised
            })
        };
        self.engine.query_runtime().run(plan).await
    }

    /// Holds on to what a query reads, so that its rows can be fetched in up to `shares_max` shares,
    /// each as often as somebody wants to. `None` unless the query filters and projects a single
    /// table that has more than one share of rows.
    ///
    /// # Errors
    /// As [`StatementContext::plan`].
    pub async fn lease(
        &self,
        parsed: &Arc<ParsedStatement>,
        parameters: Option<&RecordBatch>,
        shares_max: usize,
    ) -> Result<Option<Arc<QueryLease>>> {
        let view = self.read_view().await?;
        if let Some(transaction) = &self.transaction
            && transaction.has_own_segments().await
        {
            // Its end may take them away.
            return Ok(None);
        }
        let (context, parsed, parameters) = (self.clone(), Arc::clone(parsed), parameters.cloned());
        let lease = async move {
            let session = context.session(&view);
            let plan = match context.known_query(&parsed, &view) {
                Some(known) => known.bound(&context.tenant, &view)?,
                None => context.plan_anew(&session, &parsed).await?.0,
            };
            let plan = match &parameters {
                Some(values) => plan.with_param_values(row_parameters(values, 0)?)?,
                None => plan,
            };
            let plan = analyzed(&session, plan)?;
            let schema = promised_schema(&plan);
            let plan = optimized(&session, plan)?;
            QueryLease::take(&session, &context.tenant, &view, plan, schema, shares_max)
        };
        self.engine.query_runtime().run(lease).await
    }

    /// The plan of a query that was planned before, if it still means the same.
    fn known_query(&self, parsed: &ParsedStatement, view: &ReadView) -> Option<Arc<KnownQuery>> {
        let key = self.query_key(parsed);
        self.engine.statements().planned(&key, view.catalog())
    }

    fn query_key(&self, parsed: &ParsedStatement) -> QueryKey {
        QueryKey {
            tenant_id: self.tenant.id(),
            tenant_name: self.tenant_name.clone(),
            default_schema: self.default_schema.clone(),
            text: parsed.text.clone(),
        }
    }

    /// Plans a query, and keeps the plan for the next time if it can be kept.
    async fn plan_anew(
        &self,
        session: &SessionState,
        parsed: &ParsedStatement,
    ) -> Result<(LogicalPlan, QueryPlan)> {
        let super::Statement::Query(query) = &parsed.statement else {
            return Err(EngineError::invalid("only a query returns rows"));
        };
        let plan = match query {
            QueryForm::Sql(statement) => {
                read_only_plan(session, statement.as_ref().clone()).await?
            }
            QueryForm::Plan(plan) => {
                let plan = logical_plan(session, plan).await?;
                refuse_numbers_as_times(&plan)?;
                verify_read_only(&plan)?;
                plan
            }
        };
        let schema = match analyzed(session, plan.clone()) {
            Ok(analyzed) => promised_schema(&analyzed),
            // A parameter without a type is nothing to be sure of yet.
            Err(_) if parsed.placeholders > 0 => promised_schema(&plan),
            Err(error) => return Err(error),
        };
        let promised = QueryPlan {
            open_schema: Arc::clone(&schema),
            schema,
            parameters: parameter_schema(&plan, parsed.placeholders)?,
        };
        if let Some(known) = KnownQuery::of(&plan, &promised)? {
            let key = self.query_key(parsed);
            self.engine.statements().keep(key, Arc::new(known));
        }
        Ok((plan, promised))
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
            super::Statement::Change(change) => {
                let (context, change) = (self.clone(), change.clone());
                let plan = async move { context.change_parameters(&change, placeholders).await };
                self.engine.query_runtime().run(plan).await
            }
            _ => Ok(Arc::new(Schema::new(open_parameters(placeholders)))),
        }
    }

    /// Executes a query, once per row of `parameters` (once without any): the rows of all of these
    /// follow each other, all of one read view.
    ///
    /// # Errors
    /// As [`StatementContext::plan`]; errors while running come here or in the stream.
    pub async fn rows(
        &self,
        parsed: &Arc<ParsedStatement>,
        parameters: Option<&RecordBatch>,
    ) -> Result<QueryRows> {
        let view = self.read_view().await?;
        let known = self.known_query(parsed, &view);
        let (context, parsed, parameters) = (self.clone(), Arc::clone(parsed), parameters.cloned());
        let rows = async move {
            match parameters {
                Some(values) if values.num_rows() != 1 => {
                    context.rows_of_each(&parsed, known, view, values).await
                }
                values => {
                    let values = values
                        .map(|values| row_parameters(&values, 0))
                        .transpose()?;
                    context.rows_of_one(&parsed, known, view, values).await
                }
            }
        };
        self.engine.query_runtime().run(rows).await
    }

    async fn rows_of_one(
        &self,
        parsed: &ParsedStatement,
        known: Option<Arc<KnownQuery>>,
        view: ReadView,
        values: Option<ParamValues>,
    ) -> Result<QueryRows> {
        if let Some(known) = known {
            return self.run_known(&known, view, values).await;
        }
        let session = self.session(&view);
        let (plan, _) = self.plan_anew(&session, parsed).await?;
        let plan = match values {
            Some(values) => plan.with_param_values(values)?,
            None => plan,
        };
        run(&session, plan).await
    }

    async fn rows_of_each(
        &self,
        parsed: &ParsedStatement,
        known: Option<Arc<KnownQuery>>,
        view: ReadView,
        values: RecordBatch,
    ) -> Result<QueryRows> {
        let session = Arc::new(self.session(&view));
        let plan = match known {
            Some(known) => known.bound(&self.tenant, &view)?,
            None => self.plan_anew(&session, parsed).await?.0,
        };
        let typical = plan
            .clone()
            .with_param_values(typical_parameters(&values)?)?;
        let schema = promised_schema(&analyzed(&session, typical)?);
        let results = futures::stream::iter(0..values.num_rows()).then(move |row| {
            let (session, plan) = (Arc::clone(&session), plan.clone());
            let values = row_parameters(&values, row);
            async move {
                // A row without results may not wait for anything, and others want to run as well.
                tokio::task::yield_now().await;
                let plan = plan.with_param_values(values?)?;
                Ok::<_, EngineError>(run(&session, plan).await?.stream)
            }
        });
        match begin(results.try_flatten().boxed()).await? {
            Begun::Whole(batches) => Ok(QueryRows::whole(schema, batches)),
            Begun::Pumped(stream) => Ok(QueryRows {
                schema,
                stream,
                is_whole: false,
            }),
        }
    }

    async fn run_known(
        &self,
        known: &KnownQuery,
        view: ReadView,
        values: Option<ParamValues>,
    ) -> Result<QueryRows> {
        if known.is_timely() {
            let session = self.session(&view);
            let plan = known.bound(&self.tenant, &view)?;
            let plan = match values {
                Some(values) => plan.with_param_values(values)?,
                None => plan,
            };
            return run(&session, plan).await;
        }
        // Nothing of the plan needs a catalog or the time: no session of its own either.
        let session = self.engine.template().of_tenant(&self.tenant);
        let (plan, schema) = match values {
            Some(values) => {
                let plan = known.bound(&self.tenant, &view)?;
                let plan = analyzed(&session, plan.with_param_values(values)?)?;
                let schema = promised_schema(&plan);
                (optimized(&session, plan)?, schema)
            }
            None => {
                let plan = known.bound_optimized(&session, &self.tenant, &view)?;
                (plan, Arc::clone(&known.promised().schema))
            }
        };
        run_optimized(&session, &plan, schema, view).await
    }
}

/// Executes an optimized plan that needs neither a catalog nor the time. `held` is kept while it
/// runs.
pub(super) async fn run_optimized<H: Send + 'static>(
    session: &SessionState,
    plan: &LogicalPlan,
    schema: SchemaRef,
    held: H,
) -> Result<QueryRows> {
    let planner = session.query_planner();
    let physical = planner.create_physical_plan(plan, session).await?;
    // Without functions: plans that run here hold their own.
    let task = TaskContext::default()
        .with_session_config(session.config().clone())
        .with_runtime(Arc::clone(session.runtime_env()));
    let rows = execute_stream(physical, Arc::new(task))?;
    begin_rows(rows, schema, held).await
}

/// Executes a logical plan. To be called on the query runtime, where the rows are then made.
pub(crate) async fn run(session: &SessionState, plan: LogicalPlan) -> Result<QueryRows> {
    let plan = analyzed(session, plan)?;
    let schema = promised_schema(&plan);
    let planner = session.query_planner();
    let plan = optimized(session, plan)?;
    let physical = planner.create_physical_plan(&plan, session).await?;
    if let Some(progress) = session.config().get_extension::<Progress>() {
        progress.watch(&physical);
    }
    let rows = execute_stream(physical, session.task_ctx())?;
    // The session's catalogs hold its read view.
    begin_rows(rows, schema, Arc::clone(session.catalog_list())).await
}

/// The plan with the types that its rows will have: before, columns of a UNION, branches of a CASE
/// and arguments of functions may be of several types.
pub(crate) fn analyzed(session: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    if let LogicalPlan::Explain(_) = plan {
        // It shows how it is analyzed.
        return Ok(plan);
    }
    let analyzer = session.analyzer();
    Ok(analyzer.execute_and_check(plan, session.config_options(), |_, _| {})?)
}

/// An analyzed plan after the rules that make it cheaper.
fn optimized(session: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    if let LogicalPlan::Explain(_) = plan {
        return Ok(session.optimize(&plan)?);
    }
    Ok(session.optimizer().optimize(plan, session, |_, _| {})?)
}

/// The rows of a plan as they were promised. The plan holds rows of memtables, which count as used
/// for as long as a read view does: `held` is what holds it.
async fn begin_rows<H>(
    rows: SendableRecordBatchStream,
    schema: SchemaRef,
    held: H,
) -> Result<QueryRows>
where
    H: Send + 'static,
{
    let promised = Arc::clone(&schema);
    let rows = rows.map(move |batch| {
        let _held = &held;
        logical_rebatch(batch?, &promised)
    });
    Ok(match begin(rows).await? {
        Begun::Whole(batches) => QueryRows::whole(schema, batches),
        Begun::Pumped(stream) => QueryRows {
            schema,
            stream,
            is_whole: false,
        },
    })
}

/// Plans a statement that may only read: any other node is refused, wherever it hides.
pub(crate) async fn read_only_plan(
    session: &SessionState,
    statement: DfStatement,
) -> Result<LogicalPlan> {
    let plan = plan_statement(session, statement).await?;
    verify_read_only(&plan)?;
    Ok(plan)
}

/// Refuses a plan that does anything but read.
pub(crate) fn verify_read_only(plan: &LogicalPlan) -> Result<()> {
    let read_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    Ok(read_only.verify_plan(plan)?)
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

pub(super) fn parameter_schema(plan: &LogicalPlan, placeholders: usize) -> Result<SchemaRef> {
    let mut fields = open_parameters(placeholders);
    let mut types: BTreeMap<String, Option<DataType>> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(placeholder) = expr
                    && let Some(field) = &placeholder.field
                {
                    let data_type = Some(field.data_type().clone());
                    let known = types.entry(placeholder.id.clone());
                    let known = known.or_insert_with(|| data_type.clone());
                    // One that meets several types stays open.
                    if *known != data_type {
                        *known = None;
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
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
    parameters(columns.map(|column| ScalarValue::try_from_array(column, row)))
}

/// Values that stand for any row: of the first one, or NULLs where there is none.
fn typical_parameters(batch: &RecordBatch) -> Result<ParamValues> {
    if batch.num_rows() > 0 {
        return row_parameters(batch, 0);
    }
    let columns = batch.columns().iter();
    parameters(columns.map(|column| ScalarValue::try_from(column.data_type())))
}

fn parameters(
    values: impl Iterator<Item = Result<ScalarValue, DataFusionError>>,
) -> Result<ParamValues> {
    let values = values.map(|value| value.map(ScalarAndMetadata::from));
    Ok(ParamValues::List(values.collect::<Result<_, _>>()?))
}
