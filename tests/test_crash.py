"""Pulling the plug: kill -9 at random moments under concurrent writers.

Every stream carries its number and each of its rows an id, so that after a restart the table itself
tells what became of each: an acknowledged stream must be there once, wholly; any other wholly or not
at all, and for good: what one recovery shows, the next may not take back.

QUIVER_CRASH_SEED replays a run's choices; QUIVER_CRASH_ROUNDS changes the number of rounds.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from quiver_testing import adbc
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.server import NO_TIMED_FLUSH

ROUNDS = int(os.environ.get("QUIVER_CRASH_ROUNDS", "30"))
SEED = int(os.environ.get("QUIVER_CRASH_SEED", random.SystemRandom().randrange(1_000_000)))
SCHEMA = pa.schema([
    pa.field("writer", pa.int64(), nullable=False),
    pa.field("stream", pa.int64(), nullable=False),
    pa.field("id", pa.int64(), nullable=False),
    pa.field("payload", pa.string()),
])
CREATE = (
    "CREATE TABLE ledger (writer BIGINT NOT NULL, stream BIGINT NOT NULL, id BIGINT NOT NULL, "
    "payload VARCHAR)"
)
# Flushes often, so that crashes fall into flushes and catalog commits too.
SETTINGS = {"QUIVER_WRITE_BUFFER__FLUSH_INTERVAL_MS": "400"}


def stream_rows(writer: int, stream: int, count: int) -> pa.Table:
    return pa.table(
        [
            pa.array([writer] * count, pa.int64()),
            pa.array([stream] * count, pa.int64()),
            pa.array(range(count), pa.int64()),
            pa.array([f"{writer}/{stream}/{n}" * 3 for n in range(count)]),
        ],
        schema=SCHEMA,
    )


@dataclass
class Writer:
    """One client that sends numbered streams until the server is gone."""

    number: int
    sent: dict[int, int] = field(default_factory=dict)  # stream -> rows, whatever became of it
    acknowledged: set[int] = field(default_factory=set)
    unexpected: list[str] = field(default_factory=list)
    next_stream: int = 0

    def run(self, uri: str, rng: random.Random, stop: threading.Event) -> None:
        try:
            with self.open(uri) as client:
                while not stop.is_set():
                    self.send_one(client, rng)
        except CLIENT_ERRORS as error:
            # The plug was pulled: the stream under way stays unacknowledged.
            if not stop.is_set():
                self.unexpected.append(f"{type(self).__name__}: {error}")

    def send_one(self, client, rng: random.Random) -> None:
        stream, count = self.next_stream, self.rows(rng)
        self.next_stream += 1
        self.sent[stream] = count
        self.send(client, stream, stream_rows(self.number, stream, count), rng)
        self.acknowledged.add(stream)

    def rows(self, rng: random.Random) -> int:
        return rng.choice([1, 10, 300, 4000])


class AdbcAutocommit(Writer):
    def open(self, uri):
        return adbc.connect(uri)

    def send(self, client, stream, rows, rng):
        assert adbc.ingest(client, "ledger", rows, mode="append") == rows.num_rows


class AdbcTransaction(Writer):
    """Several ingests in one transaction are one unit."""

    def open(self, uri):
        return adbc.connect(uri, autocommit=False)

    def send(self, client, stream, rows, rng):
        cut = rng.randrange(rows.num_rows + 1)
        for part in (rows.slice(0, cut), rows.slice(cut)):
            if part.num_rows:
                adbc.ingest(client, "ledger", part, mode="append")
        client.commit()


class PyarrowStream(Writer):
    """One DoPut of many small batches."""

    def open(self, uri):
        return Flight(uri)

    def send(self, client, stream, rows, rng):
        stored = client.put("ledger", rows, rows_per_batch=max(1, rows.num_rows // 20))
        assert stored == rows.num_rows


class SqlInsert(Writer):
    def open(self, uri):
        return Flight(uri)

    def rows(self, rng):
        return rng.randint(1, 40)

    def send(self, client, stream, rows, rng):
        values = ", ".join(
            f"({r['writer']}, {r['stream']}, {r['id']}, '{r['payload']}')" for r in rows.to_pylist()
        )
        assert client.execute(f"INSERT INTO ledger VALUES {values}") == rows.num_rows


class IdempotentRetry(Writer):
    """Sends what was not acknowledged again under the same key, until it is."""

    def open(self, uri):
        return Flight(uri)

    def send_one(self, client, rng):
        for stream in sorted(set(self.sent) - self.acknowledged):
            self.resend(client, stream, rng)
        stream, count = self.next_stream, self.rows(rng)
        self.next_stream += 1
        self.sent[stream] = count
        self.resend(client, stream, rng)

    def resend(self, client, stream, rng):
        rows = stream_rows(self.number, stream, self.sent[stream])
        headers = [("x-idempotency-key", f"writer-{self.number}-stream-{stream}")]
        # Cut into other batches than last time: the key stands for the rows, not for their framing.
        size = rng.randint(1, max(1, rows.num_rows))
        assert client.put("ledger", rows, headers, rows_per_batch=size) == rows.num_rows
        self.acknowledged.add(stream)


class Ledger:
    """What the table must hold, checked against what it holds."""

    def __init__(self, writers: list[Writer]):
        self.writers = writers
        self.settled: dict[tuple[int, int], bool] = {}  # unacknowledged streams: there or not

    def check(self, client: Flight) -> int:
        """Asserts every promise; the number of rows seen."""
        found = {
            (writer, stream): numbers
            for writer, stream, *numbers in client.rows(
                "SELECT writer, stream, count(*), count(DISTINCT id), min(id), max(id), "
                "count(payload) FROM ledger GROUP BY writer, stream"
            )
        }
        for writer in self.writers:
            for stream, count in writer.sent.items():
                present = found.pop((writer.number, stream), None)
                self.check_stream(writer, stream, count, present)
        assert not found, f"rows nobody sent: {sorted(found)[:10]}"
        return sum(w.sent[s] for w in self.writers for s in w.sent if self.is_there(w, s))

    def check_stream(self, writer: Writer, stream: int, count: int, present) -> None:
        key = (writer.number, stream)
        what = f"stream {stream} of {type(writer).__name__} {writer.number} ({count} rows)"
        if present is not None:
            assert present == [count, count, 0, count - 1, count], f"{what}: {present}"
        if stream in writer.acknowledged:
            assert present is not None, f"{what} was acknowledged and is lost"
            return
        if isinstance(writer, IdempotentRetry):
            return  # may appear later: it is sent again
        was_there = self.settled.setdefault(key, present is not None)
        assert was_there == (present is not None), f"{what} changed after it was recovered"

    def is_there(self, writer: Writer, stream: int) -> bool:
        return stream in writer.acknowledged or self.settled.get((writer.number, stream), False)


def make_writers() -> list[Writer]:
    kinds = [
        AdbcAutocommit, AdbcTransaction, PyarrowStream, PyarrowStream, SqlInsert, IdempotentRetry,
    ]
    return [kind(number) for number, kind in enumerate(kinds)]


def run_writers(server, writers, rng: random.Random, seconds: float) -> None:
    """Lets all writers run and kills the server under them; sometimes in the middle of a flush."""
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=writer.run, args=(server.uri, random.Random(rng.random()), stop), daemon=True
        )
        for writer in writers
    ]
    if rng.random() < 0.5:
        threads.append(threading.Thread(target=flush, args=(server.uri, seconds), daemon=True))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    server.kill9()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a client hangs on a dead server"


def flush(uri: str, seconds: float) -> None:
    try:
        with Flight(uri) as client:
            time.sleep(seconds * 0.8)
            client.query("CALL system.flush()")
    except CLIENT_ERRORS:
        pass  # that is what the test is about


def kill_during_recovery(server, rng: random.Random) -> None:
    """Starts the server and kills it before it is ready."""
    waiter = threading.Thread(target=start_quietly, args=(server,), daemon=True)
    waiter.start()
    time.sleep(rng.uniform(0.0, 0.3))
    if server.process is not None:
        server.process.kill()
    waiter.join(60)
    if server.process is not None:
        server.kill9()


def start_quietly(server) -> None:
    try:
        server.start()
    except AssertionError:
        pass  # killed before it was ready


@pytest.mark.timeout(600)
def test_thirty_plugs_pulled(make_server):
    print(f"QUIVER_CRASH_SEED={SEED}")
    rng = random.Random(SEED)
    server = make_server(settings=SETTINGS).start()
    with Flight(server.uri) as client:
        client.execute(CREATE)
    writers = make_writers()
    ledger = Ledger(writers)
    recovered_any = False
    for round_number in range(ROUNDS):
        run_writers(server, writers, rng, rng.uniform(0.1, 1.2))
        for writer in writers:
            assert not writer.unexpected, f"round {round_number}: {writer.unexpected}"
        if rng.random() < 0.2:
            kill_during_recovery(server, rng)
        server.start()
        recovered_any |= has_recovery_line(server.log())
        with Flight(server.uri) as client:
            rows = ledger.check(client)
        print(f"round {round_number}: {rows} rows, {streams(writers)}")
    assert recovered_any, "no recovery was logged with counts and MB/s"
    assert all(writer.acknowledged for writer in writers), streams(writers)
    check_at_rest(server, ledger)


def check_at_rest(server, ledger: Ledger) -> None:
    """After a flush, and after a clean restart, nothing has changed."""
    with Flight(server.uri) as client:
        client.query("CALL system.flush()")
        before = ledger.check(client)
    server.restart()
    with Flight(server.uri) as client:
        assert ledger.check(client) == before
    assert server.stop() == 0


def streams(writers) -> str:
    return ", ".join(f"{len(w.acknowledged)}/{len(w.sent)}" for w in writers)


def has_recovery_line(log: str) -> bool:
    """A line that says how much was recovered, in records and bytes, and how fast."""
    return any(
        re.search(r"recover", line, re.I)
        and re.search(r"mb_per_s|mib_per_s|MB/s|MiB/s", line, re.I)
        and len(re.findall(r"\d+", line)) >= 3
        for line in log.splitlines()
    )


def test_a_torn_tail_is_cut_and_the_rest_is_there(make_server):
    """The last bytes of the log overwritten, as after a power cut: the server starts without them."""
    server = make_server(settings=NO_TIMED_FLUSH).start()
    with Flight(server.uri) as client:
        client.execute(CREATE)
        for stream in range(3):
            client.put("ledger", stream_rows(1, stream, 100))
    server.kill9()
    wal_files = sorted((server.data_dir / "wal").iterdir(), key=lambda p: p.stat().st_mtime)
    newest = max(wal_files, key=lambda path: last_byte(path) and path.stat().st_mtime)
    end = last_byte(newest)
    with newest.open("r+b") as file:
        file.seek(end - 16)
        file.write(b"\xde\xad\xbe\xef" * 4)
    server.start()
    with Flight(server.uri) as client:
        found = client.rows("SELECT stream, count(*) FROM ledger GROUP BY stream ORDER BY stream")
    # The last stream may have been cut, as a whole; the ones before it may not.
    assert found[:2] == [(0, 100), (1, 100)]
    assert found[2:] in ([], [(2, 100)])
    assert server.stop() == 0


def last_byte(path) -> int:
    """The offset behind the last byte that is not zero: WAL files are zero-filled beforehand."""
    return len(path.read_bytes().rstrip(b"\0"))


def test_rows_of_an_open_transaction_are_gone(make_server):
    server = make_server().start()
    with Flight(server.uri) as client:
        client.execute(CREATE)
    with adbc.connect(server.uri, autocommit=False) as connection:
        adbc.ingest(connection, "ledger", stream_rows(1, 0, 50), mode="append")
        server.kill9()
        server.start()
        with pytest.raises(CLIENT_ERRORS):
            connection.commit()
    with Flight(server.uri) as client:
        assert client.scalar("SELECT count(*) FROM ledger") == 0


def test_what_lies_below_a_null_does_not_stop_the_flush(make_server):
    """A time that no segment can hold, below a NULL list: it is nobody's, in the log as well."""
    hidden = pa.array([2**62, 5], pa.timestamp("s"))
    offsets, mask = pa.array([0, 1, 2], pa.int32()), pa.array([True, False])
    times = pa.ListArray.from_arrays(offsets, hidden, mask=mask)
    server = make_server(settings=NO_TIMED_FLUSH).start()
    with adbc.connect(server.uri) as connection:
        adbc.ingest(connection, "nested", pa.table({"times": times}), mode="create")
    server.kill9()
    server.start()
    with Flight(server.uri) as client:
        client.execute("CALL system.flush()")
        assert client.scalar("SELECT count(*) FROM system.segments") == 1
        [(null,), (kept,)] = client.rows("SELECT times FROM nested ORDER BY times IS NOT NULL")
        assert null is None and [time.timestamp() for time in kept] == [5]
    assert server.stop() == 0


def test_a_corrupt_log_is_refused_not_guessed(make_server):
    """A bad frame in front of durable ones is no torn tail: start is refused, and says where."""
    server = make_server(settings=NO_TIMED_FLUSH).start()
    with Flight(server.uri) as client:
        client.execute(CREATE)
        for stream in range(5):
            client.put("ledger", stream_rows(1, stream, 1000))
        time.sleep(0.5)  # an idle log writes down how far it is durable
    server.kill9()
    newest = max((server.data_dir / "wal").iterdir(), key=last_byte)
    # In a row of the third stream: the padding between frames is no data and may be anything.
    place = newest.read_bytes().index(b"1/2/500")
    with newest.open("r+b") as file:
        file.seek(place)
        file.write(b"9")
    with pytest.raises(AssertionError, match="exited with"):
        server.start()
    log = server.log()
    assert newest.name in log and "--repair" in log, log[-2000:]


def test_a_missing_segment_is_lost_data_and_nothing_else(make_server):
    server = make_server().start()
    with Flight(server.uri) as client:
        for table in ("whole", "torn"):
            client.put(table, numbered(0, 100), [("x-create", "true")])
        client.query("CALL system.flush()")
        (segment,) = (server.data_dir / "tenants" / "default" / "data" / "main" / "torn").glob("*.parquet")
        segment.rename(segment.with_suffix(".away"))
        with pytest.raises(CLIENT_ERRORS) as caught:
            client.query("SELECT sum(id) FROM torn")
        assert_refused(caught.value, "DATA_LOSS", mentions=segment.name)
        assert client.scalar("SELECT sum(id) FROM whole") == 4950
        segment.with_suffix(".away").rename(segment)
        assert client.scalar("SELECT sum(id) FROM torn") == 4950
    assert server.stop() == 0
