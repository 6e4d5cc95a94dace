"""Clients that are killed, cancelled and timed out in the middle of calls: nothing half done, and nothing left behind."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing.cut import CutWire
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS
from quiver_testing.flight import Flight
from quiver_testing.raw import Raw, descriptor, flight_data
from quiver_testing.server import NO_TIMED_FLUSH

SEED = int(os.environ.get("QUIVER_SEED", "1"))
ROUNDS = int(os.environ.get("QUIVER_CHAOS_ROUNDS", "1000"))
ROWS_MAX = 20_000
BIG_ROWS = 200_000
HELD = {
    "quiver_active_calls", "quiver_active_streams", "quiver_connections", "quiver_transactions",
    "quiver_uncommitted_bytes", "quiver_tickets", "quiver_ticket_bytes", "quiver_prepared_statements",
}
# What clients leave is given up soon, so that the test can see it go.
SOON = {
    "QUIVER_SESSION__STATEMENT_TTL_MS": "2000",
    "QUIVER_SESSION__TRANSACTION_TIMEOUT_MS": "2000",
    # A transaction that wrote nothing lives as long as a login.
    "QUIVER_AUTH__TOKEN_TTL_S": "4",
}


class Chaos:
    """One server, and clients that each do one thing and may not live to see its end."""

    def __init__(self, server, seed: int):
        self.server = server
        self.random = random.Random(seed)
        # By number: how many rows were sent, and whether the server said that they are stored.
        self.sent: dict[int, tuple[str, int, bool]] = {}
        self.ended: dict[str, int] = {}

    def round(self, number: int) -> None:
        wire = CutWire(self.server.flight_port)
        kind = self.random.choice(("put", "put", "get", "transaction"))
        end = self.random.choice(("killed", "killed", "cancelled", "timed out", "lives"))
        timeout = self.random.uniform(0.0005, 0.03) if end == "timed out" else None
        try:
            with Flight(wire.uri) as client:
                if end == "killed":
                    # Small numbers end in the first messages, large ones in the middle of the rows.
                    wire.cut_after(int(10 ** self.random.uniform(2, 6.5)))
                getattr(self, kind)(client, number, end, timeout)
                outcome = "done"
        except (*CLIENT_ERRORS, pa.ArrowException, OSError):
            outcome = "failed"
        wire.close()
        assert outcome == "done" or end != "lives", f"{kind} failed without a reason"
        how = f"{kind} {end}: {outcome}"
        self.ended[how] = self.ended.get(how, 0) + 1

    def rows(self) -> int:
        return self.random.randint(1, ROWS_MAX)

    def put(self, client: Flight, number: int, end: str, timeout) -> None:
        count = self.rows()
        self.sent[number] = ("put", count, False)
        table = labelled(number, count)
        if end == "cancelled":
            self.cancelled_put(table, count)
            return
        options = client.options(timeout=timeout)
        writer, reader = client.client.do_put(
            fl.FlightDescriptor.for_path("chaos_a"), table.schema, options
        )
        for batch in table.to_batches(max_chunksize=1 + count // 5):
            writer.write_batch(batch)
        writer.done_writing()
        answer = reader.read()
        writer.close()
        assert answer is not None, "a call that ended well has an answer"
        self.sent[number] = ("put", count, True)

    def cancelled_put(self, table: pa.Table, count: int) -> None:
        """pyarrow ends an upload well that it forgets, so that this one is made by hand."""
        batches = table.to_batches(max_chunksize=1 + count // 5)
        messages = flight_data(descriptor(path=("chaos_a",)), table.schema, batches)
        is_cancelled = threading.Event()

        def some():
            yield from messages[: self.random.randint(1, len(messages))]
            is_cancelled.wait(10)

        with Raw(self.server.flight_port) as raw:
            call = raw.start_put(some())
            time.sleep(self.random.uniform(0, 0.02))
            call.cancel()
            is_cancelled.set()

    def get(self, client: Flight, number: int, end: str, timeout) -> None:
        info = client.info(b"SELECT * FROM big")
        reader = client.client.do_get(info.endpoints[0].ticket, client.options(timeout=timeout))
        rows = 0
        for chunk in reader:
            rows += chunk.data.num_rows
            if end == "cancelled" and self.random.random() < 0.3:
                reader.cancel()
        assert rows == BIG_ROWS or end == "cancelled", "a stream that ended early must not look whole"

    def transaction(self, client: Flight, number: int, end: str, timeout) -> None:
        count = self.random.randint(1, 200)
        self.sent[number] = ("both", count, False)
        transaction = client.begin()
        for table in ("chaos_a", "chaos_b"):
            sql = f"INSERT INTO {table} SELECT {number}, value FROM range(0, {count})"
            client.update("CommandStatementUpdate", query=sql, transaction_id=transaction)
            if end == "cancelled" and self.random.random() < 0.3:
                return
        client.end(transaction, commit=True)
        self.sent[number] = ("both", count, True)


def labelled(number: int, count: int) -> pa.Table:
    return pa.table({
        "number": pa.array([number] * count, pa.int64()),
        "value": pa.array(range(count), pa.int64()),
    })


def left_behind(server) -> dict[str, int]:
    """What a server holds for its clients."""
    folder = Path("/proc") / str(server.process.pid)
    gauges = {}
    for line in server.get("/metrics")[1].splitlines():
        name, _, value = line.rpartition(" ")
        if name in HELD:
            gauges[name] = int(float(value))
    assert set(gauges) == HELD
    gauges["files"] = len(list((folder / "fd").iterdir()))
    return gauges


@pytest.mark.timeout(600)
def test_nothing_is_half_done_and_nothing_is_left(make_server):
    server = make_server(settings={**NO_TIMED_FLUSH, **SOON}).start()
    with Flight(server.uri, login=False) as steady:
        for table in ("chaos_a", "chaos_b"):
            steady.execute(f"CREATE TABLE {table} (number BIGINT, value BIGINT)")
        steady.put("big", numbered(0, BIG_ROWS), [("x-create", "true")])
        steady.query("SELECT * FROM big LIMIT 1")
        before = left_behind(server)
        chaos = Chaos(server, SEED)
        for number in range(ROUNDS):
            chaos.round(number)
        print(chaos.ended)
        assert len(chaos.ended) >= 10, f"a round of each kind: {chaos.ended}"
        found = {
            table: dict(steady.rows(f"SELECT number, count(*) FROM {table} GROUP BY number"))
            for table in ("chaos_a", "chaos_b")
        }
        for number, (kind, count, acknowledged) in chaos.sent.items():
            tables = ("chaos_a", "chaos_b") if kind == "both" else ("chaos_a",)
            counts = {found[table].get(number, 0) for table in tables}
            assert len(counts) == 1, f"seed {SEED}, {number}: half a transaction: {counts}"
            assert counts <= {0, count}, f"seed {SEED}, {number}: {counts} of {count} rows"
            assert not acknowledged or counts == {count}, f"seed {SEED}, {number}: acknowledged, but gone"
        deadline = time.monotonic() + 30
        while not is_clean(after := left_behind(server), before) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert is_clean(after, before), (before, after)


def is_clean(after: dict[str, int], before: dict[str, int]) -> bool:
    """Whether nothing more is held than before. Files of the log and of the catalog may be fewer."""
    return all(after[name] <= before[name] for name in before)
