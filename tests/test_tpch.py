"""TPC-H at scale factor 0.1: in by three ways, all 22 queries answered as DuckDB answers them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quiver_testing import adbc, compare, queries
from quiver_testing.data import TPCH_TABLES
from quiver_testing.flight import Flight

QUERIES = queries.load("tpch.sql")
WAYS = ("adbc_ingest", "pyarrow_put", "quiver_load")


@pytest.fixture(scope="module")
def expected(tpch_files):
    yield from queries.duckdb_answers(tpch_files)


def load_by_adbc_ingest(server, table, path, schema):
    """As a stream of record batches: the file is not read into memory first."""
    with adbc.connect(server.uri) as connection, pq.ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=32768)
        reader = pa.RecordBatchReader.from_batches(file.schema_arrow, batches)
        return adbc.ingest(connection, table, reader, schema=schema)


def load_by_pyarrow_put(server, table, path, schema):
    with Flight(server.uri) as flight:
        return flight.put((schema, table), pq.read_table(path), headers=[("x-create", "true")])


def load_by_quiver_load(server, table, path, schema):
    done = server.run("load", str(path), "--table", f"{schema}.{table}")
    assert done.returncode == 0, done.stderr
    return pq.read_metadata(path).num_rows


@pytest.fixture(scope="module", params=WAYS)
def loaded(request, shared_server, client, tpch_files) -> str:
    """The schema that holds the eight tables, brought in the way it is named after."""
    schema = "tpch_" + request.param
    client.execute(f"CREATE SCHEMA {schema}")
    load = globals()["load_by_" + request.param]
    for table, path in tpch_files.items():
        rows = pq.read_metadata(path).num_rows
        assert load(shared_server, table, path, schema) == rows, table
        assert client.scalar(f"SELECT count(*) FROM {schema}.{table}") == rows
    return schema


@pytest.fixture(scope="module", params=("before_flush", "after_flush"))
def stage(request, loaded, client) -> str:
    """First the rows as they arrived, then as the segments that a flush made of them."""
    if request.param == "after_flush":
        client.query("CALL system.flush()")
        (files,) = client.rows(
            f"SELECT count(*), sum(record_count) FROM system.segments WHERE schema_name = '{loaded}'"
        )
        assert files[0] >= len(TPCH_TABLES)
    return request.param


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_query_agrees_with_duckdb(query, loaded, stage, client, expected):
    ours = client.query(query.qualified(TPCH_TABLES, loaded))
    compare.assert_same(ours, expected(query.sql), query.ordered_by)


@pytest.mark.parametrize("table", TPCH_TABLES)
def test_rows_come_back_as_they_were_sent(table, loaded, stage, client, tpch_files):
    sent = pq.read_table(tpch_files[table])
    got = client.query(f"SELECT * FROM {loaded}.{table}")
    assert got.schema.names == sent.schema.names
    assert got.schema.types == [plain(kind) for kind in sent.schema.types]
    sent = sent.cast(got.schema)
    keys = [(name, "ascending") for name in sent.schema.names[:4]]
    assert got.sort_by(keys).equals(sent.sort_by(keys))


def plain(kind: pa.DataType) -> pa.DataType:
    """A view is a way to send strings, not a type to keep."""
    return pa.string() if pa.types.is_string_view(kind) else kind


def test_queries_through_adbc(loaded, stage, shared_server, expected):
    """The same answers through the stock driver: prepared, by the query path."""
    with adbc.connect(shared_server.uri) as connection:
        for query in QUERIES:
            ours = adbc.query(connection, query.qualified(TPCH_TABLES, loaded))
            compare.assert_same(ours, expected(query.sql), query.ordered_by)
