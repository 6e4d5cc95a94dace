"""How long a catalog of many tables takes to be listed: by GetTables, by ADBC, and by JDBC as DBeaver asks.

    .venv/bin/python benches/metadata.py target/release/quiver --tables 10000

Makes the tables (four columns each, in one schema) by a connection, and asks a few times. The JDBC walk is
tests/java/MetadataWalk.java: catalogs, schemas, types, all tables twice, all columns of all tables, columns and keys of
one, and every question of DatabaseMetaData. Told are its calls alone, and the Java process from start to end.
Runs in the environment of the tests; the walk needs Java and Maven.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from quiver_testing import adbc, flightsql  # noqa: E402
from quiver_testing.flight import Flight  # noqa: E402
from quiver_testing.java import java, jdbc_driver, jdbc_url  # noqa: E402
from quiver_testing.server import Server  # noqa: E402

COLUMNS = "id BIGINT NOT NULL, name VARCHAR, at TIMESTAMP, price DECIMAL(10, 2)"


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options.binary, Path(folder)).start()
        try:
            measure(server, options.tables, options.rounds)
        finally:
            server.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def measure(server: Server, tables: int, rounds: int) -> None:
    print(f"{tables} tables, median of {rounds}, load {os.getloadavg()[0]:.1f}")
    made = make_tables(server, tables)
    print(f"CREATE TABLE: {1000 * made / tables:.1f} ms each, one after the other")
    with Flight(server.uri) as client, adbc.connect(server.uri) as connection:
        for with_schema in (False, True):
            command = flightsql.command("CommandGetTables", include_schema=with_schema)
            report(f"GetTables{' with schemas' if with_schema else ''}", rounds, lambda: client.read(client.info(command)))
        report("ADBC GetObjects, tables", rounds, lambda: connection.adbc_get_objects(depth="tables").read_all())
        report("ADBC GetObjects, columns", rounds, lambda: connection.adbc_get_objects(depth="all").read_all())
        count = "SELECT count(*) FROM information_schema.columns"
        report("information_schema.columns", rounds, lambda: client.query(count))
    walks = [walk(server) for _ in range(rounds)]
    calls, process = (statistics.median(seconds) for seconds in zip(*walks))
    print(f"JDBC walk: {calls:.2f} s in calls, {process:.2f} s as a process")


def make_tables(server: Server, tables: int) -> float:
    with Flight(server.uri) as client:
        begun = time.monotonic()
        for number in range(tables):
            client.execute(f"CREATE TABLE table_{number:05d} ({COLUMNS})")
        return time.monotonic() - begun


def report(name: str, rounds: int, work) -> None:
    seconds = []
    for _ in range(rounds):
        begun = time.monotonic()
        work()
        seconds.append(time.monotonic() - begun)
    print(f"{name}: {1000 * statistics.median(seconds):.0f} ms (first {1000 * seconds[0]:.0f})")


def walk(server: Server) -> tuple[float, float]:
    """Seconds in calls, and of the process."""
    begun = time.monotonic()
    source = TESTS / "java" / "MetadataWalk.java"
    done = java(jdbc_driver(), source, jdbc_url(server), server.user, server.password, "table_00000")
    process = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return sum(int(line[3]) for line in lines if line[0] == "walk") / 1000, process


if __name__ == "__main__":
    main()
