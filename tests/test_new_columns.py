"""Ingests that may add the columns that their table lacks: one commit with the rows, or nothing."""

from __future__ import annotations

import random
import threading
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc, exact, flightsql, random_tables
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.quiet import client, duck, flush, server

ADD = {"x-quiver-add-columns": "true"}
INVALID, PRECONDITION = "INVALID_ARGUMENT", "FAILED_PRECONDITION"


def put(client: Flight, data: dict | pa.Table, table: str = "t", headers: dict | None = None, **options) -> int:
    data = data if isinstance(data, pa.Table) else pa.table(data)
    return client.put(table, data, list((ADD | (headers or {})).items()), **options)


def rows(client: Flight, sql: str = "SELECT * FROM t") -> list[tuple]:
    return sorted(client.rows(sql), key=repr)


def columns(client: Flight, table: str = "t") -> list[str]:
    return client.query(f"SELECT * FROM {table} LIMIT 0").column_names


@pytest.mark.parametrize("flushed", [False, True])
def test_new_columns_come_with_their_rows(server, client, duck, flushed):
    client.execute("CREATE TABLE t (id BIGINT, name VARCHAR DEFAULT 'nobody')")
    client.execute("INSERT INTO t VALUES (1, 'a')")
    before = flush(client) if flushed else None
    client.execute("INSERT INTO t VALUES (2, 'b')")
    assert put(client, {"id": [3, 4], "Score": [0.5, None], "tags": [["x"], []]}) == 2
    expected = [(1, "a", None, None), (2, "b", None, None), (3, "nobody", 0.5, ["x"]), (4, "nobody", None, [])]
    assert rows(client) == expected
    assert columns(client) == ["id", "name", "Score", "tags"]
    # Known by now, whatever their case: nothing is added.
    put(client, {"SCORE": [1.5], "ID": [5]})
    expected.append((5, "nobody", 1.5, None))
    assert rows(client) == expected and len(columns(client)) == 4
    server.kill9()
    server.start()
    with Flight(server.uri) as again:
        assert rows(again) == expected
        flush(again)
        assert rows(again) == expected
        if before is not None:
            assert rows(again, f"SELECT * FROM t AT (VERSION => {before})") == [(1, "a")]
    server.stop()
    with duck.attached(server.catalog_path):
        found = duck.query("SELECT * FROM t ORDER BY id")
    assert list(zip(*(column.to_pylist() for column in found.columns))) == expected


def test_without_being_told_to_none_is_added(client):
    client.execute("CREATE TABLE t (id BIGINT)")
    data = pa.table({"id": [1], "more": [2]})
    for headers in [[], [("x-quiver-add-columns", "false")]]:
        with pytest.raises(CLIENT_ERRORS) as caught:
            client.put("t", data, headers)
        assert_refused(caught.value, INVALID, mentions="x-quiver-add-columns")
    with pytest.raises(CLIENT_ERRORS) as caught:
        client.put("t", data, [("x-quiver-add-columns", "perhaps")])
    assert_refused(caught.value, INVALID, mentions="true or false")
    assert columns(client) == ["id"] and rows(client) == []


def test_fields_of_structs_wherever_they_are(client):
    inner = pa.struct([("a", pa.int64())])
    schema = pa.schema([("s", inner), ("l", pa.list_(inner)), ("m", pa.map_(pa.string(), inner))])
    client.put("t", pa.Table.from_pylist([{"s": {"a": 1}, "l": [{"a": 2}], "m": [("k", {"a": 3})]}], schema),
               [("x-create", "true")])
    flush(client)
    wide = pa.struct([("b", pa.string()), ("a", pa.int64()), ("deep", pa.struct([("c", pa.date32())]))])
    schema = pa.schema([("s", wide), ("l", pa.large_list(wide)), ("m", pa.map_(pa.string(), wide))])
    value = {"b": "x", "a": 4, "deep": {"c": None}}
    put(client, pa.Table.from_pylist([{"s": value, "l": [value, None], "m": [("k", value)]}], schema))
    old, new = client.query("SELECT * FROM t ORDER BY s['a']").to_pylist()
    none = {"b": None, "deep": None}
    assert old == {"s": {"a": 1, **none}, "l": [{"a": 2, **none}], "m": [("k", {"a": 3, **none})]}
    assert new == {"s": value, "l": [value, None], "m": [("k", value)]}


def test_stock_clients(server, client):
    client.execute("CREATE TABLE t (id BIGINT)")
    with adbc.connect(server.uri, headers=ADD) as connection:
        assert adbc.ingest(connection, "t", pa.table({"id": [1], "one": ["x"]}), mode="append") == 1
        assert adbc.ingest(connection, "t", pa.table({"two": [True]}), mode="create_append") == 1
        # A table that is not there is made, one that is replaced has the columns that come.
        assert adbc.ingest(connection, "fresh", pa.table({"id": [1]}), mode="create_append") == 1
        assert adbc.ingest(connection, "fresh", pa.table({"other": [1]}), mode="replace") == 1
    assert rows(client) == [(1, "x", None), (None, None, True)]
    assert columns(client, "fresh") == ["other"]


@pytest.mark.parametrize("data, mentions", [
    (pa.table({"id": [1], "bad": pa.array([None], pa.null())}), "bad"),
    (pa.table([[1], [2], [3]], names=["id", "new", "NEW"]), "NEW"),
    (pa.table({"id": [1], "": [2]}), "name"),
    (pa.table({"id": [1], "i": pa.array([pa.MonthDayNano([1, 2, 3])])}), "'i'"),
    (pa.table({"id": ["no number"], "more": [1]}), "id"),
    (pa.table({"more": [1]}), "id"),
])
def test_what_is_refused_changes_nothing(client, data, mentions):
    client.execute("CREATE TABLE t (id BIGINT NOT NULL)")
    with pytest.raises(CLIENT_ERRORS) as caught:
        put(client, data)
    assert_refused(caught.value, INVALID, "UNIMPLEMENTED", mentions=mentions)
    assert columns(client) == ["id"] and rows(client) == []


def test_an_upload_that_fails_half_way_adds_no_column(client):
    client.execute("CREATE TABLE t (id BIGINT NOT NULL)")
    data = pa.table({"id": pa.array([1, 2, None], pa.int64()), "more": [1, 2, 3]})
    with pytest.raises(CLIENT_ERRORS) as caught:
        put(client, data, rows_per_batch=1)
    assert_refused(caught.value, INVALID, mentions="row 3")
    assert columns(client) == ["id"] and rows(client) == []


def test_repetitions_count_once(client):
    client.execute("CREATE TABLE t (id BIGINT)")
    for n in range(3):
        put(client, {"id": [1], "more": [2]}, headers={"x-idempotency-key": "one"})
        assert client.response_header("x-duplicate") == (None if n == 0 else "true")
        put(client, {"id": [2], "other": [3]}, headers={"x-quiver-producer": "p", "x-quiver-sequence": "1"})
    assert rows(client) == [(1, 2, None), (2, None, 3)]


def test_a_key_of_no_rows_is_not_that_of_some(client):
    client.execute("CREATE TABLE t (id BIGINT)")
    key = {"x-idempotency-key": "one"}
    assert put(client, pa.table({"id": pa.array([], pa.int64())}), headers=key) == 0
    with pytest.raises(CLIENT_ERRORS) as caught:
        put(client, {"id": [1, 2]}, headers=key)
    assert_refused(caught.value, "ALREADY_EXISTS", mentions="key")
    assert rows(client) == []


def test_two_uploads_of_one_transaction(client):
    """The later one alters the table under the rows of the first: it is refused, and the transaction
    goes on."""
    client.execute("CREATE TABLE t (id BIGINT)")
    transaction = client.begin()
    command = flightsql.ingest("t", "append", transaction_id=transaction)
    descriptor = fl.FlightDescriptor.for_command(command)
    wide = pa.table({"id": [1], "more": [2]})
    writer, reader = client.client.do_put(descriptor, wide.schema, client.options(ADD.items()))
    writer.write_table(wide)
    time.sleep(0.3)  # it has looked at the table
    client.put(command, pa.table({"id": [7]}))
    with pytest.raises(CLIENT_ERRORS) as caught:
        writer.done_writing()
        reader.read()
        writer.close()
    assert_refused(caught.value, "ABORTED", mentions="altered")
    select = client.command("CommandStatementQuery", query="SELECT * FROM t", transaction_id=transaction)
    assert select.to_pylist() == [{"id": 7}]
    client.end(transaction, commit=True)
    assert rows(client) == [(7,)]


def test_transactions(server, client):
    client.execute("CREATE TABLE t (id BIGINT)")
    client.execute("INSERT INTO t VALUES (0)")
    with adbc.connect(server.uri, headers=ADD, autocommit=False) as connection:
        adbc.ingest(connection, "t", pa.table({"id": [1], "more": [2]}), mode="append")
        assert sorted(adbc.rows(connection, "SELECT * FROM t"), key=repr) == [(0, None), (1, 2)]
        assert columns(client) == ["id"]
        connection.rollback()
        assert columns(client) == ["id"] and rows(client) == [(0,)]
        adbc.ingest(connection, "t", pa.table({"id": [1], "more": [2]}), mode="append")
        adbc.ingest(connection, "t", pa.table({"more": [3]}), mode="append")
        with pytest.raises(CLIENT_ERRORS) as caught:
            adbc.ingest(connection, "t", pa.table({"another": [3]}), mode="append")
        assert_refused(caught.value, PRECONDITION, "INTERNAL", mentions="changed rows of main.t")
        connection.commit()
    assert rows(client) == [(0, None), (1, 2), (None, 3)]


def test_many_loaders_at_once(server, client):
    """All bring a column that is new to everybody, and one of their own."""
    client.execute("CREATE TABLE t (id BIGINT)")
    flush(client)
    loaders, uploads = 6, 4
    failures = []

    def load(loader: int) -> None:
        try:
            with Flight(server.uri) as own:
                for upload in range(uploads):
                    id = loader * 100 + upload
                    own.put("t", pa.table({"id": [id, id], "shared": ["s", "s"], f"own_{loader}": [id, None],
                                           f"batch_{upload}": [True, True]}), list(ADD.items()), rows_per_batch=1)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=load, args=[loader]) for loader in range(loaders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures or all("repeat" in str(e) or "concurrent" in str(e) for e in failures), failures
    assert not failures, failures
    assert client.scalar("SELECT count(*) FROM t") == loaders * uploads * 2
    names = ["id", "shared", *(f"own_{n}" for n in range(loaders)), *(f"batch_{n}" for n in range(uploads))]
    assert sorted(columns(client)) == sorted(names)
    for loader in range(loaders):
        own = [(loader * 100 + upload,) for upload in range(uploads)]
        assert rows(client, f"SELECT id FROM t WHERE own_{loader} IS NOT NULL") == own
        assert rows(client, f"SELECT own_{loader} FROM t WHERE own_{loader} IS NOT NULL") == own


def test_beside_columns_that_come_and_go(server, client):
    """Large uploads, in segments before they commit, race with ALTER: all of their rows under the names
    that they had, or none."""
    client.execute("CREATE TABLE t (id BIGINT)")
    stop = threading.Event()
    lost = []

    def alter() -> None:
        with Flight(server.uri) as own:
            while not stop.is_set():
                own.execute("ALTER TABLE t ADD COLUMN passing VARCHAR DEFAULT 'there'")
                own.execute("ALTER TABLE t DROP COLUMN passing")

    thread = threading.Thread(target=alter)
    thread.start()
    kept = []
    try:
        for upload in range(12):
            data = pa.table({"id": [upload] * 500, f"c{upload}": [upload] * 500, "common": [upload] * 500})
            try:
                assert put(client, data, rows_per_batch=100) == 500
                kept.append(upload)
            except CLIENT_ERRORS as error:
                assert_refused(error, "ABORTED", "CANCELLED", mentions="concurrent")
                lost.append(upload)
    finally:
        stop.set()
        thread.join()
    assert kept, "all lost"
    assert rows(client, "SELECT id, count(*) FROM t GROUP BY id") == sorted([(n, 500) for n in kept], key=repr)
    for upload in kept:
        assert rows(client, f"SELECT DISTINCT id, c{upload}, common FROM t WHERE c{upload} IS NOT NULL"
                    ) == [(upload, upload, upload)]


@pytest.mark.parametrize("seed", range(4))
def test_as_if_all_columns_had_always_been_there(server, client, duck, seed):
    """Every type, in memory and in segments, compacted and after crashes; read by DuckDB as well."""
    rng = random.Random(seed)
    client.execute("CREATE TABLE t (id BIGINT)")
    uploads = []
    for step in range(18):
        kinds = rng.sample(random_tables.KINDS, rng.randint(0, 4))
        columns = tuple(random_tables.Column(f"c_{kind.name}", kind) for kind in kinds)
        ids = list(range(step * 100, step * 100 + rng.randint(1, 20)))
        uploads.append(random_tables.Table("t", columns).rows(rng, ids))
        put(client, uploads[-1], rows_per_batch=rng.randint(1, 20))
        match rng.randrange(8):
            case 0 | 1:
                flush(client)
            case 2:
                client.query("CALL system.compact('t')")
            case 3:
                client.close()
                server.kill9()
                server.start()
                client = Flight(server.uri)
    expected = pa.concat_tables(uploads, promote_options="default")
    found = client.query("SELECT * FROM t")
    assert sorted(found.column_names) == sorted(expected.column_names)
    ours, expected = exact.rows_of(found.select(expected.column_names)), exact.rows_of(expected)
    assert ours == expected, exact.difference(ours, expected)
    flush(client)
    with duck.attached(server.catalog_path):
        theirs = exact.rows_of(duck.query("SELECT * FROM t").select(found.column_names))
    ours = exact.rows_of(client.query("SELECT * FROM t"))
    assert ours == theirs, exact.difference(ours, theirs)
    client.close()
