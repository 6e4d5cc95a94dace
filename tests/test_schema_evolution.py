"""Tables that are altered: what is in old segments, in memory and in the log reads as the table is now,
older snapshots as it was then, and DuckDB agrees."""

import struct

import pyarrow as pa
import pytest

from quiver_testing import adbc, compare, lake
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.server import NO_TIMED_FLUSH

STEPS = [
    "ALTER TABLE t ADD COLUMN b VARCHAR",
    "ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7",
    "ALTER TABLE t RENAME COLUMN a TO first",
    "ALTER TABLE t ALTER COLUMN n SET DATA TYPE BIGINT",
    "ALTER TABLE t ADD d DOUBLE NOT NULL DEFAULT -0.5",
    "ALTER TABLE t DROP COLUMN b",
    "ALTER TABLE t ADD COLUMN b DATE DEFAULT '2020-01-02'",
    "ALTER TABLE t ADD COLUMN s.z VARCHAR",
    "ALTER TABLE t RENAME COLUMN s.x TO w",
    "ALTER TABLE t ADD COLUMN ts TIMESTAMP DEFAULT '2020-01-02 03:04:05.6'",
    "ALTER TABLE t DROP COLUMN s.y",
    "ALTER TABLE t ALTER c SET DEFAULT 8",
    "ALTER TABLE t ALTER COLUMN f TYPE DOUBLE",
    "ALTER TABLE t ALTER l.element SET DATA TYPE BIGINT",
    "ALTER TABLE t ALTER COLUMN d DROP NOT NULL",
    "ALTER TABLE t RENAME TO u",
    "ALTER TABLE u RENAME TO t",
]


@pytest.fixture
def lake_server(make_server):
    return make_server(settings=NO_TIMED_FLUSH).start()


CREATE = "CREATE TABLE t (a BIGINT, n INTEGER, s STRUCT<x INTEGER, y VARCHAR>, l INTEGER[], f REAL)"


def structs(n: int, count: int) -> pa.Table:
    """Rows for `CREATE`."""
    ids = range(n, n + count)
    some = lambda value: [value(i) if i % 4 else None for i in ids]  # noqa: E731
    return pa.table(
        {
            "a": pa.array(ids, pa.int64()),
            "n": pa.array(some(lambda i: i % 5), pa.int32()),
            "s": pa.array(
                some(lambda i: {"x": i, "y": f"y{i}"}),
                pa.struct([("x", pa.int32()), ("y", pa.string())]),
            ),
            "l": pa.array(some(lambda i: [i, None]), pa.list_(pa.int32())),
            "f": pa.array(some(lambda i: i + 0.25), pa.float32()),
        }
    )


@pytest.mark.parametrize("flushed", ["before", "never", "restarted"])
def test_old_rows_read_as_the_table_is_now(lake_server, flushed):
    """After each step: all rows, filters on each column, and every older snapshot, as DuckDB has them."""
    seen: dict[int, pa.Table] = {}
    with Flight(lake_server.uri) as client:
        client.execute(CREATE)
        client.put("t", structs(0, 40))
    for number, step in enumerate(STEPS):
        with Flight(lake_server.uri) as client:
            if flushed == "before":
                client.query("CALL system.flush()")
            client.execute(step)
            name = "u" if step.endswith("TO u") else "t"
            first = "first" if number >= 2 else "a"
            client.execute(f"INSERT INTO {name} ({first}, n) VALUES ({100 + number}, {number})")
            now = client.query(f"SELECT * FROM {name}")
            assert now.num_rows == 40 + number + 1
        if flushed == "restarted":
            lake_server.kill9()
            lake_server.start()
        with Flight(lake_server.uri) as client:
            compare.assert_same(client.query(f"SELECT * FROM {name}"), now)
            (flush,) = client.query("CALL system.flush()").to_pylist()
            seen[flush["snapshot_id"]] = now
            compare.assert_same(client.query(f"SELECT * FROM {name}"), now)
            for column in now.column_names:
                field = now.schema.field(column)
                if pa.types.is_nested(field.type):
                    continue
                for test in ("IS NULL", "IS NOT NULL"):
                    want = pa.compute.is_null(now[column])
                    want = pa.compute.sum(want if test == "IS NULL" else pa.compute.invert(want)).as_py()
                    found = client.scalar(f"SELECT count(*) FROM {name} WHERE {column} {test}")
                    assert found == (want or 0), (step, column, test)
            assert client.scalar(f"SELECT count(*) FROM {name} WHERE n = 3") == sum(
                value == 3 for value in now["n"].to_pylist()
            )
        if number % 6 == 5:
            (theirs,) = lake.read(lake_server.catalog_path, f"SELECT * FROM {name}")
            compare.assert_same(now, theirs)
    queries = [
        f"SELECT * FROM {'u' if rows.num_rows == 40 + len(STEPS) - 1 else 't'} AT (VERSION => {snapshot})"
        for snapshot, rows in seen.items()
    ]
    theirs = lake.read(lake_server.catalog_path, *queries)
    with Flight(lake_server.uri) as client:
        for query, mine, duckdbs in zip(queries, seen.values(), theirs, strict=True):
            compare.assert_same(mine, duckdbs)
            compare.assert_same(client.query(query), mine)
        for _ in range(2):
            client.query("CALL system.compact('t')")
            compare.assert_same(client.query("SELECT * FROM t"), now)
        client.execute("UPDATE t SET n = n + 1 WHERE first < 20")
        client.execute("DELETE FROM t WHERE first BETWEEN 5 AND 10")
        left = client.query("SELECT * FROM t")
        assert left.num_rows == now.num_rows - 6
        client.query("CALL system.compact('t')")
        compare.assert_same(client.query("SELECT * FROM t"), left)
        for query, mine in zip(queries, seen.values(), strict=True):
            compare.assert_same(client.query(query), mine)
    (theirs,) = lake.read(lake_server.catalog_path, "SELECT * FROM t")
    compare.assert_same(left, theirs)


def test_a_dropped_column_does_not_come_back_under_its_name(flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT, v BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1, 10), (2, 20)")
    flight.execute(f"ALTER TABLE {name} DROP COLUMN v")
    flight.execute(f"ALTER TABLE {name} ADD COLUMN v BIGINT")
    assert flight.query(f"SELECT * FROM {name} ORDER BY id").to_pylist() == [{"id": 1, "v": None}, {"id": 2, "v": None}]
    assert flight.query(f"SELECT id FROM {name} WHERE v = 10").num_rows == 0
    assert flight.scalar(f"SELECT count(*) FROM {name} WHERE v IS NULL") == 2


def test_a_widened_real_is_found_by_its_exact_value(lake_server):
    """0.1 as a REAL is a little more than 0.1 as a DOUBLE, and bounds were written as REAL."""
    with Flight(lake_server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT, f REAL)")
        client.execute("INSERT INTO t VALUES (1, 0.1), (2, -0.7), (3, 0.25)")
        client.query("CALL system.flush()")
        client.execute("ALTER TABLE t ALTER f TYPE DOUBLE")
        client.execute("INSERT INTO t VALUES (4, 0.1)")
        client.query("CALL system.flush()")
    exact = {"low": struct.unpack("f", struct.pack("f", -0.7))[0], "high": 0.25}
    for _ in range(2):
        with Flight(lake_server.uri) as client:
            assert client.query("SELECT min(f) AS low, max(f) AS high FROM t").to_pylist() == [exact]
            for condition, ids in {
                "f < -0.7": [],
                "f > -0.7 AND f < -0.6": [2],
                "f > 0.1000000005 AND f < 0.2": [1],
                "f = 0.1": [4],
            }.items():
                found = client.query(f"SELECT id FROM t WHERE {condition}").column(0).to_pylist()
                assert found == ids, condition
        lake_server.kill9()
        lake_server.start()


def test_rows_are_changed_after_the_table_in_one_transaction(server, flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1), (2), (3)")
    with adbc.connect(server.uri, autocommit=False) as writer, writer.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} ADD COLUMN v BIGINT DEFAULT 4")
        flight.execute(f"INSERT INTO {name} VALUES (9)")
        cursor.execute(f"UPDATE {name} SET v = id WHERE id < 3")
        cursor.execute(f"DELETE FROM {name} WHERE id = 3")
        cursor.execute(f"SELECT * FROM {name} ORDER BY id")
        assert cursor.fetchall() == [(1, 1), (2, 2)]
        writer.commit()
    rows = [{"id": 1, "v": 1}, {"id": 2, "v": 2}, {"id": 9, "v": 4}]
    assert flight.query(f"SELECT * FROM {name} ORDER BY id").to_pylist() == rows


def test_names_that_change_places(flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT, a BIGINT, b BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1, 10, 20)")
    flight.query("CALL system.flush()")
    for step in ("a TO c", "b TO a", "c TO b"):
        flight.execute(f"ALTER TABLE {name} RENAME COLUMN {step}")
    flight.execute(f"INSERT INTO {name} (id, a, b) VALUES (2, 30, 40)")
    assert flight.query(f"SELECT id, a, b FROM {name} ORDER BY id").to_pylist() == [
        {"id": 1, "a": 20, "b": 10},
        {"id": 2, "a": 30, "b": 40},
    ]
    assert flight.scalar(f"SELECT id FROM {name} WHERE b = 10 AND a > 15") == 1
    assert flight.scalar(f"SELECT count(*) FROM {name} WHERE a = 10") == 0


def test_values_by_default(server, flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT, v INTEGER DEFAULT 5, w VARCHAR NOT NULL DEFAULT 'it''s')")
    flight.execute(f"INSERT INTO {name} (id) VALUES (1)")
    flight.execute(f"INSERT INTO {name} (id) SELECT 2")
    flight.execute(f"INSERT INTO {name} (id, v) VALUES (3, NULL)")
    with adbc.connect(server.uri) as connection:
        adbc.ingest(connection, name, pa.table({"id": [4]}), mode="append")
    rows = flight.query(f"SELECT * FROM {name} ORDER BY id").to_pylist()
    assert [(row["v"], row["w"]) for row in rows] == [(5, "it's"), (5, "it's"), (None, "it's"), (5, "it's")]
    flight.execute(f"ALTER TABLE {name} ALTER v DROP DEFAULT")
    flight.execute(f"INSERT INTO {name} (id) VALUES (5)")
    assert flight.scalar(f"SELECT v FROM {name} WHERE id = 5") is None


def test_prepared_statements_and_open_transactions_see_one_table(server, flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT, v BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1, 10)")
    with adbc.connect(server.uri, autocommit=False) as reader, reader.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {name}")
        assert cursor.fetchall() == [(1, 10)]
        flight.execute(f"ALTER TABLE {name} RENAME COLUMN v TO w")
        flight.execute(f"ALTER TABLE {name} ADD COLUMN x BIGINT DEFAULT 3")
        cursor.execute(f"SELECT v FROM {name}")
        assert cursor.fetchall() == [(10,)]
        reader.rollback()
        cursor.execute(f"SELECT * FROM {name}")
        assert cursor.fetchall() == [(1, 10, 3)]


def test_a_transaction_alters_and_fills(server, flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    flight.execute(f"INSERT INTO {name} VALUES (1)")
    with adbc.connect(server.uri, autocommit=False) as writer, writer.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} ADD COLUMN v BIGINT DEFAULT 4")
        cursor.execute(f"INSERT INTO {name} VALUES (2, 5)")
        cursor.execute(f"SELECT * FROM {name} ORDER BY id")
        assert cursor.fetchall() == [(1, 4), (2, 5)]
        assert flight.query(f"SELECT * FROM {name}").column_names == ["id"]
        with pytest.raises(CLIENT_ERRORS) as refused:
            cursor.execute(f"ALTER TABLE {name} DROP COLUMN v")
        assert_refused(refused.value, "FAILED_PRECONDITION", "INVALID_STATE", mentions="alter the table before")
        writer.commit()
    assert flight.query(f"SELECT * FROM {name} ORDER BY id").to_pylist() == [{"id": 1, "v": 4}, {"id": 2, "v": 5}]


def test_sort_keys_are_set_and_kept(lake_server):
    with Flight(lake_server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT, v BIGINT)")
        client.put("t", pa.table({"id": range(50), "v": [i * 7 % 50 for i in range(50)]}))
        client.execute("ALTER TABLE t SET SORTED BY (v DESC)")
        client.execute("ALTER TABLE t RENAME COLUMN v TO w")
        client.put("t", pa.table({"id": range(50, 99), "w": range(50, 99)}))
        client.query("CALL system.flush()")
        client.query("CALL system.compact('t')")
        with pytest.raises(CLIENT_ERRORS) as refused:
            client.execute("ALTER TABLE t DROP COLUMN w")
        assert_refused(refused.value, "INVALID_ARGUMENT", mentions="sorted by it")
    (table,) = lake.read(lake_server.catalog_path, "SELECT w FROM t ORDER BY file_row_number")
    values = table["w"].to_pylist()
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    "statement, code, message",
    [
        ("ADD COLUMN id BIGINT", "ALREADY_EXISTS", 'column "id" exists already'),
        ("ADD COLUMN ID BIGINT", "ALREADY_EXISTS", "exists already"),
        ("ADD COLUMN v BIGINT NOT NULL", "INVALID_ARGUMENT", "give it a DEFAULT"),
        ("ADD COLUMN v BIGINT DEFAULT 'x'", "INVALID_ARGUMENT", "is no constant of type Int64"),
        ("ADD COLUMN v BIGINT DEFAULT random()", "UNIMPLEMENTED", "is no constant"),
        ("ADD COLUMN v TIMESTAMP DEFAULT now()", "UNIMPLEMENTED", "is no constant"),
        ("ADD COLUMN id.x BIGINT", "INVALID_ARGUMENT", "no fields of its own"),
        ("ADD COLUMN _quiver_x BIGINT", "INVALID_ARGUMENT", "are taken"),
        ("DROP COLUMN nothing", "NOT_FOUND", "column nothing"),
        ("RENAME COLUMN id TO n", "ALREADY_EXISTS", "exists already"),
        ("ALTER COLUMN id SET DATA TYPE INTEGER", "INVALID_ARGUMENT", "wider"),
        ("ALTER COLUMN n SET DATA TYPE VARCHAR", "INVALID_ARGUMENT", "wider"),
        ("ALTER COLUMN n SET NOT NULL", "INVALID_ARGUMENT", "may hold NULLs"),
        ("FROB", "INVALID_ARGUMENT", "expected ADD COLUMN"),
        ("ADD COLUMN a BIGINT, ADD COLUMN b BIGINT", "UNIMPLEMENTED", "several changes"),
    ],
)
def test_what_cannot_be_altered(flight, name, statement, code, message):
    flight.execute(f"CREATE TABLE {name} (id BIGINT, n INTEGER)")
    flight.execute(f"INSERT INTO {name} VALUES (1, NULL)")
    before = flight.query(f"SELECT * FROM {name}")
    with pytest.raises(CLIENT_ERRORS) as refused:
        flight.execute(f"ALTER TABLE {name} {statement}")
    assert_refused(refused.value, code, mentions=message)
    assert flight.query(f"SELECT * FROM {name}") == before


def test_the_last_column_stays(flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    with pytest.raises(CLIENT_ERRORS) as refused:
        flight.execute(f"ALTER TABLE {name} DROP COLUMN id")
    assert_refused(refused.value, "INVALID_ARGUMENT", mentions="needs a column")
    flight.execute(f"ALTER TABLE IF EXISTS no_{name} ADD COLUMN x BIGINT")
    flight.execute(f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS id BIGINT")
    flight.execute(f"ALTER TABLE {name} DROP COLUMN IF EXISTS other")
