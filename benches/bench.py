"""Quiver beside its peers, all in one run on this machine: `make bench`.

Every peer is started on loopback with an empty folder, measured through a stock client, and stopped before
the next one starts. Each figure is the median of several rounds; the ceiling (pyarrow's own Flight server)
is measured before and after everything else, because a machine's mood changes. Results go to
benches/results/: a table, the numbers as JSON, and a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow as pa
import pyarrow.flight as fl

import measure
from report import write_report
from servers import Postgres, Quack, Quiver, RawFlight, Roapi, Sail, tool
from tables import BATCH_ROWS, for_postgres, make_tpch, read_lineitem

HERE = Path(__file__).resolve().parent
QUERIES = HERE.parent / "tests" / "queries" / "tpch.sql"
INSERT_SECONDS = 4.0
CONNECTIONS = (1, 2, 4, 8)
# Nothing is flushed behind a measurement's back.
NO_TIMED_FLUSH = {"WRITE_BUFFER__FLUSH_INTERVAL_MS": "3600000", "WRITE_BUFFER__FLUSH_BYTES": str(3 << 30)}


class Bench:
    """One run: what it measures with, and what it has measured."""

    def __init__(self, arguments: argparse.Namespace, folder: Path):
        self.rounds = arguments.rounds
        self.binary = arguments.binary.resolve()
        self.folder = folder
        self.scale = arguments.scale
        self.files = make_tpch(arguments.data, arguments.scale, tool("tpchgen-cli"))
        self.lineitem = read_lineitem(self.files["lineitem"])
        self.order_key = self.lineitem.column("l_orderkey")[self.lineitem.num_rows // 2].as_py()
        self.results: dict[str, dict[str, dict]] = {}

    def note(self, work: str, peer: str, **figures) -> None:
        self.results.setdefault(work, {})[peer] = figures
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if isinstance(value, float))
        print(f"   {work} | {peer}: {shown}", flush=True)

    def note_stream(self, work: str, peer: str, timing: measure.Timing, **more) -> None:
        self.note(
            work, peer, seconds=timing.median, mb_per_s=self.lineitem.nbytes / 1e6 / timing.median,
            million_rows_per_s=timing.rows / 1e6 / timing.median,
            spread=max(timing.seconds) / min(timing.seconds), **more,
        )

    def batches(self):
        return self.lineitem.to_reader(max_chunksize=BATCH_ROWS)

    # The ceiling.

    def raw_flight(self, when: str) -> None:
        with RawFlight(self.folder, self.files["lineitem"]) as server:
            client = fl.connect(server.uri)

            def put():
                descriptor = fl.FlightDescriptor.for_path("x")
                writer, _ = client.do_put(descriptor, self.lineitem.schema)
                for batch in self.batches():
                    writer.write_batch(batch)
                writer.done_writing()
                writer.close()
                return self.lineitem.num_rows, self.lineitem.nbytes

            def get():
                return measure.drain(chunk.data for chunk in client.do_get(fl.Ticket(b"x")))

            name = f"{server.name} ({when})"
            self.note_stream("ingest, acknowledged", name, measure.rounds(self.rounds, put))
            self.note_stream("select *", name, measure.rounds(self.rounds, get))
            client.close()

    # Quiver.

    def quiver(self) -> None:
        with Quiver(self.folder, self.binary, **NO_TIMED_FLUSH) as server:
            with connect(server) as connection, connection.cursor() as cursor:
                self.quiver_ingest(server, cursor)
                self.read_all("select * from memtables", server.name, cursor)
                self.read_all_by_pyarrow("select * from memtables", server)
                cursor.execute("CALL system.flush()")
                cursor.fetchall()
                self.read_all("select *", server.name, cursor)
                self.read_all_by_pyarrow("select *", server)
                self.point_read(server.name, cursor)
                self.select_one(server.name, cursor)
                load_tables(cursor, self.files)
                self.tpch(server.name, cursor)
            self.inserts(server.name, server.durability, lambda: connect(server))
            self.small_calls_by_pyarrow(server)

    def small_calls_by_pyarrow(self, server: Quiver) -> None:
        """The same small calls without the ADBC driver, which takes more of a processor than the server; and the
        smallest call there is, which is what gRPC takes by itself."""
        row = pa.record_batch([pa.array([1], pa.int64()), pa.array(["one row"])], names=["id", "text"])
        descriptor = fl.FlightDescriptor.for_path("inserted")

        def connect_one():
            client = fl.connect(server.uri)
            return client, fl.FlightCallOptions(headers=[client.authenticate_basic_token("admin", "quiver")])

        def put(client, options):
            writer, reader = client.do_put(descriptor, row.schema, options)
            writer.write_batch(row)
            writer.done_writing()
            reader.read()
            writer.close()

        client, options = connect_one()
        peer = f"{server.name}, read by pyarrow"
        ticket = fl.Ticket(b"SELECT 1")
        self.note_latency("select 1", peer, measure.latencies(200, lambda: client.do_get(ticket, options).read_all()))
        nothing = measure.latencies(200, lambda: list(client.list_actions(options)))
        self.note_latency("select 1", f"{server.name}, an empty call", nothing)
        for count in CONNECTIONS:
            pairs = [connect_one() for _ in range(count)]
            rate = measure.rate(count, INSERT_SECONDS, lambda number, pairs=pairs: lambda: put(*pairs[number]))
            self.note(f"single-row inserts, {count} connections", f"{server.name}, put by pyarrow", per_s=rate,
                      durability=server.durability)

    def read_all_by_pyarrow(self, work: str, server: Quiver) -> None:
        """The client of the ceiling: the ADBC driver takes time of its own."""
        client = fl.connect(server.uri)
        token = client.authenticate_basic_token("admin", "quiver")
        options = fl.FlightCallOptions(headers=[token])
        ticket = fl.Ticket(b"SELECT * FROM lineitem")

        def read():
            return measure.drain(chunk.data for chunk in client.do_get(ticket, options))

        timing = measure.rounds(self.rounds, read)
        assert timing.rows == self.lineitem.num_rows
        self.note_stream(work, f"{server.name}, read by pyarrow", timing)
        client.close()

    def quiver_ingest(self, server: Quiver, cursor) -> None:
        def drop():
            cursor.execute("DROP TABLE IF EXISTS lineitem")

        def ingest():
            cursor.adbc_ingest("lineitem", self.batches(), mode="create")
            return self.lineitem.num_rows, self.lineitem.nbytes

        def to_parquet():
            ingest()
            cursor.execute("CALL system.flush()")
            cursor.fetchall()
            return self.lineitem.num_rows, self.lineitem.nbytes

        for work, action in (("ingest, in Parquet", to_parquet), ("ingest, acknowledged", ingest)):
            used = measure.cpu_seconds(server.process.pid)
            timing = measure.rounds(self.rounds, action, before=drop)
            used = measure.cpu_seconds(server.process.pid) - used
            self.note_stream(
                work, server.name, timing, durability=server.durability,
                wire_per_logical=timing.wire_bytes / self.lineitem.nbytes,
                server_cpu_s_per_gb=used / self.rounds / (self.lineitem.nbytes / 1e9),
            )

    def recovery(self) -> None:
        """Kill -9 with everything un-flushed; how long until it serves again."""
        server = Quiver(self.folder, self.binary, **NO_TIMED_FLUSH)
        with server:
            with connect(server) as connection, connection.cursor() as cursor:
                cursor.adbc_ingest("lineitem", self.batches(), mode="create")
            seconds = []
            for _ in range(self.rounds):
                server.stop(signal.SIGKILL)
                started = time.perf_counter()
                server.start()
                seconds.append(time.perf_counter() - started)
            with connect(server) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM lineitem")
                assert cursor.fetchone() == (self.lineitem.num_rows,)
            log = (server.folder / "log").read_text()
            lines = [json.loads(line) for line in log.splitlines() if '"recovered"' in line]
            megabytes = [line["mb_per_second"] for line in lines[1:]]
            self.note("recovery", server.name, seconds=statistics.median(seconds),
                      mb_per_s=float(statistics.median(megabytes)))

    # What several of them do.

    def read_all(self, work: str, peer: str, cursor, sql="SELECT * FROM lineitem") -> None:
        def read():
            cursor.execute(sql)
            return measure.drain(cursor.fetch_record_batch())

        timing = measure.rounds(self.rounds, read)
        assert timing.rows == self.lineitem.num_rows, f"{peer} answered {timing.rows} rows"
        self.note_stream(work, peer, timing, wire_per_logical=timing.wire_bytes / self.lineitem.nbytes)

    def point_read(self, peer: str, cursor, sql="SELECT * FROM lineitem WHERE l_orderkey = {}") -> None:
        def read():
            cursor.execute(sql.format(self.order_key))
            return cursor.fetch_arrow_table()

        assert read().num_rows == sum(k.as_py() == self.order_key for k in self.near_keys())
        self.note_latency("point read", peer, measure.latencies(50, read))

    def near_keys(self):
        middle = self.lineitem.num_rows // 2
        return self.lineitem.column("l_orderkey").slice(max(0, middle - 10), 20)

    def select_one(self, peer: str, cursor) -> None:
        cursor.adbc_prepare("SELECT 1")

        def select():
            cursor.execute("SELECT 1")
            cursor.fetchall()

        self.note_latency("select 1", peer, measure.latencies(200, select))

    def note_latency(self, work: str, peer: str, taken: list[float]) -> None:
        self.note(work, peer, p50_ms=statistics.median(taken), p99_ms=taken[int(len(taken) * 0.99)])

    def tpch(self, peer: str, cursor) -> None:
        """The 22 queries one after the other, each as its best of `rounds`: caches are warm."""
        total, each = 0.0, {}
        for number, sql in enumerate(tpch_queries(), 1):
            def query(sql=sql):
                cursor.execute(sql)
                return measure.drain(cursor.fetch_record_batch())

            try:
                each[number] = min(measure.rounds(self.rounds, query).seconds)
            except Exception as error:
                print(f"   TPC-H {number} | {peer}: {str(error)[:200]}")
                return
            total += each[number]
        self.note("TPC-H, 22 queries", peer, seconds=total, each=each)

    def inserts(self, peer: str, durability: str, connect_one) -> None:
        with connect_one() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE inserted (id BIGINT, text TEXT)")
        for count in CONNECTIONS:
            connections = [connect_one() for _ in range(count)]

            def make(number: int):
                cursor = connections[number].cursor()
                return lambda: cursor.execute("INSERT INTO inserted VALUES (1, 'one row')")

            rate = measure.rate(count, INSERT_SECONDS, make)
            self.note(f"single-row inserts, {count} connections", peer, per_s=rate, durability=durability)
            for connection in connections:
                connection.close()

    # The peers.

    def postgres(self) -> None:
        import adbc_driver_postgresql.dbapi as postgresql

        table = for_postgres(self.lineitem)
        with Postgres(self.folder) as server:
            def connect_one():
                return postgresql.connect(server.uri, autocommit=True)

            with connect_one() as connection, connection.cursor() as cursor:
                def drop():
                    cursor.execute("DROP TABLE IF EXISTS lineitem")

                def ingest():
                    batches = table.to_reader(max_chunksize=BATCH_ROWS)
                    cursor.adbc_ingest("lineitem", batches, mode="create")
                    return table.num_rows, table.nbytes

                timing = measure.rounds(min(self.rounds, 2), ingest, before=drop)
                for work in ("ingest, acknowledged", "ingest, in Parquet"):
                    self.note_stream(work, server.name, timing, durability=server.durability)
                self.read_all("select *", server.name, cursor)
                cursor.execute("CREATE INDEX ON lineitem (l_orderkey)")
                self.point_read(server.name + " with an index", cursor)
                self.select_one(server.name, cursor)
            self.inserts(server.name, server.durability, connect_one)

    def sail(self) -> None:
        with Sail(self.folder) as server, connect(server) as connection, connection.cursor() as cursor:
            for table, path in self.files.items():
                cursor.execute(f"CREATE TEMPORARY VIEW {table} AS SELECT * FROM parquet.`{path}`")
                cursor.fetchall()
            self.read_all("select *", server.name, cursor)
            self.point_read(server.name, cursor)
            self.tpch(server.name, cursor)

    def roapi(self) -> None:
        with Roapi(self.folder, self.files) as server, connect(server) as connection:
            with connection.cursor() as cursor:
                self.read_all("select *", server.name, cursor)
                self.point_read(server.name, cursor)
                self.tpch(server.name, cursor)

    def quack(self) -> None:
        from quack import connect as connect_quack

        with Quack(self.folder, self.files["lineitem"]) as server:
            connection = retry(lambda: connect_quack(server.port))

            def read():
                return measure.drain(connection.execute("SELECT * FROM q.lineitem").to_arrow_reader(65536))

            self.note_stream("select *", server.name, measure.rounds(self.rounds, read))
            point = f"FROM q.query('SELECT * FROM lineitem WHERE l_orderkey = {self.order_key}')"
            self.note_latency(
                "point read", server.name,
                measure.latencies(50, lambda: connection.execute(point).to_arrow_table()),
            )
            connection.close()

    def duckdb(self, python: Path) -> None:
        """In process, on the same Parquet files, with as many threads as there are processors."""
        command = [str(python), str(HERE / "duckdb_tpch.py"), str(self.files["lineitem"].parent),
                   str(QUERIES), str(self.rounds)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        each = {int(number): seconds for number, seconds in answer["each"].items()}
        self.note("TPC-H, 22 queries", f"DuckDB {answer['version']}, in process",
                  seconds=sum(each.values()), each=each)


def connect(server):
    return flightsql.connect(server.uri, db_kwargs=server.login, autocommit=True)


def load_tables(cursor, files: dict[str, Path]) -> None:
    for table, path in files.items():
        if table != "lineitem":
            rows = read_lineitem(path).to_reader(max_chunksize=BATCH_ROWS)
            cursor.adbc_ingest(table, rows, mode="create")
    cursor.execute("CALL system.flush()")
    cursor.fetchall()


def tpch_queries() -> list[str]:
    text = "\n".join(line for line in QUERIES.read_text().splitlines() if not line.startswith("--"))
    return [query.strip() for query in text.split(";") if query.strip()]


def retry(action, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def machine() -> dict:
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), platform.processor())
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    return {
        "processor": processor, "cores": os.cpu_count(), "memory_gb": round(memory_kb / 1e6, 1),
        "kernel": platform.release(), "commit": commit, "load_before": os.getloadavg()[0],
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, required=True, help="the release build of quiver")
    parser.add_argument("--data", type=Path, required=True, help="where TPC-H files are kept")
    parser.add_argument("--duckdb", type=Path, required=True, help="the Python that has the newer DuckDB")
    parser.add_argument("--scale", type=float, default=1, help="of TPC-H (default 1: 6 million lineitems)")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement (default 3)")
    parser.add_argument("--only", nargs="*", default=None, metavar="PEER",
                        help="quiver, recovery, raw, postgres, sail, roapi, quack, duckdb")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where results go")
    arguments = parser.parse_args()
    host = machine()
    folder = Path(tempfile.mkdtemp(prefix="quiver-bench-"))
    try:
        bench = Bench(arguments, folder)
        steps = {
            "raw": lambda: bench.raw_flight("before"),
            "quiver": bench.quiver,
            "recovery": bench.recovery,
            "postgres": bench.postgres,
            "sail": bench.sail,
            "roapi": bench.roapi,
            "quack": bench.quack,
            "duckdb": lambda: bench.duckdb(arguments.duckdb),
            "raw again": lambda: bench.raw_flight("after"),
        }
        failed = []
        for name, step in steps.items():
            if arguments.only is not None and name.removesuffix(" again") not in arguments.only:
                continue
            print(f"-- {name}", flush=True)
            try:
                step()
            except Exception as error:
                failed.append(name)
                print(f"   {name} FAILED: {error}", file=sys.stderr, flush=True)
        host["load_after"] = os.getloadavg()[0]
        write_report(arguments.out, host, bench, failed)
        return 1 if failed else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
