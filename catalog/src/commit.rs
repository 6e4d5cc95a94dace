//! One commit: validated and computed in memory, written in one transaction, published when
//! durable.
//!
//! An outcome can be unknown: COMMIT failed, or whoever waited for it went away. The committer then
//! holds a doubt, and nothing else is written until the database has been asked for the commit's
//! token.

use std::sync::Arc;

use uuid::Uuid;

use crate::change::{Change, Commit};
use crate::connections::Role;
use crate::diff::Diff;
use crate::error::{CatalogError, Result, storage};
use crate::ids::{SnapshotId, TableId, random_uuid};
use crate::sqlite::check_range;
use crate::tenant_catalog::{Committer, State, TenantCatalog};
use crate::version::{CatalogVersion, Stamp};
use crate::{private, sqlite, write};

/// A commit that may or may not have happened.
#[derive(Debug)]
pub(crate) struct Doubt {
    token: Uuid,
    /// What is true if it happened.
    state: State,
}

/// A commit that passed all checks, with what it makes true.
pub(crate) struct Plan {
    pub(crate) commit: Commit,
    pub(crate) base: Arc<CatalogVersion>,
    pub(crate) state: State,
    pub(crate) dropped: Vec<(TableId, u64)>,
    pub(crate) token: Uuid,
}

pub(crate) async fn commit(catalog: &TenantCatalog, commit: Commit) -> Result<Arc<CatalogVersion>> {
    let mut committer = catalog.committer().lock().await;
    settle(catalog, &mut committer).await?;
    let plan = plan(&catalog.state(), commit, catalog.now_micros())?;
    let mut lent = catalog.lend(Role::Write).await?;
    let mut transaction = sqlite::begin(lent.get()?).await?;
    write::write(&mut transaction, catalog, &plan).await?;

    let Plan { state, token, .. } = plan;
    let version = Arc::clone(&state.version);
    committer.doubt = Some(Doubt {
        token,
        state: state.clone(),
    });
    match transaction.commit().await {
        Ok(()) => {
            committer.doubt = None;
            lent.keep();
            catalog.publish(state);
            Ok(version)
        }
        Err(source) => {
            drop(lent);
            tracing::warn!(error = %source, "catalog commit failed, reading back what happened");
            if settle(catalog, &mut committer).await? {
                return Ok(version);
            }
            Err(CatalogError::Storage {
                action: "commit to the catalog",
                source,
            })
        }
    }
}

/// Resolves a doubt; returns whether the doubtful commit happened. Afterwards memory and database
/// agree.
pub(crate) async fn settle(catalog: &TenantCatalog, committer: &mut Committer) -> Result<bool> {
    let Some(doubt) = &committer.doubt else {
        return Ok(false);
    };
    let (token, state) = (doubt.token, doubt.state.clone());
    // A new connection: that of the doubtful commit was not given back. The lock is waited for:
    // the abandoned COMMIT may still be running.
    let mut lent = catalog.lend(Role::Write).await?;
    let mut transaction = sqlite::begin(lent.get()?).await?;
    let found = private::get_meta(&mut transaction, private::COMMIT_TOKEN).await?;
    transaction
        .rollback()
        .await
        .map_err(storage("end a catalog transaction"))?;
    lent.keep();
    committer.doubt = None;
    let happened = found.as_deref() == Some(token.to_string().as_str());
    if happened {
        catalog.publish(state);
    }
    Ok(happened)
}

fn plan(state: &State, commit: Commit, now_micros: i64) -> Result<Plan> {
    let base = Arc::clone(&state.version);
    check_ranges(&commit)?;
    check_replacement(&commit)?;
    let stamp = Stamp {
        snapshot_id: SnapshotId(base.snapshot_id.0 + 1),
        snapshot_time_micros: now_micros.max(base.snapshot_time_micros + 1),
    };
    let mut version = base.apply(&commit.changes, stamp)?;
    if Diff::between(&base, &version).is_empty() {
        // Nothing that a snapshot could show: at most objects that came and went.
        version = base.as_ref().clone();
    }
    set_flushed(&mut version, &base, &commit)?;

    let mut tombstones = Arc::clone(&state.dropped);
    let dropped = dropped_tables(&commit);
    if !dropped.is_empty() {
        Arc::make_mut(&mut tombstones).extend(dropped.iter().copied());
    }
    let restored: Vec<TableId> = restored_tables(&commit).collect();
    if !restored.is_empty() {
        Arc::make_mut(&mut tombstones).retain(|table_id, _| !restored.contains(table_id));
    }
    let last_sequence = last_sequence(state.last_sequence, &commit);
    let state = State {
        version: Arc::new(version),
        last_sequence,
        dropped: tombstones,
    };
    Ok(Plan {
        commit,
        base,
        state,
        dropped,
        token: random_uuid(),
    })
}

fn set_flushed(version: &mut CatalogVersion, base: &CatalogVersion, commit: &Commit) -> Result<()> {
    for (table_id, sequence) in &commit.flushed {
        let Some(table) = version.table_mut(*table_id) else {
            // Rows that were flushed while the same commit drops their table.
            if base.table_by_id(*table_id).is_some() {
                continue;
            }
            return Err(CatalogError::not_found("table", &table_id));
        };
        if *sequence < table.flushed_sequence {
            let detail = format!(
                "table {table_id}: {sequence} after {}",
                table.flushed_sequence
            );
            let rule = "flushed sequences do not go down";
            return Err(CatalogError::InvalidCommit { rule, detail });
        }
        table.flushed_sequence = *sequence;
    }
    Ok(())
}

fn dropped_tables(commit: &Commit) -> Vec<(TableId, u64)> {
    let dropped = commit.changes.iter().filter_map(|change| match change {
        Change::DropTable { table_id, sequence } => Some((*table_id, *sequence)),
        _ => None,
    });
    dropped.collect()
}

fn restored_tables(commit: &Commit) -> impl Iterator<Item = TableId> {
    commit.changes.iter().filter_map(|change| match change {
        Change::RestoreTable(restored) => Some(restored.table_id),
        _ => None,
    })
}

/// Nothing in a catalog may stand beyond its last sequence.
fn last_sequence(before: u64, commit: &Commit) -> u64 {
    let flushed = commit.flushed.iter().map(|(_, sequence)| *sequence);
    let dropped = dropped_tables(commit)
        .into_iter()
        .map(|(_, sequence)| sequence);
    let committed = commit.commit_id.iter().map(|(_, sequence)| *sequence);
    let all = flushed
        .chain(dropped)
        .chain(committed)
        .chain(commit.last_sequence);
    all.fold(before, u64::max)
}

/// Nothing else may come with a replacement: what it removes is there all the same.
fn check_replacement(commit: &Commit) -> Result<()> {
    let Some(first) = commit.replacement() else {
        return Ok(());
    };
    let is_alike = |change: &Change| match change {
        Change::ReplaceSegments { form, .. } => *form == first,
        _ => false,
    };
    if commit.changes.iter().all(is_alike) {
        return Ok(());
    }
    Err(CatalogError::InvalidCommit {
        rule: "a commit replaces segments in one way or does something else",
        detail: format!("{first:?}"),
    })
}

fn check_ranges(commit: &Commit) -> Result<()> {
    check_range("sequence", last_sequence(0, commit))?;
    for record in &commit.idempotency {
        check_range("sequence", record.sequence)?;
        check_range("user id", record.user_id.0)?;
        check_range("record count", record.record_count)?;
    }
    for record in &commit.producers {
        check_range("sequence", record.sequence)?;
        check_range("epoch", record.epoch)?;
        check_range("producer sequence", record.producer_sequence)?;
    }
    Ok(())
}
