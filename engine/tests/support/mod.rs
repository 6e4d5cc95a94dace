//! An engine in a temporary directory, and short words for what tests do with it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::TryStreamExt;
use quiver_catalog::{SystemClock, TenantId, UserId};
use quiver_engine::{
    Engine, EngineError, EngineSettings, IngestMode, IngestOutcome, IngestRequest, Result,
    StatementContext, SystemTable, SystemTables, Tenant, TenantPlace, Transaction, parse,
};

pub(crate) const USER: UserId = UserId(1);

#[derive(Debug)]
struct NoSystemTables;

#[async_trait]
impl SystemTables for NoSystemTables {
    fn tables(&self) -> Vec<SystemTable> {
        vec![]
    }

    async fn rows(&self, name: &str) -> Result<RecordBatch> {
        Err(EngineError::NotFound {
            what: name.to_owned(),
        })
    }
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) tenant: Arc<Tenant>,
}

pub(crate) fn settings(directory: &Path) -> EngineSettings {
    EngineSettings {
        wal_file_bytes: 4 << 20,
        append_wait_ms: 2_000,
        query_partitions: 2,
        flush_interval_ms: 3_600_000,
        ..EngineSettings::new(directory)
    }
}

pub(crate) fn places() -> Vec<TenantPlace> {
    ["default", "other"]
        .iter()
        .zip(1..)
        .map(|(name, id)| TenantPlace {
            id: TenantId(id),
            directory: (*name).to_owned(),
        })
        .collect()
}

impl Node {
    pub(crate) async fn open(directory: &Path) -> Self {
        Self::open_with(settings(directory)).await
    }

    pub(crate) async fn open_with(settings: EngineSettings) -> Self {
        let engine = Engine::open(settings, Arc::new(SystemClock), &places(), &[])
            .await
            .unwrap();
        let tenant = engine.tenant(&places()[0]).await.unwrap();
        Self { engine, tenant }
    }

    /// Stops without a flush, so that the next start has to recover.
    pub(crate) async fn abandon(self) {
        self.engine.abandon().await;
    }

    pub(crate) async fn close(self) {
        self.engine.close().await.unwrap();
    }

    pub(crate) fn context(&self, transaction: Option<Arc<Transaction>>) -> StatementContext {
        StatementContext {
            engine: self.engine.clone(),
            tenant: Arc::clone(&self.tenant),
            tenant_name: "default".to_owned(),
            user_id: USER,
            default_schema: "main".to_owned(),
            transaction,
            system_tables: Arc::new(NoSystemTables),
            progress: None,
        }
    }

    pub(crate) async fn query(&self, sql: &str) -> Result<RecordBatch> {
        query(&self.context(None), sql).await
    }

    pub(crate) async fn update(&self, sql: &str) -> Result<u64> {
        self.context(None)
            .update(&parse(sql)?.statement, None)
            .await
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        count(&self.context(None), table).await
    }

    pub(crate) async fn ingest(
        &self,
        request: IngestRequest,
        batches: &[RecordBatch],
    ) -> Result<IngestOutcome> {
        let mut ingest = self.engine.begin_ingest(&self.tenant, request).await?;
        for batch in batches {
            ingest.push(batch.clone(), None).await?;
        }
        ingest.commit().await
    }

    pub(crate) async fn append(
        &self,
        table: &str,
        ids: std::ops::Range<i64>,
    ) -> Result<IngestOutcome> {
        self.ingest(request(table, IngestMode::CREATE_APPEND), &[rows(ids)])
            .await
    }

    pub(crate) fn begin(&self) -> Arc<Transaction> {
        self.engine
            .begin_transaction(&self.tenant, USER, uuid::Uuid::nil())
            .unwrap()
    }
}

pub(crate) async fn query(context: &StatementContext, sql: &str) -> Result<RecordBatch> {
    let parsed = context.engine.parse(sql)?;
    let plan = context.plan(&parsed, None).await?;
    let rows = context.rows(&parsed, None).await?;
    assert_eq!(
        plan.schema, rows.schema,
        "the schema is delivered as promised"
    );
    let schema = Arc::clone(&rows.schema);
    let batches: Vec<_> = rows.stream.try_collect().await?;
    Ok(concat_batches(&schema, &batches)?)
}

pub(crate) async fn count(context: &StatementContext, table: &str) -> i64 {
    let batch = query(context, &format!("SELECT count(*) FROM {table}"))
        .await
        .unwrap();
    batch
        .column(0)
        .as_any()
        .downcast_ref::<Int64Array>()
        .unwrap()
        .value(0)
}

/// `count(*)`, `count(DISTINCT id)`, `sum(id)` of a table of [`rows`].
pub(crate) async fn summary(context: &StatementContext, table: &str) -> (i64, i64, i64) {
    let sql = format!("SELECT count(*), count(DISTINCT id), coalesce(sum(id), 0) FROM {table}");
    let batch = query(context, &sql).await.unwrap();
    let value = |column: usize| {
        batch
            .column(column)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap()
            .value(0)
    };
    (value(0), value(1), value(2))
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]))
}

pub(crate) fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let texts: Vec<_> = ids.clone().map(|id| format!("row {id}")).collect();
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(ids)),
            Arc::new(StringArray::from(texts)),
        ],
    )
    .unwrap()
}

pub(crate) fn request(table: &str, mode: IngestMode) -> IngestRequest {
    IngestRequest {
        schema_name: "main".to_owned(),
        table_name: table.to_owned(),
        incoming: schema(),
        mode,
        adds_columns: false,
        user_id: USER,
        idempotency_key: None,
        step: None,
        transaction: None,
    }
}

pub(crate) fn keyed(table: &str, key: &str) -> IngestRequest {
    IngestRequest {
        idempotency_key: Some(key.to_owned()),
        step: None,
        ..request(table, IngestMode::CREATE_APPEND)
    }
}
