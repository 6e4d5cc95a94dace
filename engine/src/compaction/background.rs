//! Compaction and retention without anybody asking for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quiver_catalog::{Segment, TableId, TenantId};
use tokio_util::sync::CancellationToken;

use super::{Wanted, compact};
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::retention;
use crate::tenant::Tenant;

/// How long a table must have been as it is to count as resting.
const RESTS_AFTER_MICROS: i64 = 5 * 60 * 1_000_000;
/// How often snapshots are looked through, and files deleted.
const RETENTION_EVERY_MICROS: i64 = 60 * 1_000_000;

/// What was seen of a table: its list of segments, and since when.
type Seen = HashMap<TableId, (Arc<Vec<Arc<Segment>>>, i64)>;

/// What is remembered of a tenant between rounds.
#[derive(Debug, Default)]
struct Round {
    seen: Seen,
    retained_micros: i64,
}

/// Compacts what is due, of one tenant after the other, until told to stop.
pub(crate) async fn run_compactor(engine: Engine, stop: CancellationToken) {
    let every = Duration::from_millis(engine.settings().compaction_interval_ms.max(10));
    let mut rounds: HashMap<TenantId, Round> = HashMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let tenants = engine.open_tenants();
        rounds.retain(|id, _| tenants.iter().any(|tenant| tenant.id() == *id));
        for tenant in tenants {
            let round = rounds.entry(tenant.id()).or_default();
            tokio::select! {
                () = stop.cancelled() => return,
                done = one_round(&engine, &tenant, round) => note(&tenant, done),
            }
        }
    }
}

fn note(tenant: &Tenant, done: Result<()>) {
    match done {
        Ok(()) | Err(EngineError::Conflict { .. }) => {}
        Err(_) if tenant.is_dropped() => {}
        Err(error) => {
            let tenant_id = tenant.id().0;
            tracing::warn!(tenant_id, %error, "segments were not compacted, or files not deleted");
        }
    }
}

async fn one_round(engine: &Engine, tenant: &Arc<Tenant>, round: &mut Round) -> Result<()> {
    let now = engine.node().now_micros();
    if engine.settings().compaction && !tenant.compactions().is_paused() {
        for (table_id, wanted) in look(tenant, &mut round.seen, now) {
            let job = {
                let (engine, tenant) = (engine.clone(), Arc::clone(tenant));
                async move { compact(&engine, &tenant, table_id, wanted).await }
            };
            match engine.query_runtime().run(job).await {
                Ok(_) | Err(EngineError::Conflict { .. } | EngineError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if now - round.retained_micros >= RETENTION_EVERY_MICROS {
        round.retained_micros = now;
        retention::keep_limits(engine.node(), tenant).await?;
    }
    Ok(())
}

/// The tables whose segments are others than at the last look, and those that rest since.
fn look(tenant: &Tenant, seen: &mut Seen, now: i64) -> Vec<(TableId, Wanted)> {
    let catalog = tenant.catalog_version();
    let mut wanted = vec![];
    seen.retain(|table_id, _| catalog.table_by_id(*table_id).is_some());
    for table in catalog.tables() {
        match seen.get_mut(&table.id) {
            Some((segments, _)) if !Arc::ptr_eq(segments, &table.segments) => {
                wanted.push((table.id, Wanted::Due));
                seen.insert(table.id, (Arc::clone(&table.segments), now));
            }
            Some((_, since)) if *since != i64::MAX && now - *since >= RESTS_AFTER_MICROS => {
                wanted.push((table.id, Wanted::Resting));
                // Once is enough.
                *since = i64::MAX;
            }
            Some(_) => {}
            None => {
                wanted.push((table.id, Wanted::Due));
                seen.insert(table.id, (Arc::clone(&table.segments), now));
            }
        }
    }
    wanted
}
