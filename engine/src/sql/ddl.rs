//! `CREATE` and `DROP` of schemas and tables.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, ColumnOptionDef, Ident, ObjectName, ObjectNamePart, Query,
    Statement as AstStatement,
};
use quiver_catalog::{
    CatalogVersion, Change, NewTable, SchemaId, TableId, TableVersion, assign_columns,
};

use super::alter::{sort_key, with_defaults};
use super::context::StatementContext;
use super::names::{TableName, check_writable};
use super::parser::CreateTable;
use super::planning::{plan_statement, with_types};
use super::query::{analyzed, read_only_plan, row_parameters, run, verify_read_only};
use super::repeated_names::is_about_repeated_names;
use crate::canonical::canonical_schema;
use crate::commit::CommitRequest;
use crate::error::{EngineError, Result};
use crate::ingest::{IngestMode, TableExists, TableMissing};
use crate::segment::check_storable;

impl StatementContext {
    pub(crate) async fn create_schema(
        &self,
        name: &ObjectName,
        if_not_exists: bool,
    ) -> Result<u64> {
        let name = self.schema_name(name)?;
        check_writable(&name)?;
        if self.catalog().await?.schema(&name).is_some() {
            return match if_not_exists {
                true => Ok(0),
                false => Err(EngineError::AlreadyExists {
                    what: format!("schema {name}"),
                }),
            };
        }
        let schema_id = SchemaId(self.tenant.catalog().reserve_ids(1));
        self.apply(CommitRequest::of_changes(vec![Change::CreateSchema {
            schema_id,
            name,
        }]))
        .await?;
        Ok(0)
    }

    pub(crate) async fn drop_schema(
        &self,
        name: &ObjectName,
        if_exists: bool,
        cascade: bool,
    ) -> Result<u64> {
        let name = self.schema_name(name)?;
        check_writable(&name)?;
        let catalog = self.catalog().await?;
        let Some(schema) = catalog.schema(&name) else {
            return missing(if_exists, format!("schema {name}"));
        };
        let tables: Vec<_> = catalog
            .tables()
            .filter(|table| table.schema_id == schema.id)
            .collect();
        if !tables.is_empty() && !cascade {
            return Err(EngineError::Precondition {
                message: format!("schema {name} has tables: drop them first, or add CASCADE"),
            });
        }
        let mut changes: Vec<_> = tables.iter().map(|table| drop_of(table)).collect();
        changes.push(Change::DropSchema {
            schema_id: schema.id,
        });
        self.apply(CommitRequest::of_changes(changes)).await?;
        Ok(0)
    }

    pub(crate) async fn drop_tables(&self, names: &[ObjectName], if_exists: bool) -> Result<u64> {
        let catalog = self.catalog().await?;
        let mut changes = vec![];
        for name in names {
            let name = self.table_name(name)?;
            check_writable(&name.schema)?;
            match catalog.table(&name.schema, &name.table) {
                Some(table) => changes.push(drop_of(table)),
                None => drop(missing(
                    if_exists,
                    format!("table {}.{}", name.schema, name.table),
                )?),
            }
        }
        if !changes.is_empty() {
            self.apply(CommitRequest::of_changes(changes)).await?;
        }
        Ok(0)
    }

    pub(crate) async fn create_table(
        &self,
        create: &CreateTable,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64> {
        refuse_unbuilt(create)?;
        let name = self.table_name(&create.name)?;
        check_writable(&name.schema)?;
        let catalog = self.catalog().await?;
        let existing = catalog.table(&name.schema, &name.table);
        if existing.is_some() && create.if_not_exists {
            return Ok(0);
        }
        if create.query.is_some() {
            return self.create_table_as(create, name, parameters).await;
        }
        if existing.is_some() && !create.or_replace {
            return Err(EngineError::AlreadyExists {
                what: format!("table {}.{}", name.schema, name.table),
            });
        }
        let schema = canonical_schema(&self.declared_schema(create).await?)?;
        let session = self.new_session().await?;
        let table = self.new_table(&session, &catalog, create, &name, &schema)?;
        let mut changes: Vec<_> = existing.map(|table| drop_of(table)).into_iter().collect();
        changes.push(Change::CreateTable(table));
        self.apply(CommitRequest {
            replaces_table: create.or_replace,
            ..CommitRequest::of_changes(changes)
        })
        .await?;
        Ok(0)
    }

    fn new_table(
        &self,
        session: &SessionState,
        catalog: &CatalogVersion,
        create: &CreateTable,
        name: &TableName,
        schema: &Schema,
    ) -> Result<NewTable> {
        let home = catalog
            .schema(&name.schema)
            .ok_or_else(|| EngineError::NotFound {
                what: format!("schema {}", name.schema),
            })?;
        let columns = assign_columns(schema)?;
        check_storable(&columns)?;
        let columns = with_defaults(session, columns, &create.columns)?;
        let sort_key = sort_key(&create.sorted_by, &columns)?;
        let table_id = TableId(self.tenant.catalog().reserve_ids(1));
        Ok(NewTable {
            table_id,
            schema_id: home.id,
            name: name.table.clone(),
            columns,
            sort_key,
        })
    }

    /// Column types as DataFusion understands them.
    async fn declared_schema(&self, create: &CreateTable) -> Result<Schema> {
        declared_schema(&self.new_session().await?, create.columns.clone()).await
    }

    async fn create_table_as(
        &self,
        create: &CreateTable,
        name: TableName,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64> {
        let options = create.columns.iter().flat_map(|column| &column.options);
        let mut options = options.map(|def| &def.option);
        let has_default = options.any(|option| matches!(option, ColumnOption::Default(_)));
        for (found, clause) in [
            (!create.sorted_by.is_empty(), "SORTED BY"),
            (has_default, "DEFAULT"),
        ] {
            if found {
                return Err(EngineError::Unsupported {
                    what: format!("CREATE TABLE with {clause} together with AS"),
                });
            }
        }
        let Some(query) = &create.query else {
            return Err(EngineError::internal("CREATE TABLE AS without a query"));
        };
        let session = self.new_session().await?;
        let (plan, declared) = if create.columns.is_empty() {
            let query = AstStatement::Query(query.clone());
            let query = DfStatement::Statement(Box::new(query));
            (read_only_plan(&session, query).await?, None)
        } else {
            let declared = self.declared_schema(create).await?;
            let columns = create.columns.clone();
            let plan = match declared_rows(&session, columns, Some(query.clone())).await {
                Ok(plan) => plan,
                // As the columns of a table, those of a query must have names of their own.
                Err(error) if is_about_repeated(&error) => {
                    let query = AstStatement::Query(query.clone());
                    let query = DfStatement::Statement(Box::new(query));
                    read_only_plan(&session, query).await?
                }
                Err(error) => return Err(error),
            };
            (plan, Some(declared))
        };
        let plan = match parameters {
            Some(batch) => plan.with_param_values(row_parameters(batch, 0)?)?,
            None => plan,
        };
        let plan = match &declared {
            Some(declared) => with_types(analyzed(&session, plan)?, declared)?,
            None => plan,
        };
        let rows = run(&session, plan).await?;
        let incoming = match declared {
            Some(declared) => as_declared(&rows.schema, &declared),
            None => Arc::clone(&rows.schema),
        };
        let exists = if create.or_replace {
            TableExists::Replace
        } else {
            TableExists::Fail
        };
        let mode = IngestMode {
            missing: TableMissing::Create,
            exists,
        };
        let outcome = self
            .ingest_rows(name.schema, name.table, mode, incoming, rows.stream)
            .await?;
        Ok(outcome.row_count)
    }
}

/// Rows with the names of the declared columns, and NULL only where they allow it.
fn as_declared(rows: &Schema, declared: &Schema) -> SchemaRef {
    let fields = rows.fields().iter().zip(declared.fields());
    let fields = fields.map(|(field, declared)| {
        let field = field.as_ref().clone().with_name(declared.name());
        field.with_nullable(declared.is_nullable())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn is_about_repeated(error: &EngineError) -> bool {
    matches!(error, EngineError::DataFusion(error) if is_about_repeated_names(error))
}

/// The types of declared columns.
pub(super) async fn declared_schema(
    session: &SessionState,
    columns: Vec<ColumnDef>,
) -> Result<Schema> {
    let rows = declared_rows(session, columns, None).await?;
    Ok(rows.schema().as_arrow().clone())
}

/// The rows of a query, or none, under the names and types of the columns.
async fn declared_rows(
    session: &SessionState,
    mut columns: Vec<ColumnDef>,
    query: Option<Box<Query>>,
) -> Result<LogicalPlan> {
    // Values come later: the planner would want them to be of the column's type.
    for column in &mut columns {
        let is_default = |def: &ColumnOptionDef| matches!(def.option, ColumnOption::Default(_));
        column.options.retain(|def| !is_default(def));
    }
    let name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new("declared"))]);
    let statement = CreateTableBuilder::new(name)
        .columns(columns)
        .query(query)
        .build();
    let statement = AstStatement::CreateTable(statement);
    let statement = DfStatement::Statement(Box::new(statement));
    match plan_statement(session, statement).await? {
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(table)) => {
            let rows = Arc::unwrap_or_clone(table.input);
            verify_read_only(&rows)?;
            Ok(rows)
        }
        _ => Err(EngineError::internal(
            "CREATE TABLE was planned as something else",
        )),
    }
}

fn refuse_unbuilt(create: &CreateTable) -> Result<()> {
    let unbuilt = [
        (!create.partitioned_by.is_empty(), "PARTITIONED BY"),
        (!create.primary_key.is_empty(), "PRIMARY KEY"),
        (!create.options.is_empty(), "WITH (…) on a table"),
    ];
    match unbuilt.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(EngineError::Unsupported {
            what: (*what).to_owned(),
        }),
        None => Ok(()),
    }
}

fn drop_of(table: &TableVersion) -> Change {
    Change::DropTable {
        table_id: table.id,
        sequence: 0,
    }
}

fn missing(allowed: bool, what: String) -> Result<u64> {
    if allowed {
        Ok(0)
    } else {
        Err(EngineError::NotFound { what })
    }
}
