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
    /// Ids of the rows of others that it removes.
    pub(super) removes: UnitRows,
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
        self.units.push(Unit {
            ids: BTreeMap::new(),
            removes: BTreeMap::new(),
            key,
            state: State::Open,
        });
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

    /// The unit removes rows: its own, which are as if they had never been, or those of others.
    pub(super) fn remove_rows(&mut self, unit: UnitId, table: &'static str, ids: &[i64]) {
        let unit = &mut self.units[unit];
        let is_own = |id: &i64| unit.ids.get(table).is_some_and(|own| own.contains(id));
        let (own, others): (Vec<i64>, Vec<i64>) = ids.iter().partition(|id| is_own(id));
        if let Some(rows) = unit.ids.get_mut(table) {
            rows.retain(|id| !own.contains(id));
        }
        unit.removes.entry(table).or_default().extend(others);
    }

    /// What the unit has and removes is this, and nothing else.
    pub(super) fn set_rows(&mut self, unit: UnitId, (ids, removes): (UnitRows, UnitRows)) {
        self.units[unit].ids = ids;
        self.units[unit].removes = removes;
    }

    pub(super) fn set(&mut self, unit: UnitId, state: State) {
        self.units[unit].state = state;
        if state != State::Acknowledged {
            return;
        }
        for (table, ids) in self.units[unit].removes.clone() {
            let ids: BTreeSet<i64> = ids.into_iter().collect();
            for unit in &mut self.units {
                let Some(rows) = unit.ids.get_mut(table) else {
                    continue;
                };
                let before = rows.len();
                rows.retain(|id| !ids.contains(id));
                if rows.len() < before {
                    // Sent again, they would be others.
                    unit.key = None;
                }
            }
        }
    }

    /// A table was dropped; `known` unless the answer was lost.
    pub(super) fn drop_table(&mut self, table: &'static str, known: bool) {
        let visible = |unit: &UnitId| {
            let Unit { ids, state, .. } = &self.units[*unit];
            ids.contains_key(table) && matches!(state, State::Acknowledged | State::Unknown)
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

    /// What an open unit makes of what it sees.
    pub(super) fn show(&self, unit: UnitId, contents: &mut Contents) {
        let Unit { ids, removes, .. } = &self.units[unit];
        for (table, ids) in ids {
            contents.entry(table).or_default().extend(ids);
        }
        for (table, ids) in removes {
            let rows = contents.entry(table).or_default();
            rows.retain(|id| !ids.contains(id));
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
            let has_rows = |unit: &UnitId| !self.units[*unit].ids[table].is_empty();
            let with_rows: Vec<_> = units.iter().copied().filter(has_rows).collect();
            let there = |unit: &UnitId| self.is_there(*unit, table, found);
            let (kept, lost): (Vec<_>, Vec<_>) = with_rows.into_iter().partition(there);
            let acknowledged = |unit: &UnitId| self.units[*unit].state == State::Acknowledged;
            let is_gone = !found.contains_key(table);
            if is_gone || lost.iter().any(acknowledged) {
                assert!(kept.is_empty(), "a drop of {table} took a part of its rows");
                self.forget(table, &units);
            }
        }
        for unit in 0..self.units.len() {
            if self.units[unit].state != State::Unknown {
                continue;
            }
            let Unit { ids, removes, .. } = &self.units[unit];
            let has_rows = |rows: &UnitRows| -> Vec<&'static str> {
                let tables = rows.iter().filter(|(_, ids)| !ids.is_empty());
                tables.map(|(table, _)| *table).collect()
            };
            // It took effect where its own rows are there, and those that it removes are not.
            let added = has_rows(ids).into_iter();
            let added = added.map(|table| all_there(&ids[table], table, found));
            let removed = has_rows(removes).into_iter();
            let removed = removed.map(|table| !all_there(&removes[table], table, found));
            let effects: Vec<bool> = added.chain(removed).collect();
            let happened = effects.first() == Some(&true);
            assert!(
                effects.iter().all(|effect| *effect == happened),
                "unit {unit} took effect in a part of its tables: {effects:?}"
            );
            let state = match happened {
                true => State::Acknowledged,
                false => State::Gone,
            };
            self.set(unit, state);
        }
        self.check(found);
    }

    /// Whether the unit's rows of a table are there: all of them or none.
    fn is_there(&self, unit: UnitId, table: &'static str, found: &Contents) -> bool {
        all_there(&self.units[unit].ids[table], table, found)
    }

    /// Compares with what was found while nothing is unknown.
    pub(super) fn check(&self, found: &Contents) {
        compare(found, &self.contents());
    }
}

/// Whether the rows are there: all of them or none.
fn all_there(ids: &[i64], table: &'static str, found: &Contents) -> bool {
    let rows = found.get(table);
    let is_there = |id: &&i64| rows.is_some_and(|rows| rows.contains(id));
    let count = ids.iter().filter(is_there).count();
    assert!(
        count == 0 || count == ids.len(),
        "{count} of {} rows of a unit are in {table}",
        ids.len()
    );
    count > 0
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
