//! How a table's columns are laid out in Parquet.
//!
//! Almost every canonical type has a Parquet type of its own. The exceptions are settled here:
//! timestamps in seconds are kept in milliseconds (Parquet has no seconds, and a plain integer
//! would be read as one by everybody else), UUIDs are marked as such, and intervals cannot be kept.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit,
};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use quiver_catalog::{Column, columns_to_schema};

use crate::error::{EngineError, Result};

/// Refuses columns whose values no segment could hold. To be asked before a table is created: rows
/// that were acknowledged must be flushable.
///
/// # Errors
/// `Unsupported` with the column's name.
pub(crate) fn check_storable(columns: &[Column]) -> Result<()> {
    for leaf in columns.iter().flat_map(Column::leaves) {
        if matches!(
            leaf.data_type,
            DataType::Interval(IntervalUnit::MonthDayNano)
        ) {
            let what = format!("column '{}' of type INTERVAL in a table", leaf.name);
            return Err(EngineError::Unsupported { what });
        }
    }
    Ok(())
}

/// Refuses rows with values that no segment could hold. To be asked before rows are acknowledged:
/// what is in the log must be flushable. Costs nothing for types that are stored as they are.
///
/// # Errors
/// `InvalidArgument` with the column's name.
pub(crate) fn check_rows(batch: &RecordBatch) -> Result<()> {
    for (column, field) in batch.columns().iter().zip(batch.schema_ref().fields()) {
        stored(column).map_err(|_| {
            let name = field.name();
            EngineError::invalid(format!(
                "column '{name}' holds a time further from 1970 than milliseconds can count: \
                 use a nearer time"
            ))
        })?;
    }
    Ok(())
}

/// Both faces of a table's segments: what Arrow hands to the writer and what Parquet records.
#[derive(Debug)]
pub(crate) struct StorageSchema {
    /// The table's schema with storable types.
    pub(crate) arrow: SchemaRef,
    /// The file's schema, with the catalog's column id on every field.
    pub(crate) parquet: SchemaDescriptor,
}

impl StorageSchema {
    /// The storage of a table with these columns.
    ///
    /// # Errors
    /// See [`check_storable`].
    pub(crate) fn new(columns: &[Column]) -> Result<Self> {
        check_storable(columns)?;
        let table = columns_to_schema(columns);
        let arrow = Schema::new_with_metadata(storage_fields(table.fields()), table.metadata);
        let with_ids: Vec<Field> = columns
            .iter()
            .map(|column| storage_field(&column.to_parquet_field()))
            .collect();
        let converted = ArrowSchemaConverter::new().convert(&Schema::new(with_ids))?;
        let root = mark_uuids(converted.root_schema())?;
        Ok(Self {
            arrow: Arc::new(arrow),
            parquet: SchemaDescriptor::new(Arc::new(root)),
        })
    }

    /// `batch` with storable types; columns that have them already are shared.
    ///
    /// # Errors
    /// `Arrow` when a value has no stored form or a NOT NULL column holds a NULL.
    pub(crate) fn encode(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.arrow.fields())
            .map(|(column, field)| {
                let stored = stored(column)?;
                if stored.data_type() == field.data_type() {
                    return Ok(stored);
                }
                let (given, name) = (column.data_type(), field.name());
                Err(EngineError::internal(format!(
                    "column '{name}' was given values of type {given}"
                )))
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.arrow), columns)?)
    }
}

/// The same values in their storable type.
fn stored(values: &ArrayRef) -> Result<ArrayRef> {
    let data_type = storage_type(values.data_type());
    if *values.data_type() == data_type {
        return Ok(Arc::clone(values));
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(values, &data_type, &strict)?)
}

fn storage_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::List(element) => DataType::List(Arc::new(storage_field(element))),
        DataType::Struct(fields) => DataType::Struct(storage_fields(fields)),
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(storage_field(entries)), *sorted),
        other => other.clone(),
    }
}

fn storage_fields(fields: &Fields) -> Fields {
    fields
        .iter()
        .map(|field: &FieldRef| storage_field(field))
        .collect()
}

fn storage_field(field: &Field) -> Field {
    field
        .clone()
        .with_data_type(storage_type(field.data_type()))
}

/// The same type with every 16-byte field marked as a UUID: the only such type tables have.
fn mark_uuids(node: &Type) -> Result<Type, ParquetError> {
    let info = node.get_basic_info();
    if node.is_group() {
        let children = node
            .get_fields()
            .iter()
            .map(|child| mark_uuids(child).map(TypePtr::new));
        let mut builder = Type::group_type_builder(info.name())
            .with_converted_type(info.converted_type())
            .with_logical_type(info.logical_type_ref().cloned())
            .with_fields(children.collect::<Result<_, _>>()?);
        if info.has_repetition() {
            builder = builder.with_repetition(info.repetition());
        }
        return builder.with_id(info.has_id().then(|| info.id())).build();
    }
    match node {
        Type::PrimitiveType {
            physical_type,
            type_length: 16,
            ..
        } if *physical_type == PhysicalType::FIXED_LEN_BYTE_ARRAY
            && info.logical_type_ref().is_none() =>
        {
            Type::primitive_type_builder(info.name(), *physical_type)
                .with_length(16)
                .with_repetition(info.repetition())
                .with_logical_type(Some(LogicalType::Uuid))
                .with_id(info.has_id().then(|| info.id()))
                .build()
        }
        other => Ok(other.clone()),
    }
}
