"""A server and its model, step by step: what happens to one happens to the other, and they agree.

The model is DuckDB, running the same statements over tables of its own in memory. A second DuckDB
reads the catalog after each flush and remembers each snapshot, to ask for it again at the end.
"""

from __future__ import annotations

import datetime
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pyarrow as pa
import pyarrow.compute as pc

from . import exact, random_tables
from .duck import Duck, DuckError
from .errors import CLIENT_ERRORS, assert_refused
from .exact import Rows
from .flight import Flight
from .random_tables import Table
from .server import Server

State = dict[str, Rows]
SNAPSHOTS_CHECKED = 12
IDS = 400  # few enough that statements meet rows of other statements


class Model:
    """DuckDB with savepoints: it writes down what a transaction did, to do it again up to one."""

    def __init__(self, duck: Duck):
        self.duck = duck
        self.journal: list[tuple] | None = None
        # What was committed, one after the other, by table; None: there was no such table.
        self.past: dict[str, list[Rows | None]] = {}

    def execute(self, sql: str) -> int | None:
        return self._do("execute", sql)

    def insert(self, table: str, rows: pa.Table) -> int:
        return self._do("insert", table, rows)

    def _do(self, *call):
        if self.journal is not None:
            self.journal.append(call)
        answer = getattr(self.duck, call[0])(*call[1:])
        if self.journal is None:
            self._remember()
        return answer

    def _remember(self) -> None:
        names = self.duck.query("SHOW TABLES").column(0).to_pylist()
        for name in {*names, *self.past}:
            rows = (
                exact.rows_of(self.duck.query(f"SELECT * FROM {name}")) if name in names else None
            )
            states = self.past.setdefault(name, [None])
            if states[-1] is None and rows:
                # A table that comes with rows is there before its rows are flushed.
                states.append([])
            if states[-1] != rows:
                states.append(rows)

    def begin(self) -> None:
        self.duck.execute("BEGIN")
        self.journal = []

    def end(self, *, commit: bool) -> None:
        self.duck.execute("COMMIT" if commit else "ROLLBACK")
        self.journal = None
        if commit:
            self._remember()

    def savepoint(self) -> int:
        """Now, as a place in the journal."""
        return len(self.journal)

    def back_to(self, savepoint: int) -> None:
        journal = self.journal[:savepoint]
        self.end(commit=False)
        self.begin()
        for call in journal:
            self._do(*call)


class World:
    """One seed: a server, its model, and what the machine knows of both."""

    def __init__(self, server: Server, seed: int):
        self.server = server
        self.seed = seed
        self.rng = Random(seed)
        self.duck = Duck()
        self.lake = Duck()
        self.model = Model(self.duck)
        self.tables: dict[str, Table] = {}
        self.next_table = 0
        self.snapshots: dict[int, State] = {}
        # Tables as they were then, which the model keeps in its schema `past`.
        self.copies: dict[int, dict[str, Table]] = {}
        self.moments: dict[int, datetime.datetime] = {}
        self.held: tuple[Flight, State] | None = None
        self.duck.execute("CREATE SCHEMA past")
        self.log: list[str] = []
        self.connect()

    def connect(self) -> None:
        """One client acts, and one looks on from outside of its transactions."""
        self.client = Flight(self.server.uri)
        self.outside = Flight(self.server.uri)

    def disconnect(self) -> None:
        """Closes all clients; what they had open is over."""
        for client in (self.client, self.outside, *([self.held[0]] if self.held else [])):
            client.close()
        self.held = None

    def close(self) -> None:
        self.disconnect()
        self.duck.close()
        self.lake.close()

    def say(self, event: str) -> None:
        self.log.append(event)

    # What random steps are made of.

    @property
    def in_transaction(self) -> bool:
        return self.model.journal is not None

    def ids(self, count: int) -> list[int]:
        """Neighbours, so that files have ranges; often some that are in use."""
        first = self.rng.randrange(IDS)
        return list(range(first, first + count))

    def any_table(self) -> Table:
        if not self.tables:
            self.create(self.new_table())
        return self.tables[self.rng.choice(sorted(self.tables))]

    def new_table(self) -> Table:
        self.next_table += 1
        return random_tables.table(self.rng, f"t{self.next_table}")

    def predicate(self, table: Table) -> str:
        return random_tables.predicate(self.rng, table, IDS)

    # What happens to both.

    def statement(self, sql: str, *, duck_sql: str | None = None, counted: bool = True) -> None:
        """Both run it and, if it counts rows, count the same."""
        self.say(sql)
        ours = self.client.execute(sql)
        theirs = self.model.execute(duck_sql or sql)
        assert theirs is None or not counted or ours == theirs, (
            f"{ours} rows changed, expected {theirs}"
        )

    def refused(self, sql: str, *codes: str) -> None:
        """Quiver refuses it; the model does not hear of it."""
        self.say(f"refused: {sql}")
        try:
            self.client.execute(sql)
        except CLIENT_ERRORS as error:
            assert_refused(error, *codes)
        else:
            raise AssertionError(f"not refused: {sql}")

    def alter(self, table: Table, change: str, altered: Table, *, duck: str | None = None) -> None:
        """Both alter it; it is as `altered` from then on."""
        sql = f"ALTER TABLE {table.name} {{}}"
        self.statement(sql.format(change), duck_sql=sql.format(duck or change), counted=False)
        self.tables[table.name] = altered

    def ingest(self, table: Table, rows: pa.Table, **options) -> None:
        self.say(f"ingest of {rows.num_rows} rows into {table.name}")
        assert self.client.put(table.name, rows, **options) == rows.num_rows
        self.model.insert(table.name, rows)

    def create(self, table: Table) -> None:
        self.statement(table.create(), duck_sql=table.create(duck=True))
        self.tables[table.name] = table

    def drop(self, table: Table) -> None:
        self.statement(f"DROP TABLE {table.name}")
        del self.tables[table.name]
        self.forget_copies(table)

    def forget_copies(self, table: Table) -> None:
        """The next table of this name is another one."""
        for copies in self.copies.values():
            copies.pop(table.name, None)

    def roll_back(self, table: Table) -> None:
        """The table becomes what it was."""
        known = [snapshot for snapshot, copies in self.copies.items() if table.name in copies]
        if not known:
            return
        snapshot = self.rng.choice(known)
        self.say(f"{table.name} becomes what it was in snapshot {snapshot}")
        self.client.query(f"CALL system.rollback_to('{table.name}', {snapshot})")
        copy = f"past.s{snapshot}_{table.name}"
        self.model.execute(f"CREATE OR REPLACE TABLE {table.name} AS FROM {copy}")
        self.tables[table.name] = was = self.copies[snapshot][table.name]
        for column in was.columns:
            if column.default is not None:
                default = f"ALTER {column.name} SET DEFAULT {column.default}"
                self.model.execute(f"ALTER TABLE {table.name} {default}")

    def expire(self, keep: int) -> None:
        """The oldest snapshots are forgotten."""
        self.say(f"snapshots but {keep} expire")
        self.client.query(f"CALL system.expire_snapshots(keep => {keep})")
        left = {id for (id,) in self.client.rows("SELECT snapshot_id FROM system.snapshots")}
        for known in (self.snapshots, self.moments, self.copies):
            for snapshot in known.keys() - left:
                del known[snapshot]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """BEGIN on both; whoever is inside says how it ends."""
        self.say("BEGIN")
        before = dict(self.tables)
        self.client.execute("BEGIN")
        self.model.begin()
        yield
        if self.in_transaction:
            self.end_transaction(before, commit=self.rng.random() < 0.6)

    def end_transaction(self, before: dict[str, Table], *, commit: bool) -> None:
        word = "COMMIT" if commit else "ROLLBACK"
        self.say(word)
        self.client.execute(word)
        self.model.end(commit=commit)
        if not commit:
            self.tables = before

    def end_lost_transaction(self, before: dict[str, Table]) -> None:
        """The server has ended the transaction with itself."""
        self.model.end(commit=False)
        self.tables = before

    def savepoint(self) -> int:
        place = self.model.savepoint()
        self.say(f"SAVEPOINT s{place}")
        self.client.execute(f"SAVEPOINT s{place}")
        return place

    def end_savepoint(self, place: int, before: dict[str, Table], *, keep: bool) -> None:
        word = f"{'RELEASE' if keep else 'ROLLBACK TO'} SAVEPOINT s{place}"
        self.say(word)
        self.client.execute(word)
        if not keep:
            self.model.back_to(place)
            self.tables = before

    def flush(self) -> int:
        """Everything so far goes to the catalog, where DuckDB finds it; the snapshot's number."""
        ((snapshot, *_),) = self.client.rows("CALL system.flush()")
        self.say(f"flushed as snapshot {snapshot}")
        state = self.expected()
        with self.attached():
            newest = self.lake.query("SELECT max(snapshot_id) FROM lake.snapshots()")
            assert newest.column(0)[0].as_py() == snapshot, f"not the newest: {newest}"
            for name, expected in state.items():
                theirs = exact.rows_of(self.lake.query(f"SELECT * FROM {name}"))
                assert theirs == expected, f"DuckDB, {name}: {exact.difference(theirs, expected)}"
        known = self.snapshots.setdefault(snapshot, state)
        assert known == state, f"snapshot {snapshot} was another state before"
        self.moments[snapshot] = datetime.datetime.now(datetime.timezone.utc)
        for name in self.tables:
            self.duck.execute(f"CREATE OR REPLACE TABLE past.s{snapshot}_{name} AS FROM {name}")
        self.copies[snapshot] = dict(self.tables)
        return snapshot

    @contextmanager
    def attached(self) -> Iterator[None]:
        """The catalog, read-only in the second DuckDB."""
        self.lake.attach(self.server.catalog_path)
        try:
            yield
        finally:
            self.lake.detach()

    @contextmanager
    def elsewhere(self, options: str) -> Iterator[Callable[[str], None]]:
        """While the server is stopped DuckDB writes to the catalog; yields what runs a statement
        there and in the model."""
        self.flush()
        self.disconnect()
        assert self.server.stop() == 0, self.server.log()[-4000:]
        self.lake.attach(self.server.catalog_path, options)

        def run(sql: str) -> None:
            self.say(f"DuckDB: {sql}")
            self.lake.execute(sql)
            if not sql.startswith("CALL"):
                self.model.execute(sql)

        yield run
        self.lake.detach()
        self.server.start()
        self.connect()

    def restart(self, *, kill: bool) -> None:
        self.say("SIGKILL and start" if kill else "SIGTERM and start")
        self.disconnect()
        if kill:
            self.server.kill9()
        else:
            assert self.server.stop() == 0, self.server.log()[-4000:]
        self.server.start()
        self.connect()

    def die_within(self, sql: str, name: str, seconds: float) -> None:
        """SIGKILL while a statement runs: it has happened or not, and it has if acknowledged."""
        self.say(f"SIGKILL {seconds * 1e3:.0f} ms into: {sql}")
        answered: list[int] = []
        thread = threading.Thread(target=self._try, args=(sql, answered))
        thread.start()
        thread.join(seconds)
        self.server.kill9()
        thread.join()
        self.disconnect()
        self.server.start()
        self.connect()
        self.model.begin()
        before = self.rows(self.duck.query, name)
        self.model.execute(sql)
        happened = self.rows(self.client.query, name) != before
        assert happened or not answered or self.rows(self.duck.query, name) == before, (
            "an acknowledged one is lost"
        )
        self.model.end(commit=happened)

    def _try(self, sql: str, answered: list[int]) -> None:
        try:
            answered.append(self.client.execute(sql))
        except CLIENT_ERRORS:
            pass  # the server is gone: what became of the statement shows after its start

    def hold(self) -> None:
        """Another client opens a transaction and looks at everything."""
        if self.held is None and not self.in_transaction:
            self.say("a reader begins")
            reader = Flight(self.server.uri)
            reader.execute("BEGIN")
            self.held = (reader, {name: self.rows(reader.query, name) for name in self.tables})

    def let_go(self) -> None:
        """The other client still sees what it saw."""
        if self.held:
            self.say("the reader ends")
            reader, state = self.held
            for name, expected in state.items():
                self.assert_rows("the reader's ", name, self.rows(reader.query, name), expected)
            reader.execute("ROLLBACK")
            reader.close()
            self.held = None

    # What must hold.

    @staticmethod
    def rows(query: Callable[[str], pa.Table], name: str) -> Rows:
        return exact.rows_of(query(f"SELECT * FROM {name}"))

    def expected(self) -> State:
        return {name: self.rows(self.duck.query, name) for name in self.tables}

    def check(self) -> None:
        """Quiver shows what the model shows: all of it, and one question about a part of it."""
        for name in self.tables:
            expected = self.rows(self.duck.query, name)
            self.assert_rows("", name, self.rows(self.client.query, name), expected)
        if self.tables:
            self.assert_answer(self.question())
        if self.in_transaction:
            self.check_outside()

    def check_outside(self) -> None:
        """Nobody else sees what a transaction did."""
        names = self.duck.observe("SHOW TABLES").column(0).to_pylist()
        for name in names:
            seen = self.rows(self.outside.query, name)
            self.assert_rows("from outside, ", name, seen, self.rows(self.duck.observe, name))

    def question(self) -> str:
        """Rows by a predicate, or what statistics might answer."""
        table = self.any_table()
        if self.rng.random() < 0.5:
            return f"SELECT * FROM {table.name} WHERE {self.predicate(table)}"
        column = self.rng.choice(table.columns)
        parts = ["count(*)", "min(id)", "max(id)", f"count({column.name})"]
        if column.kind.aggregates and column.kind.name != "flag":
            parts += [f"min({column.name})", f"max({column.name})"]
        condition = f" WHERE {self.predicate(table)}" if self.rng.random() < 0.3 else ""
        named = ", ".join(f"{part} AS a{n}" for n, part in enumerate(parts))
        return f"SELECT {named} FROM {table.name}{condition}"

    def assert_answer(self, sql: str) -> None:
        ours, expected = exact.rows_of(self.client.query(sql)), exact.rows_of(self.duck.query(sql))
        assert ours == expected, f"{sql}: {exact.difference(ours, expected)}"

    @staticmethod
    def assert_rows(what: str, name: str, ours: Rows, expected: Rows) -> None:
        assert ours == expected, f"{what}{name}: {exact.difference(ours, expected)}"

    def check_history(self) -> None:
        """Both still read every snapshot as it was when it was the newest."""
        for snapshot in self.snapshots:
            self.check_snapshot(snapshot)
        with self.attached():
            for snapshot, state in self.snapshots.items():
                for name, expected in state.items():
                    theirs = self.rows(self.lake.query, f"{name} AT (VERSION => {snapshot})")
                    self.assert_rows(f"DuckDB at {snapshot}, ", name, theirs, expected)

    def check_states(self) -> None:
        """Snapshots between flushes show each table as it was once: never a part of a statement or
        a transaction, and never what was before what an earlier one shows."""
        with self.attached():
            self._check_states()

    def _check_states(self) -> None:
        found = self.lake.query("SELECT snapshot_id FROM lake.snapshots()").column(0).to_pylist()
        places = dict.fromkeys(self.model.past, 0)
        for snapshot in sorted(self.rng.sample(found, min(len(found), SNAPSHOTS_CHECKED))):
            for name, states in self.model.past.items():
                shown = self.shown(f"{name} AT (VERSION => {snapshot})")
                left = states[places[name] :]
                assert shown in left, f"{name} was never as snapshot {snapshot} has it: {shown}"
                places[name] += left.index(shown)

    def shown(self, table: str) -> Rows | None:
        try:
            return self.rows(self.lake.query, table)
        except DuckError as error:
            if error.unknown_table:
                return None
            raise

    def check_changes(self) -> None:
        """What came and went between two snapshots leads from one to the other."""
        for first, last in itertools.pairwise(sorted(self.copies)):
            for name, table in self.copies[last].items():
                if self.copies[first].get(name) == table:
                    self._check_changes(name, first, last)

    def _check_changes(self, name: str, first: int, last: int) -> None:
        changes = self.outside.query(f"SELECT * FROM table_changes('{name}', {first + 1}, {last})")
        kinds = changes.column("change_type")
        values = changes.drop_columns(["snapshot_id", "rowid", "change_type"])

        def of(*wanted: str) -> Rows:
            return exact.rows_of(values.filter(pc.is_in(kinds, pa.array(wanted))))

        before, after = self.snapshots[first][name], self.snapshots[last][name]
        came, went = of("insert", "update_postimage"), of("delete", "update_preimage")
        led_to = sorted(exact.subtract([*before, *came], went))
        self.assert_rows(f"changes from {first} to {last}, ", name, led_to, after)

    def check_snapshot(self, snapshot: int) -> None:
        """Quiver, by the snapshot's number and by its time."""
        state, moment = self.snapshots[snapshot], self.moments[snapshot]
        for at in (f"VERSION => {snapshot}", f"TIMESTAMP => '{moment.isoformat()}'"):
            for name, expected in state.items():
                ours = self.rows(self.outside.query, f"{name} AT ({at})")
                self.assert_rows(f"at {at}, ", name, ours, expected)
