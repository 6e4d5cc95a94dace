"""Prepared statements by the thousand, closed or abandoned: what they take is given back."""

from __future__ import annotations

import concurrent.futures
import time
from pathlib import Path

import pytest

from quiver_testing.flight import Flight
from quiver_testing.server import NO_TIMED_FLUSH

CONNECTIONS = 100
STATEMENTS = 1000
SETTINGS = {
    **NO_TIMED_FLUSH,
    # What nobody closes is forgotten soon, so that the test can see it go.
    "QUIVER_SESSION__IDLE_TIMEOUT_MS": "5000",
    "QUIVER_SESSION__STATEMENT_TTL_MS": "2000",
}
# With the connection of the test itself.
IDLE = {"quiver_prepared_statements": 0, "quiver_prepared_statement_bytes": 0, "quiver_connections": 1}


def gauges(server) -> dict[str, int]:
    found = {}
    for line in server.get("/metrics")[1].splitlines():
        name, _, value = line.rpartition(" ")
        if name in ("quiver_prepared_statements", "quiver_prepared_statement_bytes", "quiver_connections"):
            found[name] = int(float(value))
    return found


def resident_mib(server) -> float:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the process has no VmRSS")


def one_connection(uri: str, number: int) -> int:
    """Prepares its statements, uses the first, and closes them only if its number is even."""
    with Flight(uri) as client:
        for statement in range(STATEMENTS):
            prepared = client.prepare(f"SELECT id, payload, {statement % 50} AS n FROM few WHERE id > ?")
            if number % 2 == 0:
                client.close_prepared(prepared.prepared_statement_handle)
    return STATEMENTS


@pytest.mark.timeout(600)
def test_memory_is_back_where_it_was(make_server):
    server = make_server(settings=SETTINGS).start()
    with Flight(server.uri, login=False) as steady:
        steady.execute("CREATE TABLE few (id BIGINT, payload VARCHAR)")
        one_connection(server.uri, 0)
        resident = resident_mib(server)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = pool.map(one_connection, [server.uri] * CONNECTIONS, range(CONNECTIONS))
            most, prepared = 0, 0
            for count in done:
                prepared += count
                most = max(most, gauges(server)["quiver_prepared_statements"])
        assert prepared == CONNECTIONS * STATEMENTS
        assert most > STATEMENTS, "abandoned ones are kept for a while"
        deadline = time.monotonic() + 60
        while gauges(server) != IDLE and time.monotonic() < deadline:
            time.sleep(0.5)
        assert gauges(server) == IDLE
        # The allocator keeps some for later; 100,000 statements would take some hundred MiB.
        assert resident_mib(server) < resident + 64
        assert steady.query("SELECT count(*) FROM few").num_rows == 1
