"""More rows than memory: streams go to segments before their commit, and the process stays small."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight

MIB = 1 << 20
BUFFER_BYTES = 64 * MIB
SETTINGS = {
    "QUIVER_WRITE_BUFFER__BYTES_MAX": str(BUFFER_BYTES),
    "QUIVER_WRITE_BUFFER__TENANT_BYTES_MAX": str(BUFFER_BYTES),
    "QUIVER_WRITE_BUFFER__FLUSH_BYTES": str(16 * MIB),
    "QUIVER_QUERY__MEMORY_BYTES_MAX": str(128 * MIB),
    "QUIVER_QUERY__TENANT_MEMORY_BYTES_MAX": str(128 * MIB),
}
ROWS = 16_384
SCHEMA = pa.schema([("id", pa.int64()), ("payload", pa.string())])
# About 100 bytes per row.
TEXT = pa.array(["x" * 20 + f"{row:072d}" for row in range(ROWS)])


def batches(first: int, count: int):
    """`count` batches of about 1.7 MB; ids from `first` on."""
    for number in range(count):
        start = first + number * ROWS
        ids = pa.array(range(start, start + ROWS), pa.int64())
        yield pa.record_batch([ids, TEXT], schema=SCHEMA)


def reader(first: int, count: int) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(SCHEMA, batches(first, count))


def peak_bytes(server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) << 10


def expected(first: int, count: int) -> list[tuple]:
    rows = count * ROWS
    return [(rows, rows, (2 * first + rows - 1) * rows // 2)]


SUMMARY = "SELECT count(*), count(DISTINCT id), sum(id) FROM t"


def files(server) -> list[Path]:
    data = server.data_dir / "tenants" / "default" / "data"
    return sorted(path for path in data.rglob("*") if path.is_file())


def wait_until(condition, what: str, seconds: float = 20.0) -> None:
    for _ in range(int(seconds * 20)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not so after {seconds} s: {what}")


@pytest.fixture
def small(make_server):
    """A server with little memory for rows."""
    return make_server(settings=SETTINGS).start()


def test_a_stream_of_many_times_the_memory(small):
    """Ten times the write buffer in one commit, and all of it back as one result."""
    count = 10 * BUFFER_BYTES // (ROWS * 104)
    with adbc.connect(small.uri) as connection:
        with connection.cursor() as cursor:
            assert cursor.adbc_ingest("t", reader(0, count), mode="create") == count * ROWS
        with Flight(small.uri) as client:
            assert client.rows(SUMMARY) == expected(0, count)
            snapshots = "SELECT count(DISTINCT begin_snapshot) FROM system.segments"
            assert client.scalar(snapshots) == 1, "one commit is one snapshot"
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM t")
            rows = sum(batch.num_rows for batch in cursor.fetch_record_batch())
    assert rows == count * ROWS
    assert peak_bytes(small) < 640 * MIB
    assert small.stop() == 0
    assert len(files(small)) > 1


def test_a_stream_that_breaks_off_leaves_no_files(small):
    with Flight(small.uri) as client:
        descriptor = fl.FlightDescriptor.for_path("t")
        options = client.options([("x-create", "true")], timeout=6.0)
        writer, _ = client.client.do_put(descriptor, SCHEMA, options)
        with pytest.raises(CLIENT_ERRORS), writer:
            for batch in batches(0, 60):
                writer.write_batch(batch)
            wait_until(lambda: files(small), "it has gone to disk", seconds=3)
            # The deadline cuts it off; to leave the block in time would be a proper end.
            time.sleep(7)
        with pytest.raises(CLIENT_ERRORS) as caught:
            client.rows("SELECT count(*) FROM t")
        assert_refused(caught.value, "NOT_FOUND")
        wait_until(lambda: not files(small), "its files are gone")
    assert small.stop() == 0


def test_what_a_crash_leaves_of_a_large_stream_is_removed(small):
    folder = small.data_dir / "tenants" / "default" / "data"
    with Flight(small.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT, payload VARCHAR)")
        writer, _ = client.client.do_put(fl.FlightDescriptor.for_path("t"), SCHEMA, client.options())
        for batch in batches(0, 60):
            writer.write_batch(batch)
        wait_until(lambda: list(folder.rglob("*.part")), "it has gone to disk")
        small.kill9()
        with pytest.raises(CLIENT_ERRORS):
            writer.close()
    small.start()
    with Flight(small.uri) as client:
        assert client.scalar("SELECT count(*) FROM t") == 0
        assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert small.stop() == 0


def test_a_start_needs_no_memory_for_what_is_in_segments(make_server):
    """An open stream keeps hundreds of megabytes in the log; the next start reads past them."""
    server = make_server(settings={**SETTINGS, "QUIVER_WAL__FILE_BYTES": str(32 * MIB)}).start()
    count, rounds = 12, 40
    sums = "SELECT count(*), max(id) + 1, sum(id) FROM t"
    with Flight(server.uri) as client, Flight(server.uri) as other:
        client.execute("CREATE TABLE t (id BIGINT, payload VARCHAR)")
        descriptor = fl.FlightDescriptor.for_path("t")
        writer, _ = other.client.do_put(descriptor, SCHEMA, other.options())
        for batch in batches(10_000_000, 1):
            writer.write_batch(batch)
        time.sleep(1)  # until the server has read the batch; the size of the log below tells
        for round_ in range(rounds):
            first = round_ * count * ROWS
            with client.client.do_put(descriptor, SCHEMA, client.options())[0] as put:
                for batch in batches(first, count):
                    put.write_batch(batch)
            # The last commits stay in the log alone.
            if round_ < rounds - 1:
                client.query("CALL system.flush()")
        assert client.rows(sums) == expected(0, rounds * count)
        log = sum(path.stat().st_size for path in (server.data_dir / "wal").iterdir())
        assert log > 640 * MIB, "the open stream keeps the log"
        server.kill9()
        with pytest.raises(CLIENT_ERRORS):
            writer.close()
    server.start()
    with Flight(server.uri) as client:
        assert peak_bytes(server) < 320 * MIB
        assert client.rows(sums) == expected(0, rounds * count)
    assert server.stop() == 0


def test_ten_large_streams_at_once(small):
    """They wait for each other's room; none is lost, and memory stays what it is."""
    count, failed = 30, []

    def send(number):
        try:
            with adbc.connect(small.uri) as connection, connection.cursor() as cursor:
                cursor.adbc_ingest("t", reader(number * count * ROWS, count), mode="create_append")
        except CLIENT_ERRORS as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in failed:
        assert_refused(error, "RESOURCE_EXHAUSTED")
    with Flight(small.uri) as client:
        ((rows, distinct, _),) = client.rows(SUMMARY)
        assert rows == distinct == (10 - len(failed)) * count * ROWS
    assert len(failed) < 10
    assert peak_bytes(small) < 900 * MIB
    assert small.stop() == 0


def test_a_transaction_sees_its_own_large_stream(small):
    with adbc.connect(small.uri, autocommit=False) as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("t", reader(0, 60), mode="create")
        assert adbc.rows(connection, SUMMARY) == expected(0, 60)
        where = f"WHERE id >= {7 * ROWS} AND id < {7 * ROWS + 10}"
        assert adbc.scalar(connection, f"SELECT count(*) FROM t {where}") == 10
        with Flight(small.uri) as client, pytest.raises(CLIENT_ERRORS):
            client.rows(SUMMARY)
        connection.rollback()
        assert files(small) == []
        with connection.cursor() as cursor:
            cursor.adbc_ingest("t", reader(0, 40), mode="create")
        connection.commit()
        assert adbc.rows(connection, SUMMARY) == expected(0, 40)
    small.kill9()
    small.start()
    with Flight(small.uri) as client:
        assert client.rows(SUMMARY) == expected(0, 40)
        more = "INSERT INTO t SELECT id + 10000000, payload FROM t"
        assert client.execute(more) == 40 * ROWS
        ((rows, distinct, _),) = client.rows(SUMMARY)
        assert rows == distinct == 80 * ROWS
    assert small.stop() == 0


def test_a_large_stream_is_as_safe_to_repeat(small):
    numbers = {"x-quiver-producer": "p", "x-quiver-sequence": "1"}
    for headers in ({"x-idempotency-key": "k"}, numbers):
        for _ in range(2):
            with adbc.connect(small.uri, headers=headers) as connection:
                with connection.cursor() as cursor:
                    cursor.adbc_ingest("t", reader(0, 40), mode="create_append")
        small.kill9()
        small.start()
    with Flight(small.uri) as client:
        assert client.scalar("SELECT count(*) FROM t") == 2 * 40 * ROWS
    assert small.stop() == 0
