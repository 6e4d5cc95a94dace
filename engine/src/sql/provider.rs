//! What DataFusion sees of a tenant: one catalog, its schemas and tables, as of one read view.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::TableType;
use futures::FutureExt;
use quiver_catalog::{CatalogVersion, TableVersion};

use super::information_schema::InformationSchema;
use super::system_tables::SystemSchema;
use super::table_changes::table_changes;
use super::table_versions::{AsOf, Historic};
use crate::error::EngineError;
use crate::read_view::ReadView;
use crate::scan::{BufferedRows, ChangeTarget, QuiverTable, TableRows};
use crate::tenant::Tenant;

/// Ends the name by which a change calls its target. No table has such a name.
pub(crate) const TARGET_MARK: char = '\u{1}';

/// The catalogs of a session: its tenant's alone.
#[derive(Debug)]
pub(crate) struct TenantCatalogList {
    name: String,
    catalog: Arc<TenantCatalogProvider>,
}

/// The tenant as a catalog.
#[derive(Debug)]
pub(crate) struct TenantCatalogProvider {
    tenant: Arc<Tenant>,
    view: ReadView,
    system: Arc<SystemSchema>,
    information: Arc<InformationSchema>,
}

#[derive(Debug)]
struct TenantSchemaProvider {
    tenant: Arc<Tenant>,
    view: ReadView,
    name: String,
}

/// What a view shows of a table.
pub(crate) fn table_provider(
    tenant: &Tenant,
    view: &ReadView,
    table: &Arc<TableVersion>,
) -> QuiverTable {
    let reading = tenant.reading();
    let (view, table_id) = (view.clone(), table.id);
    let (deleted, live) = (view.deleted(table_id), Arc::clone(view.live()));
    let buffered = BufferedRows::new(Box::new(move || view.buffered(table_id)));
    QuiverTable::new(
        Arc::clone(table),
        TableRows {
            deleted,
            live: Some(live),
            ..TableRows::new(buffered)
        },
        reading.store_url.clone(),
        reading.scan_options.clone(),
    )
}

impl TenantCatalogList {
    pub(crate) fn new(
        name: String,
        tenant: Arc<Tenant>,
        view: ReadView,
        system: SystemSchema,
        information: InformationSchema,
    ) -> Self {
        Self {
            name,
            catalog: Arc::new(TenantCatalogProvider {
                tenant,
                view,
                system: Arc::new(system),
                information: Arc::new(information),
            }),
        }
    }
}

impl CatalogProviderList for TenantCatalogList {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let catalog: Arc<dyn CatalogProvider> = Arc::clone(&self.catalog) as _;
        (name == self.name).then_some(catalog)
    }
}

impl CatalogProvider for TenantCatalogProvider {
    fn schema_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .view
            .catalog()
            .schemas()
            .map(|schema| schema.name.clone())
            .collect();
        names.push(SystemSchema::NAME.to_owned());
        names.push(InformationSchema::NAME.to_owned());
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == SystemSchema::NAME {
            return Some(Arc::clone(&self.system) as _);
        }
        if name == InformationSchema::NAME {
            return Some(Arc::clone(&self.information) as _);
        }
        self.view.catalog().schema(name)?;
        Some(Arc::new(TenantSchemaProvider {
            tenant: Arc::clone(&self.tenant),
            view: self.view.clone(),
            name: name.to_owned(),
        }))
    }
}

#[async_trait]
impl SchemaProvider for TenantSchemaProvider {
    fn table_names(&self) -> Vec<String> {
        let tables = self.view.catalog().tables();
        let own = tables.filter(|table| table.schema_name == self.name);
        own.map(|table| table.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some((name, historic)) = Historic::split(name) {
            let provider = self.historic(name, historic).await;
            return provider.map_err(|error| DataFusionError::External(Box::new(error)));
        }
        let target = name.strip_suffix(TARGET_MARK);
        let table = self
            .view
            .catalog()
            .table(&self.name, target.unwrap_or(name));
        let Some(table) = table else {
            return Ok(None);
        };
        let provider = table_provider(&self.tenant, &self.view, table);
        Ok(match target {
            None => Some(Arc::new(provider)),
            Some(_) if self.view.is_target(table.id) => Some(Arc::new(ChangeTarget::new(provider))),
            Some(_) => None,
        })
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.view.catalog().table(&self.name, name).is_some()
    }
}

impl TenantSchemaProvider {
    /// The table as it was, its rows in segments; or what happened to them.
    async fn historic(
        &self,
        name: &str,
        historic: Historic,
    ) -> crate::error::Result<Option<Arc<dyn TableProvider>>> {
        match historic {
            Historic::AsOf(as_of) => {
                let (catalog, table) = self.at(name, &as_of).await?;
                let reading = self.tenant.reading();
                let none = BufferedRows::new(Box::new(Vec::new));
                let rows = TableRows {
                    at: Some(catalog.snapshot_id),
                    live: Some(Arc::clone(self.view.live())),
                    ..TableRows::new(none)
                };
                Ok(Some(Arc::new(QuiverTable::new(
                    table,
                    rows,
                    reading.store_url.clone(),
                    reading.scan_options.clone(),
                ))))
            }
            Historic::Changes(from, to) => {
                let (catalog, table) = self.at(name, &to).await?;
                let history = self.tenant.history();
                let from = match from {
                    AsOf::Snapshot(id) => id,
                    AsOf::Named(name) => history.named(&self.tenant, &name).await?.snapshot_id,
                    AsOf::Time(micros) => history.first_since(&self.tenant, micros).await?,
                };
                if from > catalog.snapshot_id {
                    return Err(EngineError::invalid(format!(
                        "table_changes goes from snapshot {from} to {}, which is before it",
                        catalog.snapshot_id
                    )));
                }
                let (tenant, view) = (&self.tenant, &self.view);
                let changes = table_changes(tenant, view, &catalog, &table, from);
                Ok(Some(Arc::new(changes.boxed().await?)))
            }
        }
    }

    /// The catalog and the table at a snapshot.
    async fn at(
        &self,
        name: &str,
        as_of: &AsOf,
    ) -> crate::error::Result<(Arc<CatalogVersion>, Arc<TableVersion>)> {
        let (history, tenant) = (self.tenant.history(), &self.tenant);
        let catalog = match as_of {
            AsOf::Snapshot(id) => history.at(tenant, *id).await?,
            AsOf::Named(name) => history.named(tenant, name).await?,
            AsOf::Time(micros) => history.at_time(tenant, *micros).await?,
        };
        let Some(table) = catalog.table(&self.name, name) else {
            return Err(EngineError::NotFound {
                what: format!(
                    "table {}.{name} at snapshot {}",
                    self.name, catalog.snapshot_id
                ),
            });
        };
        let table = Arc::clone(table);
        Ok((catalog, table))
    }
}
