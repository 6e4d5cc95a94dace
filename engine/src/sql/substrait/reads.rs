//! What plans read: tables, and rows that are in the plan.

use std::sync::Arc;

use arrow::datatypes::{Field, Fields, Schema};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{LogicalPlanBuilder, lit};
use quiver_proto::substrait::{NamedStruct, ReadRel, ReadType, VirtualTable};

use super::expressions::Scope;
use super::relations::{Consumer, Relation, column_at};
use super::tables::{columns_of, declared_columns};
use super::types::arrow_type;
use super::{dotted, invalid, literals, need, unsupported};
use crate::error::{EngineError, Result};

impl Consumer<'_> {
    pub(super) fn read(&mut self, read: &ReadRel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let base = need(read.base_schema.as_ref(), "the base_schema of a ReadRel")?;
        let mut relation = match &read.read {
            Some(ReadType::NamedTable(table)) => self.named_table(base, &table.names)?,
            Some(ReadType::VirtualTable(table)) => self.virtual_table(base, table)?,
            _ => return Err(unsupported("read of an unknown kind")),
        };
        if let Some(filter) = &read.filter {
            relation = self.filtered(relation, filter, outer)?;
        }
        let Some(mask) = &read.projection else {
            return Ok(relation);
        };
        let select = need(mask.select.as_ref(), "the select of a projection mask")?;
        let mut columns = Vec::with_capacity(select.items.len());
        for item in &select.items {
            if item.child.is_some() {
                return Err(unsupported("projection of nested fields in a ReadRel"));
            }
            columns.push(column_at(&relation.columns, item.field)?);
        }
        relation.columns = columns;
        Ok(relation)
    }

    fn named_table(&mut self, base: &NamedStruct, names: &[String]) -> Result<Relation> {
        let table = self.tables.get(names).cloned();
        let table = table.ok_or_else(|| EngineError::internal("a table was not looked up"))?;
        let columns = columns_of(base, &table.source.schema(), &dotted(names))?;
        let alias = self.fresh();
        let column = |name: String| Column::new(Some(alias.as_str()), name);
        let columns = columns.into_iter().map(column).collect();
        let plan = LogicalPlanBuilder::scan(table.reference, table.source, None)?
            .alias(alias.as_str())?
            .build()?;
        Ok(Relation { plan, columns })
    }

    fn virtual_table(&mut self, base: &NamedStruct, table: &VirtualTable) -> Result<Relation> {
        let mut fields = vec![];
        for (_, kind, _) in declared_columns(base)? {
            fields.push(Field::new(self.fresh(), arrow_type(kind)?, true));
        }
        let schema = Arc::new(DFSchema::try_from(Schema::new(Fields::from(fields)))?);
        let mut rows = vec![];
        for row in &table.values {
            let values = row
                .fields
                .iter()
                .map(|value| Ok(lit(literals::scalar(value)?)));
            rows.push(values.collect::<Result<Vec<_>>>()?);
        }
        let nothing = DFSchema::empty();
        let scope = Scope::new(&[], &nothing, None);
        for row in &table.expressions {
            let values = row.fields.iter().map(|value| self.expr(value, &scope));
            rows.push(values.collect::<Result<Vec<_>>>()?);
        }
        if rows.iter().any(|row| row.len() != schema.fields().len()) {
            return Err(invalid(
                "a row of a virtual table has not one value per column",
            ));
        }
        let is_empty = rows.is_empty();
        if is_empty {
            let nothing = |field: &Arc<Field>| ScalarValue::try_from(field.data_type()).map(lit);
            let row = schema.fields().iter().map(nothing);
            rows.push(row.collect::<Result<Vec<_>, _>>()?);
        }
        let mut plan = LogicalPlanBuilder::values_with_schema(rows, &schema)?;
        if is_empty {
            plan = plan.limit(0, Some(0))?;
        }
        let plan = plan.alias(self.fresh().as_str())?.build()?;
        let columns = plan.schema().columns();
        Ok(Relation { plan, columns })
    }
}
