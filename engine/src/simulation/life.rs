//! One life: what happens in it, and when it dies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use quiver_catalog::{Clock, Connections, ErrorKind, ExpiryLimits};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::model::{Contents, Model, State, UnitId, UnitRows, compare};
use super::node::{Node, SetClock, TABLES, USER, settings, tenant_folder};
use super::rows::{UNIT_IDS, rows, schema};
use crate::error::Result;
use crate::ingest::{Ingest, IngestMode, IngestOutcome, IngestRequest};
use crate::producers::ProducerStep;
use crate::retention;
use crate::storage_fs::simulated::{Faults, SimulatedFs, Stop};
use crate::storage_fs::{CrashPoint, StorageFs};
use crate::task::turns::{TurnsDrawn, alone, drawn, taking_turns};
use crate::transaction::{IDLE_VIEW_MICROS, Savepoint, Transaction};

mod changes;
mod crowd;

const STEPS: usize = 60;
const START_MICROS: i64 = 1_700_000_000_000_000;
const CATALOG_FILES: [&str; 2] = ["catalog.sqlite", "catalog.sqlite-wal"];

/// Events, to be compared and shown.
pub(super) type Trace = Arc<Mutex<Vec<String>>>;

/// A life that is over.
pub(super) struct Ended {
    pub(super) died_at: BTreeSet<CrashPoint>,
}

pub(super) struct Life {
    rng: StdRng,
    fs: SimulatedFs,
    folder: TempDir,
    clock: Arc<SetClock>,
    model: Model,
    /// Units and epochs of each table's producer, by its numbers.
    steps: BTreeMap<&'static str, Vec<(UnitId, u64)>>,
    /// What was there after the last flushes, by snapshot.
    flushed: VecDeque<(i64, Contents)>,
    opens: u64,
    /// To the catalog of the run.
    connections: Arc<Mutex<Option<Connections>>>,
    dies_at: Option<CrashPoint>,
    stop: Option<Stop>,
    ended: Ended,
    /// What happened, in order.
    trace: Trace,
}

/// A run and what its clients have open.
struct Run {
    node: Node,
    streams: Vec<(UnitId, Ingest)>,
    transactions: Vec<OpenTransaction>,
}

struct OpenTransaction {
    transaction: Arc<Transaction>,
    unit: UnitId,
    /// What was visible at its first statement.
    view: Option<Contents>,
    /// With the rows of the unit, and those it removes, at each of them.
    savepoints: Vec<(u64, (UnitRows, UnitRows))>,
    used_micros: i64,
}

impl Life {
    pub(super) fn new(seed: u64, dies_at: Option<CrashPoint>, trace: Trace) -> Self {
        // `SQLite` syncs a lot, and its syncs are not what is tried here.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => TempDir::new_in(memory),
            false => TempDir::new(),
        };
        let folder = folder.expect("a temporary folder");
        let fs = SimulatedFs::new(seed);
        // Whoever starts the engine has made its folder durable.
        fs.create_dir_all(folder.path()).expect("a folder");
        for parent in folder.path().ancestors().skip(1) {
            fs.sync_dir(parent).expect("a synced folder");
        }
        Self {
            rng: StdRng::seed_from_u64(seed),
            fs,
            folder,
            clock: Arc::new(SetClock(AtomicI64::new(START_MICROS))),
            model: Model::default(),
            steps: BTreeMap::new(),
            flushed: VecDeque::new(),
            opens: 0,
            connections: Arc::default(),
            dies_at,
            stop: None,
            ended: Ended {
                died_at: BTreeSet::new(),
            },
            trace,
        }
    }

    pub(super) async fn run(mut self) -> Ended {
        let connections = Arc::clone(&self.connections);
        let lent = move || {
            connections
                .lock()
                .as_ref()
                .map_or(0, Connections::lent_count)
        };
        let _turns = TurnsDrawn::new(self.rng.random(), lent);
        taking_turns(self.live()).await
    }

    async fn live(mut self) -> Ended {
        let mut run = self.open().await;
        for _ in 0..STEPS {
            self.step(&mut run).await;
            let broken = self.fs.is_stopped() || run.node.is_broken();
            if broken || self.rng.random_ratio(1, 20) {
                self.end_run(run).await;
                run = self.open().await;
            }
        }
        self.close(run).await;
        self.ended
    }

    fn note(&mut self, what: impl Into<String>) {
        // With the turns, so that a replay is compared in the order of its tasks as well.
        let note = format!("{:>6}  {}", drawn(), what.into());
        self.trace.lock().push(note);
    }

    /// Opens the engine; a start may die or fail on a bad disk, any number of times.
    async fn open(&mut self) -> Run {
        for attempt in 0.. {
            let faults = if attempt < 2 {
                self.faults()
            } else {
                Faults::default()
            };
            // A start removes what streams have left, unless the disk lets no file go.
            let is_swept = faults.name == 0;
            self.fs.set_faults(faults);
            if attempt < 3 {
                self.arm();
            }
            self.opens += 1;
            let (fs, clock) = (self.fs.clone(), Arc::clone(&self.clock));
            let opened = Node::open(&fs, settings(self.folder.path()), clock, self.opens);
            let opened = alone(opened).await;
            let node = match opened {
                Ok(node) => node,
                Err(error) => {
                    self.note(format!("start failed: {:?}", error.kind()));
                    assert_ne!(error.kind(), ErrorKind::Corruption, "{error}");
                    self.die().await;
                    continue;
                }
            };
            *self.connections.lock() = Some(node.engine.connections());
            if !self.fs.is_stopped() {
                let found = node
                    .contents(None)
                    .await
                    .expect("a fresh start can be read");
                self.model.settle(&found);
                let parts = self.fs.find(self.folder.path(), ".part");
                let parts = parts.expect("a disk that is there");
                assert!(parts.is_empty() || !is_swept, "a start left {parts:?}");
                self.note(format!("started with {} rows", row_count(&found)));
                return Run {
                    node,
                    streams: vec![],
                    transactions: vec![],
                };
            }
            node.abandon().await;
            self.die().await;
        }
        unreachable!("the loop has no end")
    }

    /// Chooses how this run will die, if not by the life's own end.
    fn arm(&mut self) {
        self.stop = match (self.dies_at, self.rng.random_range(0..10)) {
            (Some(point), _) => Some(Stop::At(point, self.rng.random_range(0..2))),
            (None, 0..4) => {
                let point = self.rng.random_range(0..CrashPoint::ALL.len());
                let times = self.rng.random_range(0..6);
                Some(Stop::At(CrashPoint::ALL[point], times))
            }
            (None, 4..7) => Some(Stop::AfterChanges(self.rng.random_range(0..80))),
            (None, _) => None,
        };
        if let Some(stop) = self.stop {
            let data = self.folder.path().to_owned();
            let freeze = Box::new(move || copy_catalog(&data, "", ".frozen"));
            self.fs.stop_at(stop, freeze);
        }
    }

    fn faults(&mut self) -> Faults {
        if self.rng.random_ratio(3, 4) {
            return Faults::default();
        }
        let mut rate = |most| self.rng.random_range(0..=most);
        Faults {
            write: rate(10),
            sync: rate(10),
            sync_dir: rate(20),
            name: rate(20),
            disk_bytes: None,
        }
    }

    async fn end_run(&mut self, run: Run) {
        let Run {
            node,
            streams,
            transactions,
        } = run;
        for (unit, stream) in streams {
            self.model.set(unit, State::Gone);
            drop(stream);
        }
        for open in transactions {
            self.model.set(open.unit, State::Gone);
        }
        node.abandon().await;
        self.die().await;
    }

    /// The process is gone, or the whole machine: what the next start finds.
    async fn die(&mut self) {
        wait_until_closed(self.folder.path());
        if self.fs.is_stopped() {
            if let Some(Stop::At(point, _)) = self.stop {
                self.ended.died_at.insert(point);
            }
            copy_catalog(self.folder.path(), ".frozen", "");
        }
        match self.rng.random_range(0..3) {
            0 => self.fs.kill(),
            _ => self.fs.crash(),
        }
        let stop = self.stop.take();
        self.note(format!("died: {stop:?}"));
    }

    /// The life ends well: everything can be flushed, and nothing stays counted.
    async fn close(&mut self, run: Run) {
        self.end_run(run).await;
        self.fs.set_faults(Faults::default());
        self.dies_at = None;
        let (fs, clock) = (self.fs.clone(), Arc::clone(&self.clock));
        let opened = Node::open(&fs, settings(self.folder.path()), clock, self.opens + 1);
        let opened = alone(opened).await;
        let node = opened.expect("a start on a good disk");
        *self.connections.lock() = Some(node.engine.connections());
        let found = node.contents(None).await.expect("rows can be read");
        self.model.settle(&found);
        node.engine
            .flush(&node.tenant)
            .await
            .expect("a flush on a good disk");
        let (_, uncommitted, committed) = node.engine.usage_bytes();
        assert_eq!((uncommitted, committed), (0, 0), "counted and not there");
        self.model
            .check(&node.contents(None).await.expect("rows can be read"));
        self.check_files(&node).await;
        self.model
            .check(&node.contents(None).await.expect("rows can be read"));
        node.abandon().await;
    }

    /// When history is forgotten and files are cleaned up, exactly those are left that have rows.
    async fn check_files(&self, node: &Node) {
        let (own, tenant) = (node.engine.node(), &node.tenant);
        let limits = ExpiryLimits::default();
        let expired = retention::expire(own, tenant, limits).await;
        expired.expect("snapshots expire on a good disk");
        // Times of snapshots may be ahead of a clock that stands.
        let cleaned = retention::clean_up(own, tenant, i64::MAX).await;
        let cleaned = cleaned.expect("files can be deleted on a good disk");
        assert_eq!(cleaned.waiting, 0, "nobody reads any more");
        let data = tenant.data_directory();
        let found = self.fs.find(&data, "").unwrap_or_default();
        let found: BTreeSet<_> = found.into_iter().collect();
        let catalog = tenant.catalog_version();
        let needed = catalog.tables().flat_map(|table| {
            let folder = data.join(&table.path);
            let segments = table.segments.iter().flat_map(|segment| {
                let deletes = segment.deletes.as_ref().map(|file| &file.path);
                [Some(&segment.path), deletes].into_iter().flatten()
            });
            segments
                .map(move |path| folder.join(path))
                .collect::<Vec<_>>()
        });
        assert_eq!(
            found,
            needed.collect(),
            "files on disk, and those of segments"
        );
    }

    async fn step(&mut self, run: &mut Run) {
        if self.rng.random_ratio(1, 15) {
            let mut faults = self.faults();
            let full = self.rng.random_ratio(1, 6);
            faults.disk_bytes = full.then(|| self.rng.random_range(100_000..1_500_000));
            self.fs.set_faults(faults);
        }
        match self.rng.random_range(0..44) {
            0..6 => self.append(run).await,
            6..8 => self.repeat(run).await,
            8..9 => self.crowd(run).await,
            9..12 => self.stream(run).await,
            12..16 => self.transaction(run).await,
            16..19 => self.flush(run).await,
            19..20 => {
                run.node.engine.release_log();
                run.node.steps.lock().keep_house();
            }
            20..21 => run.node.steps.lock().idle(),
            21..22 => self.drop_table(run).await,
            22..24 => self.read(run).await,
            24..28 => self.produce(run).await,
            28..33 => self.change(run).await,
            33..35 => self.compact(run).await,
            35..39 => self.keep_house(run).await,
            39..41 => self.alter(run).await,
            41..43 => self.roll_back(run).await,
            _ => self.pass_time(run).await,
        }
    }

    fn table(&mut self) -> &'static str {
        TABLES[self.rng.random_range(0..TABLES.len())]
    }

    /// Ids for a batch of a unit that no batch had before.
    fn fresh_ids(&mut self, unit: UnitId) -> Vec<i64> {
        let used: usize = self.model.unit(unit).ids.values().map(Vec::len).sum();
        let most = [3, 40, 400][self.rng.random_range(0..3)];
        let count = self.rng.random_range(1..=most).min(UNIT_IDS - used as i64);
        let first = unit as i64 * UNIT_IDS + used as i64;
        (first..first + count).collect()
    }

    /// What an answer tells about a unit.
    fn conclude<T>(&mut self, run: &Run, what: &str, unit: UnitId, result: &Result<T>) {
        let lost = self.fs.is_stopped() || run.node.is_broken();
        let state = match result {
            Ok(_) if !self.fs.is_stopped() => State::Acknowledged,
            Err(_) if !lost => State::Gone,
            _ => State::Unknown,
        };
        let outcome = result.as_ref().map(|_| ()).map_err(|error| error.kind());
        self.note(format!("{what} {unit}: {outcome:?} {state:?}"));
        if let (Err(error), false) = (result, lost) {
            use ErrorKind::{AlreadyExists, Conflict, NotFound, Overloaded, Unavailable};
            let expected = [AlreadyExists, Conflict, NotFound, Overloaded, Unavailable];
            assert!(expected.contains(&error.kind()), "{what}: {error}");
        }
        self.model.set(unit, state);
    }

    fn key(&mut self) -> Option<String> {
        let id = self.model.next_id();
        self.rng.random_ratio(1, 3).then(|| format!("key {id}"))
    }

    async fn append(&mut self, run: &mut Run) {
        let (table, key) = (self.table(), self.key());
        let unit = self.model.add(key.clone());
        let mut batches = vec![];
        for _ in 0..self.rng.random_range(1..4) {
            let ids = self.fresh_ids(unit);
            self.model.add_rows(unit, table, &ids);
            batches.push(ids);
        }
        let result = ingest(&run.node, table, key, &batches).await;
        if let Ok(outcome) = &result {
            assert!(!outcome.duplicate, "a new key");
        }
        self.conclude(run, "append", unit, &result);
    }

    /// Sends rows again under the key they had, or others.
    async fn repeat(&mut self, run: &mut Run) {
        let keyed = self.model.keyed();
        if keyed.is_empty() {
            return;
        }
        let id = keyed[self.rng.random_range(0..keyed.len())];
        let unit = self.model.unit(id).clone();
        let Some((table, ids)) = unit.ids.first_key_value() else {
            return;
        };
        let known = matches!(unit.state, State::Acknowledged | State::Gone);
        if !known || ids.is_empty() {
            return;
        }
        let was_there = unit.state == State::Acknowledged;
        let others = was_there && self.rng.random_ratio(1, 4);
        let sent = match others {
            true => vec![ids[0] + UNIT_IDS / 2],
            false => ids.clone(),
        };
        let result = ingest(&run.node, table, unit.key, &[sent]).await;
        match &result {
            Ok(outcome) => {
                assert_eq!(outcome.duplicate, was_there, "the key of unit {id}");
                assert!(!others, "other rows under the key of unit {id}");
            }
            Err(error) if others => {
                let broken = self.fs.is_stopped() || run.node.is_broken();
                let refused = error.kind() == ErrorKind::AlreadyExists;
                assert!(refused || broken, "{error}");
            }
            Err(_) => {}
        }
        if was_there {
            self.note(format!("repeat {id}"));
        } else {
            self.conclude(run, "repeat", id, &result);
        }
    }

    /// The next ingest of a table's producer, or one that must be told apart from it.
    async fn produce(&mut self, run: &mut Run) {
        let table = self.table();
        let Some(steps) = self.known_steps(table) else {
            return;
        };
        let (last, epoch) = (steps.len() as u64, steps.last().map_or(0, |step| step.1));
        let step = |epoch, sequence| ProducerStep {
            producer: format!("producer of {table}"),
            epoch,
            sequence,
        };
        let choice = self.rng.random_range(0..10);
        if choice < 6 {
            let unit = self.model.add(None);
            let epoch = epoch + u64::from(self.rng.random_ratio(1, 4));
            let ids = self.fresh_ids(unit);
            self.model.add_rows(unit, table, &ids);
            let request = IngestRequest {
                step: Some(step(epoch, last + 1)),
                ..request(table, None, None)
            };
            let result = send(&run.node, request, &[ids]).await;
            if let Ok(outcome) = &result {
                assert!(!outcome.duplicate, "number {} of {table}", last + 1);
            }
            self.conclude(run, "produce", unit, &result);
            self.steps.entry(table).or_default().push((unit, epoch));
            return;
        }
        let (step, is_repetition) = match choice {
            6..8 if last > 0 => (step(epoch, self.rng.random_range(1..=last)), true),
            8 if epoch > 0 => (step(epoch - 1, last + 1), false),
            _ => (step(epoch, last + 2), false),
        };
        let request = IngestRequest {
            step: Some(step.clone()),
            ..request(table, None, None)
        };
        match send(&run.node, request, &[vec![5_000 * UNIT_IDS]]).await {
            Ok(outcome) => assert!(outcome.duplicate && is_repetition, "{step:?}"),
            Err(_) if self.fs.is_stopped() || run.node.is_broken() => {}
            Err(error) => {
                let refused = error.kind() == ErrorKind::Precondition && !is_repetition;
                assert!(
                    refused || error.kind() == ErrorKind::Overloaded,
                    "{step:?}: {error}"
                );
            }
        }
    }

    /// The steps of a table's producer, unless one is on its way or in doubt.
    fn known_steps(&mut self, table: &'static str) -> Option<Vec<(UnitId, u64)>> {
        let steps = self.steps.entry(table).or_default();
        let state = |unit: &(UnitId, u64)| self.model.unit(unit.0).state;
        // What came to nothing leaves its number free, and so does a table that was dropped.
        while steps.pop_if(|step| state(step) == State::Gone).is_some() {}
        let last = steps.last().map(state);
        let known = last.is_none_or(|state| state == State::Acknowledged);
        known.then(|| steps.clone())
    }

    async fn stream(&mut self, run: &mut Run) {
        if run.streams.len() < 3 && self.rng.random_ratio(1, 3) {
            let (table, key) = (self.table(), self.key());
            let request = request(table, key.clone(), None);
            if let Ok(stream) = run
                .node
                .engine
                .begin_ingest(&run.node.tenant, request)
                .await
            {
                let unit = self.model.add(key);
                self.model.add_rows(unit, table, &[]);
                run.streams.push((unit, stream));
            }
            return;
        }
        if run.streams.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..run.streams.len());
        let unit = run.streams[at].0;
        match self.rng.random_range(0..6) {
            0..3 => {
                let table = *self.model.unit(unit).ids.keys().next().expect("a table");
                let ids = self.fresh_ids(unit);
                if ids.is_empty() {
                    return;
                }
                self.model.add_rows(unit, table, &ids);
                if run.streams[at].1.push(rows(&ids), None).await.is_err() {
                    run.streams.remove(at);
                    self.model.set(unit, State::Gone);
                }
            }
            3..5 => {
                let (_, stream) = run.streams.remove(at);
                let result = stream.commit().await;
                self.conclude(run, "stream", unit, &result);
            }
            _ => {
                run.streams.remove(at);
                self.model.set(unit, State::Gone);
            }
        }
    }

    async fn transaction(&mut self, run: &mut Run) {
        if run.transactions.len() < 3 && self.rng.random_ratio(1, 4) {
            if let Ok(transaction) = run.node.begin() {
                let unit = self.model.add(None);
                run.transactions.push(OpenTransaction {
                    transaction,
                    unit,
                    view: None,
                    savepoints: vec![],
                    used_micros: self.clock.now_micros(),
                });
            }
            return;
        }
        if run.transactions.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..run.transactions.len());
        let unit = run.transactions[at].unit;
        match self.rng.random_range(0..12) {
            0..3 => self.stage(run, at).await,
            3..4 => self.change_inside(run, at).await,
            4..6 => self.read_inside(run, at).await,
            6..9 => self.savepoint(run, at).await,
            9..11 => {
                let open = run.transactions.remove(at);
                let result = open.transaction.commit().await;
                self.conclude(run, "transaction", unit, &result);
            }
            _ => {
                let open = run.transactions.remove(at);
                open.transaction.rollback().await;
                self.model.set(unit, State::Gone);
                self.note("rollback");
            }
        }
    }

    async fn stage(&mut self, run: &mut Run, at: usize) {
        let table = self.table();
        let open = &mut run.transactions[at];
        open.used_micros = self.clock.now_micros();
        let ids = self.fresh_ids(open.unit);
        open.view.get_or_insert_with(|| self.model.contents());
        let request = request(table, None, Some(Arc::clone(&open.transaction)));
        let staged = send(&run.node, request, std::slice::from_ref(&ids)).await;
        if staged.is_ok() {
            self.model.add_rows(open.unit, table, &ids);
            return;
        }
        // A statement that failed leaves the rest; clients roll back, and so does this one.
        let open = run.transactions.remove(at);
        open.transaction.rollback().await;
        self.model.set(open.unit, State::Gone);
    }

    /// Sets a savepoint, goes back to one, or releases one.
    async fn savepoint(&mut self, run: &mut Run, at: usize) {
        let open = &mut run.transactions[at];
        open.used_micros = self.clock.now_micros();
        let transaction = Arc::clone(&open.transaction);
        if open.savepoints.is_empty() || self.rng.random_ratio(1, 3) {
            if let Ok(number) = transaction.set_savepoint("here").await {
                let unit = self.model.unit(open.unit);
                let rows = (unit.ids.clone(), unit.removes.clone());
                open.savepoints.push((number, rows));
            }
            return;
        }
        let nth = self.rng.random_range(0..open.savepoints.len());
        let number = open.savepoints[nth].0;
        let savepoint = match nth + 1 == open.savepoints.len() {
            true => Savepoint::Named("here"),
            false => Savepoint::Numbered(number),
        };
        if self.rng.random_ratio(1, 4) {
            if transaction.release_savepoint(savepoint).await.is_ok() {
                open.savepoints.truncate(nth);
            }
        } else if transaction.roll_back_to(savepoint).await.is_ok() {
            open.savepoints.truncate(nth + 1);
            self.model
                .set_rows(open.unit, open.savepoints[nth].1.clone());
            let unit = open.unit;
            self.note(format!("back to savepoint {number} of {unit}"));
        }
    }

    /// What was there at the first statement, and what it staged itself.
    async fn read_inside(&mut self, run: &mut Run, at: usize) {
        let open = &mut run.transactions[at];
        open.used_micros = self.clock.now_micros();
        let view = open.view.get_or_insert_with(|| self.model.contents());
        let mut expected = view.clone();
        self.model.show(open.unit, &mut expected);
        match run.node.contents(Some(Arc::clone(&open.transaction))).await {
            Ok(found) => compare(&found, &expected),
            Err(error) => {
                let over = error.kind() == ErrorKind::Conflict;
                assert!(over || self.fs.is_stopped(), "{error}");
            }
        }
    }

    async fn read(&mut self, run: &mut Run) {
        if self.fs.is_stopped() || run.node.is_broken() {
            return;
        }
        if self.rng.random_bool(0.5) {
            let found = run.node.contents(None).await;
            return match found {
                Ok(found) => self.model.check(&found),
                Err(error) => assert!(self.fs.is_stopped(), "{error}"),
            };
        }
        // A pruned scan is a full scan without what the condition does not hold for.
        let table = self.table();
        let end = self.model.next_id() as i64 * UNIT_IDS;
        let from = self.rng.random_range(0..=end);
        let to = from + self.rng.random_range(1..3 * UNIT_IDS);
        let condition = format!("WHERE id >= {from} AND id < {to}");
        let all = self.model.contents();
        let expected = all.get(table).into_iter();
        let expected: Vec<_> = expected
            .flat_map(|ids| ids.range(from..to).copied())
            .collect();
        match run.node.select(None, table, &condition).await {
            Ok(found) => assert_eq!(found.unwrap_or_default(), expected, "{table} {condition}"),
            // Rows of an open stream are written whenever the log comes to it.
            Err(error) => assert!(self.fs.is_stopped(), "{error}"),
        }
    }

    async fn pass_time(&mut self, run: &mut Run) {
        let seconds = self.rng.random_range(0..50);
        self.clock
            .0
            .fetch_add(seconds * 1_000_000, Ordering::Relaxed);
        let idle_since = self.clock.now_micros() - IDLE_VIEW_MICROS;
        for open in &mut run.transactions {
            // One that wrote nothing gives its view back.
            if open.used_micros < idle_since && self.model.unit(open.unit).ids.is_empty() {
                open.view = None;
            }
        }
        run.node.engine.expire_transactions().await;
        run.node.engine.prune_keys().await;
        run.node.engine.give_up_old_streams();
    }
}

fn row_count(contents: &Contents) -> usize {
    contents.values().map(BTreeSet::len).sum()
}

fn request(
    table: &str,
    idempotency_key: Option<String>,
    transaction: Option<Arc<Transaction>>,
) -> IngestRequest {
    IngestRequest {
        schema_name: "main".to_owned(),
        table_name: table.to_owned(),
        incoming: schema(),
        mode: IngestMode::CREATE_APPEND,
        adds_columns: false,
        user_id: USER,
        idempotency_key,
        step: None,
        transaction,
    }
}

async fn ingest(
    node: &Node,
    table: &str,
    key: Option<String>,
    batches: &[Vec<i64>],
) -> Result<IngestOutcome> {
    send(node, request(table, key, None), batches).await
}

async fn send(node: &Node, request: IngestRequest, batches: &[Vec<i64>]) -> Result<IngestOutcome> {
    let mut stream = node.engine.begin_ingest(&node.tenant, request).await?;
    for ids in batches {
        stream.push(rows(ids), None).await?;
    }
    stream.commit().await
}

/// Waits for the threads of `SQLite`, which close its files in their own time: a process that dies takes
/// them along, and what they still write here would come into files that are put back or copied.
fn wait_until_closed(data: &Path) {
    let is_open = || {
        let files = fs::read_dir("/proc/self/fd")
            .into_iter()
            .flatten()
            .flatten();
        let mut paths = files.filter_map(|file| fs::read_link(file.path()).ok());
        paths.any(|path| path.starts_with(data))
    };
    while is_open() {
        std::thread::yield_now();
    }
}

/// Copies the catalog's files beside themselves: they are read by a real `SQLite`.
fn copy_catalog(data: &Path, from: &str, to: &str) {
    let folder = tenant_folder(data);
    for name in CATALOG_FILES {
        let (from, to) = (
            folder.join(format!("{name}{from}")),
            folder.join(format!("{name}{to}")),
        );
        match from.exists() {
            true => drop(fs::copy(&from, &to).expect("a copy")),
            // It was not there then.
            false => drop(fs::remove_file(&to)),
        }
    }
    if to.is_empty() {
        // Of the memory that processes share, nothing outlives them.
        let _none = fs::remove_file(folder.join("catalog.sqlite-shm"));
    }
}
