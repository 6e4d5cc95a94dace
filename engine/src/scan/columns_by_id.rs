//! Columns of a table that was altered, in segments from before: found by their ids, whatever they were
//! called, with the values that stand for those that are not there.
//!
//! DataFusion looks for columns by name. Here, each file says under which name and in which type it has
//! the column with an id.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column as ColumnExpr, lit};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use quiver_catalog::{Column, ColumnId};

use crate::segment::default_value;

/// Makes expressions over a table into such over one of its files.
#[derive(Debug)]
pub(super) struct ColumnsById {
    pub(super) columns: Arc<Vec<Column>>,
}

impl PhysicalExprAdapterFactory for ColumnsById {
    fn create(
        &self,
        _logical: SchemaRef,
        physical: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(FileColumns {
            columns: Arc::clone(&self.columns),
            physical,
        }))
    }
}

#[derive(Debug)]
struct FileColumns {
    columns: Arc<Vec<Column>>,
    physical: SchemaRef,
}

impl PhysicalExprAdapter for FileColumns {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rewrite = |expr: Arc<dyn PhysicalExpr>| {
            let any: &dyn Any = expr.as_ref();
            match any.downcast_ref::<ColumnExpr>() {
                Some(column) => Ok(Transformed::yes(self.source(column)?)),
                None => Ok(Transformed::no(expr)),
            }
        };
        expr.transform_up(rewrite).data()
    }
}

impl FileColumns {
    /// Where the values of a column come from.
    fn source(&self, wanted: &ColumnExpr) -> Result<Arc<dyn PhysicalExpr>> {
        let own = self.columns.iter().find(|own| own.name == wanted.name());
        let Some(own) = own else {
            // One of those beside the table's: only its name tells it.
            return Ok(match self.physical.index_of(wanted.name()) {
                Ok(index) => Arc::new(ColumnExpr::new(wanted.name(), index)),
                Err(_) => lit(ScalarValue::Int64(None)),
            });
        };
        let Some(index) = place(self.physical.fields(), own) else {
            return Ok(lit(initial_value(own)?));
        };
        let field = self.physical.field(index);
        let column: Arc<dyn PhysicalExpr> = Arc::new(ColumnExpr::new(field.name(), index));
        if is_same(field, own) {
            return Ok(column);
        }
        if own.is_leaf() {
            return Ok(Arc::new(CastExpr::new(column, own.data_type.clone(), None)));
        }
        Ok(Arc::new(Nested {
            source: column,
            field: Arc::new(field.clone()),
            column: Arc::new(own.clone()),
        }))
    }
}

/// The field with the column's id; by name where a file has no ids.
fn place<'a>(fields: impl IntoIterator<Item = &'a FieldRef>, column: &Column) -> Option<usize> {
    let fields: Vec<_> = fields.into_iter().collect();
    match fields.iter().any(|field| field_id(field).is_some()) {
        true => fields
            .iter()
            .position(|field| field_id(field) == Some(column.id)),
        false => fields.iter().position(|field| *field.name() == column.name),
    }
}

fn field_id(field: &Field) -> Option<ColumnId> {
    let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY)?;
    id.parse().ok().map(ColumnId)
}

/// Whether the values can be taken as they are. Parts that have ids are looked at one by one.
fn is_same(field: &Field, column: &Column) -> bool {
    *field.data_type() == column.data_type
}

fn children(data_type: &DataType) -> Vec<&FieldRef> {
    match data_type {
        DataType::Struct(fields) => fields.iter().collect(),
        DataType::List(element) => vec![element],
        DataType::Map(entries, _) => children(entries.data_type()),
        _ => vec![],
    }
}

fn initial_value(column: &Column) -> Result<ScalarValue> {
    match &column.default.initial {
        None => ScalarValue::try_from(&column.data_type),
        Some(text) => default_value(text, &column.data_type)
            .map_err(|error| DataFusionError::External(Box::new(error))),
    }
}

/// A nested column whose parts have other names, types or places in the file.
#[derive(Debug, Clone)]
struct Nested {
    source: Arc<dyn PhysicalExpr>,
    field: FieldRef,
    column: Arc<Column>,
}

impl PartialEq for Nested {
    fn eq(&self, other: &Self) -> bool {
        self.source.eq(&other.source) && self.field == other.field && self.column == other.column
    }
}

impl Eq for Nested {}

impl Hash for Nested {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
        self.column.id.hash(state);
    }
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS OF NOW", self.source)
    }
}

impl PhysicalExpr for Nested {
    fn data_type(&self, _input: &Schema) -> Result<DataType> {
        Ok(self.column.data_type.clone())
    }

    fn nullable(&self, _input: &Schema) -> Result<bool> {
        Ok(self.column.nullable)
    }

    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(self.column.to_field()))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let values = self.source.evaluate(batch)?.into_array(batch.num_rows())?;
        let values = adapt(&values, &self.field, &self.column)?;
        Ok(ColumnarValue::Array(values))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.source]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Some(source) = children.into_iter().next() else {
            return exec_err!("a nested column comes from a column");
        };
        Ok(Arc::new(Self {
            source,
            ..self.as_ref().clone()
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt_sql(f)
    }
}

/// The values of a file's field as those of a column.
fn adapt(values: &ArrayRef, field: &Field, column: &Column) -> Result<ArrayRef> {
    if *values.data_type() == column.data_type {
        return Ok(Arc::clone(values));
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    match (values.data_type(), &column.data_type) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let given = values.as_struct();
            let parts = struct_parts(given, field, column)?;
            let nulls = given.nulls().cloned();
            let adapted =
                StructArray::try_new_with_length(fields.clone(), parts, nulls, given.len())?;
            Ok(Arc::new(adapted))
        }
        (DataType::List(_), DataType::List(element)) => {
            let given = values.as_list::<i32>();
            let (Some(from), [to]) = (children(field.data_type()).pop(), &*column.children) else {
                return exec_err!("a list has one part");
            };
            let elements = adapt(given.values(), from, to)?;
            let (offsets, nulls) = (given.offsets().clone(), given.nulls().cloned());
            let adapted = ListArray::try_new(Arc::clone(element), offsets, elements, nulls)?;
            Ok(Arc::new(adapted))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let given = values.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return exec_err!("a map has entries");
            };
            let parts = struct_parts(given.entries(), field, column)?;
            let adapted = StructArray::try_new(fields.clone(), parts, None)?;
            let (offsets, nulls) = (given.offsets().clone(), given.nulls().cloned());
            let entries = Arc::clone(entries);
            Ok(Arc::new(MapArray::try_new(
                entries, offsets, adapted, nulls, *sorted,
            )?))
        }
        _ => Ok(cast_with_options(values, &column.data_type, &strict)?),
    }
}

/// The parts of a column that a struct, or the entries of a map, hold.
fn struct_parts(given: &StructArray, field: &Field, column: &Column) -> Result<Vec<ArrayRef>> {
    let fields = children(field.data_type());
    let part = |child: &Column| match place(fields.iter().copied(), child) {
        Some(at) => adapt(given.column(at), fields[at], child),
        None => initial_value(child)?.to_array_of_size(given.len()),
    };
    column.children.iter().map(part).collect()
}
