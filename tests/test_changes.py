"""DELETE, UPDATE, MERGE and TRUNCATE, and tables as they were: the same as in DuckDB, for everyone who
reads the catalog, under concurrency and across a crash."""

from __future__ import annotations

import sqlite3
import threading
import time

import duckdb
import pyarrow as pa
import pytest

from quiver_testing import adbc, compare, lake
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.server import NO_TIMED_FLUSH

COLUMNS = "id BIGINT, name VARCHAR, price DOUBLE, day DATE, n INTEGER"
# Each is run by Quiver and by DuckDB; {t} and {u} are tables of COLUMNS.
STATEMENTS = [
    "DELETE FROM {t} WHERE id = 3",
    "DELETE FROM {t} WHERE id = 3",
    "DELETE FROM {t} AS q WHERE q.id % 10 = 7 AND q.price IS NOT NULL",
    "DELETE FROM {t} WHERE name IS NULL",
    "DELETE FROM {t} WHERE id IN (SELECT id FROM {u} WHERE n > 2)",
    "DELETE FROM {t} WHERE id > (SELECT avg(id) * 1.9 FROM {t})",
    "DELETE FROM {t} USING {u} WHERE {t}.id = {u}.id + 20",
    "UPDATE {t} SET n = n + 1",
    "UPDATE {t} SET name = upper(name) || '!', price = NULL WHERE id BETWEEN 10 AND 20",
    "UPDATE {t} AS q SET n = u.n * 100 FROM {u} AS u WHERE q.id = u.id",
    "UPDATE {t} SET n = (SELECT max(n) FROM {u}) WHERE id < 12",
    "UPDATE {t} SET price = id, day = DATE '2020-02-29' WHERE price IS NULL",
    "UPDATE {t} SET id = id + 1000 WHERE id < 5",
    "UPDATE {t} SET n = CASE WHEN id % 2 = 0 THEN n ELSE -n END WHERE n IS NOT NULL",
    "MERGE INTO {t} USING {u} ON {t}.id = {u}.id WHEN MATCHED THEN UPDATE SET name = {u}.name"
    " WHEN NOT MATCHED THEN INSERT (id, name) VALUES ({u}.id, 'new')",
    "MERGE INTO {t} USING (SELECT id, n FROM {u}) AS s ON {t}.id = s.id"
    " WHEN MATCHED AND s.n > 2 THEN DELETE WHEN MATCHED THEN UPDATE SET n = s.n + {t}.n",
    "MERGE INTO {t} USING {u} ON {t}.id = {u}.id WHEN NOT MATCHED BY SOURCE AND {t}.id > 40"
    " THEN DELETE WHEN NOT MATCHED BY SOURCE AND {t}.id > 30 THEN UPDATE SET name = 'kept'",
    "DELETE FROM {t} WHERE false",
    "TRUNCATE {t}",
    "INSERT INTO {t} SELECT * FROM {u}",
    "DELETE FROM {t}",
]


def rows(first: int, count: int) -> pa.Table:
    ids = range(first, first + count)
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "name": [None if n % 11 == 5 else f"näme '{n}'" for n in ids],
        "price": pa.array([None if n % 6 == 1 else n / 8 for n in ids], pa.float64()),
        "day": pa.array([n * 31 for n in ids], pa.int32()).cast(pa.date32()),
        "n": pa.array([None if n % 9 == 2 else n % 5 for n in ids], pa.int32()),
    })


@pytest.fixture
def tables(flight, name) -> tuple[str, str]:
    """A table whose rows lie in segments and in memory, and a smaller one."""
    target, other = f"{name}_t", f"{name}_u"
    for table in (target, other):
        flight.execute(f"CREATE TABLE {table} ({COLUMNS})")
    flight.put(target, rows(0, 30))
    flight.query("CALL system.flush()")
    flight.put(target, rows(30, 20))
    flight.put(other, rows(15, 12))
    return target, other


@pytest.fixture
def twin() -> duckdb.DuckDBPyConnection:
    """The same two tables in DuckDB's own memory."""
    connection = duckdb.connect()
    connection.register("many", rows(0, 50))
    connection.register("few", rows(15, 12))
    connection.execute(f"CREATE TABLE t ({COLUMNS}); INSERT INTO t SELECT * FROM many")
    connection.execute(f"CREATE TABLE u ({COLUMNS}); INSERT INTO u SELECT * FROM few")
    return connection


def test_changes_are_those_of_duckdb(flight, tables, twin):
    target, other = tables
    for statement in STATEMENTS:
        changed = flight.execute(statement.format(t=target, u=other))
        expected = twin.execute(statement.format(t="t", u="u")).fetchall()
        if expected and not statement.startswith("TRUNCATE"):
            assert changed == expected[0][0], statement
        theirs = twin.execute("SELECT * FROM t").to_arrow_table()
        compare.assert_same(flight.query(f"SELECT * FROM {target}"), theirs)


def test_changes_inside_a_transaction_are_those_of_duckdb(flight, tables, twin):
    """Rows that the transaction added itself are changed like any other, and so on to the end."""
    target, other = tables
    twin.execute("BEGIN")
    flight.execute("BEGIN")
    for n, statement in enumerate(STATEMENTS[:-3]):
        insert = f"INSERT INTO {{t}} VALUES ({n}, 'mine', {n}.5, NULL, {n % 5})"
        for sql in (insert, statement):
            flight.execute(sql.format(t=target, u=other))
            twin.execute(sql.format(t="t", u="u"))
        theirs = twin.execute("SELECT * FROM t").to_arrow_table()
        compare.assert_same(flight.query(f"SELECT * FROM {target}"), theirs)
    flight.execute("COMMIT")
    compare.assert_same(flight.query(f"SELECT * FROM {target}"), theirs)


@pytest.fixture
def pair(server):
    """Two clients of one server, each with sessions of its own."""
    with Flight(server.uri) as one, Flight(server.uri) as two:
        yield one, two


def ids(client: Flight, table: str, condition: str = "") -> list[int]:
    query = f"SELECT id FROM {table} {condition} ORDER BY id"
    return client.query(query).column("id").to_pylist()


def test_savepoints_bring_changed_rows_back(flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1), (2)")
    flight.execute("BEGIN")
    flight.execute(f"INSERT INTO {name} VALUES (3), (4)")
    flight.execute("SAVEPOINT here")
    flight.execute(f"DELETE FROM {name} WHERE id IN (2, 3)")
    flight.execute(f"UPDATE {name} SET id = id + 10")
    assert ids(flight, name) == [11, 14]
    flight.execute("ROLLBACK TO here")
    assert ids(flight, name) == [1, 2, 3, 4]
    flight.execute(f"TRUNCATE {name}")
    assert ids(flight, name) == []
    flight.execute("ROLLBACK TO here")
    flight.execute(f"DELETE FROM {name} WHERE id = 4")
    flight.execute("COMMIT")
    assert ids(flight, name) == [1, 2, 3]


def test_a_transaction_changes_what_it_sees_and_nothing_later(pair, name):
    one, two = pair
    one.execute(f"CREATE TABLE {name} (id BIGINT)")
    one.execute(f"INSERT INTO {name} VALUES (1), (2)")
    one.execute("BEGIN")
    assert ids(one, name) == [1, 2]
    two.execute(f"INSERT INTO {name} VALUES (3)")
    two.query("CALL system.flush()")
    two.execute(f"INSERT INTO {name} VALUES (4)")
    assert one.execute(f"DELETE FROM {name}") == 2
    assert ids(one, name) == []
    assert ids(two, name) == [1, 2, 3, 4]
    one.execute("COMMIT")
    assert ids(two, name) == [3, 4]


def test_the_same_row_twice_is_a_lost_race(pair, name):
    one, two = pair
    one.execute(f"CREATE TABLE {name} (id BIGINT)")
    one.execute(f"INSERT INTO {name} VALUES (1), (2), (3)")
    for client in pair:
        client.execute("BEGIN")
    one.execute(f"UPDATE {name} SET id = 10 WHERE id = 1")
    two.execute(f"DELETE FROM {name} WHERE id = 1")
    one.execute("COMMIT")
    with pytest.raises(CLIENT_ERRORS) as lost:
        two.execute("COMMIT")
    assert_refused(lost.value, "ABORTED", mentions="a row was changed by a concurrent")
    assert ids(one, name) == [2, 3, 10]


def test_different_rows_of_one_segment_are_no_race(pair, name):
    one, two = pair
    one.execute(f"CREATE TABLE {name} (id BIGINT)")
    one.execute(f"INSERT INTO {name} VALUES (1), (2), (3)")
    one.query("CALL system.flush()")
    for client, row in zip(pair, (1, 2)):
        client.execute("BEGIN")
        client.execute(f"DELETE FROM {name} WHERE id = {row}")
    one.execute("COMMIT")
    two.execute("COMMIT")
    assert ids(one, name) == [3]


def test_no_update_is_lost(server, flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT, n BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1, 0), (2, 0)")
    threads, times = 4, 8

    def count_up(row: int):
        with Flight(server.uri) as client:
            for _ in range(times):
                assert client.execute(f"UPDATE {name} SET n = n + 1 WHERE id = {row}") == 1

    workers = [threading.Thread(target=count_up, args=(n % 2 + 1,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    query = f"SELECT id, n FROM {name} ORDER BY id"
    expected = threads * times // 2
    assert flight.query(query).to_pydict() == {"id": [1, 2], "n": [expected, expected]}


def test_uploads_go_on_beside_changes(server, flight, name):
    """Rows that come in while others are deleted are neither lost nor deleted."""
    flight.execute(f"CREATE TABLE {name} (id BIGINT, keep BOOLEAN)")
    portions, portion = 20, 50

    def upload():
        with Flight(server.uri) as client:
            for n in range(portions):
                first = n * portion
                numbers = pa.array(range(first, first + portion), pa.int64())
                keep = pa.array([n % 2 == 0 for n in range(portion)])
                client.put(name, pa.table({"id": numbers, "keep": keep}))

    uploader = threading.Thread(target=upload)
    uploader.start()
    deleted = 0
    while uploader.is_alive():
        deleted += flight.execute(f"DELETE FROM {name} WHERE NOT keep")
    uploader.join()
    deleted += flight.execute(f"DELETE FROM {name} WHERE NOT keep")
    assert deleted == portions * portion // 2
    assert flight.scalar(f"SELECT count(*) FROM {name}") == portions * portion // 2
    assert flight.scalar(f"SELECT count(DISTINCT id) FROM {name} WHERE keep") == deleted


def test_parameters_have_the_types_of_their_columns(connection, flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT, price DOUBLE, day DATE)")
    flight.execute(f"INSERT INTO {name} VALUES (1, 1.5, DATE '2020-01-01'), (2, 2.5, NULL)")
    with connection.cursor() as cursor:
        update = f"UPDATE {name} SET price = ?, day = ? WHERE id = ?"
        schema = cursor.adbc_prepare(update)
        assert [field.type for field in schema] == [pa.float64(), pa.date32(), pa.int64()]
        cursor.execute(update, (9.25, None, 1))
        cursor.execute(f"DELETE FROM {name} WHERE id = ?", (2,))
    expected = {"id": [1], "price": [9.25], "day": [None]}
    assert flight.query(f"SELECT * FROM {name}").to_pydict() == expected


@pytest.mark.parametrize(
    ("statement", "code", "message"),
    [
        ("DELETE FROM nowhere", "NOT_FOUND", "table main.nowhere not found"),
        ("TRUNCATE nowhere", "NOT_FOUND", "table main.nowhere not found"),
        ("DELETE FROM system.tables", "PERMISSION_DENIED", "shows state"),
        ("UPDATE {t} SET nothing = 1", "INVALID_ARGUMENT", "has no column 'nothing'"),
        ("UPDATE {t} SET id = 1, id = 2", "INVALID_ARGUMENT", "column 'id' is set twice"),
        ("UPDATE {t} SET n = NULL", "INVALID_ARGUMENT", "is NOT NULL, but the value is NULL"),
        ("UPDATE {t} SET n = 'x'", "INVALID_ARGUMENT", "'x'"),
        ("DELETE FROM {t} WHERE nothing", "INVALID_ARGUMENT", "nothing"),
        ("DELETE FROM {t} RETURNING *", "UNIMPLEMENTED", "DELETE … RETURNING"),
        (
            "MERGE INTO {t} USING (VALUES (1), (1)) AS s(k) ON id = k WHEN MATCHED THEN DELETE",
            "INVALID_ARGUMENT",
            "more than one row of the source",
        ),
        (
            "MERGE INTO {t} USING (VALUES (7)) AS s(k) ON id = k"
            " WHEN NOT MATCHED THEN INSERT (id) VALUES (1, 2)",
            "INVALID_ARGUMENT",
            "names 1 columns and 2 values",
        ),
    ],
)
def test_bad_changes_change_nothing(flight, name, statement, code, message):
    flight.execute(f"CREATE TABLE {name} (id BIGINT, n INTEGER NOT NULL)")
    flight.execute(f"INSERT INTO {name} VALUES (1, 1), (2, 2)")
    with pytest.raises(CLIENT_ERRORS) as refused:
        flight.execute(statement.format(t=name))
    assert_refused(refused.value, code, mentions=message)
    assert ids(flight, name) == [1, 2]


@pytest.fixture
def lake_server(make_server):
    return make_server(settings=NO_TIMED_FLUSH).start()


def test_every_snapshot_is_the_same_for_duckdb(lake_server):
    """What changed lies in the catalog as DuckDB expects it, back to the first snapshot."""
    seen: dict[int, pa.Table] = {}
    with Flight(lake_server.uri) as client:
        for table in ("t", "u"):
            client.execute(f"CREATE TABLE {table} ({COLUMNS})")
        client.put("t", rows(0, 50))
        client.put("u", rows(15, 12))
        for statement in STATEMENTS:
            client.execute(statement.format(t="t", u="u"))
            snapshot = client.query("CALL system.flush()").column("snapshot_id")[0].as_py()
            seen[snapshot] = client.query("SELECT * FROM t")
        queries = [f"SELECT * FROM t AT (VERSION => {snapshot})" for snapshot in seen]
        theirs = lake.read(lake_server.catalog_path, *queries)
        for query, mine, duckdbs in zip(queries, seen.values(), theirs, strict=True):
            compare.assert_same(mine, duckdbs)
            compare.assert_same(client.query(query), mine)
    lake_server.kill9()
    lake_server.start()
    with Flight(lake_server.uri) as client:
        for query, mine in zip(queries, seen.values()):
            compare.assert_same(client.query(query), mine)


def test_a_row_keeps_its_id(lake_server):
    with Flight(lake_server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT, n BIGINT)")
        client.put("t", pa.table({"id": range(100), "n": [0] * 100}))
        client.query("CALL system.flush()")
        for _ in range(3):
            client.execute("UPDATE t SET n = n + 1 WHERE id % 3 = 0")
        client.execute("DELETE FROM t WHERE id % 5 = 0")
    (table,) = lake.read(lake_server.catalog_path, "SELECT rowid, id, n FROM t ORDER BY id")
    left = [n for n in range(100) if n % 5]
    assert table.column("id").to_pylist() == left
    assert table.column("rowid").to_pylist() == left
    assert table.column("n").to_pylist() == [3 if n % 3 == 0 else 0 for n in left]


def test_changes_survive_a_crash(lake_server):
    with Flight(lake_server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT)")
        client.put("t", pa.table({"id": range(10)}))
        client.execute("DELETE FROM t WHERE id < 3")
        client.put("t", pa.table({"id": range(10, 20)}))
        client.execute("TRUNCATE t")
        client.put("t", pa.table({"id": range(20, 25)}))
        client.execute("UPDATE t SET id = id + 100 WHERE id = 20")
        client.put("t", pa.table({"id": range(30, 32)}))
    lake_server.kill9()
    lake_server.start()
    with Flight(lake_server.uri) as client:
        assert ids(client, "t") == [21, 22, 23, 24, 30, 31, 120]


def test_a_table_as_it_was(flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    versions = []
    for n in range(3):
        flight.execute(f"INSERT INTO {name} VALUES ({n})")
        versions.append(flight.query("CALL system.flush()").column("snapshot_id")[0].as_py())
    before = flight.query(
        f"SELECT snapshot_time FROM system.snapshots WHERE snapshot_id = {versions[1]}"
    ).column(0)[0].as_py()
    flight.execute(f"DELETE FROM {name}")
    assert ids(flight, name) == []
    assert ids(flight, f"{name} AT (VERSION => {versions[0]})") == [0]
    assert ids(flight, f"{name} AT (TIMESTAMP => '{before.isoformat()}')") == [0, 1]
    assert ids(flight, f"{name} VERSION AS OF {versions[2]}") == [0, 1, 2]
    both = (
        f"SELECT a.id FROM {name} AT (VERSION => {versions[2]}) AS a "
        f"LEFT JOIN {name} AT (VERSION => {versions[0]}) AS b ON a.id = b.id "
        f"WHERE b.id IS NULL ORDER BY a.id"
    )
    assert flight.query(both).column(0).to_pylist() == [1, 2]
    restored = f"INSERT INTO {name} SELECT * FROM {name} AT (VERSION => {versions[1]})"
    assert flight.execute(restored) == 2
    assert ids(flight, name) == [0, 1]


@pytest.mark.parametrize(
    ("version", "code", "message"),
    [
        ("AT (VERSION => 0)", "NOT_FOUND", "at snapshot 0"),
        ("AT (VERSION => 999999)", "NOT_FOUND", "\"999999\" does not exist"),
        ("AT (VERSION => 'x')", "NOT_FOUND", "a snapshot named 'x'"),
        ("AT (VERSION => 1.5)", "INVALID_ARGUMENT", "is no snapshot_id"),
        ("AT (TIMESTAMP => 'noon')", "INVALID_ARGUMENT", "is no time"),
        ("AT (TIMESTAMP => '1999-01-01')", "NOT_FOUND", "at or before this time"),
        ("AT (MOMENT => 3)", "INVALID_ARGUMENT", "AT (VERSION => snapshot_id)"),
    ],
)
def test_versions_that_are_not_there(flight, name, version, code, message):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    with pytest.raises(CLIENT_ERRORS) as refused:
        flight.query(f"SELECT * FROM {name} {version}")
    assert_refused(refused.value, code, mentions=message)


def test_compaction_changes_no_row(lake_server):
    """Fewer segments, the same rows with the same ids, and an unchanged past."""
    seen: dict[int, pa.Table] = {}
    with Flight(lake_server.uri) as client:
        client.execute(f"CREATE TABLE t ({COLUMNS}) SORTED BY (day DESC)")
        for n in range(6):
            client.put("t", rows(n * 20, 20))
            client.query("CALL system.flush()")
        client.execute("DELETE FROM t WHERE id % 7 = 3")
        client.execute("UPDATE t SET n = 1 WHERE id % 11 = 2")
        snapshot = client.scalar("SELECT max(snapshot_id) FROM system.snapshots")
        seen[snapshot] = client.query("SELECT * FROM t")
        (ids_before,) = lake.read(lake_server.catalog_path, "SELECT rowid, id FROM t")
        (done,) = client.query("CALL system.compact('t')").to_pylist()
        assert (done["segments_before"], done["segments_after"]) == (7, 1)
        assert done["record_count"] == seen[snapshot].num_rows
        seen[done["snapshot_id"]] = client.query("SELECT * FROM t")
        compare.assert_same(seen[snapshot], seen[done["snapshot_id"]])
        assert client.query("CALL system.compact('t')").to_pylist()[0]["segments_before"] == 0
        client.execute("DELETE FROM t WHERE id < 30")
        client.query("CALL system.compact()")
        left = client.query("SELECT * FROM t")
        seen[client.scalar("SELECT max(snapshot_id) FROM system.snapshots")] = left
        queries = [f"SELECT * FROM t AT (VERSION => {snapshot})" for snapshot in seen]
        theirs = lake.read(lake_server.catalog_path, *queries)
        for query, mine, duckdbs in zip(queries, seen.values(), theirs, strict=True):
            compare.assert_same(mine, duckdbs)
            compare.assert_same(client.query(query), mine)
        (ids_after,) = lake.read(lake_server.catalog_path, "SELECT rowid, id FROM t")
        ids_before = ids_before.filter(pa.compute.greater_equal(ids_before["id"], 30))
        compare.assert_same(ids_after, ids_before)


def test_a_compacted_table_is_sorted_over_all_of_it(lake_server):
    with Flight(lake_server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT, n BIGINT) SORTED BY (n)")
        for first in range(4):
            client.put("t", pa.table({"id": range(100), "n": range(first, 400, 4)}))
            client.query("CALL system.flush()")
        client.query("CALL system.compact('main.t')")
    (table,) = lake.read(lake_server.catalog_path, "SELECT n FROM t ORDER BY file_row_number")
    assert table.column("n").to_pylist() == list(range(400))


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("compact('nowhere')", "NOT_FOUND", "table main.nowhere not found"),
        ("compact(5)", "INVALID_ARGUMENT", "write CALL system.compact('table')"),
        ("compact('a b')", "INVALID_ARGUMENT", "'a b' is no name of a table"),
        ("compact('system.tables')", "PERMISSION_DENIED", "shows state"),
        ("compactify()", "NOT_FOUND", "procedure system.compactify"),
    ],
)
def test_bad_compactions(flight, call, code, message):
    with pytest.raises(CLIENT_ERRORS) as refused:
        flight.query(f"CALL system.{call}")
    assert_refused(refused.value, code, mentions=message)


def files(server) -> set[str]:
    """Segments and lists of deleted rows that are there."""
    return {path.name for path in (server.catalog_path.parent / "data").rglob("*.parquet*")}


def catalogued(server) -> set[str]:
    """Those that any snapshot knows."""
    connection = sqlite3.connect(f"file:{server.catalog_path}?mode=ro", uri=True)
    try:
        query = "SELECT path FROM ducklake_data_file UNION SELECT path FROM ducklake_delete_file"
        return {path for (path,) in connection.execute(query)}
    finally:
        connection.close()


def test_a_lost_race_leaves_no_files(lake_server):
    with Flight(lake_server.uri) as one, Flight(lake_server.uri) as two:
        one.execute("CREATE TABLE t (id BIGINT)")
        for first in (0, 10, 20):
            one.put("t", pa.table({"id": range(first, first + 10)}))
            one.query("CALL system.flush()")
        one.execute("BEGIN")
        one.execute("DELETE FROM t WHERE id % 10 = 1")
        two.execute("UPDATE t SET id = 121 WHERE id = 21")
        with pytest.raises(CLIENT_ERRORS) as lost:
            one.execute("COMMIT")
        assert_refused(lost.value, "ABORTED", mentions="concurrent")
        assert files(lake_server) == catalogued(lake_server)


def test_a_crash_in_a_transaction_leaves_no_files(lake_server):
    with Flight(lake_server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT)")
        client.put("t", pa.table({"id": range(10)}))
        client.execute("BEGIN")
        client.execute("INSERT INTO t VALUES (100)")
        client.execute("UPDATE t SET id = id + 1")
        lake_server.kill9()
    lake_server.start()
    with Flight(lake_server.uri) as client:
        assert ids(client, "t") == list(range(10))
    assert files(lake_server) == catalogued(lake_server)


def test_truncate_keeps_what_makes_uploads_exactly_once(lake_server):
    """The log that holds the keys is nobody's any more once the rows are gone."""
    with Flight(lake_server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT)")
        client.put("t", pa.table({"id": range(10)}), [("x-idempotency-key", "once")])
        producer = [("x-quiver-producer", "p"), ("x-quiver-sequence", "1")]
        client.put("t", pa.table({"id": range(10)}), producer)
        client.execute("TRUNCATE t")
        connection = sqlite3.connect(f"file:{lake_server.catalog_path}?mode=ro", uri=True)
        tables = ("quiver_idempotency", "quiver_producer")
        kept = [connection.execute(f"SELECT count(*) FROM {t}").fetchone() for t in tables]
        connection.close()
        assert kept == [(1,), (1,)]
        client.put("t", pa.table({"id": range(10)}), [("x-idempotency-key", "once")])
        client.put("t", pa.table({"id": range(10)}), producer)
        assert ids(client, "t") == []


def test_no_two_rows_have_one_id(lake_server):
    """A transaction changes rows that it has added itself, while others add theirs."""
    with Flight(lake_server.uri) as one, Flight(lake_server.uri) as two:
        one.execute("CREATE TABLE t (id BIGINT)")
        one.execute("BEGIN")
        one.execute("INSERT INTO t VALUES (1), (2), (3)")
        one.execute("UPDATE t SET id = id * 10 WHERE id > 1")
        two.execute("INSERT INTO t VALUES (4), (5), (6), (7)")
        two.query("CALL system.flush()")
        one.execute("COMMIT")
        one.query("CALL system.flush()")
        assert ids(one, "t") == [1, 4, 5, 6, 7, 20, 30]
    (table,) = lake.read(lake_server.catalog_path, "SELECT rowid FROM t")
    assert len(set(table.column(0).to_pylist())) == 7


def test_a_table_that_came_and_went_leaves_its_transaction_alone(flight, name):
    flight.execute("BEGIN")
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    flight.execute(f"TRUNCATE {name}")
    flight.execute(f"DROP TABLE {name}")
    assert flight.scalar("SELECT 1") == 1
    flight.execute("COMMIT")


def test_the_first_clause_of_merge_that_applies_counts(flight, name):
    """What later ones would do is not even computed."""
    flight.execute(f"CREATE TABLE {name} (id BIGINT, n BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1, 0), (2, 3)")
    flight.execute(
        f"MERGE INTO {name} AS t USING (VALUES (1), (2)) AS s(k) ON t.id = s.k "
        f"WHEN MATCHED AND t.n = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 6 / t.n"
    )
    assert flight.query(f"SELECT * FROM {name}").to_pydict() == {"id": [2], "n": [2]}
    with pytest.raises(CLIENT_ERRORS) as refused:
        flight.execute(
            f"MERGE INTO {name} AS t USING (VALUES (2)) AS s(k) ON t.id = s.k "
            f"WHEN MATCHED AND random() < 0.5 THEN DELETE"
        )
    assert_refused(refused.value, "UNIMPLEMENTED", mentions="random()")


def test_going_back_while_a_statement_runs(server, name):
    """Rows that a savepoint takes away do not come back by a statement that was moving them."""
    with adbc.connect(server.uri, autocommit=False) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {name} (id BIGINT)")
            cursor.execute("SAVEPOINT here")
            cursor.execute(f"INSERT INTO {name} SELECT * FROM generate_series(1, 300000)")
        outcomes = []

        def delete():
            try:
                with connection.cursor() as cursor:
                    outcomes.append(cursor.execute(f"DELETE FROM {name} WHERE id < 0"))
            except CLIENT_ERRORS as error:
                outcomes.append(error)

        deleting = threading.Thread(target=delete)
        deleting.start()
        time.sleep(0.05)
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK TO here")
        deleting.join()
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {name} VALUES (-5)")
        connection.commit()
    with Flight(server.uri) as client:
        assert ids(client, name) == [-5], outcomes


def test_now_is_a_time_to_look_back_from(flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1)")
    flight.query("CALL system.flush()")
    assert ids(flight, f"{name} AT (TIMESTAMP => now())") == [1]
    with pytest.raises(CLIENT_ERRORS) as refused:
        ids(flight, f"{name} AT (TIMESTAMP => now() - INTERVAL '10 years')")
    assert_refused(refused.value, "NOT_FOUND", mentions="at or before this time")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TABLE {t} (_quiver_position BIGINT)", "are taken"),
        ("CREATE TABLE {t} (_ducklake_internal_row_id BIGINT)", "are taken"),
        ('SELECT * FROM "{t}\x02v2"', "control characters"),
        ('DELETE FROM "{t}\x01"', "control characters"),
    ],
)
def test_names_from_the_inside_cannot_be_used(connection, name, statement, message):
    with pytest.raises(CLIENT_ERRORS) as refused, connection.cursor() as cursor:
        cursor.execute(statement.format(t=name))
    assert_refused(refused.value, "INVALID_ARGUMENT", mentions=message)
