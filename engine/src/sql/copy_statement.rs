//! `COPY … FROM` and `COPY … TO` files of the tenant's own area.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Statement as AstStatement};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::context::StatementContext;
use super::names::{check_writable, normalise};
use super::parser::{CopyFormat, CopyOptions, CopySource, QueryForm, Statement, parse};
use super::query::{QueryRows, read_only_plan, row_parameters, run};
use crate::canonical::logical_schema;
use crate::copy::{self, FileCompression, FileFormat, FileWriter};
use crate::error::{EngineError, Result};
use crate::ingest::IngestMode;
use crate::task::{blocking, spawn};

/// Batches between the thread that reads or writes the file and the rest.
const QUEUED_BATCHES: usize = 4;

impl StatementContext {
    /// Appends the rows of a file to a table.
    pub(crate) async fn copy_from(
        &self,
        table: &ObjectName,
        columns: &[Ident],
        path: &str,
        options: &CopyOptions,
    ) -> Result<u64> {
        let name = self.table_name(table)?;
        check_writable(&name.schema)?;
        let catalog = self.catalog().await?;
        let what = format!("table {}.{}", name.schema, name.table);
        let table = catalog
            .table(&name.schema, &name.table)
            .ok_or(EngineError::NotFound { what })?;
        let expected = selected_schema(&table.arrow_schema, columns)?;
        let rows = self.read_file(path, options, expected).await?;
        let incoming = Arc::clone(&rows.schema);
        let outcome = self
            .ingest_rows(
                name.schema,
                name.table,
                IngestMode::APPEND,
                incoming,
                rows.stream,
            )
            .await?;
        Ok(outcome.row_count)
    }

    async fn read_file(
        &self,
        path: &str,
        options: &CopyOptions,
        expected: SchemaRef,
    ) -> Result<QueryRows> {
        let area = self.tenant.files_directory();
        let path = path.to_owned();
        let options = file_options(options, path.ends_with(".arrows"))?;
        let (schema, batches) = blocking(move || {
            let file = copy::resolve(&area, &path, false)?;
            copy::open(&file, &options, Some(expected))
        })
        .await?;
        let (sender, receiver) = mpsc::channel(QUEUED_BATCHES);
        let reader = blocking(move || {
            for batch in batches {
                let failed = batch.is_err();
                if sender.blocking_send(batch).is_err() || failed {
                    break;
                }
            }
            Ok(())
        });
        drop(spawn(reader));
        Ok(QueryRows {
            schema,
            stream: ReceiverStream::new(receiver).boxed(),
            is_whole: false,
        })
    }

    /// Writes rows to a file; it appears under its name only when it is complete.
    pub(crate) async fn copy_to(
        &self,
        source: &CopySource,
        path: &str,
        options: &CopyOptions,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64> {
        let rows = self.copy_source(source, parameters).await?;
        let area = self.tenant.files_directory();
        let path = path.to_owned();
        let options = file_options(options, path.ends_with(".arrows"))?;
        let (sender, mut receiver) = mpsc::channel::<RecordBatch>(QUEUED_BATCHES);
        let (end, ended) = std::sync::mpsc::channel();
        let schema = Arc::clone(&rows.schema);
        let writer = spawn(blocking(move || {
            let file = copy::resolve(&area, &path, true)?;
            let mut writer = FileWriter::create(&file, &schema, &options)?;
            while let Some(batch) = receiver.blocking_recv() {
                writer.write(&batch)?;
            }
            match ended.recv() {
                Ok(()) => writer.finish(),
                Err(_) => Err(EngineError::internal("the query ended before its rows did")),
            }
        }));
        let copied = send_all(rows, sender).await;
        if copied.is_ok() {
            // The writer finishes the file only when it was told that all rows came.
            let _told = end.send(());
        }
        drop(end);
        let written = writer
            .await
            .map_err(|error| EngineError::internal(error.to_string()))?;
        copied?;
        written
    }

    async fn copy_source(
        &self,
        source: &CopySource,
        parameters: Option<&RecordBatch>,
    ) -> Result<QueryRows> {
        let session = self.new_session().await?;
        let statement = match source {
            CopySource::Query(query) => {
                let query = AstStatement::Query(query.clone());
                DfStatement::Statement(Box::new(query))
            }
            CopySource::Table { name, columns } => select_from(name, columns)?,
        };
        let plan = read_only_plan(&session, statement).await?;
        let plan = match parameters {
            Some(values) => plan.with_param_values(row_parameters(values, 0)?)?,
            None => plan,
        };
        run(&session, plan).await
    }
}

fn select_from(table: &ObjectName, columns: &[Ident]) -> Result<DfStatement> {
    let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
    let list = match columns.is_empty() {
        true => "*".to_owned(),
        false => columns.join(", "),
    };
    match parse(&format!("SELECT {list} FROM {table}"))?.statement {
        Statement::Query(QueryForm::Sql(query)) => Ok(*query),
        _ => Err(EngineError::internal("COPY of something that is no query")),
    }
}

async fn send_all(mut rows: QueryRows, sender: mpsc::Sender<RecordBatch>) -> Result<()> {
    while let Some(batch) = rows.stream.try_next().await? {
        if sender.send(batch).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The table's schema, or the listed columns of it in the list's order.
fn selected_schema(schema: &SchemaRef, columns: &[Ident]) -> Result<SchemaRef> {
    if columns.is_empty() {
        return Ok(Arc::clone(schema));
    }
    let field = |ident: &Ident| {
        let name = normalise(ident);
        let field = schema.field_with_name(&name).cloned();
        field.map_err(|_| EngineError::invalid(format!("the table has no column '{name}'")))
    };
    let fields: Vec<_> = columns.iter().map(field).collect::<Result<_>>()?;
    Ok(Arc::new(logical_schema(&Schema::new(fields))))
}

fn file_options(options: &CopyOptions, stream: bool) -> Result<copy::CopyOptions> {
    let format = match options.format {
        CopyFormat::Parquet => FileFormat::Parquet,
        CopyFormat::Csv => FileFormat::Csv,
        CopyFormat::Json => FileFormat::NdJson,
        CopyFormat::Arrow if stream => FileFormat::ArrowStream,
        CopyFormat::Arrow => FileFormat::ArrowFile,
    };
    let defaults = copy::CopyOptions::new(format);
    Ok(copy::CopyOptions {
        format,
        header: options.header.unwrap_or(defaults.header),
        delimiter: options.delimiter.unwrap_or(defaults.delimiter),
        null_value: options.null.clone().unwrap_or(defaults.null_value),
        quote: options.quote.unwrap_or(defaults.quote),
        compression: options
            .compression
            .as_deref()
            .map(compression)
            .transpose()?,
    })
}

fn compression(name: &str) -> Result<FileCompression> {
    Ok(match name {
        "none" | "uncompressed" => FileCompression::None,
        "snappy" => FileCompression::Snappy,
        "gzip" => FileCompression::Gzip,
        "lz4" => FileCompression::Lz4,
        "zstd" => FileCompression::Zstd,
        _ => {
            return Err(EngineError::invalid(format!(
                "compression '{name}' is unknown: use none, snappy, gzip, lz4 or zstd"
            )));
        }
    })
}
