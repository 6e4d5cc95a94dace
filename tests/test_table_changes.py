"""`table_changes`: what happened to the rows of a table, against the differences of its snapshots as
DuckDB reads them, with the ids of rows."""

from __future__ import annotations

import random

import pytest

from quiver_testing.duck import Duck
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.quiet import client, duck, flush, server
from quiver_testing.server import Server

Rows = dict[int, tuple]


def changes(client: Flight, first: int | str, last: int | str, table: str = "t") -> list[tuple]:
    return sorted(client.rows(f"SELECT * FROM table_changes('{table}', {first}, {last})"), key=repr)


def states(duck: Duck, server: Server, last: int, columns: str = "*") -> list[Rows]:
    """The rows of each snapshot by their ids."""
    found = []
    with duck.attached(server.catalog_path):
        for snapshot in range(last + 1):
            try:
                table = duck.query(f"SELECT rowid, {columns} FROM t AT (VERSION => {snapshot})")
            except Exception as error:
                assert "does not exist" in str(error), error
                found.append({})
                continue
            rows = zip(*(column.to_pylist() for column in table.columns))
            found.append({id: tuple(row) for id, *row in rows})
    return found


def differences(found: list[Rows], first: int, last: int) -> list[tuple]:
    expected = []
    for snapshot in range(first, last + 1):
        before, after = found[snapshot - 1] if snapshot else {}, found[snapshot]
        for id in before.keys() | after.keys():
            old, new = before.get(id), after.get(id)
            if old == new:
                continue
            if old is not None:
                expected.append((snapshot, id, "delete" if new is None else "update_preimage", *old))
            if new is not None:
                expected.append((snapshot, id, "insert" if old is None else "update_postimage", *new))
    return sorted(expected, key=repr)


def test_each_kind_of_change(client):
    client.execute("CREATE TABLE t (id BIGINT, name VARCHAR)")
    client.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    one = flush(client)
    client.execute("DELETE FROM t WHERE id = 1")
    two = flush(client)
    client.execute("UPDATE t SET name = 'x' WHERE id = 2")
    three = flush(client)
    assert changes(client, one, three) == sorted([
        (one, 0, "insert", 1, "a"), (one, 1, "insert", 2, "b"), (one, 2, "insert", 3, "c"),
        (two, 0, "delete", 1, "a"),
        (three, 1, "update_preimage", 2, "b"), (three, 1, "update_postimage", 2, "x"),
    ], key=repr)
    assert changes(client, two, two) == [(two, 0, "delete", 1, "a")]
    client.query("CALL system.name_snapshot('last', " + str(three) + ")")
    assert len(changes(client, "TIMESTAMP '2020-01-01'", "'last'")) == 6
    # As any other table: conditions, joins, names.
    assert client.rows(f"SELECT count(*) FROM table_changes('main.t', {one}, {three}) WHERE change_type = 'insert'"
                       ) == [(3,)]
    assert client.rows(f"SELECT table_changes.id FROM system.table_changes('t', {two}, {two})") == [(1,)]
    assert client.rows(f"SELECT c.name FROM table_changes('t', {one}, {two}) c JOIN t ON t.id = c.id WHERE c.id = 3"
                       ) == [("c",)]


@pytest.mark.parametrize("seed", range(4))
def test_changes_are_the_differences_of_snapshots(server, client, duck, seed):
    rng = random.Random(seed)
    client.execute("CREATE TABLE t (id BIGINT, name VARCHAR)")
    kept = []
    for step in range(30):
        match rng.randrange(11):
            case 0 | 1 | 2 | 3:
                client.execute(f"INSERT INTO t SELECT {step}00 + value, 'n' FROM generate_series(1, 5)")
            case 4 | 5:
                client.execute(f"DELETE FROM t WHERE id % {rng.randint(2, 9)} = 1")
            case 6 | 7:
                client.execute(f"UPDATE t SET name = 'u{step}' WHERE id % {rng.randint(2, 9)} = 0")
            case 8:
                client.query("CALL system.compact('t')")
            case 9 if kept:
                client.query(f"CALL system.rollback_to('t', {rng.choice(kept)})")
            case _:
                if rng.random() < 0.3:
                    client.execute("TRUNCATE TABLE t")
        if rng.random() < 0.8:
            kept.append(flush(client))
    last = flush(client)
    found = states(duck, server, last)
    assert changes(client, 0, last) == differences(found, 0, last)
    for _ in range(12):
        first, end = sorted(rng.sample(range(min(kept), last + 1), 2))
        assert changes(client, first, end) == differences(found, first, end), (first, end)
    server.restart()
    with Flight(server.uri) as again:
        assert changes(again, 0, last) == differences(found, 0, last)


def test_rows_have_the_columns_of_the_end(server, client):
    client.execute("CREATE TABLE t (id BIGINT, name VARCHAR)")
    client.execute("INSERT INTO t VALUES (1, 'a')")
    one = flush(client)
    client.execute("ALTER TABLE t RENAME COLUMN name TO label")
    client.execute("ALTER TABLE t ADD COLUMN more INT DEFAULT 7")
    client.execute("INSERT INTO t VALUES (2, 'b', 8)")
    two = flush(client)
    assert changes(client, one, one) == [(one, 0, "insert", 1, "a")]
    table = client.query(f"SELECT * FROM table_changes('t', {one}, {two})")
    assert table.column_names == ["snapshot_id", "rowid", "change_type", "id", "label", "more"]
    assert changes(client, one, two) == [(one, 0, "insert", 1, "a", 7), (two, 1, "insert", 2, "b", 8)]


@pytest.mark.parametrize("inlined", ["", "kept in the catalog", "flushed"])
def test_what_duckdb_changed(server, client, duck, inlined):
    client.execute("CREATE TABLE t (id BIGINT, name VARCHAR)")
    client.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')")
    flush(client)
    server.stop()
    with duck.attached(server.catalog_path, "DATA_INLINING_ROW_LIMIT 0"):
        if inlined:
            duck.execute("CALL lake.set_option('data_inlining_row_limit', 5, table_name => 't')")
        for sql in ["DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (5, 'e'), (6, 'f')",
                    "INSERT INTO t VALUES (7, 'g')", "DELETE FROM t WHERE id IN (2, 6)",
                    "CALL lake.merge_adjacent_files()", "DELETE FROM t WHERE id = 5",
                    *(["CALL ducklake_flush_inlined_data('lake')"] if inlined == "flushed" else []),
                    "DELETE FROM t WHERE id = 3"]:
            duck.execute(sql)
        (last,) = duck.query("SELECT max(snapshot_id) FROM lake.snapshots()").column(0).to_pylist()
    server.start()
    found = states(duck, server, last)
    with Flight(server.uri) as again:
        for first in range(last + 1):
            for end in range(first, last + 1):
                if end >= 1:
                    assert changes(again, first, end) == differences(found, first, end), (first, end)


def test_names_that_are_taken(client):
    client.execute('CREATE TABLE t (id BIGINT, rowid BIGINT)')
    client.execute("INSERT INTO t VALUES (1, 2)")
    one = flush(client)
    with pytest.raises(CLIENT_ERRORS) as caught:
        changes(client, one, one)
    assert_refused(caught.value, "INVALID_ARGUMENT", mentions="'rowid' of its own, and so has main.t: rename")


def test_ranges_beyond_the_table(client):
    """Snapshots before the table was made, and such as have no part in it."""
    client.execute("CREATE TABLE t (id BIGINT)")
    client.execute("INSERT INTO t VALUES (1)")
    one = flush(client)
    client.execute("CREATE TABLE other AS SELECT 1 AS x")
    two = flush(client)
    assert changes(client, one + 1, two) == []
    for first in ["-9223372036854775807 - 1", "-5", "0", "1"]:
        assert changes(client, first, one) == [(one, 0, "insert", 1)]


def test_a_range_that_has_expired(client):
    client.execute("CREATE TABLE t (id BIGINT)")
    kept = [client.execute(f"INSERT INTO t VALUES ({n})") and flush(client) for n in range(5)]
    client.query("CALL system.expire_snapshots(keep => 2)")
    assert changes(client, kept[4], kept[4]) == [(kept[4], 4, "insert", 4)]
    for first, last in [(kept[3], kept[4]), (kept[0], kept[4]), (kept[0], kept[0])]:
        with pytest.raises(CLIENT_ERRORS) as caught:
            changes(client, first, last)
        assert_refused(caught.value, "NOT_FOUND", mentions="snapshot")


@pytest.mark.parametrize("call, codes, mentions", [
    ("table_changes('t', 3, 2)", ["INVALID_ARGUMENT"], "before"),
    ("table_changes('t', 1)", ["INVALID_ARGUMENT"], "table_changes('table', from, to)"),
    ("table_changes()", ["INVALID_ARGUMENT"], "table_changes('table', from, to)"),
    ("table_changes('t', 1, id)", ["INVALID_ARGUMENT"], ""),
    ("table_changes('nothing', 1, 2)", ["NOT_FOUND"], "nothing"),
    ("table_changes('t', 1, 999)", ["NOT_FOUND"], "999"),
    ("table_changes('t', 'nobody', 2)", ["NOT_FOUND"], "nobody"),
    ("table_changes('a b', 1, 2)", ["INVALID_ARGUMENT"], "a b"),
])
def test_what_is_refused(client, call, codes, mentions):
    client.execute("CREATE TABLE t (id BIGINT)")
    client.execute("INSERT INTO t VALUES (1)")
    flush(client)
    client.execute("INSERT INTO t VALUES (1)")
    flush(client)
    with pytest.raises(CLIENT_ERRORS) as caught:
        client.rows(f"SELECT * FROM {call}")
    assert_refused(caught.value, *codes, mentions=mentions)
