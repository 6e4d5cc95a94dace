"""The flights out of New York City: nulls, strings, timestamps, and SQL of every kind."""

from __future__ import annotations

import pyarrow as pa
import pytest

from quiver_testing import adbc, compare, queries
from quiver_testing.data import FLIGHTS_TABLES

QUERIES = queries.load("flights.sql")
SCHEMA = "nyc"


@pytest.fixture(scope="module")
def expected(flights_files):
    yield from queries.duckdb_answers(flights_files)


@pytest.fixture(scope="module")
def loaded(shared_server, client, flights_tables, flights_files) -> str:
    """Each table by another way: all of them have to cope with nulls and dictionaries."""
    client.execute(f"CREATE SCHEMA {SCHEMA}")
    with adbc.connect(shared_server.uri, autocommit=False) as connection:
        for table in ("flights", "airlines"):
            data = flights_tables[table]
            assert adbc.ingest(connection, table, data, schema=SCHEMA) == data.num_rows
        connection.commit()
    for table in ("planes", "weather"):
        data = flights_tables[table]
        stored = client.put((SCHEMA, table), data, [("x-create", "true")], rows_per_batch=1000)
        assert stored == data.num_rows
    done = shared_server.run(
        "load", str(flights_files["airports"]), "--table", f"{SCHEMA}.airports"
    )
    assert done.returncode == 0, done.stderr
    return SCHEMA


@pytest.fixture(scope="module", params=("before_flush", "after_flush"))
def stage(request, loaded, client) -> str:
    if request.param == "after_flush":
        client.query("CALL system.flush()")
    return request.param


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_query_agrees_with_duckdb(query, loaded, stage, client, expected):
    ours = client.query(query.qualified(FLIGHTS_TABLES, loaded))
    compare.assert_same(ours, expected(query.sql), query.ordered_by)


@pytest.mark.parametrize("table", FLIGHTS_TABLES)
def test_rows_come_back_as_they_were_sent(table, loaded, stage, client, flights_tables):
    sent = flights_tables[table]
    got = client.query(f"SELECT * FROM {loaded}.{table}")
    assert got.schema.names == sent.schema.names
    for field in sent.schema:
        # A dictionary is a way to send strings, not a type to keep.
        kind = pa.string() if pa.types.is_dictionary(field.type) else field.type
        assert got.schema.field(field.name).type == kind, field.name
    assert_same_multiset(got, sent)


def assert_same_multiset(got: pa.Table, sent: pa.Table) -> None:
    """Equal as bags of rows, compared column-wise in Arrow: the table is too large for Python."""
    plain = pa.schema([
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
        for field in sent.schema
    ])
    keys = [(name, "ascending") for name in plain.names]
    got, sent = got.cast(plain).sort_by(keys), sent.cast(plain).sort_by(keys)
    assert got.equals(sent)


def test_nulls_are_counted_not_dropped(loaded, stage, client, flights_tables):
    columns = flights_tables["flights"].schema.names
    counts = ", ".join(f"count({column}) AS {column}" for column in columns)
    (row,) = client.query(f"SELECT {counts} FROM {loaded}.flights").to_pylist()
    for column in columns:
        data = flights_tables["flights"][column]
        assert row[column] == len(data) - data.null_count, column
