"""Rows coming in: the ingest modes, exactly-once, and uploads that end before they are complete."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.raw import Raw, descriptor, flight_data


@pytest.fixture
def table(flight, name) -> str:
    flight.execute(f"CREATE TABLE {name} (id BIGINT NOT NULL, payload VARCHAR)")
    flight.put(name, numbered(0, 100))
    return name


def test_ingest_modes(connection, flight, name):
    def total():
        return flight.scalar(f"SELECT count(*) FROM {name}")

    assert adbc.ingest(connection, name, numbered(0, 10), mode="create") == 10
    with pytest.raises(CLIENT_ERRORS) as caught:
        adbc.ingest(connection, name, numbered(0, 10), mode="create")
    assert_refused(caught.value, "ALREADY_EXISTS")
    assert adbc.ingest(connection, name, numbered(10, 5), mode="append") == 5
    assert total() == 15
    assert adbc.ingest(connection, name, numbered(15, 5), mode="create_append") == 5
    assert total() == 20
    other = pa.table({"different": ["x", "y"]})
    assert adbc.ingest(connection, name, other, mode="replace") == 2
    assert flight.query(f"SELECT * FROM {name}").to_pylist() == other.to_pylist()
    fresh = name + "_fresh"
    assert adbc.ingest(connection, fresh, numbered(0, 3), mode="create_append") == 3
    assert adbc.ingest(connection, fresh, numbered(0, 4), mode="replace") == 4


def test_replace_is_atomic_for_readers(flight, server, table):
    """While a table is replaced again and again, a reader sees one whole content or another."""
    stop, seen, problems = threading.Event(), set(), []

    def read():
        with Flight(server.uri) as reader:
            while not stop.is_set():
                try:
                    rows = reader.rows(f"SELECT count(*), count(DISTINCT payload) FROM {table}")
                    seen.add(rows[0])
                except CLIENT_ERRORS as error:
                    problems.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    with adbc.connect(server.uri) as connection:
        for size in (10, 2000, 37, 500):
            adbc.ingest(connection, table, numbered(0, size), mode="replace")
    stop.set()
    thread.join()
    assert not problems
    assert seen <= {(n, n) for n in (100, 10, 2000, 37, 500)}


def test_columns_are_matched_by_name(flight, table):
    swapped = numbered(1000, 5).select(["payload", "id"])
    assert flight.put(table, swapped) == 5
    assert flight.scalar(f"SELECT payload FROM {table} WHERE id = 1002") == "row 000000001002"


def test_values_of_many_encodings_become_canonical(flight, name):
    """Views, dictionaries and large types are ways to send a value, not types to keep."""
    texts = ["a", None, "a rather longer text than fits inline", "a"]
    table = pa.table({
        "view": pa.array(texts, pa.string_view()),
        "large": pa.array(texts, pa.large_string()),
        "dictionary": pa.array(texts).dictionary_encode(),
        "binary_view": pa.array([b"x", None, b"y" * 50, b""], pa.binary_view()),
        "large_list": pa.array([[1], None, [], [2, 3]], pa.large_list(pa.int32())),
        "fixed_list": pa.array([[1, 2], None, [3, 4], [5, 6]], pa.list_(pa.int32(), 2)),
    })
    flight.put(name, table, [("x-create", "true")])
    got = flight.query(f"SELECT * FROM {name}")
    assert got.to_pylist() == table.to_pylist()
    assert got.schema.field("view").type == pa.string()
    assert got.schema.field("large_list").type == pa.list_(pa.int32())
    flight.query("CALL system.flush()")
    assert flight.query(f"SELECT * FROM {name}").to_pylist() == table.to_pylist()


def test_run_end_encoding_is_undone_or_refused(flight, name):
    column = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 6], pa.int32()), ["x", None, "y"])
    table = pa.table({"id": range(6), "runs": column})
    try:
        flight.put(name, table, [("x-create", "true")])
    except CLIENT_ERRORS as error:
        assert_refused(error, "UNIMPLEMENTED", "INVALID_ARGUMENT", mentions="runs")
        return
    got = flight.query(f"SELECT runs FROM {name} ORDER BY id")
    assert got["runs"].to_pylist() == ["x", "x", None, "y", "y", "y"]
    assert got.schema.field("runs").type == pa.string()


def test_idempotency_key_counts_once(flight, table):
    headers = [("x-idempotency-key", f"order-{table}")]
    data = numbered(1000, 50)
    assert flight.put(table, data, headers) == 50
    assert flight.response_header("x-duplicate") is None
    assert flight.put(table, data, headers, rows_per_batch=7) == 50
    assert flight.response_header("x-duplicate") == "true"
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 150
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.put(table, numbered(2000, 50), headers)
    assert_refused(caught.value, "ALREADY_EXISTS")
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 150


def test_idempotency_key_survives_flush_and_crash(make_server):
    server = make_server().start()
    headers = [("x-idempotency-key", "one"), ("x-create", "true")]
    for step in range(4):
        with Flight(server.uri) as client:
            assert client.put("t", numbered(0, 50), headers) == 50
            assert client.scalar("SELECT count(*) FROM t") == 50
            if step == 1:
                client.query("CALL system.flush()")
        server.kill9()
        server.start()
    assert server.stop() == 0


def test_two_at_once_under_one_key_store_once(server, flight, table):
    headers = [("x-idempotency-key", f"race-{table}")]
    results = []

    def send():
        with Flight(server.uri) as client:
            results.append(client.put(table, numbered(1000, 5000), headers, rows_per_batch=100))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [5000] * 4
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 5100


def test_a_producer_numbers_its_batches(flight, table):
    """Exactly once by numbers, or a refusal that says so; never at least once in silence."""

    def put(sequence, first):
        headers = [
            ("x-quiver-producer", f"sensor-{table}"),
            ("x-quiver-epoch", "1"),
            ("x-quiver-sequence", str(sequence)),
        ]
        return flight.put(table, numbered(first, 10), headers)

    try:
        assert put(1, 1000) == 10
    except CLIENT_ERRORS as error:
        assert_refused(error, "UNIMPLEMENTED", mentions="x-quiver-producer")
        assert flight.scalar(f"SELECT count(*) FROM {table}") == 100
        return
    assert put(2, 2000) == 10
    assert put(2, 2000) == 10, "a repetition is acknowledged and not stored"
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 120


# Uploads that end early never commit.


def test_an_upload_cut_by_its_deadline_leaves_nothing(flight, table):
    """To the server the cut looks much like an end of stream: it must not be taken for one."""
    data = numbered(1000, 100)
    writer, _ = flight.client.do_put(
        fl.FlightDescriptor.for_path(table), data.schema, flight.options(timeout=1.0)
    )
    with pytest.raises(CLIENT_ERRORS):
        with writer:
            for batch in data.to_batches(max_chunksize=10):
                writer.write_batch(batch)
                time.sleep(0.25)
    assert_stays(flight, table, 100)


def messages(table: str, first: int, batches: int) -> list[bytes]:
    """The messages of an upload of `batches` batches of ten rows."""
    data = numbered(first, batches * 10)
    parts = data.to_batches(max_chunksize=10)
    return flight_data(descriptor(path=(table,)), data.schema, parts)


def test_an_upload_that_is_cancelled_leaves_nothing(server, flight, table):
    released = threading.Event()

    def slowly():
        yield from messages(table, 1000, 5)
        released.wait(10)

    with Raw(server.flight_port) as raw:
        call = raw.start_put(slowly())
        time.sleep(0.5)
        call.cancel()
        released.set()
        with pytest.raises(CLIENT_ERRORS):
            list(call)
    assert_stays(flight, table, 100)


def test_an_upload_whose_client_dies_leaves_nothing(server, flight, table):
    """The process is killed with half of the stream sent: the connection just ends."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from quiver_testing.data import numbered\n"
        "from quiver_testing.flight import Flight\n"
        "import pyarrow.flight as fl\n"
        "client = Flight(sys.argv[2]); data = numbered(1000, 5000)\n"
        "target = fl.FlightDescriptor.for_path(sys.argv[3])\n"
        "writer, _ = client.client.do_put(target, data.schema, client.options())\n"
        "for batch in data.to_batches(max_chunksize=100): writer.write_batch(batch)\n"
        "print('sent', flush=True); time.sleep(60)\n"
    )
    folder = str(Path(__file__).parent)
    command = [sys.executable, "-c", script, folder, server.uri, table]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout.readline().strip() == "sent"
        client.kill()
    assert_stays(flight, table, 100)


def test_an_upload_with_a_broken_last_batch_leaves_nothing(server, flight, table):
    sent = messages(table, 1000, 5)
    sent[-1] = sent[-1][: len(sent[-1]) // 2]
    with Raw(server.flight_port) as raw, pytest.raises(CLIENT_ERRORS):
        raw.do_put(sent)
    assert_stays(flight, table, 100)


def test_uploads_at_once_are_each_whole(server, flight, table):
    """Readers meanwhile see whole streams only: counts are multiples of a stream's rows."""
    counts, stop = set(), threading.Event()

    def write(number):
        with Flight(server.uri) as client:
            for step in range(5):
                first = (number * 5 + step + 1) * 1000
                assert client.put(table, numbered(first, 1000), rows_per_batch=50) == 1000

    def read():
        with Flight(server.uri) as client:
            while not stop.is_set():
                counts.add(client.scalar(f"SELECT count(*) FROM {table}"))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert all(count % 1000 == 100 for count in counts), sorted(counts)
    assert flight.scalar(f"SELECT count(DISTINCT id) FROM {table}") == 20_100


def test_progress_acks_only_when_asked_for(server, flight, table):
    """Stock clients take the first answer for the result: more than one would break them."""
    with Raw(server.flight_port) as raw:
        assert len(raw.do_put(messages(table, 1000, 5))) == 1
        try:
            asked = raw.do_put(messages(table, 2000, 5), [*raw.metadata, ("x-ack", "batch")])
        except CLIENT_ERRORS as error:
            assert_refused(error, "UNIMPLEMENTED", mentions="x-ack")
            assert flight.scalar(f"SELECT count(*) FROM {table}") == 150
            return
    assert len(asked) > 1
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 200


def assert_stays(flight: Flight, table: str, rows: int, seconds: float = 1.0) -> None:
    """The count is and remains `rows`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert flight.scalar(f"SELECT count(*) FROM {table}") == rows
        time.sleep(0.2)
