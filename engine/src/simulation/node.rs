//! One run of the engine on the simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::TryStreamExt;
use parking_lot::Mutex;
use quiver_catalog::{Clock, TenantId, UserId};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::model::Contents;
use super::rows::checked_ids;
use crate::engine::{Engine, wal_settings};
use crate::error::{EngineError, Result};
use crate::settings::EngineSettings;
use crate::sql::{StatementContext, SystemTable, SystemTables, parse};
use crate::storage_fs::StorageFs;
use crate::storage_fs::simulated::SimulatedFs;
use crate::task::spawn;
use crate::tenant::Tenant;
use crate::tenants::TenantPlace;
use crate::transaction::Transaction;
use crate::wal::{Wal, WalSteps};

pub(super) const USER: UserId = UserId(1);
pub(super) const TABLES: [&str; 3] = ["t0", "t1", "t2"];

/// A clock that moves only when told.
#[derive(Debug)]
pub(super) struct SetClock(pub(super) AtomicI64);

impl Clock for SetClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

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

fn place() -> TenantPlace {
    TenantPlace {
        id: TenantId(1),
        directory: "default".to_owned(),
    }
}

/// The folder of the tenant whose life it is.
pub(super) fn tenant_folder(data: &Path) -> PathBuf {
    data.join("tenants").join(place().directory)
}

pub(super) fn settings(data: &Path) -> EngineSettings {
    EngineSettings {
        wal_file_bytes: 128 << 10,
        wal_bytes_max: 2 << 20,
        buffer_bytes_max: 256 << 10,
        buffer_tenant_bytes_max: 192 << 10,
        append_wait_ms: 0,
        query_partitions: 1,
        transaction_timeout_ms: 60_000,
        idempotency_ttl_ms: 1_000 * 3_600_000,
        ..EngineSettings::new(data)
    }
}

/// An engine that runs; clones are the same.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) tenant: Arc<Tenant>,
    pub(super) steps: Arc<Mutex<WalSteps>>,
    /// Does the work of the log's writer.
    _writer: Arc<AbortOnDropHandle<()>>,
}

impl Node {
    pub(super) async fn open(
        fs: &SimulatedFs,
        settings: EngineSettings,
        clock: Arc<SetClock>,
        seed: u64,
    ) -> Result<Self> {
        let disk: Arc<dyn StorageFs> = Arc::new(fs.clone());
        let opened = Wal::open_stepped(wal_settings(&settings), Arc::clone(&disk), seed);
        let (wal, replay, steps) = opened?;
        let pushed = steps.pushed();
        let steps = Arc::new(Mutex::new(steps));
        let writer = {
            let steps = Arc::clone(&steps);
            spawn(async move {
                loop {
                    pushed.notified().await;
                    while steps.lock().write() {}
                }
            })
        };
        let writer = Arc::new(AbortOnDropHandle::new(writer));
        let tenants = [place()];
        let recovered = Engine::recover(settings, clock, disk, (wal, replay), (&tenants, &[]));
        let engine = recovered.await?;
        let tenant = match engine.tenant(&place()).await {
            Ok(tenant) => tenant,
            Err(error) => {
                engine.abandon().await;
                return Err(error);
            }
        };
        Ok(Self {
            engine,
            tenant,
            steps,
            _writer: writer,
        })
    }

    /// Whether only a restart can help.
    pub(super) fn is_broken(&self) -> bool {
        self.engine.is_poisoned() || self.tenant.is_in_doubt()
    }

    pub(super) async fn abandon(self) {
        self.tenant.close().await;
        self.engine.abandon().await;
    }

    pub(super) fn begin(&self) -> Result<Arc<Transaction>> {
        self.engine
            .begin_transaction(&self.tenant, USER, Uuid::nil())
    }

    pub(super) fn context(&self, transaction: Option<Arc<Transaction>>) -> StatementContext {
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

    pub(super) async fn update(&self, sql: &str) -> Result<u64> {
        let statement = parse(sql)?.statement;
        self.context(None).update(&statement, None).await
    }

    /// The rows of a table that a condition holds for, if there is such a table.
    pub(super) async fn select(
        &self,
        transaction: Option<Arc<Transaction>>,
        table: &str,
        condition: &str,
    ) -> Result<Option<Vec<i64>>> {
        let sql = format!("SELECT * FROM {table} {condition}");
        let parsed = self.engine.parse(&sql)?;
        let context = self.context(transaction);
        let view = context.read_view().await?;
        if view.catalog().table("main", table).is_none() {
            return Ok(None);
        }
        let rows = context.rows(&parsed, None).await?;
        let schema = Arc::clone(&rows.schema);
        let batches: Vec<_> = rows.stream.try_collect().await?;
        Ok(Some(checked_ids(&schema, &batches)))
    }

    /// All rows of all tables that are there; none may be there twice.
    pub(super) async fn contents(&self, transaction: Option<Arc<Transaction>>) -> Result<Contents> {
        let mut contents = Contents::new();
        for table in TABLES {
            let Some(ids) = self.select(transaction.clone(), table, "").await? else {
                continue;
            };
            let doubled: Vec<_> = ids.windows(2).filter(|pair| pair[0] == pair[1]).collect();
            assert!(doubled.is_empty(), "{table}: doubled {doubled:?}");
            contents.insert(table, ids.into_iter().collect());
        }
        Ok(contents)
    }
}
