//! The tables that a plan names.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::SchemaProvider;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::TableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::TableSource;
use quiver_proto::substrait::{NamedStruct, Type};

use super::types::{Class, names_in};
use super::{dotted, invalid, need};
use crate::error::{EngineError, Result};

/// A table that is there.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) reference: TableReference,
    pub(super) source: Arc<dyn TableSource>,
}

/// By the names in the plan.
pub(super) type Tables = HashMap<Vec<String>, Table>;

/// Looks tables up as SQL does.
pub(super) async fn resolve(session: &SessionState, names: &[Vec<String>]) -> Result<Tables> {
    let mut tables = Tables::new();
    for names in names {
        tables.insert(names.clone(), table(session, names).await?);
    }
    Ok(tables)
}

async fn table(session: &SessionState, names: &[String]) -> Result<Table> {
    let not_found = || EngineError::NotFound {
        what: format!("table {}", dotted(names)),
    };
    let defaults = &session.config_options().catalog;
    let (schema, table) = match names {
        [table] => (&defaults.default_schema, table),
        [schema, table] => (schema, table),
        [tenant, schema, table] if tenant.eq_ignore_ascii_case(&defaults.default_catalog) => {
            (schema, table)
        }
        _ => return Err(not_found()),
    };
    let provider = schema_provider(session, schema).ok_or_else(not_found)?;
    let provider = match provider.table(table).await? {
        Some(provider) => provider,
        None => {
            let folded = provider.table(&table.to_lowercase()).await?;
            folded.ok_or_else(not_found)?
        }
    };
    Ok(Table {
        reference: TableReference::partial(schema.as_str(), table.as_str()),
        source: provider_as_source(provider),
    })
}

fn schema_provider(session: &SessionState, name: &str) -> Option<Arc<dyn SchemaProvider>> {
    let catalog = &session.config_options().catalog.default_catalog;
    let catalog = session.catalog_list().catalog(catalog)?;
    catalog
        .schema(name)
        .or_else(|| catalog.schema(&name.to_lowercase()))
}

/// The columns of `base_schema` in a table, by position. The table decides about types; one that is
/// clearly another in the plan would be compared and computed with differently.
pub(super) fn columns_of(
    base: &NamedStruct,
    schema: &SchemaRef,
    table: &str,
) -> Result<Vec<String>> {
    let declared = declared_columns(base)?;
    let mut columns = Vec::with_capacity(declared.len());
    for (name, kind, inner) in declared {
        let (name, data_type) = find(schema, name).ok_or_else(|| {
            EngineError::invalid(format!("table {table} has no single column '{name}'"))
        })?;
        let declared = Class::of_type(kind)?;
        if declared != Class::of_arrow(data_type) {
            return Err(EngineError::invalid(format!(
                "column '{name}' of table {table} is {data_type}, not {declared:?} as the plan says"
            )));
        }
        // Plans refer to fields by position.
        let mut own = vec![];
        names_within(data_type, &mut own);
        if own != inner {
            return Err(EngineError::invalid(format!(
                "the fields of column '{name}' of table {table} are {own:?}, not {inner:?} as the plan says"
            )));
        }
        columns.push(name.clone());
    }
    Ok(columns)
}

/// The names inside a type, as they follow each other in a plan.
fn names_within<'t>(data_type: &'t DataType, names: &mut Vec<&'t str>) {
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                names.push(field.name());
                names_within(field.data_type(), names);
            }
        }
        DataType::List(item) => names_within(item.data_type(), names),
        DataType::Map(entries, _) => {
            if let DataType::Struct(entries) = entries.data_type() {
                for entry in entries {
                    names_within(entry.data_type(), names);
                }
            }
        }
        _ => {}
    }
}

/// The outermost names with their types and the names inside of these.
pub(super) fn declared_columns(base: &NamedStruct) -> Result<Vec<(&str, &Type, Vec<&str>)>> {
    let types = &need(base.types.as_ref(), "the struct of a base_schema")?.types;
    let mut names = base.names.iter();
    let mut columns = Vec::with_capacity(types.len());
    for kind in types {
        let name = names.next().ok_or_else(too_few)?;
        let mut inner = vec![];
        for _ in 0..names_in(kind) {
            inner.push(names.next().ok_or_else(too_few)?.as_str());
        }
        columns.push((name.as_str(), kind, inner));
    }
    match names.next() {
        Some(_) => Err(invalid("a base_schema has more names than types")),
        None => Ok(columns),
    }
}

fn too_few() -> EngineError {
    invalid("a base_schema has fewer names than types")
}

/// The column of this name, or the only one that differs from it in case alone.
fn find<'s>(schema: &'s SchemaRef, name: &str) -> Option<(&'s String, &'s DataType)> {
    if let Ok(field) = schema.field_with_name(name) {
        return Some((field.name(), field.data_type()));
    }
    let folded = name.to_lowercase();
    let mut similar = schema
        .fields()
        .iter()
        .filter(|field| field.name().to_lowercase() == folded);
    match (similar.next(), similar.next()) {
        (Some(field), None) => Some((field.name(), field.data_type())),
        _ => None,
    }
}
