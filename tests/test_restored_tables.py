"""Tables that are made what they were: `rollback_to` and `undrop`. History stays as it is; DuckDB reads
every snapshot of it, with the ids of its rows."""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress

import pyarrow as pa
import pytest

from quiver_testing import adbc, lake
from quiver_testing.duck import Duck
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.quiet import client, duck, flush, server
from quiver_testing.server import Server

NOT_FOUND, EXISTS, PRECONDITION = "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION"
INVALID = "INVALID_ARGUMENT"


def refused(call, code: str, mentions: str) -> None:
    with pytest.raises(CLIENT_ERRORS) as caught:
        call()
    assert_refused(caught.value, code, mentions=mentions)


def rows(client: Flight, sql: str = "SELECT * FROM t") -> list[tuple]:
    return sorted(client.rows(sql), key=repr)


def at(client: Flight, snapshot: int) -> list[tuple] | None:
    """The rows of a snapshot; none if the table is not there."""
    try:
        return rows(client, f"SELECT * FROM t AT (VERSION => {snapshot})")
    except CLIENT_ERRORS as error:
        assert "not found" in str(error) or "does not exist" in str(error), error
        return None


def snapshots(client: Flight) -> list[int]:
    return [n for (n,) in client.rows("SELECT snapshot_id FROM system.snapshots ORDER BY 1")]


def history(client: Flight) -> dict[int, list[tuple] | None]:
    return {snapshot: at(client, snapshot) for snapshot in snapshots(client)}


def roll_back(client: Flight, snapshot: int | str) -> tuple:
    (done,) = client.rows(f"CALL system.rollback_to('t', {snapshot})")
    return done


def with_row_ids(duck: Duck, server: Server, snapshot: int | None = None) -> list[tuple]:
    version = "" if snapshot is None else f" AT (VERSION => {snapshot})"
    with duck.attached(server.catalog_path):
        found = duck.query(f"SELECT rowid, * FROM t{version}")
    return sorted(zip(*(column.to_pylist() for column in found.columns)), key=repr)


def check_duck(duck: Duck, server: Server, client: Flight) -> None:
    """DuckDB reads the same rows in every snapshot that has the table, each under an id of its own."""
    for snapshot, expected in history(client).items():
        if expected is not None:
            found = with_row_ids(duck, server, snapshot)
            assert sorted((row for _, *row in found), key=repr) == [list(row) for row in expected], snapshot
            assert len({id for id, *_ in found}) == len(found)


def fill(client: Flight) -> int:
    """A table with six rows in two segments, one of them deleted; the snapshot that has it."""
    client.execute("CREATE TABLE t (id BIGINT, name VARCHAR)")
    client.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')")
    flush(client)
    client.execute("INSERT INTO t VALUES (5, 'e'), (6, 'f'), (7, 'g')")
    flush(client)
    client.execute("DELETE FROM t WHERE id = 3")
    return flush(client)


CHANGES = {
    "more rows": ["INSERT INTO t VALUES (8, 'h')"],
    "fewer rows": ["DELETE FROM t WHERE id IN (1, 6)"],
    "other rows": ["UPDATE t SET name = 'x' WHERE id > 3"],
    "no rows": ["TRUNCATE TABLE t"],
    "none but new ones": ["DELETE FROM t", "INSERT INTO t VALUES (8, 'h')"],
    "a segment gone": ["DELETE FROM t WHERE id >= 5"],
    "compacted": ["CALL system.compact('t')"],
    "merged with later rows": ["CALL system.compact('t')", "INSERT INTO t VALUES (8, 'h')",
                               "CALL system.compact('t')", "INSERT INTO t VALUES (9, 'i')",
                               "CALL system.compact('t')"],
    "merged, then deleted": ["CALL system.compact('t')", "INSERT INTO t VALUES (8, 'h')",
                             "CALL system.compact('t')", "DELETE FROM t WHERE id IN (2, 8)"],
    "renamed": ["ALTER TABLE t RENAME TO s", "INSERT INTO s VALUES (8, 'h')", "ALTER TABLE s RENAME TO t"],
    "another column": ["ALTER TABLE t ADD COLUMN more INT DEFAULT 5", "INSERT INTO t VALUES (8, 'h', 1)"],
    "a column gone": ["ALTER TABLE t DROP COLUMN name", "INSERT INTO t VALUES (8)"],
    "columns that swap names": ["ALTER TABLE t RENAME COLUMN id TO x", "ALTER TABLE t RENAME COLUMN name TO id",
                                "ALTER TABLE t RENAME COLUMN x TO name", "INSERT INTO t VALUES (8, 'h')"],
    "altered and compacted": ["ALTER TABLE t DROP COLUMN name", "ALTER TABLE t ADD COLUMN name DOUBLE",
                              "INSERT INTO t VALUES (8, 1.5)", "CALL system.compact('t')"],
    "sorted": ["ALTER TABLE t SET SORTED BY (name DESC)", "INSERT INTO t VALUES (8, 'h')",
               "CALL system.compact('t')"],
}


@pytest.mark.parametrize("flushed", [True, False], ids=["flushed", "in memory"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_table_is_what_it_was(server, client, duck, change, flushed):
    then = fill(client)
    expected, ids = rows(client), with_row_ids(duck, server)
    for sql in CHANGES[change]:
        client.query(sql) if sql.startswith("CALL") else client.execute(sql)
        if flushed:
            flush(client)
    before = history(client)
    schema, table, count, snapshot = roll_back(client, then)
    assert (schema, table, count) == ("main", "t", 6)
    assert rows(client) == expected and with_row_ids(duck, server) == ids
    now = history(client)
    assert {n: now[n] for n in before} == before
    assert now[snapshot] == expected and snapshot == max(now)
    check_duck(duck, server, client)
    # It goes on from there, and is the same after a restart.
    client.execute("INSERT INTO t VALUES (10, 'j')")
    client.execute("UPDATE t SET name = 'k' WHERE id = 2")
    client.query("CALL system.compact('t')")
    expected = sorted([(id, "k" if id == 2 else name) for id, name in expected] + [(10, "j")], key=repr)
    assert rows(client) == expected
    all_rows = history(client)
    assert {n: all_rows[n] for n in now} == now
    server.restart()
    with Flight(server.uri) as again:
        assert rows(again) == expected and history(again) == all_rows
        check_duck(duck, server, again)


def test_rows_in_memory_are_in_history(server, client):
    then = fill(client)
    client.execute("INSERT INTO t VALUES (8, 'h')")
    roll_back(client, then)
    assert len(rows(client)) == 6
    server.restart()
    with Flight(server.uri) as again:
        assert len(rows(again)) == 6
        assert (8, "h") in [row for found in history(again).values() for row in found or []]


def test_what_it_is_already_makes_no_snapshot(client):
    then = fill(client)
    assert roll_back(client, then)[3] == then
    assert roll_back(client, then)[3] == then == max(snapshots(client))


def test_forth_and_back(server, client, duck):
    one = fill(client)
    client.execute("DELETE FROM t WHERE id < 5")
    two = flush(client)
    states = {one: at(client, one), two: at(client, two)}
    for snapshot in [one, two, one, one, two]:
        roll_back(client, snapshot)
        assert rows(client) == states[snapshot]
    check_duck(duck, server, client)


def test_by_name_and_by_time(client):
    then = fill(client)
    expected = rows(client)
    client.query(f"CALL system.name_snapshot('good', {then})")
    (moment,) = client.rows(f"SELECT snapshot_time FROM system.snapshots WHERE snapshot_id = {then}")
    for version in ["'good'", f"TIMESTAMP '{moment[0]:%Y-%m-%d %H:%M:%S.%f}'", f"version => {then}"]:
        client.execute("TRUNCATE TABLE t")
        roll_back(client, version)
        assert rows(client) == expected


def test_files_of_a_restored_table_outlive_the_snapshots_they_came_from(server, client, duck):
    then = fill(client)
    client.execute("TRUNCATE TABLE t")
    roll_back(client, then)
    expected = rows(client)
    client.query("CALL system.expire_snapshots(keep => 1)")
    client.query("CALL system.cleanup_files(older_than => now())")
    assert rows(client) == expected and with_row_ids(duck, server)
    server.restart()
    with Flight(server.uri) as again:
        assert rows(again) == expected
        data = server.catalog_path.parent / "data"
        # Two segments and a list of deleted rows.
        assert len(list(data.rglob("*.parquet"))) == 3


def test_duckdb_merges_what_was_restored(server, client, duck):
    client.execute("CREATE TABLE t (id BIGINT)")
    for n in range(4):
        client.execute(f"INSERT INTO t VALUES ({n})")
        flush(client)
    client.query("CALL system.compact('t')")  # rows of four snapshots in one segment
    then = flush(client)
    client.execute("TRUNCATE TABLE t")
    flush(client)
    roll_back(client, then)
    client.execute("INSERT INTO t VALUES (9)")
    flush(client)
    before = history(client)
    server.stop()
    with duck.attached(server.catalog_path, "DATA_INLINING_ROW_LIMIT 0"):
        duck.execute("CALL lake.merge_adjacent_files()")
    server.start()
    with Flight(server.uri) as again:
        after = history(again)
        assert {n: after[n] for n in before} == before
        check_duck(duck, server, again)


def test_what_cannot_be_rolled_back_to(client):
    client.execute("CREATE TABLE other (id BIGINT)")
    before = flush(client)
    fill(client)
    expected = rows(client)
    refused(lambda: roll_back(client, before), NOT_FOUND, "snapshot")
    refused(lambda: roll_back(client, 999), NOT_FOUND, "999")
    refused(lambda: roll_back(client, "'nobody'"), NOT_FOUND, "nobody")
    for arguments in ["'t'", "", "1", "'t', 1, 2", "'t', id", "'t', 1.5"]:
        refused(lambda: client.query(f"CALL system.rollback_to({arguments})"), INVALID, "")
    refused(lambda: client.query("CALL system.rollback_to('nothing', 1)"), NOT_FOUND, "nothing")
    refused(lambda: client.query("CALL system.rollback_to('system.tables', 1)"), "PERMISSION_DENIED", "system")
    client.execute("BEGIN")
    refused(lambda: roll_back(client, before), PRECONDITION, "transaction")
    client.execute("ROLLBACK")
    then = flush(client)
    client.execute("INSERT INTO t VALUES (8, 'h')")
    flush(client)
    client.query("CALL system.expire_snapshots(keep => 1)")
    refused(lambda: roll_back(client, then), NOT_FOUND, str(then))
    assert rows(client) == [*expected, (8, "h")]


def test_a_dropped_table_comes_back(server, client, duck):
    fill(client)
    client.execute("INSERT INTO t VALUES (8, 'h')")  # in memory
    expected = rows(client)
    client.execute("DROP TABLE t")
    before = history(client)
    ((schema, table, dropped_at, last),) = client.rows("SELECT * FROM system.dropped_tables")
    assert (schema, table) == ("main", "t") and at(client, last) == expected and dropped_at
    (done,) = client.rows("CALL system.undrop('t')")
    assert done[:3] == ("main", "t", 7) and rows(client) == expected
    assert client.rows("SELECT * FROM system.dropped_tables") == []
    now = history(client)
    assert {n: now[n] for n in before} == before
    client.execute("INSERT INTO t VALUES (9, 'i')")
    check_duck(duck, server, client)
    server.restart()
    with Flight(server.uri) as again:
        assert rows(again) == [*expected, (9, "i")]
        again.query("CALL system.flush()")
        check_duck(duck, server, again)
        # Once more, from a server that has it from its catalog.
        again.execute("DROP TABLE t")
        server.restart()
    with Flight(server.uri) as third:
        third.query("CALL system.undrop('T')")
        assert rows(third) == [*expected, (9, "i")]
        roll_back(third, last)
        assert rows(third) == expected


def test_a_dropped_table_with_altered_columns_comes_back(server, client, duck):
    fill(client)
    client.execute("ALTER TABLE t RENAME COLUMN id TO old")
    client.execute("ALTER TABLE t ADD COLUMN id DOUBLE DEFAULT 2.5")
    client.execute("INSERT INTO t VALUES (8, 'h', 1.5)")
    flush(client)
    expected = rows(client)
    client.execute("DROP TABLE t")
    client.query("CALL system.undrop('t')")
    assert rows(client) == expected
    client.execute("ALTER TABLE t ADD COLUMN more INT")
    client.query("CALL system.compact('t')")
    assert rows(client, "SELECT old, name, id FROM t") == expected
    server.restart()
    with Flight(server.uri) as again:
        assert rows(again, "SELECT old, name, id FROM t") == expected
        check_duck(duck, server, again)


def test_a_name_that_is_taken(server, client, duck):
    fill(client)
    expected = rows(client)
    client.execute("CREATE OR REPLACE TABLE t (x DATE)")
    refused(lambda: client.query("CALL system.undrop('t')"), EXISTS, "new_name")
    (done,) = client.rows("CALL system.undrop('t', 'old')")
    assert done[1] == "old" and rows(client, "SELECT * FROM old") == expected and rows(client) == []
    server.restart()
    with Flight(server.uri) as again:
        assert rows(again, "SELECT * FROM old") == expected and rows(again) == []
        again.execute("DROP TABLE t")
        again.execute("DROP TABLE old")
        names = [name for (name,) in again.rows("SELECT table_name FROM system.dropped_tables")]
        assert names == ["old", "t"]


def test_what_cannot_come_back(client):
    refused(lambda: client.query("CALL system.undrop('t')"), NOT_FOUND, "dropped_tables")
    fill(client)
    refused(lambda: client.query("CALL system.undrop('t')"), NOT_FOUND, "t")
    client.execute("CREATE SCHEMA s")
    client.execute("CREATE TABLE s.u (a INT)")
    client.execute("INSERT INTO s.u VALUES (1)")
    client.execute("DROP TABLE s.u")
    client.execute("DROP SCHEMA s")
    refused(lambda: client.query("CALL system.undrop('s.u')"), PRECONDITION, "AT (VERSION")
    for arguments in ["", "1", "'t', 2", "'t', 'a', 'b'", "'t', ''"]:
        refused(lambda: client.query(f"CALL system.undrop({arguments})"), INVALID, "")
    client.execute("DROP TABLE t")
    client.query("CALL system.expire_snapshots(keep => 1)")
    assert client.rows("SELECT * FROM system.dropped_tables") == []
    refused(lambda: client.query("CALL system.undrop('t')"), NOT_FOUND, "dropped_tables")


@pytest.mark.parametrize("removal", ["DROP TABLE t", "TRUNCATE TABLE t", "CREATE OR REPLACE TABLE t (x INT)"])
def test_rows_in_memory_are_in_history_when_they_are_removed(server, client, removal):
    client.execute("CREATE TABLE t (id BIGINT, name VARCHAR)")
    client.execute("INSERT INTO t VALUES (8, 'h')")
    client.execute(removal)
    assert [(8, "h")] in history(client).values()
    server.restart()
    with Flight(server.uri) as again:
        assert [(8, "h")] in history(again).values()


def test_a_transaction_truncates_what_it_sees(server, client):
    fill(client)
    client.execute("INSERT INTO t VALUES (8, 'h')")
    with Flight(server.uri) as other:
        client.execute("BEGIN")
        client.execute("INSERT INTO t VALUES (9, 'i')")
        client.execute("TRUNCATE TABLE t")
        assert rows(client) == []
        client.execute("INSERT INTO t VALUES (10, 'j')")
        other.execute("INSERT INTO t VALUES (11, 'k')")
        assert rows(client) == [(10, "j")] and len(rows(other)) == 8
        client.execute("COMMIT")
        assert rows(client) == rows(other) == [(10, "j"), (11, "k")]
        client.execute("BEGIN")
        client.execute("TRUNCATE TABLE t")
        other.execute("DELETE FROM t WHERE id = 11")
        with pytest.raises(CLIENT_ERRORS) as caught:
            client.execute("COMMIT")
        assert_refused(caught.value, "ABORTED")
    server.restart()
    with Flight(server.uri) as again:
        assert rows(again) == [(10, "j")]


def test_nested_fields_stay_what_they_are(server, client):
    """Types are the same after a restart, or the log's rows would not fit any more."""
    fields = pa.struct([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.utf8())])
    schema = pa.schema([("id", pa.int64()), ("s", fields), ("m", pa.map_(pa.utf8(), pa.int64()))])
    data = pa.Table.from_pylist([{"id": 1, "s": {"a": 1, "b": "x"}, "m": [("k", 1)]}], schema)
    with adbc.connect(server.uri) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("t", data, mode="create")
    then = flush(client)
    client.execute("ALTER TABLE t ADD COLUMN more INT")
    client.put("t", data.append_column("more", pa.array([5], pa.int32())))
    flush(client)
    roll_back(client, then)
    roll_back(client, then)
    before = client.query("SELECT * FROM t").schema
    client.put("t", data)
    server.kill9()
    server.start()
    with Flight(server.uri) as again:
        assert len(rows(again)) == 2 and again.query("SELECT * FROM t").schema == before
        again.execute("DROP TABLE t")
        again.query("CALL system.undrop('t')")
        again.put("t", data)
        server.kill9()
        server.start()
    with Flight(server.uri) as third:
        assert len(rows(third)) == 3 and third.query("SELECT * FROM t").schema == before
        third.execute("ALTER TABLE t RENAME COLUMN s.a TO c")
        third.execute("INSERT INTO t (id) VALUES (4)")
        server.kill9()
        server.start()
    with Flight(server.uri) as fourth:
        assert len(rows(fourth)) == 4


def test_a_rollback_beside_a_drop(server, client):
    then = fill(client)
    for _ in range(6):
        with Flight(server.uri) as other:
            thread = threading.Thread(target=lambda: call_quietly(server, then))
            thread.start()
            other.execute("DROP TABLE t")
            thread.join(60)
        tables = [name for (name,) in client.rows("SELECT table_name FROM information_schema.tables "
                                                   "WHERE table_schema = 'main'")]
        assert tables == []
        client.query("CALL system.undrop('t')")
        # Who asks once more, for want of an answer, undoes nothing.
        client.execute("INSERT INTO t VALUES (8, 'h')")
        refused(lambda: client.query("CALL system.undrop('t')"), NOT_FOUND, "dropped_tables")
        assert (8, "h") in rows(client)
        server.restart()


def test_producers_of_a_dropped_table_are_known_when_it_is_back(server, client):
    def send(sequence: int) -> None:
        step = [("x-quiver-producer", "p"), ("x-quiver-sequence", str(sequence))]
        client.put("t", pa.table({"id": [sequence]}), step)

    client.execute("CREATE TABLE t (id BIGINT)")
    for sequence in (1, 2, 3):
        send(sequence)
    client.execute("DROP TABLE t")
    assert client.rows("SELECT * FROM system.producers") == []
    time.sleep(1)  # whatever forgets what is gone has come by
    client.query("CALL system.undrop('t')")
    send(3)
    send(4)
    assert rows(client, "SELECT id FROM t") == [(1,), (2,), (3,), (4,)]
    server.kill9()
    server.start()
    with Flight(server.uri) as client:
        send(4)
        send(5)
        assert rows(client, "SELECT id FROM t") == [(1,), (2,), (3,), (4,), (5,)]


def test_a_rollback_to_what_is_there_alters_nothing(client):
    fill(client)
    client.execute("ALTER TABLE t ADD COLUMN more INT")
    client.execute("INSERT INTO t VALUES (8, 'h', 1)")
    then = flush(client)
    assert roll_back(client, then)[3] == then == roll_back(client, then)[3]


def test_a_named_snapshot_brings_a_table_back(client):
    then = fill(client)
    expected = rows(client)
    client.query(f"CALL system.name_snapshot('keep', {then})")
    client.execute("DROP TABLE t")
    for n in range(3):
        client.execute(f"CREATE TABLE other{n} (a INT)")
    client.query("CALL system.expire_snapshots(keep => 1)")
    assert [row[1] for row in client.rows("SELECT * FROM system.dropped_tables")] == ["t"]
    client.query("CALL system.undrop('t')")
    assert rows(client) == expected


def test_a_sort_key_follows_its_column(server, client):
    client.execute("CREATE TABLE t (a BIGINT, b BIGINT)")
    client.execute("ALTER TABLE t SET SORTED BY (a)")
    then = flush(client)
    client.execute("ALTER TABLE t RENAME COLUMN a TO c")
    client.execute("ALTER TABLE t RENAME COLUMN b TO a")
    server.restart()
    with Flight(server.uri) as again:
        again.execute("INSERT INTO t VALUES (2, 1), (1, 2)")
        again.query("CALL system.flush()")
        assert again.rows("SELECT c, a FROM t") == [(1, 2), (2, 1)]
        roll_back(again, then)
        again.execute("INSERT INTO t VALUES (2, 1), (1, 2)")
        again.query("CALL system.flush()")
        assert again.rows("SELECT a, b FROM t") == [(1, 2), (2, 1)]
        server.restart()
    with Flight(server.uri) as third:
        assert third.rows("SELECT a, b FROM t") == [(1, 2), (2, 1)]


def test_truncate_in_and_out_of_transactions(server, client):
    fill(client)
    client.execute("BEGIN")
    client.execute("CREATE TABLE x (a INT)")
    client.execute("ALTER TABLE x ADD COLUMN b INT")
    client.execute("DROP TABLE x")
    client.execute("TRUNCATE TABLE t, t")
    client.execute("COMMIT")
    assert rows(client) == []
    client.execute("INSERT INTO t VALUES (8, 'h')")
    # By itself it gives way to nobody.
    stop = threading.Event()

    def change():
        with Flight(server.uri) as own:
            while not stop.is_set():
                with suppress(*CLIENT_ERRORS):
                    own.execute("INSERT INTO t VALUES (9, 'i')")
                    own.execute("UPDATE t SET name = 'x' WHERE id = 9")

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(20):
        client.execute("TRUNCATE TABLE t")
    stop.set()
    thread.join(60)
    client.execute("TRUNCATE TABLE t")
    server.restart()
    with Flight(server.uri) as again:
        assert rows(again) == []


def test_several_who_change_it_meanwhile(server, client):
    """Rows are there or not; nothing is doubled, whoever comes first."""
    then = fill(client)
    stop = threading.Event()
    added: list[int] = []

    def add():
        with Flight(server.uri) as own:
            n = 100
            while not stop.is_set():
                own.execute(f"INSERT INTO t VALUES ({n}, 'n')")
                added.append(n)
                n += 1

    def change():
        with Flight(server.uri) as own:
            while not stop.is_set():
                with suppress(*CLIENT_ERRORS):
                    own.execute("UPDATE t SET name = name || '!' WHERE id < 5")

    threads = [threading.Thread(target=work) for work in (add, change)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        time.sleep(0.2)
        roll_back(client, then)
    stop.set()
    for thread in threads:
        thread.join(60)
    found = [id for id, _ in rows(client)]
    assert len(found) == len(set(found))
    # Those that came after the last one, without a gap.
    late = [id for id in found if id >= 100]
    assert late == added[len(added) - len(late):]
    assert [id for id in found if id < 100] == [1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_leaves_one_or_the_other(server, client, seed):
    then = fill(client)
    client.execute("TRUNCATE TABLE t")
    client.execute("INSERT INTO t VALUES (8, 'h')")
    flush(client)
    states = [at(client, then), rows(client)]
    rng = random.Random(seed)
    for _ in range(3):
        thread = threading.Thread(target=lambda: call_quietly(server, then))
        thread.start()
        time.sleep(rng.random() * 0.05)
        server.kill9()
        thread.join(60)
        server.start()
        with Flight(server.uri) as again:
            assert rows(again) in states
            again.query("CALL system.cleanup_files(older_than => now())")
            known = lake.catalog_rows(
                server.catalog_path, "SELECT path FROM ducklake_data_file UNION ALL SELECT path FROM ducklake_delete_file")
            data = server.catalog_path.parent / "data"
            assert sorted(path.name for path in data.rglob("*.parquet*")) == sorted(path for (path,) in known)


def call_quietly(server: Server, snapshot: int) -> None:
    with suppress(*CLIENT_ERRORS), Flight(server.uri) as own:
        roll_back(own, snapshot)


@pytest.mark.parametrize("seed", range(3))
def test_a_life_of_going_back(server, client, duck, seed):
    """Random changes and random ways back; every snapshot keeps its rows for ever."""
    rng = random.Random(seed)
    client.execute("CREATE TABLE t (id BIGINT, name VARCHAR)")
    client.execute("INSERT INTO t VALUES (0, 'a')")
    known = {flush(client): [(0, "a")]}
    for step in range(1, 30):
        match rng.randrange(9):
            case 0 | 1 | 2:
                client.execute(f"INSERT INTO t SELECT {step}00 + value, 'n' FROM generate_series(1, 5)")
            case 3:
                client.execute(f"DELETE FROM t WHERE id % {rng.randint(2, 6)} = 1")
            case 4:
                client.execute(f"UPDATE t SET name = 'u{step}' WHERE id % 3 = 0")
            case 5:
                client.query("CALL system.compact('t')")
            case 6 | 7:
                back = rng.choice(list(known))
                roll_back(client, back)
                assert rows(client) == known[back], f"step {step}"
            case _:
                client.execute("DROP TABLE t")
                client.query("CALL system.undrop('t')")
        before = rows(client)
        known[flush(client)] = before
    for snapshot, expected in known.items():
        assert at(client, snapshot) == expected, snapshot
    server.restart()
    with Flight(server.uri) as again:
        assert rows(again) == before
        for snapshot, expected in known.items():
            assert at(again, snapshot) == expected, snapshot
        check_duck(duck, server, again)
