//! Which table an ingest writes to, and what has to change in the catalog for it.

use std::fmt;
use std::sync::Arc;

use quiver_catalog::{
    CatalogVersion, Change, NewTable, Stamp, TableId, TableVersion, assign_columns,
};

use super::IngestRequest;
use super::new_columns::new_columns;
use crate::canonical::canonical_schema;
use crate::error::{EngineError, Result};
use crate::segment::check_storable;
use crate::tenant::Tenant;

/// When the table is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableMissing {
    /// Make it from the incoming schema.
    Create,
    /// Answer `NotFound`.
    Fail,
}

/// When the table is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableExists {
    /// Answer `AlreadyExists`.
    Fail,
    /// Add the rows.
    Append,
    /// Drop it and make a new one, in the same commit as the rows.
    Replace,
}

/// How an ingest treats its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestMode {
    /// When the table is not there.
    pub missing: TableMissing,
    /// When it is.
    pub exists: TableExists,
}

impl IngestMode {
    /// Adds to a table that must be there.
    pub const APPEND: Self = Self {
        missing: TableMissing::Fail,
        exists: TableExists::Append,
    };
    /// Makes the table; it must not be there.
    pub const CREATE: Self = Self {
        missing: TableMissing::Create,
        exists: TableExists::Fail,
    };
    /// Adds to the table, making it if needed.
    pub const CREATE_APPEND: Self = Self {
        missing: TableMissing::Create,
        exists: TableExists::Append,
    };
}

impl fmt::Display for IngestMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = match self.missing {
            TableMissing::Create => "create",
            TableMissing::Fail => "fail",
        };
        let exists = match self.exists {
            TableExists::Fail => "fail",
            TableExists::Append => "append",
            TableExists::Replace => "replace",
        };
        write!(f, "{missing}/{exists}")
    }
}

/// The table that rows go to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) table_id: TableId,
    pub(crate) changes: Vec<Change>,
}

impl Target {
    pub(crate) fn existing(catalog: &CatalogVersion, table_id: TableId) -> Result<Self> {
        let table = catalog
            .table_by_id(table_id)
            .ok_or_else(|| EngineError::NotFound {
                what: format!("table {table_id}"),
            })?;
        Ok(Self::append(table, vec![]))
    }

    /// The table as it will be, in a catalog like this.
    pub(crate) fn table(&self, catalog: &CatalogVersion) -> Result<Arc<TableVersion>> {
        let gone = || EngineError::internal("a target without a table");
        if self.changes.is_empty() {
            return catalog
                .table_by_id(self.table_id)
                .map(Arc::clone)
                .ok_or_else(gone);
        }
        let after = catalog.apply(&self.changes, Stamp::overlay(catalog))?;
        after
            .table_by_id(self.table_id)
            .map(Arc::clone)
            .ok_or_else(gone)
    }

    fn append(table: &TableVersion, changes: Vec<Change>) -> Self {
        Self {
            table_id: table.id,
            changes,
        }
    }
}

pub(crate) fn resolve_target(
    tenant: &Tenant,
    catalog: &CatalogVersion,
    request: &IngestRequest,
) -> Result<Target> {
    let qualified = format!("table {}.{}", request.schema_name, request.table_name);
    let existing = catalog.table(&request.schema_name, &request.table_name);
    match (existing, request.mode.missing, request.mode.exists) {
        (Some(_), _, TableExists::Fail) => Err(EngineError::AlreadyExists { what: qualified }),
        (Some(table), _, TableExists::Append) => {
            let changes = match request.adds_columns {
                true => new_columns(table, &request.incoming)?,
                false => vec![],
            };
            Ok(Target::append(table, changes))
        }
        (Some(table), _, TableExists::Replace) => {
            let drop = Change::DropTable {
                table_id: table.id,
                sequence: 0,
            };
            create(tenant, catalog, request, vec![drop])
        }
        (None, TableMissing::Create, _) => create(tenant, catalog, request, vec![]),
        (None, TableMissing::Fail, _) => Err(EngineError::NotFound { what: qualified }),
    }
}

fn create(
    tenant: &Tenant,
    catalog: &CatalogVersion,
    request: &IngestRequest,
    mut changes: Vec<Change>,
) -> Result<Target> {
    let schema = catalog
        .schema(&request.schema_name)
        .ok_or_else(|| EngineError::NotFound {
            what: format!("schema {}", request.schema_name),
        })?;
    let columns = assign_columns(&canonical_schema(&request.incoming)?)?;
    check_storable(&columns)?;
    let table_id = TableId(tenant.catalog().reserve_ids(1));
    changes.push(Change::CreateTable(NewTable {
        table_id,
        schema_id: schema.id,
        name: request.table_name.clone(),
        columns,
        sort_key: vec![],
    }));
    Ok(Target { table_id, changes })
}
