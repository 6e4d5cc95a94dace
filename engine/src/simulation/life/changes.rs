//! Rows that are changed: removed, moved, truncated, dropped with their table, rolled back.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use quiver_catalog::{Clock, ErrorKind, ExpiryLimits};
use rand::RngExt;

use super::{Life, Run};
use crate::compaction::{Wanted, compact};
use crate::error::{EngineError, Result};
use crate::retention;
use crate::simulation::model::{Contents, State};
use crate::simulation::rows::{EXTRA, UNIT_IDS};
use crate::sql::{Statement, parse};

/// Flushes that a table may be rolled back to.
const FLUSHES_KNOWN: usize = 5;

/// A statement that removes rows, or moves them to where they are the same.
struct DrawnChange {
    sql: String,
    table: &'static str,
    range: Range<i64>,
    removes: bool,
    is_truncate: bool,
}

impl DrawnChange {
    fn ids(&self, found: &Contents) -> Vec<i64> {
        let rows = found.get(self.table).into_iter();
        rows.flat_map(|ids| ids.range(self.range.clone()).copied())
            .collect()
    }
}

impl Life {
    /// Removes rows or moves them, in a commit of their own.
    pub(super) async fn change(&mut self, run: &mut Run) {
        let change = self.draw_change();
        let unit = self.model.add(None);
        let found = self.model.contents();
        let ids = change.ids(&found);
        if change.removes {
            self.model.remove_rows(unit, change.table, &ids);
        }
        let result = run.node.update(&change.sql).await;
        if let (Ok(count), false) = (&result, change.is_truncate) {
            assert_eq!(*count, ids.len() as u64, "{}", change.sql);
        }
        self.conclude(run, &change.sql, unit, &result);
    }

    /// The same in an open transaction.
    pub(super) async fn change_inside(&mut self, run: &mut Run, at: usize) {
        let change = self.draw_change();
        let open = &mut run.transactions[at];
        open.used_micros = self.clock.now_micros();
        let mut seen = open
            .view
            .get_or_insert_with(|| self.model.contents())
            .clone();
        self.model.show(open.unit, &mut seen);
        let ids = change.ids(&seen);
        let (unit, transaction) = (open.unit, Arc::clone(&open.transaction));
        let statement = parse(&change.sql).expect("a statement").statement;
        let context = run.node.context(Some(transaction));
        let changed = context.update(&statement, None).await;
        let outcome = changed.as_ref().map_err(|error| error.kind());
        self.note(format!("{unit}: {}: {outcome:?}", change.sql));
        let Ok(count) = changed else {
            let open = run.transactions.remove(at);
            open.transaction.rollback().await;
            self.model.set(open.unit, State::Gone);
            return;
        };
        if !change.is_truncate {
            assert_eq!(count, ids.len() as u64, "{}", change.sql);
        }
        if change.removes {
            self.model.remove_rows(unit, change.table, &ids);
        }
    }

    /// Writes the rows of a table anew, which changes nothing that can be seen.
    pub(super) async fn compact(&mut self, run: &mut Run) {
        let sql = format!("CALL system.compact('{}')", self.table());
        let unit = self.model.add(None);
        let result = call(run, &sql).await;
        self.conclude(run, &sql, unit, &result);
    }

    /// Makes a table what it was after one of the last flushes.
    pub(super) async fn roll_back(&mut self, run: &mut Run) {
        if self.flushed.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.flushed.len());
        let (snapshot, then) = self.flushed[at].clone();
        let table = self.table();
        let sql = format!("CALL system.rollback_to('{table}', {snapshot})");
        let now = self.model.contents();
        let rows = |contents: &Contents| contents.get(table).cloned().unwrap_or_default();
        let (now, then) = (rows(&now), rows(&then));
        let surplus: Vec<i64> = now.difference(&then).copied().collect();
        let missing: Vec<i64> = then.difference(&now).copied().collect();
        let unit = self.model.add(None);
        self.model.remove_rows(unit, table, &surplus);
        self.model.add_rows(unit, table, &missing);
        let result = call(run, &sql).await;
        self.conclude(run, &sql, unit, &result);
    }

    /// What the background does: segments that are worth it, old snapshots, and files.
    pub(super) async fn keep_house(&mut self, run: &mut Run) {
        let (node, tenant) = (run.node.engine.node(), &run.node.tenant);
        let what = self.rng.random_range(0..6);
        let outcome = match what {
            0..3 => {
                let table = self.table();
                let wanted = [Wanted::Due, Wanted::Resting][self.rng.random_range(0..2)];
                let catalog = tenant.catalog_version();
                let Some(table) = catalog.table("main", table) else {
                    return;
                };
                let done = compact(&run.node.engine, tenant, table.id, wanted).await;
                done.map(|done| format!("{} into {}", done.before.len(), done.after.len()))
            }
            3..4 => {
                let limits = ExpiryLimits {
                    older_than_micros: None,
                    keep_min: self.rng.random_range(1..20),
                };
                let done = retention::expire(node, tenant, limits).await;
                done.map(|expired| format!("{} expired", expired.len()))
            }
            _ => {
                let done = retention::clean_up(node, tenant, i64::MAX).await;
                done.map(|done| format!("{done:?}"))
            }
        };
        let broken = self.fs.is_stopped() || run.node.is_broken();
        // Without the message, which may name a folder.
        let told = outcome.as_ref().map_err(EngineError::kind);
        self.note(format!("house {what}: {told:?}"));
        if let (Err(error), false) = (outcome, broken) {
            use ErrorKind::{Conflict, NotFound, Overloaded, Unavailable};
            let expected = [Conflict, NotFound, Overloaded, Unavailable];
            assert!(expected.contains(&error.kind()), "{error}");
        }
    }

    /// Adds a column, gives it another name, or drops it: the rows stay what they are.
    pub(super) async fn alter(&mut self, run: &mut Run) {
        let table = self.table();
        let action = match self.rng.random_range(0..4) {
            0..2 => format!("ADD COLUMN IF NOT EXISTS extra BIGINT DEFAULT {EXTRA}"),
            2 => "RENAME COLUMN extra TO extra2".to_owned(),
            _ => "DROP COLUMN IF EXISTS extra".to_owned(),
        };
        let sql = format!("ALTER TABLE {table} {action}");
        let unit = self.model.add(None);
        let result = run.node.update(&sql).await;
        self.conclude(run, &sql, unit, &result);
    }

    pub(super) async fn flush(&mut self, run: &mut Run) {
        let flushed = run.node.engine.flush(&run.node.tenant).await;
        if let Ok(outcome) = &flushed {
            let contents = self.model.contents();
            self.flushed.push_back((outcome.snapshot_id.0, contents));
            if self.flushed.len() > FLUSHES_KNOWN {
                self.flushed.pop_front();
            }
        }
        self.note(format!(
            "flush: {:?}",
            flushed.map(|outcome| outcome.row_count).ok()
        ));
    }

    pub(super) async fn drop_table(&mut self, run: &mut Run) {
        let table = self.table();
        let result = run.node.update(&format!("DROP TABLE {table}")).await;
        self.hear_drop(run, table, &result);
    }

    pub(super) fn hear_drop(&mut self, run: &Run, table: &'static str, result: &Result<u64>) {
        let stopped = self.fs.is_stopped();
        self.note(format!("drop {table}: {}", result.is_ok()));
        match result {
            Ok(_) if !stopped => self.model.drop_table(table, true),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            _ if stopped || run.node.is_broken() => self.model.drop_table(table, false),
            _ => {}
        }
    }

    fn draw_change(&mut self) -> DrawnChange {
        let table = self.table();
        let end = self.model.next_id() as i64 * UNIT_IDS;
        let from = self.rng.random_range(0..=end);
        let to = match self.rng.random_range(0..3) {
            0 => from + 5,
            1 => from + UNIT_IDS,
            _ => end,
        };
        let condition = format!("WHERE id >= {from} AND id < {to}");
        let (sql, range, removes) = match self.rng.random_range(0..8) {
            0..4 => (format!("DELETE FROM {table} {condition}"), from..to, true),
            4..7 => {
                let sql = format!("UPDATE {table} SET flag = flag {condition}");
                (sql, from..to, false)
            }
            _ => (format!("TRUNCATE {table}"), 0..i64::MAX, true),
        };
        DrawnChange {
            is_truncate: sql.starts_with("TRUNCATE"),
            sql,
            table,
            range,
            removes,
        }
    }
}

async fn call(run: &Run, sql: &str) -> Result<RecordBatch> {
    let Statement::Call {
        procedure,
        arguments,
    } = parse(sql).expect("a statement").statement
    else {
        unreachable!("{sql} is a call");
    };
    run.node.context(None).call(&procedure, &arguments).await
}
