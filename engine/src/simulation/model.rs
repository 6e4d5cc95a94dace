//! What the engine has been told, what it has answered, and what it must therefore show.

use std::collections::{BTreeMap, BTreeSet};

/// Names one unit: rows that appear all together or not at all.
pub(super) type UnitId = usize;

/// What is known of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not committed yet.
    Open,
    /// Acknowledged: visible from now on.
    Acknowledged,
    /// The answer was lost: visible wholly or not at all.
    Unknown,
    /// Refused, given up, or dropped with its table: never visible again.
    Gone,
}

/// Ids of a unit's rows, by table.
pub(super) type UnitRows = BTreeMap<&'static str, Vec<i64>>;

#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Ids of its rows, by table.
    pub(super) ids: UnitRows,
    pub(super) key: Option<String>,
    pub(super) state: State,
}

/// A drop whose answer was lost.
#[derive(Debug)]
struct UnknownDrop {
    table: &'static str,
    units: Vec<UnitId>,
}

/// Ids of the rows of each table.
pub(super) type Contents = BTreeMap<&'static str, BTreeSet<i64>>;

#[derive(Debug, Default)]
pub(super) struct Model {
    units: Vec<Unit>,
    unknown_drops: Vec<UnknownDrop>,
}

impl Model {
    pub(super) fn next_id(&self) -> UnitId {
        self.units.len()
    }

    pub(super) fn add(&mut self, key: Option<String>) -> UnitId {
        let ids = BTreeMap::new();
        let state = State::Open;
        self.units.push(Unit { ids, key, state });
        self.units.len() - 1
    }

    pub(super) fn unit(&self, unit: UnitId) -> &Unit {
        &self.units[unit]
    }

    /// Units with a key, whatever became of them.
    pub(super) fn keyed(&self) -> Vec<UnitId> {
        let has_key = |unit: &UnitId| self.units[*unit].key.is_some();
        (0..self.units.len()).filter(has_key).collect()
    }

    pub(super) fn add_rows(&mut self, unit: UnitId, table: &'static str, ids: &[i64]) {
        let known = self.units[unit].ids.entry(table).or_default();
        known.extend_from_slice(ids);
    }

    /// What the unit has is this, and nothing else.
    pub(super) fn set_rows(&mut self, unit: UnitId, rows: UnitRows) {
        self.units[unit].ids = rows;
    }

    pub(super) fn set(&mut self, unit: UnitId, state: State) {
        self.units[unit].state = state;
    }

    /// A table was dropped; `known` unless the answer was lost.
    pub(super) fn drop_table(&mut self, table: &'static str, known: bool) {
        let visible = |unit: &UnitId| {
            let Unit { ids, state, .. } = &self.units[*unit];
            let has_rows = ids.get(table).is_some_and(|ids| !ids.is_empty());
            has_rows && matches!(state, State::Acknowledged | State::Unknown)
        };
        let units: Vec<_> = (0..self.units.len()).filter(visible).collect();
        if known {
            self.forget(table, &units);
        } else {
            self.unknown_drops.push(UnknownDrop { table, units });
        }
    }

    fn forget(&mut self, table: &'static str, units: &[UnitId]) {
        for unit in units {
            let unit = &mut self.units[*unit];
            unit.ids.remove(table);
            // The key is of this table and went with it.
            unit.key = None;
            if unit.ids.is_empty() {
                unit.state = State::Gone;
            }
        }
    }

    /// Acknowledged rows; only complete while nothing is unknown.
    pub(super) fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        for unit in self
            .units
            .iter()
            .filter(|unit| unit.state == State::Acknowledged)
        {
            for (table, ids) in &unit.ids {
                contents.entry(table).or_default().extend(ids);
            }
        }
        contents
    }

    /// Compares with what was found, and from then on knows what became of all that was unknown.
    pub(super) fn settle(&mut self, found: &Contents) {
        for UnknownDrop { table, units } in std::mem::take(&mut self.unknown_drops) {
            let there = |unit: &UnitId| self.is_there(*unit, table, found);
            let (kept, lost): (Vec<_>, Vec<_>) = units.iter().copied().partition(there);
            let acknowledged = |unit: &UnitId| self.units[*unit].state == State::Acknowledged;
            if lost.iter().any(acknowledged) {
                assert!(kept.is_empty(), "a drop of {table} took a part of its rows");
                self.forget(table, &units);
            }
        }
        for unit in 0..self.units.len() {
            if self.units[unit].state != State::Unknown {
                continue;
            }
            let tables: Vec<_> = self.units[unit].ids.keys().copied().collect();
            let there = |table: &&'static str| self.is_there(unit, table, found);
            let count = tables.iter().filter(|table| there(table)).count();
            assert!(
                count == 0 || count == tables.len(),
                "unit {unit} is in {count} of its tables {tables:?}"
            );
            let visible = count > 0 && !tables.is_empty();
            self.units[unit].state = match visible {
                true => State::Acknowledged,
                false => State::Gone,
            };
        }
        self.check(found);
    }

    /// Whether the unit's rows of a table are there: all of them or none.
    fn is_there(&self, unit: UnitId, table: &'static str, found: &Contents) -> bool {
        let ids = &self.units[unit].ids[table];
        let rows = found.get(table);
        let count = ids
            .iter()
            .filter(|id| rows.is_some_and(|rows| rows.contains(id)))
            .count();
        assert!(
            count == 0 || count == ids.len(),
            "{count} of {} rows of unit {unit} are in {table}",
            ids.len()
        );
        count > 0
    }

    /// Compares with what was found while nothing is unknown.
    pub(super) fn check(&self, found: &Contents) {
        compare(found, &self.contents());
    }
}

/// Empty and missing tables are the same.
pub(super) fn compare(found: &Contents, expected: &Contents) {
    let tables: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let none = BTreeSet::new();
    for table in tables {
        let found = found.get(table).unwrap_or(&none);
        let expected = expected.get(table).unwrap_or(&none);
        let lost: Vec<_> = expected.difference(found).collect();
        let invented: Vec<_> = found.difference(expected).collect();
        assert!(
            lost.is_empty() && invented.is_empty(),
            "{table}: lost {lost:?}, invented {invented:?}"
        );
    }
}
