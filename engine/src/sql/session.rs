//! Sessions of DataFusion: a template with all functions, and one copy of it per statement.
//!
//! Building a session registers hundreds of functions, which takes longer than planning a small
//! statement: so the template is built once for each tenant that is at work, and then copied.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::analyzer::{Analyzer, AnalyzerRule};
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast::{ObjectName, ObjectNamePart, TableFactor};
use parking_lot::Mutex;
use quiver_catalog::TenantId;

use super::cheap_first::CheapFirst;
use super::context::StatementContext;
use super::cooperative_joins::CooperativeJoins;
use super::exists_values::ExistsValues;
use super::filters_by_name::guarded_rules;
use super::functions::{self, ListedFunction};
use super::information_schema::InformationSchema;
use super::interval_order::IntervalOrder;
use super::join_filters::JoinFilters;
use super::mixed_numbers::MixedNumbers;
use super::provider::{TARGET_MARK, TenantCatalogList};
use super::system_tables::SystemSchema;
use super::table_versions::Historic;
use super::types::SqlTypes;
use crate::error::{EngineError, Result};
use crate::read_view::ReadView;
use crate::settings::EngineSettings;
use crate::tenant::Tenant;

/// How many tenants' templates are kept; each takes some tens of kilobytes.
const TENANT_TEMPLATES_MAX: usize = 64;

/// A session without a tenant: functions and settings that all statements share.
#[derive(Debug)]
pub(crate) struct QueryTemplate {
    state: SessionState,
    /// The same with the memory and the files of a tenant.
    by_tenant: Mutex<HashMap<TenantId, Arc<SessionState>>>,
}

impl QueryTemplate {
    pub(crate) fn new(settings: &EngineSettings) -> Self {
        let mut config = SessionConfig::new()
            .with_create_default_catalog_and_schema(false)
            .with_batch_size(settings.query_batch_rows);
        if settings.query_partitions > 0 {
            config = config.with_target_partitions(settings.query_partitions);
        }
        let options = config.options_mut();
        // Decimal literals are decimals, as in PostgreSQL: 0.06 + 0.01 is 0.07, not a bit less.
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.parquet.schema_force_view_types = false;
        options.execution.parquet.bloom_filter_on_read = true;
        options.execution.collect_statistics = false;
        // PostgreSQL's clients mean UTC where they name no zone, and so do we.
        options.execution.time_zone = Some("UTC".to_owned());
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_relation_planners(vec![Arc::new(OwnTables)])
            .with_analyzer_rules(analyzer_rules())
            .with_optimizer_rule(Arc::new(CheapFirst))
            .with_physical_optimizer_rules(guarded_rules())
            .with_physical_optimizer_rule(Arc::new(JoinFilters))
            .with_physical_optimizer_rule(Arc::new(CooperativeJoins))
            .with_type_planner(Arc::new(SqlTypes))
            .build();
        functions::register(&mut state).expect("a session takes functions");
        Self {
            state,
            by_tenant: Mutex::default(),
        }
    }

    /// A session of `tenant`, which sees nothing and knows no time.
    pub(crate) fn of_tenant(&self, tenant: &Tenant) -> Arc<SessionState> {
        let runtime = &tenant.reading().runtime;
        let known = self.by_tenant.lock().get(&tenant.id()).map(Arc::clone);
        if let Some(state) = known.filter(|state| Arc::ptr_eq(state.runtime_env(), runtime)) {
            return state;
        }
        let state = SessionStateBuilder::new_from_existing(self.state.clone())
            .with_runtime_env(Arc::clone(runtime))
            .build();
        let state = Arc::new(state);
        let mut by_tenant = self.by_tenant.lock();
        if by_tenant.len() >= TENANT_TEMPLATES_MAX {
            by_tenant.clear();
        }
        by_tenant.insert(tenant.id(), Arc::clone(&state));
        state
    }

    /// What can be called in SQL.
    pub(crate) fn functions(&self) -> Vec<ListedFunction> {
        functions::list(&self.state)
    }
}

impl StatementContext {
    /// A session over `view`.
    pub(crate) fn session(&self, view: &ReadView) -> SessionState {
        let template = self.engine.template().of_tenant(&self.tenant);
        let mut state = template.as_ref().clone();
        let catalog = &mut state.config_mut().options_mut().catalog;
        catalog.default_catalog = self.tenant_name.clone();
        catalog.default_schema = self.default_schema.clone();
        let system = SystemSchema::new(self.clone(), view.clone());
        let catalogs = TenantCatalogList::new(
            self.tenant_name.clone(),
            Arc::clone(&self.tenant),
            view.clone(),
            system,
            InformationSchema::new(self.clone(), view.clone()),
        );
        state.register_catalog_list(Arc::new(catalogs));
        if let Some(progress) = &self.progress {
            state.config_mut().set_extension(Arc::clone(progress));
        }
        // now() and its kin are the time of this.
        state.mark_start_execution();
        state
    }

    /// A session over what the statement sees now.
    pub(crate) async fn new_session(&self) -> Result<SessionState> {
        Ok(self.session(&self.read_view().await?))
    }
}

/// Ours come first where they are about types that `DataFusion`'s rules would settle, or about what
/// these do not know, and last where types have to be settled.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let own: [Arc<dyn AnalyzerRule + Send + Sync>; 2] =
        [Arc::new(ExistsValues), Arc::new(MixedNumbers)];
    let settled: Arc<dyn AnalyzerRule + Send + Sync> = Arc::new(IntervalOrder);
    let known = Analyzer::new().rules;
    own.into_iter().chain(known).chain([settled]).collect()
}

/// The name of a table that carries a mark.
fn plain_name(name: &str) -> Option<&str> {
    let of_version = Historic::split(name).map(|(name, _)| name);
    of_version.or_else(|| name.strip_suffix(TARGET_MARK))
}

/// The target of a change, or a version of a table, under its own name, as if it were any table.
fn plan_marked(
    name: &ObjectName,
    plain: &str,
    context: &dyn RelationPlannerContext,
) -> DataFusionResult<LogicalPlan> {
    let marked = context.object_name_to_table_reference(name.clone())?;
    let mut name = name.clone();
    if let Some(ObjectNamePart::Identifier(ident)) = name.0.last_mut() {
        ident.value = plain.to_owned();
    }
    let source = context.context_provider().get_table_source(marked);
    // The error would show the mark.
    let source = source.map_err(|_| {
        let what = format!("a table {name} with a history");
        DataFusionError::External(Box::new(EngineError::NotFound { what }))
    })?;
    let name = context.object_name_to_table_reference(name)?;
    LogicalPlanBuilder::scan(name, source, None)?.build()
}

/// Refuses names of other tenants, whose `information_schema` DataFusion's planner would take for
/// ours, and plans tables whose names carry marks.
#[derive(Debug)]
struct OwnTables;

impl RelationPlanner for OwnTables {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        if let TableFactor::Table { name, .. } = &relation
            && let TableReference::Full { catalog, .. } =
                context.object_name_to_table_reference(name.clone())?
            && *catalog != *context.context_provider().options().catalog.default_catalog
        {
            let error = EngineError::NotFound {
                what: format!("table {name}"),
            };
            return Err(DataFusionError::External(Box::new(error)));
        }
        if let TableFactor::Table { name, alias, .. } = &relation
            && let Some(ObjectNamePart::Identifier(last)) = name.0.last()
            && let Some(plain) = plain_name(&last.value)
        {
            let plan = plan_marked(name, plain, context)?;
            let planned = PlannedRelation::new(plan, alias.clone());
            return Ok(RelationPlanning::Planned(Box::new(planned)));
        }
        Ok(RelationPlanning::Original(Box::new(relation)))
    }
}
