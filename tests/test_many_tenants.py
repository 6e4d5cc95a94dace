"""Many tenants in one process, and other programs at their catalogs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from quiver_testing import lake
from quiver_testing.data import numbered
from quiver_testing.flight import Flight
from quiver_testing.server import NO_TIMED_FLUSH

TENANTS = 300
CATALOGS_MAX = 128
SECRET = "a secret of many"

# Reads in one transaction, before and after it is told to, and then once more outside of it.
READER = lake.SCRIPT.split("for statement in")[0].replace(
    "json.load(sys.stdin)", "json.loads(sys.stdin.readline())"
) + r"""
(statement,) = request["statements"]
connection.execute("BEGIN")
print(connection.execute(statement).fetchone()[0], flush=True)
sys.stdin.readline()
print(connection.execute(statement).fetchone()[0], flush=True)
connection.execute("COMMIT")
print(connection.execute(statement).fetchone()[0], flush=True)
"""

# Holds the write lock of a catalog until it is told to give it back.
WRITER = r"""
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
"""


def open_catalogs(server) -> Counter:
    """Descriptors per catalog file that the server has open, side files counted with it."""
    found = Counter()
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue  # closed meanwhile
        if "/catalog.sqlite" in target:
            found[target.split("catalog.sqlite")[0]] += 1
    return found


def threads(server) -> list[str]:
    names = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except OSError:
            continue  # ended meanwhile
    return names


def resident_mb(server) -> float:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def side_files(server) -> list[Path]:
    return sorted(server.data_dir.glob("tenants/*/catalog.sqlite-*"))


def at_work(server, number: int, round: int) -> None:
    """One tenant's write, flush and read."""
    user = f"worker@many{number}"
    with Flight(server.uri, user, SECRET, login=False) as client:
        client.put("t", numbered(round * 10, 10), [("x-create", "true")])
        client.query("CALL system.flush()")
        total = (round + 1) * 10
        found = client.query("SELECT count(*) AS n, sum(id) AS s FROM t").to_pylist()
        assert found == [{"n": total, "s": total * (total - 1) // 2}]


# Hundreds of users are made and log in, and passwords are meant to be slow to check.
@pytest.mark.timeout(900)
def test_idle_tenants_hold_no_files_and_no_threads(make_server):
    server = make_server(settings=NO_TIMED_FLUSH).start()
    with Flight(server.uri) as admin:
        for number in range(TENANTS):
            admin.execute(f"CREATE TENANT many{number}")
            admin.execute(f"CREATE USER worker IN TENANT many{number} PASSWORD '{SECRET}'")
    others = len([name for name in threads(server) if "sqlx" not in name])
    resident = []
    for round in range(2):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: at_work(server, number, round), range(TENANTS)))
        resident.append(resident_mb(server))
        catalogs = open_catalogs(server)
        assert 0 < len(catalogs) <= CATALOGS_MAX
        assert sum(catalogs.values()) <= 3 * CATALOGS_MAX
        names = threads(server)
        # One of them serves the control catalog.
        assert len([name for name in names if "sqlx" in name]) <= CATALOGS_MAX + 1, names
        assert len([name for name in names if "sqlx" not in name]) <= others + 40, names
    print(f"resident {resident} MB after each round")
    assert resident[1] - resident[0] < 100, "a second round of the same costs next to nothing"
    assert server.stop() == 0, server.log()[-4000:]
    assert side_files(server) == []
    server.start()
    with Flight(server.uri, "worker@many7", SECRET) as client:
        assert client.scalar("SELECT count(*) FROM t") == 20


def test_a_stopped_server_leaves_whole_catalogs(make_server):
    server = make_server(settings=NO_TIMED_FLUSH).start()
    with Flight(server.uri) as client:
        client.put("t", numbered(0, 10), [("x-create", "true")])
        client.scalar("SELECT count(*) FROM system.snapshots")
        assert open_catalogs(server)
    assert server.stop() == 0, server.log()[-4000:]
    assert side_files(server) == []
    assert lake.scalar(server.catalog_path, "SELECT count(*) FROM t") == 10


@contextmanager
def told_later(*command: str):
    """A program that says a line when it is ready and goes on when it is told to."""
    process = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )
    try:
        yield process
        assert process.wait(60) == 0, process.stderr.read()[-3000:]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def say(process: subprocess.Popen, line: str = "") -> None:
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen) -> str:
    line = process.stdout.readline().strip()
    assert line, process.stderr.read()[-3000:]
    return line


def test_a_reader_that_stays_holds_nobody_up(make_server):
    """DuckDB keeps a read transaction open over flushes, new tables and a clean stop."""
    settings = {"QUIVER_WRITE_BUFFER__FLUSH_INTERVAL_MS": "500"}
    server = make_server(settings=settings).start()
    with Flight(server.uri) as client, told_later("-c", READER) as reader:
        client.put("t", numbered(0, 10), [("x-create", "true")])
        client.query("CALL system.flush()")
        request = f'{{"catalog": "{server.catalog_path}", '
        say(reader, request + '"statements": ["SELECT count(*) FROM t"]}')
        assert hear(reader) == "10"
        began = time.monotonic()
        for round in range(1, 40):
            client.put("t", numbered(round * 10, 10))
            if round % 4 == 0:
                client.query("CALL system.flush()")
                client.execute(f"CREATE TABLE made{round} (a BIGINT)")
                client.execute(f"DROP TABLE made{round}")
            time.sleep(0.05)
        assert time.monotonic() - began < 30
        assert client.scalar("SELECT count(*) FROM t") == 400
        client.query("CALL system.flush()")
        assert not [r for r in server.log_records() if r.get("level") in ("ERROR", "WARN")]
        say(reader)
        assert hear(reader) == "10", "a transaction reads one snapshot"
        assert hear(reader) == "400"
    with Flight(server.uri) as client, told_later("-c", READER) as reader:
        say(reader, request + '"statements": ["SELECT count(*) FROM t"]}')
        assert hear(reader) == "400"
        client.put("t", numbered(400, 10))
        assert server.stop() == 0, server.log()[-4000:]
        say(reader)
        assert [hear(reader), hear(reader)] == ["400", "410"]
    server.start()
    with Flight(server.uri) as client:
        assert client.scalar("SELECT count(*) FROM t") == 410


@pytest.mark.parametrize("change", ["CALL system.flush()", "CREATE TABLE u (a BIGINT)"])
def test_a_foreign_writer_is_waited_for_and_rows_are_not(make_server, change):
    """Some seconds under another program's write lock: what needs the catalog takes longer, and
    rows are acknowledged as ever."""
    server = make_server(settings=NO_TIMED_FLUSH).start()
    with Flight(server.uri) as client, Flight(server.uri) as other:
        client.put("t", numbered(0, 10), [("x-create", "true")])
        failed = []

        def wait_for_it():
            try:
                if change.startswith("CALL"):
                    other.query(change)
                else:
                    other.execute(change)
            except Exception as error:  # noqa: BLE001 - reported below
                failed.append(error)

        with told_later("-c", WRITER, str(server.catalog_path)) as writer:
            assert hear(writer) == "locked"
            waiting = threading.Thread(target=wait_for_it)
            waiting.start()
            slowest, until, round = 0.0, time.monotonic() + 7, 0
            while time.monotonic() < until:
                round += 1
                began = time.monotonic()
                client.put("t", numbered(round * 10, 10))
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.2)
            assert waiting.is_alive(), f"{change} did not need the catalog: {failed}"
            say(writer)
            waiting.join(30)
        assert not waiting.is_alive() and failed == []
        assert slowest < 2, f"an ingest took {slowest:.1f} s"
        assert client.scalar("SELECT count(*) FROM t") == (round + 1) * 10
