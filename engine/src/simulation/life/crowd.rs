//! Several clients at the same time, beside a flush, a drop and the log's housekeeping: who goes on
//! next is drawn at every turn.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt;
use futures::future::poll_fn;
use parking_lot::Mutex;
use quiver_catalog::ErrorKind;
use rand::RngExt;
use tokio::task::JoinHandle;

use super::{Life, Run, request, send};
use crate::error::Result;
use crate::ingest::{Ingest, IngestOutcome, IngestRequest};
use crate::producers::ProducerStep;
use crate::simulation::model::{Contents, State, UnitId};
use crate::simulation::node::Node;
use crate::storage_fs::simulated::SimulatedFs;
use crate::task::{spawn, turns};
use crate::transaction::Transaction;

/// What everyone in a crowd knows.
struct Scene {
    node: Node,
    fs: SimulatedFs,
    /// A table that somebody drops: what is in it at any moment, nobody can tell.
    dropped: Option<&'static str>,
    /// What was there before, of tables that stay.
    before: Contents,
    /// Rows of the units that are on their way, of tables that stay.
    coming: Vec<(UnitId, Contents)>,
    acknowledged: Mutex<BTreeSet<UnitId>>,
}

/// What became of a client.
enum Told {
    /// Whether a unit was committed.
    Unit(&'static str, UnitId, Result<()>),
    /// Of the same rows sent twice at once.
    Twins(UnitId, [Result<IngestOutcome>; 2]),
    /// The client went away.
    Left(UnitId),
    Dropped(Result<u64>),
    Nothing,
}

/// What one client is about to do.
enum Part {
    Append(UnitId, IngestRequest, Vec<Vec<i64>>),
    Twins(UnitId, Box<[IngestRequest; 2]>, Vec<i64>),
    /// The same as an append, but the client goes away after so many turns.
    Leave(UnitId, IngestRequest, Vec<i64>, u32),
    Stream(UnitId, Box<Ingest>),
    Transaction(UnitId, Arc<Transaction>),
    Drop(&'static str),
    Read,
    Flush,
    KeepHouse,
}

/// The life itself, and what its engine does in the background.
const IDLE_TASKS: usize = 2;

impl Life {
    /// What a crowd does, and what it must leave behind.
    pub(super) async fn crowd(&mut self, run: &mut Run) {
        let dropped = self.rng.random_ratio(1, 4).then(|| self.table());
        let mut parts: Vec<Part> = dropped.map(Part::Drop).into_iter().collect();
        for _ in 0..self.rng.random_range(2..7) {
            parts.extend(self.part(run, dropped));
        }
        let scene = Arc::new(self.scene(run, &parts, dropped));
        let clients: Vec<JoinHandle<Told>> = parts
            .into_iter()
            .map(|part| spawn(play(Arc::clone(&scene), part)))
            .collect();
        let mut told = vec![];
        for client in clients {
            told.push(client.await.expect("no client panics"));
        }
        // What goes on without its client ends by itself, and so does what an earlier run has left.
        while turns::running() > IDLE_TASKS {
            tokio::task::yield_now().await;
        }
        while run.node.steps.lock().write() {}
        for told in told {
            self.hear(run, told, dropped);
        }
        if self.fs.is_stopped() || run.node.is_broken() {
            return;
        }
        match run.node.contents(None).await {
            Ok(found) => self.model.settle(&found),
            Err(error) => assert!(self.fs.is_stopped(), "{error}"),
        }
    }

    fn part(&mut self, run: &mut Run, dropped: Option<&'static str>) -> Option<Part> {
        let append = |life: &mut Self| {
            let (table, key) = (life.table(), life.key());
            let unit = life.model.add(key.clone());
            let ids = life.fresh_ids(unit);
            life.model.add_rows(unit, table, &ids);
            (unit, table, key, ids)
        };
        Some(match self.rng.random_range(0..16) {
            0..4 => {
                let (unit, table, key, ids) = append(self);
                let more = self.fresh_ids(unit);
                self.model.add_rows(unit, table, &more);
                Part::Append(unit, request(table, key, None), vec![ids, more])
            }
            4..6 => {
                let (unit, table, key, ids) = append(self);
                let twin = || request(table, key.clone(), None);
                match key.is_some() {
                    true => Part::Twins(unit, Box::new([twin(), twin()]), ids),
                    false => Part::Append(unit, twin(), vec![ids]),
                }
            }
            6..7 => self.produce_twice(dropped)?,
            7..8 => {
                let (unit, table, key, ids) = append(self);
                let turns = self.rng.random_range(0..12);
                Part::Leave(unit, request(table, key, None), ids, turns)
            }
            8..9 if !run.streams.is_empty() => {
                let at = self.rng.random_range(0..run.streams.len());
                let (unit, stream) = run.streams.remove(at);
                Part::Stream(unit, Box::new(stream))
            }
            // Rows in several tables are gone in a part when one of them is dropped.
            9..11 if !run.transactions.is_empty() && dropped.is_none() => {
                let at = self.rng.random_range(0..run.transactions.len());
                let open = run.transactions.remove(at);
                Part::Transaction(open.unit, open.transaction)
            }
            8..12 => Part::Flush,
            12..13 => Part::KeepHouse,
            _ => Part::Read,
        })
    }

    /// A producer that sends its next step twice at once.
    fn produce_twice(&mut self, dropped: Option<&'static str>) -> Option<Part> {
        let table = self.table();
        if dropped == Some(table) {
            return None;
        }
        let steps = self.known_steps(table)?;
        let unit = self.model.add(None);
        let ids = self.fresh_ids(unit);
        self.model.add_rows(unit, table, &ids);
        let epoch = steps.last().map_or(0, |step| step.1);
        let step = ProducerStep {
            producer: format!("producer of {table}"),
            epoch,
            sequence: steps.len() as u64 + 1,
        };
        let twin = || IngestRequest {
            step: Some(step.clone()),
            ..request(table, None, None)
        };
        // From here on the number is taken, unless the unit comes to nothing.
        self.steps.entry(table).or_default().push((unit, epoch));
        Some(Part::Twins(unit, Box::new([twin(), twin()]), ids))
    }

    fn scene(&self, run: &Run, parts: &[Part], dropped: Option<&'static str>) -> Scene {
        let stays = |contents: Contents| -> Contents {
            let tables = contents.into_iter();
            tables
                .filter(|(table, _)| Some(*table) != dropped)
                .collect()
        };
        let unit = |part: &Part| match part {
            Part::Append(unit, ..) | Part::Twins(unit, ..) | Part::Leave(unit, ..) => Some(*unit),
            Part::Stream(unit, _) | Part::Transaction(unit, _) => Some(*unit),
            Part::Drop(_) | Part::Read | Part::Flush | Part::KeepHouse => None,
        };
        let coming = parts.iter().filter_map(unit);
        Scene {
            node: run.node.clone(),
            fs: self.fs.clone(),
            dropped,
            before: stays(self.model.contents()),
            coming: coming
                .map(|unit| (unit, stays(self.rows_of(unit))))
                .collect(),
            acknowledged: Mutex::default(),
        }
    }

    fn rows_of(&self, unit: UnitId) -> Contents {
        let ids = &self.model.unit(unit).ids;
        let tables = ids.iter().filter(|(_, ids)| !ids.is_empty());
        tables
            .map(|(table, ids)| (*table, ids.iter().copied().collect()))
            .collect()
    }

    fn hear(&mut self, run: &Run, told: Told, dropped: Option<&'static str>) {
        match told {
            Told::Unit(what, unit, result) => {
                self.conclude(run, what, unit, &result);
                self.doubt(unit, dropped);
            }
            Told::Twins(unit, results) => {
                let firsts = results
                    .iter()
                    .flatten()
                    .filter(|outcome| !outcome.duplicate);
                let firsts = firsts.count();
                // With the table, what it knew of the first twin is gone.
                let may_be_gone = self.is_in(unit, dropped);
                assert!(firsts < 2 || may_be_gone, "unit {unit} was taken twice");
                let [one, other] = results;
                if one.is_ok() && other.is_ok() {
                    assert!(firsts > 0, "unit {unit} was taken by nobody");
                }
                self.conclude(run, "twin", unit, &one);
                let first_state = self.model.unit(unit).state;
                self.conclude(run, "other twin", unit, &other);
                let states = [first_state, self.model.unit(unit).state];
                let state = [State::Acknowledged, State::Unknown, State::Gone];
                let state = state.into_iter().find(|state| states.contains(state));
                self.model.set(unit, state.expect("one of the three"));
                self.doubt(unit, dropped);
            }
            Told::Left(unit) => {
                self.note(format!("left {unit}"));
                self.model.set(unit, State::Unknown);
            }
            Told::Dropped(result) => {
                let table = dropped.expect("the table that was dropped");
                self.hear_drop(run, table, &result);
            }
            Told::Nothing => {}
        }
    }

    /// Nobody knows whether the rows came before or after the drop of their table.
    fn doubt(&mut self, unit: UnitId, dropped: Option<&'static str>) {
        let acknowledged = self.model.unit(unit).state == State::Acknowledged;
        if acknowledged && self.is_in(unit, dropped) {
            self.model.set(unit, State::Unknown);
        }
    }

    fn is_in(&self, unit: UnitId, dropped: Option<&'static str>) -> bool {
        dropped.is_some_and(|table| self.model.unit(unit).ids.contains_key(table))
    }
}

async fn play(scene: Arc<Scene>, part: Part) -> Told {
    let node = &scene.node;
    match part {
        Part::Append(unit, request, batches) => {
            let result = send(node, request, &batches).await;
            scene.hear(unit, result.is_ok());
            Told::Unit("append in a crowd", unit, result.map(drop))
        }
        Part::Twins(unit, twins, ids) => {
            let [one, other] = *twins;
            let batches = [ids];
            let (one, other) = (send(node, one, &batches), send(node, other, &batches));
            let results = <[_; 2]>::from(tokio::join!(one, other));
            scene.hear(unit, results.iter().any(Result::is_ok));
            Told::Twins(unit, results)
        }
        Part::Leave(unit, request, ids, turns) => {
            let batches = [ids];
            let mut sent = Box::pin(send(node, request, &batches));
            for _ in 0..turns {
                // Not in the middle of what another thread does at its own pace.
                let polled = poll_fn(|context| match sent.poll_unpin(context) {
                    Poll::Ready(result) => Poll::Ready(Some(result)),
                    Poll::Pending if turns::waits_outside() => Poll::Pending,
                    Poll::Pending => Poll::Ready(None),
                });
                if let Some(result) = polled.await {
                    scene.hear(unit, result.is_ok());
                    return Told::Unit("append of one who stayed", unit, result.map(drop));
                }
                tokio::task::yield_now().await;
            }
            Told::Left(unit)
        }
        Part::Stream(unit, stream) => {
            let result = stream.commit().await;
            scene.hear(unit, result.is_ok());
            Told::Unit("stream in a crowd", unit, result.map(drop))
        }
        Part::Transaction(unit, transaction) => {
            let result = transaction.commit().await;
            scene.hear(unit, result.is_ok());
            Told::Unit("transaction in a crowd", unit, result.map(drop))
        }
        Part::Drop(table) => Told::Dropped(node.update(&format!("DROP TABLE {table}")).await),
        Part::Read => {
            scene.read().await;
            Told::Nothing
        }
        Part::Flush => {
            // One that fails is tried again later.
            let _outcome = node.engine.flush(&node.tenant).await;
            Told::Nothing
        }
        Part::KeepHouse => {
            node.engine.release_log();
            node.steps.lock().keep_house();
            node.engine.expire_transactions().await;
            node.engine.prune_keys().await;
            node.engine.give_up_old_streams();
            Told::Nothing
        }
    }
}

impl Scene {
    /// A client has its answer.
    fn hear(&self, unit: UnitId, is_ok: bool) {
        if is_ok && !self.fs.is_stopped() {
            self.acknowledged.lock().insert(unit);
        }
    }

    /// One read view of all tables: what was acknowledged before it is there, and of the rest each
    /// unit as a whole.
    async fn read(&self) {
        let acknowledged = self.acknowledged.lock().clone();
        let Ok(transaction) = self.node.begin() else {
            return;
        };
        let found = self.node.contents(Some(Arc::clone(&transaction))).await;
        transaction.rollback().await;
        let mut found = match found {
            Ok(found) => found,
            Err(error) => {
                let lost = self.fs.is_stopped() || self.node.is_broken();
                // It may have been given up for its age.
                assert!(lost || error.kind() == ErrorKind::Conflict, "{error}");
                return;
            }
        };
        if let Some(table) = self.dropped {
            found.remove(table);
        }
        let mut take = |table: &str, ids: &BTreeSet<i64>| {
            let rows = found.get_mut(table);
            rows.map_or(0, |rows| ids.iter().filter(|id| rows.remove(id)).count())
        };
        for (table, ids) in &self.before {
            assert_eq!(take(table, ids), ids.len(), "{table}: rows of before");
        }
        for (unit, rows) in &self.coming {
            let expected: usize = rows.values().map(BTreeSet::len).sum();
            let there: usize = rows.iter().map(|(table, ids)| take(table, ids)).sum();
            let whole = there == expected || (there == 0 && !acknowledged.contains(unit));
            assert!(whole, "{there} of {expected} rows of unit {unit} were seen");
        }
        let unknown: Vec<_> = found.values().flatten().collect();
        assert!(unknown.is_empty(), "seen, and not there: {unknown:?}");
    }
}
