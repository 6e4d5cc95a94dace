//! `GetCatalogs`, `GetDbSchemas`, `GetTableTypes`.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes};

use super::pattern::Pattern;
use super::{SYSTEM_TABLE, Source, TABLE, VIEW, bug};
use crate::status::Failure;

pub(super) fn catalogs_schema(command: CommandGetCatalogs) -> SchemaRef {
    command.into_builder().schema()
}

/// The session's tenant alone.
pub(super) fn catalogs(
    command: CommandGetCatalogs,
    source: &Source<'_>,
) -> Result<RecordBatch, Failure> {
    let mut builder = command.into_builder();
    builder.append(source.tenant);
    builder.build().map_err(bug)
}

pub(super) fn schemas_schema(command: &CommandGetDbSchemas) -> SchemaRef {
    command.clone().into_builder().schema()
}

/// Schemas of the tenant and of the virtual tables that match, by name.
pub(super) fn schemas(
    command: &CommandGetDbSchemas,
    source: &Source<'_>,
) -> Result<RecordBatch, Failure> {
    let pattern = Pattern::new(command.db_schema_filter_pattern.as_deref());
    let mut builder = CommandGetDbSchemas::default().into_builder();
    if command
        .catalog
        .as_deref()
        .is_none_or(|catalog| catalog == source.tenant)
    {
        let own = source.version.schemas().map(|schema| schema.name.as_str());
        let extra = source.extra.iter().map(|table| table.schema.as_str());
        let names: BTreeSet<&str> = own.chain(extra).collect();
        for name in names.into_iter().filter(|name| pattern.matches(name)) {
            builder.append(source.tenant, name);
        }
    }
    builder.build().map_err(bug)
}

pub(super) fn table_types_schema(command: CommandGetTableTypes) -> SchemaRef {
    command.into_builder().schema()
}

pub(super) fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Failure> {
    let mut builder = command.into_builder();
    for table_type in [SYSTEM_TABLE, TABLE, VIEW] {
        builder.append(table_type);
    }
    builder.build().map_err(bug)
}
