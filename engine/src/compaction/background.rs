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

/// How often folders are looked through for files that no catalog knows.
const SWEEP_EVERY_MICROS: i64 = 3600 * 1_000_000;
/// Rounds in which a table that somebody changes is left alone, one after the other.
const GIVES_WAY_MAX: u32 = 30;

/// What is remembered of a table between rounds.
#[derive(Debug)]
struct Seen {
    segments: Arc<Vec<Arc<Segment>>>,
    since_micros: i64,
    /// Whether it is worth a look.
    is_due: bool,
    /// Whether it was compacted as one that rests.
    has_rested: bool,
    gave_way: u32,
}

/// And of a tenant.
#[derive(Debug, Default)]
struct Round {
    seen: HashMap<TableId, Seen>,
    retained_micros: i64,
    swept_micros: i64,
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
                () = one_round(&engine, &tenant, round) => {}
            }
        }
    }
}

async fn one_round(engine: &Engine, tenant: &Arc<Tenant>, round: &mut Round) {
    let node = engine.node();
    let now = node.now_micros();
    if now - round.retained_micros >= RETENTION_EVERY_MICROS {
        round.retained_micros = now;
        note(tenant, retention::keep_limits(node, tenant).await);
    }
    if now - round.swept_micros >= SWEEP_EVERY_MICROS {
        round.swept_micros = now;
        note(
            tenant,
            retention::delete_orphans(node, tenant).await.map(drop),
        );
    }
    if !engine.settings().compaction {
        return;
    }
    look(tenant, &mut round.seen, now);
    for (table_id, seen) in &mut round.seen {
        if tenant.compactions().is_paused() {
            return;
        }
        let rests = !seen.has_rested && now - seen.since_micros >= RESTS_AFTER_MICROS;
        if !seen.is_due && !rests {
            continue;
        }
        if tenant.is_changing(*table_id) && seen.gave_way < GIVES_WAY_MAX {
            seen.gave_way += 1;
            continue;
        }
        seen.gave_way = 0;
        let wanted = if rests { Wanted::Resting } else { Wanted::Due };
        let job = {
            let (engine, tenant, table_id) = (engine.clone(), Arc::clone(tenant), *table_id);
            async move { compact(&engine, &tenant, table_id, wanted).await }
        };
        let done = engine.query_runtime().run(job).await;
        // What failed is tried again in the next round.
        seen.is_due = done.is_err();
        seen.has_rested |= rests && done.is_ok();
        note(tenant, done.map(drop));
    }
}

fn note(tenant: &Tenant, done: Result<()>) {
    match done {
        Ok(()) | Err(EngineError::Conflict { .. } | EngineError::NotFound { .. }) => {}
        Err(_) if tenant.is_dropped() => {}
        Err(error) => {
            let tenant_id = tenant.id().0;
            tracing::warn!(tenant_id, %error, "segments were not compacted, or files not deleted");
        }
    }
}

/// Notes which tables have other segments than at the last look.
fn look(tenant: &Tenant, seen: &mut HashMap<TableId, Seen>, now: i64) {
    let catalog = tenant.catalog_version();
    seen.retain(|table_id, _| catalog.table_by_id(*table_id).is_some());
    for table in catalog.tables() {
        let known = seen.get(&table.id);
        if known.is_some_and(|known| Arc::ptr_eq(&known.segments, &table.segments)) {
            continue;
        }
        let gave_way = known.map_or(0, |known| known.gave_way);
        let now_seen = Seen {
            segments: Arc::clone(&table.segments),
            since_micros: now,
            is_due: true,
            has_rested: false,
            gave_way,
        };
        seen.insert(table.id, now_seen);
    }
}
