//! `information_schema`: the tenant's schemas, tables and columns, and nothing of the engine's own.
//!
//! Columns are named as the SQL standard has them. Rows are made from the read view of the statement.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::TableType;

use super::context::StatementContext;
use super::system_tables::SystemSchema;
use crate::error::Result;
use crate::read_view::ReadView;

/// The views there are.
const VIEWS: [&str; 4] = ["columns", "schemata", "tables", "views"];
const BASE_TABLE: &str = "BASE TABLE";
const VIEW: &str = "VIEW";

/// The schema as a session sees it.
#[derive(Debug)]
pub(crate) struct InformationSchema {
    context: StatementContext,
    view: ReadView,
}

/// A table or view of the tenant.
struct Listed {
    schema: String,
    name: String,
    kind: &'static str,
    columns: SchemaRef,
}

/// One row: a value, or NULL, for each column.
type Row = Vec<Option<String>>;

impl InformationSchema {
    pub(crate) const NAME: &'static str = "information_schema";

    pub(crate) fn new(context: StatementContext, view: ReadView) -> Self {
        Self { context, view }
    }

    fn rows(&self, name: &str) -> Result<RecordBatch> {
        let rows = match name {
            "schemata" => self.schemata(),
            "tables" => self.tables(),
            "views" => self.views(),
            _ => self.columns(),
        };
        batch(&schema_of(name), &rows)
    }

    fn tenant(&self) -> Option<String> {
        Some(self.context.tenant_name.clone())
    }

    fn listed(&self) -> Vec<Listed> {
        let tables = self.view.catalog().tables().map(|table| Listed {
            schema: table.schema_name.clone(),
            name: table.name.clone(),
            kind: BASE_TABLE,
            columns: Arc::clone(&table.arrow_schema),
        });
        let system = self
            .context
            .system_table_list()
            .into_iter()
            .map(|table| Listed {
                schema: SystemSchema::NAME.to_owned(),
                name: table.name.to_owned(),
                kind: VIEW,
                columns: table.schema,
            });
        let own = VIEWS.iter().map(|name| Listed {
            schema: Self::NAME.to_owned(),
            name: (*name).to_owned(),
            kind: VIEW,
            columns: schema_of(name),
        });
        let mut listed: Vec<_> = tables.chain(system).chain(own).collect();
        listed.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        listed
    }

    fn schemata(&self) -> Vec<Row> {
        let tables = self
            .view
            .catalog()
            .schemas()
            .map(|schema| schema.name.clone());
        let virtual_ones = [Self::NAME.to_owned(), SystemSchema::NAME.to_owned()];
        let mut names: Vec<_> = tables.chain(virtual_ones).collect();
        names.sort();
        let row = |name| vec![self.tenant(), Some(name), None, None, None, None, None];
        names.into_iter().map(row).collect()
    }

    fn tables(&self) -> Vec<Row> {
        let row = |table: Listed| {
            let kind = Some(table.kind.to_owned());
            vec![self.tenant(), Some(table.schema), Some(table.name), kind]
        };
        self.listed().into_iter().map(row).collect()
    }

    fn views(&self) -> Vec<Row> {
        let views = self.listed().into_iter().filter(|table| table.kind == VIEW);
        views
            .map(|view| vec![self.tenant(), Some(view.schema), Some(view.name), None])
            .collect()
    }

    fn columns(&self) -> Vec<Row> {
        let mut rows = vec![];
        for table in self.listed() {
            for (position, field) in table.columns.fields().iter().enumerate() {
                let mut row = vec![
                    self.tenant(),
                    Some(table.schema.clone()),
                    Some(table.name.clone()),
                    Some(field.name().clone()),
                    Some((position + 1).to_string()),
                    None,
                    Some(if field.is_nullable() { "YES" } else { "NO" }.to_owned()),
                    Some(field.data_type().to_string()),
                ];
                row.extend(measures(field.data_type()));
                rows.push(row);
            }
        }
        rows
    }
}

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        VIEWS.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if !self.table_exist(name) {
            return Ok(None);
        }
        let external = |error| DataFusionError::External(Box::new(error));
        let rows = self.rows(name).map_err(external)?;
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
        Ok(Some(Arc::new(table)))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        VIEWS.contains(&name)
    }
}

/// Length of texts, digits of numbers and times: `character_maximum_length` and the columns after.
fn measures(data_type: &DataType) -> [Option<String>; 7] {
    let digits = match data_type {
        DataType::Int8 | DataType::UInt8 => Some((8, 2, Some(0))),
        DataType::Int16 | DataType::UInt16 => Some((16, 2, Some(0))),
        DataType::Int32 | DataType::UInt32 => Some((32, 2, Some(0))),
        DataType::Int64 | DataType::UInt64 => Some((64, 2, Some(0))),
        DataType::Float32 => Some((24, 2, None)),
        DataType::Float64 => Some((53, 2, None)),
        DataType::Decimal128(precision, scale) => {
            Some((u32::from(*precision), 10, Some(i32::from(*scale))))
        }
        _ => None,
    };
    let time_digits = match data_type {
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            use arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
            Some(match unit {
                Second => "0",
                Millisecond => "3",
                Microsecond => "6",
                Nanosecond => "9",
            })
        }
        DataType::Date32 => Some("0"),
        _ => None,
    };
    [
        None,
        None,
        digits.map(|(precision, _, _)| precision.to_string()),
        digits.map(|(_, radix, _)| radix.to_string()),
        digits
            .and_then(|(_, _, scale)| scale)
            .map(|scale| scale.to_string()),
        time_digits.map(str::to_owned),
        None,
    ]
}

fn schema_of(view: &str) -> SchemaRef {
    let texts = |names: &[&str]| -> Vec<Field> {
        let field = |name: &&str| Field::new(*name, DataType::Utf8, true);
        names.iter().map(field).collect()
    };
    let fields = match view {
        "schemata" => texts(&[
            "catalog_name",
            "schema_name",
            "schema_owner",
            "default_character_set_catalog",
            "default_character_set_schema",
            "default_character_set_name",
            "sql_path",
        ]),
        "tables" => texts(&["table_catalog", "table_schema", "table_name", "table_type"]),
        "views" => texts(&["table_catalog", "table_schema", "table_name", "definition"]),
        _ => columns_fields(texts),
    };
    Arc::new(Schema::new(fields))
}

fn columns_fields(texts: impl Fn(&[&str]) -> Vec<Field>) -> Vec<Field> {
    let count = |name: &str| Field::new(name, DataType::UInt64, true);
    let mut fields = texts(&["table_catalog", "table_schema", "table_name", "column_name"]);
    fields.push(count("ordinal_position"));
    fields.extend(texts(&["column_default", "is_nullable", "data_type"]));
    fields.extend(
        [
            "character_maximum_length",
            "character_octet_length",
            "numeric_precision",
            "numeric_precision_radix",
            "numeric_scale",
            "datetime_precision",
        ]
        .map(count),
    );
    fields.extend(texts(&["interval_type"]));
    fields
}

fn batch(schema: &SchemaRef, rows: &[Row]) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(position, field)| -> ArrayRef {
            let values = rows.iter().map(|row| row[position].as_deref());
            match field.data_type() {
                DataType::UInt64 => {
                    let count = |value: Option<&str>| value.and_then(|value| value.parse().ok());
                    Arc::new(values.map(count).collect::<UInt64Array>())
                }
                _ => Arc::new(values.collect::<StringArray>()),
            }
        });
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect())?)
}
