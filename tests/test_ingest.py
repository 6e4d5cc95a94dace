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

from quiver_testing import adbc, flightsql
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight, record_count
from quiver_testing.flightsql import FLIGHT
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


# Producers: exactly once by numbers.


class Producer:
    """Ten rows per number, into one table."""

    def __init__(self, client, table, name="sensor", headers=()):
        self.client, self.table, self.name, self.more = client, table, name, list(headers)

    def headers(self, sequence, epoch=None):
        numbers = [("x-quiver-producer", self.name), ("x-quiver-sequence", str(sequence))]
        return numbers + self.more + ([("x-quiver-epoch", str(epoch))] if epoch is not None else [])

    def put(self, sequence, epoch=None) -> bool:
        """Whether it was a repetition."""
        data = numbered(1000 * sequence, 10)
        assert self.client.put(self.table, data, self.headers(sequence, epoch)) == 10
        return self.client.response_header("x-duplicate") == "true"

    def refused(self, sequence, epoch=None, code="FAILED_PRECONDITION", mentions=""):
        with pytest.raises(CLIENT_ERRORS) as caught:
            self.put(sequence, epoch)
        assert_refused(caught.value, code, mentions=mentions)

    def place(self) -> list[tuple]:
        where = f"WHERE producer = '{self.name}' AND table_name = '{self.table}'"
        return self.client.rows(f"SELECT epoch, last_sequence FROM system.producers {where}")


def test_a_producer_numbers_its_batches(flight, table):
    producer = Producer(flight, table)
    assert producer.place() == []
    producer.refused(2, mentions="send 1 next")
    assert not producer.put(1)
    assert not producer.put(2)
    assert producer.put(2), "a repetition is acknowledged and not stored"
    assert producer.put(1)
    producer.refused(4, mentions="send 3 next")
    assert producer.place() == [(0, 2)]
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 120


def test_a_higher_epoch_fences_the_lower(flight, table):
    old, new = Producer(flight, table), Producer(flight, table)
    old.put(1, epoch=3)
    # The new instance repeats what the old one left in doubt, and that alone fences.
    assert new.put(1, epoch=4)
    assert new.place() == [(4, 1)]
    old.refused(2, epoch=3, mentions="another instance has taken over")
    old.refused(1, epoch=3)
    assert not new.put(2, epoch=4)
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 120


def test_producers_are_apart_by_name_and_table(flight, table):
    name = f"{table}_b"
    flight.execute(f"CREATE TABLE {name} (id BIGINT NOT NULL, payload VARCHAR)")
    for producer in (Producer(flight, table), Producer(flight, table, "other"), Producer(flight, name)):
        assert not producer.put(1)
    flight.execute(f"DROP TABLE {name}")
    flight.execute(f"CREATE TABLE {name} (id BIGINT NOT NULL, payload VARCHAR)")
    assert not Producer(flight, name).put(1), "a new table has no producers"


@pytest.mark.parametrize("headers", [
    [("x-quiver-producer", "p")],
    [("x-quiver-sequence", "1")],
    [("x-quiver-epoch", "1")],
    [("x-quiver-producer", "p"), ("x-quiver-sequence", "0")],
    [("x-quiver-producer", "p"), ("x-quiver-sequence", "-1")],
    [("x-quiver-producer", "p"), ("x-quiver-sequence", "one")],
    [("x-quiver-producer", ""), ("x-quiver-sequence", "1")],
    [("x-quiver-producer", "p" * 257), ("x-quiver-sequence", "1")],
    [("x-quiver-producer", "p"), ("x-quiver-sequence", "1"), ("x-quiver-epoch", "1.5")],
    [("x-quiver-producer", "p"), ("x-quiver-sequence", "1"), ("x-idempotency-key", "k")],
])
def test_numbers_that_no_producer_has(flight, table, headers):
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.put(table, numbered(1000, 10), headers)
    assert_refused(caught.value, "INVALID_ARGUMENT")
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 100


def test_sql_has_no_number(flight, table):
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.query(f"INSERT INTO {table} VALUES (1, 'x')", Producer(flight, table).headers(1))
    assert_refused(caught.value, "UNIMPLEMENTED", mentions="x-quiver-producer")


def test_a_producer_survives_flush_and_crash(make_server):
    server = make_server().start()
    for step in range(1, 6):
        with Flight(server.uri) as client:
            producer = Producer(client, "t", headers=[("x-create", "true")])
            assert step == 1 or producer.put(step - 1), "what came before the crash"
            assert not producer.put(step)
            if step % 2 == 0:
                client.query("CALL system.flush()")
            assert producer.place() == [(0, step)]
            assert client.scalar("SELECT count(*) FROM t") == 10 * step
        server.kill9()
        server.start()
    assert server.stop() == 0


def test_a_producer_in_a_transaction(flight, table):
    """Numbers count with the transaction, or not at all."""
    producer = Producer(flight, table)

    def stage(transaction, sequence):
        ingest = flightsql.ingest(table, "append", transaction_id=transaction)
        flight.put(ingest, numbered(1000 * sequence, 10), producer.headers(sequence))

    abandoned = flight.begin()
    stage(abandoned, 1)
    flight.end(abandoned, commit=False)
    assert producer.place() == []
    transaction = flight.begin()
    for sequence in (1, 2, 2, 3):
        stage(transaction, sequence)
    assert flight.response_header("x-duplicate") is None
    with pytest.raises(CLIENT_ERRORS) as caught:
        stage(transaction, 5)
    assert_refused(caught.value, "FAILED_PRECONDITION", mentions="send 4 next")
    flight.end(transaction, commit=True)
    assert producer.place() == [(0, 3)]
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 130


def test_adbc_as_a_producer(server, flight, table):
    headers = {"x-quiver-producer": "loader", "x-quiver-sequence": "1"}
    for _ in range(2):
        with adbc.connect(server.uri, headers=headers) as connection:
            adbc.ingest(connection, table, numbered(1000, 10), mode="append")
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 110


def test_two_instances_at_once_store_once(server, flight, table):
    results = []

    def send():
        with Flight(server.uri) as client:
            results.append([Producer(client, table).put(sequence) for sequence in range(1, 6)])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [sum(not repeated for repeated in column) for column in zip(*results, strict=True)]
    assert stored == [1] * 5
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 150


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


def counts_of(results: list[bytes]) -> list[int]:
    answers = [FLIGHT["PutResult"].FromString(result).app_metadata for result in results]
    return [flightsql.SQL["DoPutUpdateResult"].FromString(answer).record_count for answer in answers]


def test_progress_acks_only_when_asked_for(server, flight, table):
    """Stock clients take the first answer for the result: more than one would break them."""
    with Raw(server.flight_port) as raw:
        assert counts_of(raw.do_put(messages(table, 1000, 5))) == [50]
        asked = counts_of(raw.do_put(messages(table, 2000, 5), [*raw.metadata, ("x-ack", "batch")]))
        assert len(asked) > 1 and asked[-1] == 50 and asked == sorted(asked)
        assert set(asked) <= {10, 20, 30, 40, 50}
        with pytest.raises(CLIENT_ERRORS) as caught:
            raw.do_put(messages(table, 3000, 5), [*raw.metadata, ("x-ack", "row")])
        assert_refused(caught.value, "INVALID_ARGUMENT", mentions="x-ack")
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 200


def test_progress_is_told_while_the_upload_goes_on(server, flight, table):
    """What was received is not there yet, and a client that goes away then leaves nothing."""
    rows = pa.table({"id": range(5000, 5010), "payload": ["p"] * 10}, schema=flight.query(f"SELECT * FROM {table}").schema)
    options = flight.options([("x-ack", "batch")])
    writer, reader = flight.client.do_put(fl.FlightDescriptor.for_path(table), rows.schema, options)
    for sent in (10, 20, 30):
        writer.write_table(rows)
        assert record_count(reader.read()) == sent
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 100
    writer.done_writing()
    assert record_count(reader.read()) == 30
    assert reader.read() is None
    writer.close()
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 130


def test_a_refused_batch_ends_an_upload_with_progress(server, flight, table):
    options = flight.options([("x-ack", "batch")])
    rows = pa.table({"id": [1], "payload": ["p"]}, schema=flight.query(f"SELECT * FROM {table}").schema)
    writer, reader = flight.client.do_put(fl.FlightDescriptor.for_path("no_such_table"), rows.schema, options)
    assert reader.read() is None
    with pytest.raises(CLIENT_ERRORS) as caught:
        writer.close()
    assert_refused(caught.value, "NOT_FOUND")



def assert_stays(flight: Flight, table: str, rows: int, seconds: float = 1.0) -> None:
    """The count is and remains `rows`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert flight.scalar(f"SELECT count(*) FROM {table}") == rows
        time.sleep(0.2)


def test_constants_times_parameters_are_not_made_at_once(server, flight, name):
    """Many rows of VALUES, or long ones, for many rows of parameters: every row, in bounded memory."""
    flight.execute(f"CREATE TABLE {name} (a BIGINT, b VARCHAR)")
    text = "x" * 200_000
    with adbc.connect(server.uri) as connection, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {name} VALUES ($1, '{text}')", [(row,) for row in range(600)])
        connection.commit()
    summary = f"SELECT count(*), count(DISTINCT a), min(length(b)), max(length(b)) FROM {name}"
    assert flight.rows(summary) == [(600, 600, 200_000, 200_000)]
