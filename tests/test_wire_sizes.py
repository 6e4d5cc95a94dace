"""How large messages may be: 64 MiB in, 4 MiB out unless a single row is larger, and what compression does to them."""

from __future__ import annotations

import random

import grpc
import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.flightsql import FLIGHT
from quiver_testing.raw import SERVICE, Raw

MIB = 1 << 20
DEFAULT_LIMIT = 4 * MIB
CELL = 100 * MIB


def messages_of(server, client: Flight, sql: str, headers=(), limit: int = DEFAULT_LIMIT) -> list[bytes]:
    """The messages of a result as they come over the wire, by a client that takes up to `limit` bytes of each."""
    ticket = client.info(sql.encode()).endpoints[0].ticket.serialize()
    options = [("grpc.max_receive_message_length", limit)]
    with Raw(server.flight_port) as raw, grpc.insecure_channel(f"127.0.0.1:{server.flight_port}", options) as channel:
        call = channel.unary_stream(SERVICE + "DoGet")(ticket, 120, [*raw.metadata, *headers])
        return list(call)


def rows_of(messages: list[bytes]) -> pa.Table:
    stream = bytearray()
    for message in messages:
        data = FLIGHT["FlightData"].FromString(message)
        head = data.data_header + b"\0" * (-len(data.data_header) % 8)
        stream += b"\xff\xff\xff\xff" + len(head).to_bytes(4, "little") + head + data.data_body
    return pa.ipc.open_stream(pa.py_buffer(bytes(stream))).read_all()


def put_one_message(client: Flight, table: str, batch: pa.RecordBatch) -> None:
    writer, _ = client.client.do_put(fl.FlightDescriptor.for_path(table), batch.schema, client.options([("x-create", "true")]))
    with writer:
        writer.write_batch(batch)


def test_a_message_of_64_mib_comes_in_and_goes_out_in_small_ones(server, flight, name):
    ids = pa.array(range(8 * MIB), pa.int64())
    batch = pa.record_batch({"id": ids})
    assert batch.nbytes == 64 * MIB
    put_one_message(flight, name, batch)
    for _ in ("memtable", "segment"):
        messages = messages_of(server, flight, f"SELECT id FROM {name}")
        assert max(map(len, messages)) <= DEFAULT_LIMIT
        got = rows_of(messages).column("id")
        assert len(got) == len(ids) and got.sort().combine_chunks().equals(ids)
        flight.query("CALL system.flush()")


@pytest.mark.parametrize("seed", range(6))
def test_no_message_is_larger_than_4_mib_unless_its_row_is(server, flight, name, seed):
    """Rows of very different widths, the wide ones side by side."""
    draw = random.Random(seed)
    widths = []
    while sum(widths) < 40 * MIB:
        widest = draw.choice([10, 1000, MIB // 2, 2 * MIB, 3 * MIB])
        widths += [draw.randint(0, widest) for _ in range(draw.randint(1, 8 if widest > 1000 else 3000))]
    text = pa.array(["x" * width for width in widths])
    nested = pa.array([[width] * (width % 7) for width in widths], pa.list_(pa.int64()))
    table = pa.table({"id": range(len(widths)), "text": text, "nested": nested})
    flight.put(name, table, [("x-create", "true")], rows_per_batch=draw.choice([1, 100, 100_000]))
    if seed % 2:
        flight.query("CALL system.flush()")
    messages = messages_of(server, flight, f"SELECT * FROM {name}")
    assert max(map(len, messages)) <= DEFAULT_LIMIT
    assert rows_of(messages).sort_by("id").equals(table.cast(rows_of(messages[:1]).schema))


NESTED = {
    "list": pa.array([[float(n)] * 200 for n in range(10_000)], pa.list_(pa.float64())),
    "vector": pa.array([[float(n)] * 256 for n in range(10_000)], pa.list_(pa.float32(), 256)),
    "map": pa.array([[(f"key {k}", "x" * 100) for k in range(10)] for _ in range(10_000)], pa.map_(pa.string(), pa.string())),
    "struct": pa.array([{"a": [n] * 200} for n in range(10_000)], pa.struct([("a", pa.list_(pa.int64()))])),
}


@pytest.mark.parametrize("kind", NESTED)
def test_nested_values_go_out_in_large_messages_too(server, flight, name, kind):
    table = pa.table({"c": NESTED[kind]})
    flight.put(name, table, [("x-create", "true")])
    for _ in ("memtable", "segment"):
        messages = messages_of(server, flight, f"SELECT * FROM {name}")
        assert max(map(len, messages)) <= DEFAULT_LIMIT
        assert len(messages) < 3 + table.nbytes / MIB, "small messages cost throughput"
        flight.query("CALL system.flush()")


def test_many_columns_stay_below_4_mib(server, flight, name):
    table = pa.table({f"c{n:04d}": pa.array([n, None, 3] * 300, pa.int32()) for n in range(3000)})
    flight.put(name, table, [("x-create", "true")])
    messages = messages_of(server, flight, f"SELECT * FROM {name}")
    assert max(map(len, messages)) <= DEFAULT_LIMIT
    assert rows_of(messages).equals(table)


def test_a_cell_of_100_mib_travels_both_ways(make_server):
    server = make_server().start()
    text, blob = "ä" + "x" * (CELL - 2), bytes(range(256)) * (CELL // 256)
    tables = {
        "texts": pa.table({"id": [1, 2], "cell": ["small", text]}),
        "blobs": pa.table({"id": [1, 2], "cell": pa.array([blob, b"small"], pa.binary())}),
    }
    limit = {"adbc.flight.sql.client_option.with_max_msg_size": str(256 * MIB)}
    with Flight(server.uri) as client:
        client.put("texts", tables["texts"], [("x-create", "true")])
        with adbc.connect(server.uri, **limit) as connection:
            adbc.ingest(connection, "blobs", tables["blobs"])
        for stage in ("memtable", "kill -9", "segment"):
            if stage == "kill -9":
                server.kill9()
                server.start()
            if stage == "segment":
                Flight(server.uri).query("CALL system.flush()")
            for name, table in tables.items():
                with Flight(server.uri) as reader:
                    assert reader.query(f"SELECT * FROM {name} ORDER BY id").equals(table), (stage, name)
                with adbc.connect(server.uri, **limit) as connection:
                    got = adbc.query(connection, f"SELECT cell FROM {name} ORDER BY id")
                    assert got.column("cell").to_pylist() == table.column("cell").to_pylist(), (stage, name)


def test_a_message_above_the_limit_is_refused_by_name(make_server):
    server = make_server(settings={"QUIVER_SERVER__MESSAGE_BYTES_MAX": str(8 * MIB)}).start()
    with Flight(server.uri) as client:
        with pytest.raises(CLIENT_ERRORS) as caught:
            client.put("t", pa.table({"cell": ["x" * (9 * MIB)]}), [("x-create", "true")])
        assert_refused(caught.value, "INVALID_ARGUMENT", mentions="send smaller batches")
        client.put("t", pa.table({"cell": ["x" * (7 * MIB)]}), [("x-create", "true")])
        assert client.scalar("SELECT count(*) FROM t") == 1


def test_a_row_that_no_message_can_hold_is_refused_by_name(make_server):
    server = make_server().start()
    with Flight(server.uri) as client:
        with pytest.raises(CLIENT_ERRORS) as caught:
            client.query("SELECT arrow_cast(NULL, 'FixedSizeBinary(2147483647)') AS cell")
        assert_refused(caught.value, "FAILED_PRECONDITION", mentions="select fewer columns")
        assert client.scalar("SELECT 1") == 1


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_bodies_are_compressed_for_who_asks(server, flight, name, codec):
    table = pa.table({"id": range(200_000), "word": ["the same word again"] * 200_000})
    flight.put(name, table, [("x-create", "true")])
    sql = f"SELECT * FROM {name}"
    header = [("x-quiver-compression", codec)]
    plain, small = messages_of(server, flight, sql), messages_of(server, flight, sql, header)
    assert sum(map(len, small)) < sum(map(len, plain)) / 2
    assert rows_of(small).sort_by("id").equals(table)
    # A result that goes out at once, pyarrow, and ADBC.
    assert rows_of(messages_of(server, flight, "SELECT 'a' AS a", header)).to_pylist() == [{"a": "a"}]
    info = flight.info(sql.encode())
    assert flight.redeem(info.endpoints[0].ticket, header).sort_by("id").equals(table)
    option = {"adbc.flight.sql.rpc.call_header.x-quiver-compression": codec}
    with adbc.connect(server.uri, **option) as connection:
        assert adbc.query(connection, sql).sort_by("id").equals(table)


def test_an_unknown_codec_is_refused(flight):
    info = flight.info(b"SELECT 1")
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.redeem(info.endpoints[0].ticket, [("x-quiver-compression", "brotli")])
    assert_refused(caught.value, "INVALID_ARGUMENT", mentions="lz4")
