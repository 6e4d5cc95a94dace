"""The catalog is open: DuckDB with its ducklake extension reads the rows that Quiver returns."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal

import pyarrow as pa
import pytest

from quiver_testing import adbc, compare, lake
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.server import NO_TIMED_FLUSH

UTC = datetime.timezone.utc
ROWS = 500


def typed_table(first: int = 0) -> pa.Table:
    """One column per canonical type, every seventh value null, extremes included."""
    day = datetime.date(1969, 12, 1)
    moment = datetime.datetime(1969, 12, 31, 23, 59, 59, 123456)
    makers = {
        "c_bool": (pa.bool_(), lambda n: n % 2 == 0),
        "c_int8": (pa.int8(), lambda n: n % 256 - 128),
        "c_int16": (pa.int16(), lambda n: n * 60 - 30000),
        "c_int32": (pa.int32(), lambda n: (n - 250) * 8_000_000),
        "c_int64": (pa.int64(), lambda n: (n - 250) * 2**54),
        "c_uint8": (pa.uint8(), lambda n: n % 256),
        "c_uint16": (pa.uint16(), lambda n: n * 131),
        "c_uint32": (pa.uint32(), lambda n: n * 8_589_934),
        "c_uint64": (pa.uint64(), lambda n: n * 2**55),
        "c_float": (pa.float32(), lambda n: (n - 250) / 8),
        "c_double": (pa.float64(), lambda n: (n - 250) / 3),
        "c_decimal": (pa.decimal128(18, 4), lambda n: Decimal(n - 250) / 8),
        "c_wide": (pa.decimal128(38, 2), lambda n: Decimal(n - 250) * 10**30),
        "c_text": (pa.string(), lambda n: f"wörd {n % 50} ' \" \\ ,\n" if n % 5 else ""),
        "c_binary": (pa.binary(), lambda n: bytes([n % 256, 0, 255])),
        "c_date": (pa.date32(), lambda n: day + datetime.timedelta(days=n * 13)),
        "c_time": (pa.time64("us"), lambda n: datetime.time(n % 24, n % 60, n % 60, n)),
        "c_ts_s": (pa.timestamp("s"), lambda n: moment + datetime.timedelta(hours=n)),
        "c_ts_ms": (pa.timestamp("ms"), lambda n: moment + datetime.timedelta(minutes=n)),
        "c_ts_us": (pa.timestamp("us"), lambda n: moment + datetime.timedelta(microseconds=n)),
        "c_ts_tz": (
            pa.timestamp("us", tz="UTC"),
            lambda n: (moment + datetime.timedelta(days=n)).replace(tzinfo=UTC),
        ),
    }
    columns = {"id": pa.array(range(first, first + ROWS), pa.int64())}
    for name, (kind, make) in makers.items():
        values = [None if n % 7 == 3 else make(n) for n in range(ROWS)]
        columns[name] = pa.array(values, kind, safe=False)
    return pa.table(columns)


def nested_table() -> pa.Table:
    kind = pa.struct([("x", pa.int32()), ("tags", pa.list_(pa.string()))])
    return pa.table({
        "id": pa.array([1, 2, 3, 4], pa.int64()),
        "numbers": pa.array([[1, 2], [], None, [None, 5]], pa.list_(pa.int64())),
        "point": pa.array(
            [{"x": 1, "tags": ["a"]}, {"x": None, "tags": None}, None, {"x": 4, "tags": []}], kind
        ),
        "attributes": pa.array(
            [[("k", 1.5)], [], None, [("a", None), ("b", 2.0)]], pa.map_(pa.string(), pa.float64())
        ),
        "points": pa.array([[{"x": 1, "tags": ["z"]}], None, [], [None]], pa.list_(kind)),
    })


def summary(columns: list[str], table: str) -> str:
    """Counts, extremes and, where there is one, the sum of each column."""
    parts = ["count(*) AS n"]
    for name in columns:
        parts.append(f"count({name}) AS n_{name}")
        if name != "c_bool":
            parts += [f"min({name}) AS min_{name}", f"max({name}) AS max_{name}"]
        if re.search(r"int|float|double|decimal$", name):
            parts.append(f"sum(CAST({name} AS DOUBLE)) AS sum_{name}")
    return f"SELECT {', '.join(parts)} FROM {table}"


def assert_agrees(server, client: Flight, *statements: str) -> None:
    """Both answer alike; the order of rows does not count."""
    theirs = lake.read(server.catalog_path, *statements)
    for statement, expected in zip(statements, theirs):
        compare.assert_same(client.query(statement), expected)


@pytest.fixture
def lake_server(make_server):
    return make_server(settings=NO_TIMED_FLUSH).start()


def flushed_snapshot(client: Flight) -> int:
    """Flushes; the snapshot that holds everything so far."""
    client.query("CALL system.flush()")
    return client.scalar("SELECT max(snapshot_id) FROM system.snapshots")


def test_every_type_agrees_before_and_after_a_crash(lake_server):
    table = typed_table()
    with Flight(lake_server.uri) as client:
        assert client.put("typed", table, [("x-create", "true")]) == ROWS
        flushed_snapshot(client)
        assert_agrees(
            lake_server, client, "SELECT * FROM typed", summary(table.schema.names, "typed")
        )
        # Rows that are only in the log when the plug is pulled.
        client.put("typed", typed_table(first=ROWS))
    lake_server.kill9()
    lake_server.start()
    with Flight(lake_server.uri) as client:
        assert client.scalar("SELECT count(*) FROM typed") == 2 * ROWS
        flushed_snapshot(client)
        assert_agrees(
            lake_server, client, "SELECT * FROM typed", summary(table.schema.names, "typed")
        )
    assert lake_server.stop() == 0
    assert lake.scalar(lake_server.catalog_path, "SELECT count(*) FROM typed") == 2 * ROWS


def test_special_floats_agree(lake_server):
    values = [float("nan"), float("inf"), float("-inf"), -0.0, 1e308, 5e-324, None]
    table = pa.table({"id": range(len(values)), "v": pa.array(values, pa.float64())})
    with Flight(lake_server.uri) as client:
        client.put("floats", table, [("x-create", "true")])
        flushed_snapshot(client)
        assert_agrees(
            lake_server,
            client,
            "SELECT * FROM floats",
            "SELECT id FROM floats WHERE v > 0 AND v < 1e300",
            "SELECT id FROM floats WHERE v < -1",
            "SELECT id FROM floats WHERE v IS NULL",
        )


def test_nested_types_agree(lake_server):
    table = nested_table()
    with Flight(lake_server.uri) as client:
        client.put("nested", table, [("x-create", "true")])
        before = client.query("SELECT * FROM nested ORDER BY id")
        flushed_snapshot(client)
        after = client.query("SELECT * FROM nested ORDER BY id")
        assert before.to_pylist() == after.to_pylist() == table.to_pylist()
        (theirs,) = lake.read(lake_server.catalog_path, "SELECT * FROM nested ORDER BY id")
        assert theirs.to_pylist() == table.to_pylist()


def test_snapshots_show_what_was_there_then(lake_server):
    remembered = {}
    with Flight(lake_server.uri) as client:
        client.put("history", numbered(0, 10), [("x-create", "true")])
        for step in range(1, 6):
            snapshot = flushed_snapshot(client)
            remembered[snapshot] = client.rows("SELECT count(*), sum(id), min(id), max(id) FROM history")
            client.put("history", numbered(step * 1000, 10 * step))
        statement = "SELECT count(*), sum(id), min(id), max(id) FROM history AT (VERSION => {})"
        theirs = lake.read(
            lake_server.catalog_path, *(statement.format(n) for n in remembered)
        )
        for (snapshot, ours), table in zip(remembered.items(), theirs):
            assert compare.python_rows(table) == ours, snapshot
        for snapshot, ours in remembered.items():
            assert_same_or_unsupported(client, statement.format(snapshot), ours)
    assert len(remembered) == 5


def assert_same_or_unsupported(client: Flight, statement: str, expected: list[tuple]) -> None:
    """Time travel answers with the old rows or says that it cannot: never with today's rows."""
    try:
        assert client.rows(statement) == expected, statement
    except CLIENT_ERRORS as error:
        assert_refused(error, "UNIMPLEMENTED")


def test_snapshots_survive_a_crash(lake_server):
    with Flight(lake_server.uri) as client:
        client.put("kept", numbered(0, 100), [("x-create", "true")])
        first = flushed_snapshot(client)
        client.put("kept", numbered(100, 50))
    lake_server.kill9()
    lake_server.start()
    with Flight(lake_server.uri) as client:
        second = flushed_snapshot(client)
        assert second > first
        counts = lake.read(
            lake_server.catalog_path,
            *(f"SELECT count(*) FROM kept AT (VERSION => {n})" for n in (first, second)),
        )
        assert [t.column(0)[0].as_py() for t in counts] == [100, 150]


def segments_in_plan(client: Flight, query: str) -> set[str]:
    """The names of the segment files that a plan mentions."""
    plan = str(client.rows("EXPLAIN ANALYZE " + query))
    return set(re.findall(r"[\w-]+\.parquet", plan))


def test_both_prune_files_by_the_catalog(lake_server):
    """Ten flushes with ids that do not overlap: a point query reads one file, here and there."""
    with Flight(lake_server.uri) as client:
        for step in range(10):
            client.put("ranges", numbered(step * 1000, 1000), [("x-create", "true")])
            flushed_snapshot(client)
        segments = client.scalar("SELECT count(*) FROM system.segments WHERE table_name = 'ranges'")
        assert segments == 10
        query = "SELECT count(*), sum(id) FROM ranges WHERE id BETWEEN 4100 AND 4199"
        assert client.rows(query) == [(100, sum(range(4100, 4200)))]
        analyzed, answer = lake.read(lake_server.catalog_path, "EXPLAIN ANALYZE " + query, query)
        assert compare.python_rows(answer) == client.rows(query)
        files_read = re.search(r"Total Files Read: (\d+)", str(analyzed.to_pylist()))
        assert files_read and int(files_read[1]) == 1, analyzed.to_pylist()
        assert len(segments_in_plan(client, query)) == 1
        assert len(segments_in_plan(client, "SELECT sum(id) FROM ranges")) > 1
        nothing = "SELECT count(*) FROM ranges WHERE id > 999999"
        assert client.scalar(nothing) == lake.scalar(lake_server.catalog_path, nothing) == 0


def test_pruned_equals_full_for_every_type(lake_server):
    """For each type a predicate in the middle of its range, answered alike by both."""
    with Flight(lake_server.uri) as client:
        for step in range(4):
            client.put("typed", typed_table(step * ROWS).slice(step * 100, 150), [("x-create", "true")])
            flushed_snapshot(client)
        names = [n for n in typed_table().schema.names if n not in ("id", "c_bool", "c_binary")]
        statements = [
            f"SELECT id FROM typed WHERE {name} >= (SELECT min({name}) FROM typed WHERE id > 900)"
            for name in names
        ]
        literals = [
            "SELECT id FROM typed WHERE c_int8 < -100",
            "SELECT id FROM typed WHERE c_decimal > 10.125",
            "SELECT id FROM typed WHERE c_text = ''",
            "SELECT id FROM typed WHERE c_text LIKE 'wörd 4%'",
            "SELECT id FROM typed WHERE c_date BETWEEN DATE '1975-01-01' AND DATE '1979-12-31'",
            "SELECT id FROM typed WHERE c_ts_us < TIMESTAMP '1969-12-31 23:59:59.123500'",
            "SELECT id FROM typed WHERE c_double IS NULL",
            "SELECT id FROM typed WHERE NOT c_bool",
            "SELECT id FROM typed WHERE c_uint64 > 9223372036854775807",
        ]
        assert_agrees(lake_server, client, *statements, *literals)


def test_schemas_drops_and_odd_names(lake_server):
    odd = '"Odd schema"."Täble ""x"" and \'y\'"'
    with Flight(lake_server.uri) as client:
        client.execute('CREATE SCHEMA "Odd schema"')
        client.execute(f'CREATE TABLE {odd} ("Col umn" BIGINT, "select" VARCHAR)')
        client.execute(f"INSERT INTO {odd} VALUES (1, 'a'), (2, NULL)")
        client.execute("CREATE TABLE gone (a BIGINT)")
        client.execute("INSERT INTO gone VALUES (1)")
        snapshot = flushed_snapshot(client)
        client.execute("DROP TABLE gone")
        client.execute("CREATE TABLE gone (b VARCHAR NOT NULL)")
        client.execute("INSERT INTO gone VALUES ('new')")
        flushed_snapshot(client)
        assert_agrees(
            lake_server,
            client,
            f"SELECT * FROM {odd}",
            "SELECT * FROM gone",
            "SELECT table_schema, table_name, column_name, is_nullable FROM information_schema.columns "
            "WHERE table_name = 'gone'",
        )
        old = lake.read(lake_server.catalog_path, f"SELECT a FROM gone AT (VERSION => {snapshot})")
        assert compare.python_rows(old[0]) == [(1,)]


def test_create_table_as_and_copy_are_in_the_catalog(lake_server):
    with Flight(lake_server.uri) as client:
        client.put("source", numbered(0, 1000), [("x-create", "true")])
        client.execute("CREATE TABLE copied AS SELECT id * 2 AS twice, payload FROM source WHERE id < 100")
        client.execute("INSERT INTO copied SELECT id, payload FROM source WHERE id >= 900")
        flushed_snapshot(client)
        assert_agrees(lake_server, client, "SELECT count(*), sum(twice), max(payload) FROM copied")


def test_adbc_transaction_is_one_snapshot(lake_server):
    """Two tables written in one transaction appear together in the lake as well."""
    with Flight(lake_server.uri) as client:
        client.execute("CREATE TABLE left_side (id BIGINT, payload VARCHAR)")
        client.execute("CREATE TABLE right_side (id BIGINT, payload VARCHAR)")
        first = flushed_snapshot(client)
        with adbc.connect(lake_server.uri, autocommit=False) as connection:
            adbc.ingest(connection, "left_side", numbered(0, 10), mode="append")
            adbc.ingest(connection, "right_side", numbered(0, 10), mode="append")
            connection.commit()
        last = flushed_snapshot(client)
    assert last > first
    counts = lake.read(
        lake_server.catalog_path,
        *(
            f"SELECT (SELECT count(*) FROM left_side AT (VERSION => {version})), "
            f"(SELECT count(*) FROM right_side AT (VERSION => {version}))"
            for version in range(first, last + 1)
        ),
    )
    pairs = [compare.python_rows(table)[0] for table in counts]
    assert pairs[0] == (0, 0) and pairs[-1] == (10, 10)
    assert all(left == right for left, right in pairs), pairs
