//! `CALL system.…`: procedures.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Value};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::context::StatementContext;
use super::names::check_writable;
use super::parser::CallArgument;
use crate::canonical::short;
use crate::compaction::{Compacted, compact};
use crate::error::{EngineError, Result};

impl StatementContext {
    /// Executes a procedure and returns its small result.
    ///
    /// # Errors
    /// `NotFound` for an unknown procedure, `InvalidArgument` for its arguments.
    pub async fn call(
        &self,
        procedure: &[String],
        arguments: &[CallArgument],
    ) -> Result<RecordBatch> {
        match Procedure::of(procedure, arguments)? {
            Procedure::Flush => self.flush_call().await,
            Procedure::Compact(table) => Box::pin(self.compact_call(table)).await,
        }
    }

    /// Everything committed so far is in segments afterwards; rows of open transactions are not.
    async fn flush_call(&self) -> Result<RecordBatch> {
        let outcome = self.engine.flush(&self.tenant).await?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![outcome.snapshot_id.0])),
            Arc::new(UInt64Array::from(vec![outcome.segment_count])),
            Arc::new(UInt64Array::from(vec![outcome.row_count])),
        ];
        Ok(RecordBatch::try_new(Procedure::Flush.schema(), columns)?)
    }

    /// Compacts a table, or all of them.
    async fn compact_call(&self, table: Option<ObjectName>) -> Result<RecordBatch> {
        if self.transaction.is_some() {
            return Err(EngineError::Precondition {
                message: "system.compact commits by itself: end the transaction first".to_owned(),
            });
        }
        let catalog = self.catalog().await?;
        let tables = match &table {
            None => catalog.tables().map(|table| table.id).collect(),
            Some(name) => {
                let name = self.table_name(name)?;
                check_writable(&name.schema)?;
                let table = catalog.table(&name.schema, &name.table);
                let table = table.ok_or_else(|| EngineError::NotFound {
                    what: format!("table {}.{}", name.schema, name.table),
                })?;
                vec![table.id]
            }
        };
        let mut done = vec![];
        for table_id in tables {
            let context = self.clone();
            let job = async move { compact(&context, table_id).await };
            done.push(self.engine.query_runtime().run(job).await?);
        }
        compacted_rows(Procedure::Compact(table).schema(), &done)
    }
}

fn compacted_rows(schema: SchemaRef, done: &[Compacted]) -> Result<RecordBatch> {
    let texts = |value: fn(&Compacted) -> &String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(done.iter().map(value)))
    };
    let counts = |value: fn(&Compacted) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(done.iter().map(value)))
    };
    let snapshots = done.iter().map(|table| table.snapshot_id.0);
    let columns: Vec<ArrayRef> = vec![
        texts(|done| &done.table.schema_name),
        texts(|done| &done.table.name),
        counts(|done| done.segments.0),
        counts(|done| done.segments.1),
        counts(|done| done.row_count),
        counts(|done| done.bytes.0),
        counts(|done| done.bytes.1),
        Arc::new(Int64Array::from_iter_values(snapshots)),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// Schema of what a procedure returns.
///
/// # Errors
/// As those of [`StatementContext::call`], before anything has happened.
pub fn procedure_schema(procedure: &[String], arguments: &[CallArgument]) -> Result<SchemaRef> {
    Ok(Procedure::of(procedure, arguments)?.schema())
}

/// What can be called.
#[derive(Debug, Clone)]
enum Procedure {
    Flush,
    /// Of one table, or of all.
    Compact(Option<ObjectName>),
}

impl Procedure {
    fn of(procedure: &[String], arguments: &[CallArgument]) -> Result<Self> {
        let name = procedure.join(".");
        match name.strip_prefix("system.").unwrap_or(&name) {
            "flush" if arguments.is_empty() => Ok(Self::Flush),
            "flush" => Err(EngineError::invalid("system.flush() takes no arguments")),
            "compact" => Ok(Self::Compact(compacted_table(arguments)?)),
            _ => Err(EngineError::NotFound {
                what: format!("procedure {name}"),
            }),
        }
    }

    fn schema(&self) -> SchemaRef {
        let fields: &[(&str, DataType)] = match self {
            Self::Flush => &[
                ("snapshot_id", DataType::Int64),
                ("segment_count", DataType::UInt64),
                ("record_count", DataType::UInt64),
            ],
            Self::Compact(_) => &[
                ("schema_name", DataType::Utf8),
                ("table_name", DataType::Utf8),
                ("segments_before", DataType::UInt64),
                ("segments_after", DataType::UInt64),
                ("record_count", DataType::UInt64),
                ("bytes_before", DataType::UInt64),
                ("bytes_after", DataType::UInt64),
                ("snapshot_id", DataType::Int64),
            ],
        };
        let fields = fields.iter();
        let fields = fields.map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// The table that is named, if one is.
fn compacted_table(arguments: &[CallArgument]) -> Result<Option<ObjectName>> {
    let usage = || {
        EngineError::invalid("write CALL system.compact('table'), ('schema.table') or () for all")
    };
    let text = match arguments {
        [] => return Ok(None),
        [
            CallArgument {
                name: None,
                value: Expr::Value(value),
            },
        ] => match &value.value {
            Value::SingleQuotedString(text) => text,
            _ => return Err(usage()),
        },
        _ => return Err(usage()),
    };
    let parser = Parser::new(&GenericDialect {}).try_with_sql(text);
    let name = parser.and_then(|mut parser| parser.parse_object_name(false));
    let name =
        name.map_err(|_| EngineError::invalid(format!("'{}' is no name of a table", short(text))))?;
    Ok(Some(name))
}
