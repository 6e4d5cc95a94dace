//! Tables of schema `system` that the server keeps: `queries`, `sessions`, `tenants`, `users`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use quiver_catalog::{Tenant, User};
use quiver_engine::{EngineError, Result, StatementContext, SystemTable, SystemTables};

use crate::auth::TenantContext;
use crate::queries::Queries;
use crate::service::metadata::{SYSTEM_TABLE, VIEW, VirtualTable};
use crate::shared::Shared;

/// The server's tables as one caller may see them.
#[derive(Debug)]
pub(crate) struct ServerTables {
    shared: Arc<Shared>,
    tenant: Tenant,
    user: User,
}

impl ServerTables {
    pub(crate) fn new(shared: Arc<Shared>, caller: &TenantContext) -> Self {
        Self {
            shared,
            tenant: caller.tenant.clone(),
            user: caller.user.clone(),
        }
    }

    /// All tenants for the node administrator, the own one for everybody else.
    async fn visible_tenants(&self) -> Result<Vec<Tenant>> {
        match self.user.node_admin {
            true => Ok(self.shared.control.tenants().await?),
            false => Ok(vec![self.tenant.clone()]),
        }
    }

    async fn tenants(&self) -> Result<RecordBatch> {
        let tenants = self.visible_tenants().await?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(
                tenants.iter().map(|tenant| tenant.id.0),
            )),
            Arc::new(StringArray::from_iter_values(
                tenants.iter().map(|tenant| &tenant.name),
            )),
        ];
        Ok(RecordBatch::try_new(tenants_schema(), columns)?)
    }

    async fn users(&self) -> Result<RecordBatch> {
        let mut rows = vec![];
        for tenant in self.visible_tenants().await? {
            let users = self.shared.control.users(tenant.id).await?;
            rows.extend(users.into_iter().map(|user| (tenant.name.clone(), user)));
        }
        let admins: Vec<_> = rows.iter().map(|(_, user)| user.node_admin).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|(tenant, _)| tenant),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|(_, user)| &user.name),
            )),
            Arc::new(BooleanArray::from(admins)),
        ];
        Ok(RecordBatch::try_new(users_schema(), columns)?)
    }
}

#[async_trait]
impl SystemTables for ServerTables {
    fn tables(&self) -> Vec<SystemTable> {
        vec![
            SystemTable {
                name: "queries",
                schema: Queries::schema(),
            },
            SystemTable {
                name: "tenants",
                schema: tenants_schema(),
            },
            SystemTable {
                name: "users",
                schema: users_schema(),
            },
        ]
    }

    async fn rows(&self, name: &str) -> Result<RecordBatch> {
        match name {
            "queries" => self.shared.queries.rows(self.tenant.id),
            "tenants" => self.tenants().await,
            "users" => self.users().await,
            _ => Err(EngineError::NotFound {
                what: format!("table system.{name}"),
            }),
        }
    }
}

/// System tables as GetTables lists them.
pub(crate) async fn virtual_tables(context: &StatementContext) -> Vec<VirtualTable> {
    let table = |table: SystemTable| VirtualTable {
        schema: "system".to_owned(),
        name: table.name.to_owned(),
        table_type: SYSTEM_TABLE,
        arrow_schema: table.schema,
    };
    let mut tables: Vec<_> = context.system_table_list().into_iter().map(table).collect();
    for name in ["columns", "schemata", "tables", "views"] {
        if let Some(arrow_schema) = information_schema(context, name).await {
            tables.push(VirtualTable {
                schema: "information_schema".to_owned(),
                name: name.to_owned(),
                table_type: VIEW,
                arrow_schema,
            });
        }
    }
    tables
}

/// Columns of a view of `information_schema`, as a query of it has them.
async fn information_schema(context: &StatementContext, name: &str) -> Option<SchemaRef> {
    let sql = format!("SELECT * FROM information_schema.{name}");
    let parsed = context.engine.parse(&sql).ok()?;
    let plan = context.plan(&parsed, None).await;
    plan.ok().map(|plan| plan.schema)
}

fn tenants_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("tenant_id", DataType::UInt64, true),
        Field::new("tenant_name", DataType::Utf8, true),
    ]))
}

fn users_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("tenant_name", DataType::Utf8, true),
        Field::new("user_name", DataType::Utf8, true),
        Field::new("node_admin", DataType::Boolean, true),
    ]))
}
