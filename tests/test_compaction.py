"""Compaction: fewer segments, the same rows with the same ids, and a past that stays as it was, for
Quiver and for DuckDB; asked for, or in the background."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from quiver_testing import exact, lake, random_tables
from quiver_testing.duck import Duck
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.quiet import client, duck, flush, server
from quiver_testing.server import NO_BACKGROUND, NO_TIMED_FLUSH, Server

AWAKE = {**NO_TIMED_FLUSH, "QUIVER_COMPACTION__INTERVAL_MS": "200"}


def segments(server: Server) -> dict[str, list[int]]:
    """By table, how many rows of each segment are deleted."""
    sql = (
        "SELECT t.table_name, coalesce(d.delete_count, 0) FROM ducklake_data_file f "
        "JOIN ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL "
        "LEFT JOIN ducklake_delete_file d ON d.data_file_id = f.data_file_id "
        "AND d.end_snapshot IS NULL WHERE f.end_snapshot IS NULL"
    )
    found: dict[str, list[int]] = {}
    for table, deleted in lake.catalog_rows(server.catalog_path, sql):
        found.setdefault(table, []).append(deleted)
    return found


def compact(client: Flight, table: str) -> dict:
    (done,) = client.query(f"CALL system.compact('{table}')").to_pylist()
    return done


def changes(client: Flight, snapshot: int) -> str:
    return client.scalar(f"SELECT changes_made FROM system.snapshots WHERE snapshot_id = {snapshot}")


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


class Past:
    """Tables as Quiver showed them at each snapshot, and DuckDB with the ids of their rows."""

    def __init__(self, server: Server, duck: Duck):
        self.server, self.duck = server, duck
        self.seen: dict[str, tuple[exact.Rows, exact.Rows]] = {}

    def note(self, client: Flight, *tables: str) -> int:
        """Flushes, and remembers."""
        snapshot = flush(client)
        with self.duck.attached(self.server.catalog_path):
            for table in tables:
                ours = exact.rows_of(client.query(f"SELECT * FROM {table}"))
                theirs = exact.rows_of(self.duck.query(f"SELECT rowid, * FROM {table}"))
                without_ids = sorted(row[1:] for row in theirs)
                assert without_ids == ours, f"DuckDB: {exact.difference(without_ids, ours)}"
                assert len({row[0] for row in theirs}) == len(theirs), "two rows have one id"
                at = f"{table} AT (VERSION => {snapshot})"
                known = self.seen.setdefault(at, (ours, theirs))
                assert known == (ours, theirs), f"{at} was another state before"
        return snapshot

    def assert_unchanged(self, client: Flight) -> None:
        with self.duck.attached(self.server.catalog_path):
            for at, (ours, theirs) in self.seen.items():
                got = exact.rows_of(client.query(f"SELECT * FROM {at}"))
                assert got == ours, f"Quiver, {at}: {exact.difference(got, ours)}"
                got = exact.rows_of(self.duck.query(f"SELECT rowid, * FROM {at}"))
                assert got == theirs, f"DuckDB, {at}: {exact.difference(got, theirs)}"


@pytest.fixture
def past(server, duck) -> Past:
    return Past(server, duck)


def test_small_segments_become_one_in_every_snapshot(server, client, past):
    client.execute("CREATE TABLE t (id BIGINT, v VARCHAR)")
    created = flush(client)
    for n in range(8):
        client.execute(f"INSERT INTO t VALUES ({n}, 'wörd'), ({n + 100}, NULL)")
        last = past.note(client, "t")
    sources = lake.catalog_rows(server.catalog_path, "SELECT path, file_size_bytes, table_id FROM ducklake_data_file")
    paths, table_id = {f"main/t/{path}" for path, *_ in sources}, sources[0][2]
    done = compact(client, "t")
    assert (done["segments_before"], done["segments_after"]) == (8, 1)
    assert (done["record_count"], done["snapshot_id"]) == (16, last + 1)
    assert done["bytes_before"] == sum(size for _, size, _ in sources)
    assert changes(client, last + 1) == f"merge_adjacent:{table_id}"
    columns = "begin_snapshot, end_snapshot, partial_max, record_count, file_size_bytes"
    assert lake.catalog_rows(server.catalog_path, f"SELECT {columns} FROM ducklake_data_file") == [
        (created + 1, None, last, 16, done["bytes_after"])
    ]
    scheduled = client.query("SELECT path FROM system.files_scheduled_for_deletion")
    assert set(scheduled.column(0).to_pylist()) == paths
    past.assert_unchanged(client)
    past.note(client, "t")
    assert compact(client, "t")["segments_before"] == 0
    assert client.scalar("SELECT max(snapshot_id) FROM system.snapshots") == last + 1


@pytest.mark.parametrize(
    ("sorted_by", "order"),
    [
        ("", lambda id, n, v: id),
        ("SORTED BY (n DESC NULLS FIRST)", lambda id, n, v: (n is not None, -(n or 0))),
        ("SORTED BY (v, n)", lambda id, n, v: (v is None, v or "", n is None, n or 0)),
    ],
)
def test_merged_rows_are_in_order(server, client, duck, sorted_by, order):
    """Of the sort key, over all of them, or as they came; also when merged once more."""
    client.execute(f"CREATE TABLE t (id BIGINT, n INTEGER, v VARCHAR) {sorted_by}")
    rng, rows = random.Random(5), []
    for _ in range(2):
        for _ in range(5):
            ids = range(len(rows), len(rows) + 12)
            added = [(n, rng.choice([None, *range(30)]), rng.choice([None, "a", "B", ""])) for n in ids]
            values = ", ".join(str(row).replace("None", "NULL") for row in added)
            client.execute(f"INSERT INTO t VALUES {values}")
            flush(client)
            rows += added
        assert compact(client, "t")["segments_after"] == 1
        with duck.attached(server.catalog_path):
            found = duck.query("SELECT id, n, v FROM t ORDER BY file_row_number")
        found = [tuple(row.values()) for row in found.to_pylist()]
        assert set(found) == set(rows) and len(found) == len(rows)
        assert [order(*row) for row in found] == sorted(order(*row) for row in rows)


def test_values_of_all_types_stay(server, client, duck, past):
    """Also found by their values, so by statistics; some segments have nothing but NaN, NULL, or zeros."""
    rng = random.Random(18)
    columns = [random_tables.Column(f"c_{kind.name}", kind) for kind in random_tables.KINDS]
    table = random_tables.Table("t", tuple(columns))
    client.execute(table.create())
    for n in range(6):
        client.put("t", table.rows(rng, list(range(n * 25, n * 25 + 25))))
        flush(client) if n % 3 else past.note(client, "t")
    for n, special in enumerate(("'nan'", "NULL", "'-0.0'", "'0.0'", "'-inf'")):
        client.execute(f"INSERT INTO t (id, c_double, c_real) VALUES ({150 + n}, {special}, {special})")
        flush(client)
    conditions = [random_tables.predicate(rng, table, 150) for _ in range(40)]
    conditions += [f"{c.name} IS NULL" for c in columns] + ["c_double = 0", "c_real > 0", "isnan(c_double)"]
    queries = [f"SELECT * FROM t WHERE {condition}" for condition in conditions]
    before = [exact.rows_of(client.query(query)) for query in queries]
    assert compact(client, "t")["segments_after"] == 1
    past.note(client, "t")
    past.assert_unchanged(client)
    with duck.attached(server.catalog_path):
        for query, expected in zip(queries, before, strict=True):
            for got in (exact.rows_of(who.query(query)) for who in (client, duck)):
                assert got == expected, f"{query}: {exact.difference(got, expected)}"


def test_segments_that_lost_rows_are_rewritten(server, client, past):
    """Without these, in a snapshot of their own; what lost none is merged as it is."""
    client.execute("CREATE TABLE t (id BIGINT, v VARCHAR)")

    def run(sql: str) -> int:
        client.execute(sql)
        return past.note(client, "t")

    for n in range(6):
        run(f"INSERT INTO t SELECT value, 'v' FROM generate_series({n * 10}, {n * 10 + 9})")
    run("DELETE FROM t WHERE id IN (3, 4, 13) OR id BETWEEN 50 AND 59")
    last = run("UPDATE t SET v = 'w' WHERE id IN (5, 25)")
    done = compact(client, "t")
    past.note(client, "t")
    assert segments(server) == {"t": [0]}
    assert (done["segments_before"], done["segments_after"], done["snapshot_id"]) == (6, 1, last + 2)
    ((table_id,),) = lake.catalog_rows(server.catalog_path, "SELECT DISTINCT table_id FROM ducklake_table")
    assert changes(client, last + 1) == f"rewrite_delete:{table_id}"
    assert changes(client, last + 2) == f"merge_adjacent:{table_id}"
    past.assert_unchanged(client)
    # And so on, from what was merged.
    run("DELETE FROM t WHERE id % 10 = 1")
    run("UPDATE t SET v = 'x' WHERE id < 30")
    compact(client, "t")
    past.note(client, "t")
    run("DELETE FROM t")
    assert compact(client, "t")["segments_after"] == 0
    past.assert_unchanged(client)


@pytest.mark.parametrize("seed", range(2))
def test_a_random_life_is_compacted_at_any_time(server, duck, past, seed):
    """Merged segments lose rows, are rewritten, are merged again, by Quiver and by DuckDB while the
    server is stopped; the model is a table in DuckDB's memory."""
    rng, client = random.Random(seed), Flight(server.uri)
    client.execute(f"CREATE TABLE t (id BIGINT, n INTEGER, v VARCHAR) {'SORTED BY (n)' if seed else ''}")
    duck.execute("CREATE OR REPLACE TABLE t (id BIGINT, n INTEGER, v VARCHAR)")
    next_id = 0
    for step in range(40):
        first = rng.randrange(next_id + 1)
        some = rng.choice([f"id BETWEEN {first} AND {first + 12}", f"id % 9 = {first % 9}"])
        what = rng.choices(
            ["insert", "delete", "update", "flush", "compact", "kill", "visit"], [8, 4, 4, 4, 4, 1, 1]
        )[0]
        if what == "insert":
            rows = range(next_id, next_id + rng.choice([1, 3, 20]))
            next_id = rows.stop
            sql = f"INSERT INTO t VALUES {', '.join(f'({n}, {n * 7 % 31}, NULL)' for n in rows)}"
        elif what == "delete":
            sql = f"DELETE FROM t WHERE {some}"
        elif what == "update":
            sql = f"UPDATE t SET n = n + 1, v = '{step}' WHERE {some}"
        elif what in ("flush", "compact"):
            if what == "compact":
                compact(client, "t")
            past.note(client, "t")
        elif what in ("kill", "visit"):
            client.close()
            if what == "kill":
                server.kill9()
            else:
                assert server.stop() == 0
                duck.attach(server.catalog_path, "DATA_INLINING_ROW_LIMIT 0")
                duck.execute("CALL ducklake_rewrite_data_files('lake', 't', delete_threshold => 0.01)")
                duck.execute("CALL ducklake_merge_adjacent_files('lake', 't')")
                duck.detach()
            client = Flight(server.start().uri)
        if what in ("insert", "delete", "update"):
            assert client.execute(sql) == duck.execute(sql), sql
        got, expected = (exact.rows_of(who.query("SELECT * FROM t")) for who in (client, duck))
        assert got == expected, f"step {step}, {what}: {exact.difference(got, expected)}"
    past.assert_unchanged(client)
    client.close()


# What DuckDB does to a table of three segments while the server is stopped.
ALTERED = {
    "column_dropped": ["ALTER TABLE $t DROP COLUMN n"],
    "column_added": ["ALTER TABLE $t ADD more VARCHAR", "INSERT INTO $t VALUES (9, 1, 'a', 'b')"],
    "column_widened": ["ALTER TABLE $t ALTER n TYPE BIGINT", "INSERT INTO $t VALUES (9, 5e9, 'a')"],
    "partitioned": ["ALTER TABLE $t SET PARTITIONED BY (v)", *["INSERT INTO $t SELECT * FROM $t"] * 2],
    "deleted": ["DELETE FROM $t WHERE id = 1", "DELETE FROM $t WHERE id = 0"],
}


@pytest.fixture(scope="module")
def changed(servers, duck) -> dict[str, str]:
    """What Quiver or DuckDB read differently after the tables of ALTERED were compacted."""
    server = servers(settings=NO_BACKGROUND).start()
    client, snapshots = Flight(server.uri), []
    for table in ALTERED:
        client.execute(f"CREATE TABLE {table} (id BIGINT, n INTEGER, v VARCHAR)")
    for n in (0, 2, 4):
        for table in ALTERED:
            client.execute(f"INSERT INTO {table} VALUES ({n}, {n}, 'a'), ({n + 1}, 7, 'b')")
        snapshots.append(flush(client))
    client.close()
    assert server.stop() == 0
    duck.attach(server.catalog_path, "DATA_INLINING_ROW_LIMIT 0")
    for table, statements in ALTERED.items():
        for sql in statements:
            duck.execute(sql.replace("$t", table))
    newest = duck.query("SELECT max(snapshot_id) FROM lake.snapshots()")
    snapshots.append(newest.column(0)[0].as_py())
    duck.detach()

    def states() -> dict[str, exact.Rows]:
        """What both show of each table at each snapshot."""
        shown, places = {}, [f"{table} AT (VERSION => {n})" for table in ALTERED for n in snapshots]
        with Flight(server.uri) as client, duck.attached(server.catalog_path):
            for at in places:
                shown[f"Quiver: {at}"] = exact.rows_of(client.query(f"SELECT * FROM {at}"))
                shown[f"DuckDB: {at}"] = exact.rows_of(duck.query(f"SELECT * FROM {at}"))
        return shown

    server.start()
    before = states()
    with Flight(server.uri) as client:
        for table in ALTERED:
            assert compact(client, table)["segments_before"] > 0, f"nothing to compact in {table}"
    server.restart()
    after = states()
    server.close()
    return {at: exact.difference(after[at], rows) for at, rows in before.items() if after[at] != rows}


@pytest.mark.parametrize("table", ALTERED)
def test_what_duckdb_altered_stays_as_it_was(changed, table):
    found = [f"{at}: {how}" for at, how in changed.items() if f": {table} AT" in at]
    assert not found, "\n".join(found)


def few_small(server: Server) -> bool:
    """Without deleted rows, and with some."""
    return all(max(t.count(0), len(t) - t.count(0)) <= 6 for t in segments(server).values())


def test_the_background_leaves_few_small_segments(make_server, duck):
    """And system.compactions tells what it did."""
    server = make_server(settings=AWAKE).start()
    past, keys = Past(server, duck), {"a": "", "b": " SORTED BY (v)", "c": " SORTED BY (id DESC)"}
    with Flight(server.uri) as client:
        for table, key in keys.items():
            client.execute(f"CREATE TABLE {table} (id BIGINT, v VARCHAR){key}")
        for n in range(60):
            for table in keys:
                client.execute(f"INSERT INTO {table} VALUES ({n}, 'v{n * 37 % 60}'), ({-n}, 'w')")
            past.note(client, *keys) if n % 10 == 9 else flush(client)
        running = "SELECT count(*) FROM system.compactions WHERE state = 'running'"
        time.sleep(1)
        wait_until(lambda: few_small(server) and client.scalar(running) == 0)
        jobs = client.query("SELECT * FROM system.compactions").to_pylist()
        past.note(client, *keys)
        past.assert_unchanged(client)
        assert client.query("SELECT * FROM system.files_scheduled_for_deletion").num_rows > 100
    assert {job["table_name"] for job in jobs} == set(keys)
    for job in jobs:
        assert (job["schema_name"], job["form"], job["state"]) == ("main", "merge", "done"), job
        assert job["records_done"] == job["record_count"] > 0 and job["error"] is None, job
        assert job["segments_before"] > job["segments_after"] == 1, job
        assert min(job["bytes_before"], job["bytes_after"]) > 0 and job["started_at"] <= job["ended_at"], job


def add_twenty_segments(client: Flight) -> None:
    for n in range(20):
        client.execute(f"INSERT INTO t VALUES ({n})")
        flush(client)


def test_the_background_rests_when_it_is_told_to(make_server):
    """By a call, or for good by the settings."""
    server = make_server(settings=AWAKE).start()
    with Flight(server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT)")
        assert client.rows("CALL system.pause_compaction()") == [(True,)]
        add_twenty_segments(client)
        time.sleep(1)
        assert len(segments(server)["t"]) == 20
        assert client.rows("CALL system.resume_compaction()") == [(False,)]
        wait_until(lambda: few_small(server))
    assert server.stop() == 0
    server.settings["QUIVER_COMPACTION__ENABLED"] = "false"
    with Flight(server.start().uri) as client:
        client.query("CALL system.resume_compaction()")
        add_twenty_segments(client)
        time.sleep(1)
        assert len(segments(server)["t"]) > 20
        assert compact(client, "t")["segments_after"] == 1, "who asks for it gets it"


def test_a_slow_compaction_holds_nobody_up(make_server):
    """It is seen while it runs; changes, queries and a stop of the server do not wait for it."""
    server = make_server(settings={**AWAKE, "QUIVER_COMPACTION__BYTES_PER_SECOND_MAX": "300000"}).start()
    with Flight(server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT, n BIGINT)")
        client.query("CALL system.pause_compaction()")
        for n in range(4):
            client.execute(f"INSERT INTO t SELECT value, 0 FROM generate_series({n}, 399999, 4)")
            flush(client)
        client.query("CALL system.resume_compaction()")
        counts = "SELECT records_done, record_count, segments_after, ended_at FROM system.compactions"
        wait_until(lambda: any(0 < row[0] < row[1] for row in client.rows(counts)))
        assert client.rows(counts)[0][2:] == (None, None)
        began = time.monotonic()
        assert client.execute("UPDATE t SET n = 1 WHERE id < 10") == 10
        assert client.rows("SELECT count(*), sum(n) FROM t") == [(400_000, 10)]
        assert time.monotonic() - began < 3
    began = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - began < 8
    with Flight(server.start().uri) as client:
        assert client.rows("SELECT count(*), sum(n) FROM t") == [(400_000, 10)]


BAD_CALLS = {
    ("INVALID_ARGUMENT", "write CALL system.expire_snapshots(older_than"): [
        f"expire_snapshots({arguments})"
        for arguments in ("", "keep => 0", "keep => -1", "keep => 'x'", "keep => 1.5", "since => now()")
    ],
    ("INVALID_ARGUMENT", "is no time and no age"): [
        "expire_snapshots(older_than => 'noon')", "expire_snapshots(older_than => NULL)",
        "expire_snapshots(5)", "cleanup_files(older_than => 5)", "cleanup_files(true)",
    ],
    ("INVALID_ARGUMENT", "(SELECT 1) is no time"): ["expire_snapshots(older_than => (SELECT 1))"],
    ("INVALID_ARGUMENT", "write CALL system.cleanup_files"): ["cleanup_files(keep => 3)"],
    ("INVALID_ARGUMENT", "write CALL system.name_snapshot('name')"): [
        f"name_snapshot({arguments})" for arguments in ("", "''", "5", "'a', 1, 2", "'a', id => 3")
    ],
    ("INVALID_ARGUMENT", "is no snapshot_id"): ["name_snapshot('a', NULL)", "name_snapshot('a', 0.5)"],
    ("INVALID_ARGUMENT", "at most 255 bytes"): [f"name_snapshot('{'a' * 256}')", "name_snapshot('a\tb')"],
    ("INVALID_ARGUMENT", "write CALL system.forget_"): ["forget_snapshot_name(1)", "forget_snapshot_name()"],
    ("INVALID_ARGUMENT", "_compaction()"): ["pause_compaction(1)", "resume_compaction('t')"],
    ("INVALID_ARGUMENT", "write CALL system.compact('table')"): ["compact('t', 't')", "compact(tables => 't')"],
    ("INVALID_ARGUMENT", "is no name of a table"): ["compact('')", "compact('a;b')", "compact('a b')"],
    ("NOT_FOUND", "nobody"): ["forget_snapshot_name('nobody')", "name_snapshot('a', 'nobody')"],
    ("NOT_FOUND", "does not exist"): ["name_snapshot('a', 999999)", "name_snapshot('a', -1)"],
    ("NOT_FOUND", "procedure system.expire not found"): ["expire()"],
}


@pytest.mark.parametrize(("code", "message"), BAD_CALLS)
def test_bad_calls_are_refused(flight, code, message):
    for call in BAD_CALLS[code, message]:
        with pytest.raises(CLIENT_ERRORS) as refused:
            flight.query(f"CALL system.{call}")
        assert_refused(refused.value, code, mentions=message)
