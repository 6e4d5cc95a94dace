//! `ALTER TABLE`, and the values that columns have by default.

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr as PlanExpr;
use datafusion::sql::sqlparser::ast::{ColumnDef, ColumnOption, Expr, Ident, ObjectName};
use quiver_catalog::{
    Alteration, Change, Column, ColumnDefault, ColumnId, SortColumn, TableVersion, assign_columns,
};

use super::context::StatementContext;
use super::ddl::declared_schema;
use super::known_query::changes_by_statement;
use super::names::{check_writable, normalise};
use super::parser::{AlterAction, SortBy};
use super::table_versions::constant;
use crate::canonical::{canonical_schema, short};
use crate::commit::CommitRequest;
use crate::error::{EngineError, Result};
use crate::segment::{check_storable, default_text};

impl StatementContext {
    /// Changes what a table is like, in a commit or in the transaction.
    pub(crate) async fn alter_table(
        &self,
        name: &ObjectName,
        if_exists: bool,
        action: &AlterAction,
    ) -> Result<u64> {
        let name = self.table_name(name)?;
        check_writable(&name.schema)?;
        let catalog = self.catalog().await?;
        let Some(table) = catalog.table(&name.schema, &name.table) else {
            return match if_exists {
                true => Ok(0),
                false => Err(EngineError::NotFound {
                    what: format!("table {}.{}", name.schema, name.table),
                }),
            };
        };
        if let Some(transaction) = &self.transaction {
            transaction.begin_alter(table).await?;
        }
        let Some(alteration) = self.alteration(table, action).await? else {
            return Ok(0);
        };
        let change = Change::AlterTable {
            table_id: table.id,
            alteration,
        };
        self.apply(CommitRequest::of_changes(vec![change])).await?;
        Ok(0)
    }

    /// What an action means; `None` if nothing is to be done.
    async fn alteration(
        &self,
        table: &TableVersion,
        action: &AlterAction,
    ) -> Result<Option<Alteration>> {
        let session = self.new_session().await?;
        Ok(Some(match action {
            AlterAction::AddColumn {
                if_not_exists,
                parents,
                column,
            } => {
                let parent = match parents.as_slice() {
                    [] => None,
                    path => Some(find(table, path)?),
                };
                let siblings = parent.map_or(&table.columns, |parent| &parent.children);
                let name = normalise(&column.name);
                let is_there = siblings
                    .iter()
                    .any(|own| own.name.eq_ignore_ascii_case(&name));
                if is_there && *if_not_exists {
                    return Ok(None);
                }
                let added = new_column(&session, column).await?;
                Alteration::AddColumn {
                    parent: parent.map(|parent| parent.id),
                    field: added.to_field(),
                    default: added.default,
                }
            }
            AlterAction::DropColumn { if_exists, path } => match find(table, path) {
                Err(EngineError::NotFound { .. }) if *if_exists => return Ok(None),
                found => Alteration::DropColumn {
                    column_id: found?.id,
                },
            },
            AlterAction::RenameColumn { path, to } => Alteration::RenameColumn {
                column_id: find(table, path)?.id,
                name: normalise(to),
            },
            AlterAction::RenameTable { to } => Alteration::Rename {
                name: normalise(to),
            },
            AlterAction::SetType { path, data_type } => {
                let column = find(table, path)?;
                let declared = ColumnDef {
                    name: Ident::with_quote('"', column.name.as_str()),
                    data_type: data_type.clone(),
                    options: vec![],
                };
                let declared = new_column(&session, &declared).await?;
                Alteration::WidenColumn {
                    column_id: column.id,
                    data_type: declared.data_type,
                }
            }
            AlterAction::SetNullable { path, nullable } => Alteration::SetNullable {
                column_id: find(table, path)?.id,
                nullable: *nullable,
            },
            AlterAction::SetDefault { path, value } => {
                let column = find(table, path)?;
                let value = match value {
                    None => None,
                    Some(value) => default_of(&session, column, value)?,
                };
                Alteration::SetDefault {
                    column_id: column.id,
                    value,
                }
            }
            AlterAction::SetSortedBy { sorted_by } => Alteration::SetSortKey {
                sort_key: sort_key(sorted_by, &table.columns)?,
            },
        }))
    }
}

/// The column that a path leads to.
fn find<'a>(table: &'a TableVersion, path: &[Ident]) -> Result<&'a Column> {
    let names: Vec<String> = path.iter().map(normalise).collect();
    let mut columns = &table.columns;
    let mut found = None;
    for name in &names {
        let column = columns.iter().find(|column| column.name == *name);
        let column = column.ok_or_else(|| EngineError::NotFound {
            what: format!(
                "column {} of table {}.{}",
                names.join("."),
                table.schema_name,
                table.name
            ),
        })?;
        columns = &column.children;
        found = Some(column);
    }
    found.ok_or_else(|| EngineError::internal("a path has a name"))
}

/// A column as it is declared, with any id.
async fn new_column(session: &SessionState, declared: &ColumnDef) -> Result<Column> {
    let schema = declared_schema(session, vec![declared.clone()]).await?;
    let columns = assign_columns(&canonical_schema(&schema)?)?;
    check_storable(&columns)?;
    let columns = with_defaults(session, columns, std::slice::from_ref(declared))?;
    let column = columns.into_iter().next();
    column.ok_or_else(|| EngineError::internal("a column was declared"))
}

/// The columns with the defaults of their declarations.
pub(super) fn with_defaults(
    session: &SessionState,
    mut columns: Vec<Column>,
    declared: &[ColumnDef],
) -> Result<Vec<Column>> {
    for (column, declared) in columns.iter_mut().zip(declared) {
        let options = declared.options.iter();
        let value = options.rev().find_map(|def| match &def.option {
            ColumnOption::Default(value) => Some(value),
            _ => None,
        });
        if let Some(value) = value {
            let text = default_of(session, column, value)?;
            column.default = ColumnDefault {
                initial: text.clone(),
                value: text,
            };
        }
    }
    Ok(columns)
}

/// The text of a constant as a value of the column.
fn default_of(session: &SessionState, column: &Column, value: &Expr) -> Result<Option<String>> {
    let refused = || {
        let (value, name) = (value.to_string(), short(&column.name));
        EngineError::invalid(format!(
            "DEFAULT {} of column '{name}' is no constant of type {}",
            short(&value),
            column.data_type
        ))
    };
    if depends_on_time(session, value) {
        let value = value.to_string();
        return Err(EngineError::Unsupported {
            what: format!("DEFAULT {}, which is no constant", short(&value)),
        });
    }
    let scalar = constant(session, value).map_err(|_| refused())?;
    if scalar.is_null() {
        return Ok(None);
    }
    if !column.is_leaf() {
        return Err(EngineError::Unsupported {
            what: format!(
                "DEFAULT for column '{}', which is nested",
                short(&column.name)
            ),
        });
    }
    let cast: ScalarValue = scalar
        .cast_to(&column.data_type)
        .ok()
        .filter(|cast| !cast.is_null())
        .ok_or_else(refused)?;
    default_text(&cast)
}

/// Whether each row, or each statement, would get another value.
fn depends_on_time(session: &SessionState, value: &Expr) -> bool {
    let planned = session.create_logical_expr(&value.to_string(), &DFSchema::empty());
    let differs = |expr: &PlanExpr| Ok(expr.is_volatile_node() || changes_by_statement(expr));
    planned.is_ok_and(|planned| planned.exists(differs).unwrap_or(true))
}

/// The columns of `SORTED BY`.
pub(super) fn sort_key(sorted_by: &[SortBy], columns: &[Column]) -> Result<Vec<SortColumn>> {
    let find = |ident: &Ident| -> Result<ColumnId> {
        let name = normalise(ident);
        let column = columns.iter().find(|column| column.name == name);
        let column = column.filter(|column| !column.data_type.is_nested());
        column.map(|column| column.id).ok_or_else(|| {
            EngineError::invalid(format!("SORTED BY: there is no sortable column '{name}'"))
        })
    };
    let key = |sort: &SortBy| {
        Ok(SortColumn {
            column_id: find(&sort.column)?,
            descending: sort.descending,
            nulls_first: sort.nulls_first,
        })
    };
    sorted_by.iter().map(key).collect()
}
