"""How much memory the server takes for streams much larger than it: one of 10 GB, or ten at once.

    .venv/bin/python benches/memory.py target/release/quiver --gigabytes 10
    .venv/bin/python benches/memory.py target/release/quiver --gigabytes 1.5 --streams 10

A server with 256 MiB for rows and 256 MiB for queries takes the streams over one ADBC connection each, is asked for
all rows again, and says how large its process was at most. The rows are counted and their ids summed up.
Runs in the environment of the tests and needs half of the bytes as free disk.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from quiver_testing import adbc  # noqa: E402
from quiver_testing.server import Server  # noqa: E402

MIB = 1 << 20
ROWS = 65_536
SCHEMA = pa.schema([("id", pa.int64()), ("value", pa.float64()), ("payload", pa.string())])
SETTINGS = {
    f"QUIVER_{name}": str(256 * MIB)
    for name in (
        "WRITE_BUFFER__BYTES_MAX", "WRITE_BUFFER__TENANT_BYTES_MAX",
        "QUERY__MEMORY_BYTES_MAX", "QUERY__TENANT_MEMORY_BYTES_MAX",
    )
} | {"QUIVER_WRITE_BUFFER__FLUSH_BYTES": str(64 * MIB)}


def batches(first: int, count: int):
    """`count` batches of about 6 MB; ids from `first` on."""
    random = np.random.default_rng(1)
    values = pa.array(random.random(ROWS))
    words = random.integers(0, 1 << 62, ROWS)
    texts = pa.array([f"{word:016x}" * 4 + f"{row:08d}" for row, word in enumerate(words)])
    for start in range(first, first + count * ROWS, ROWS):
        ids = pa.array(np.arange(start, start + ROWS))
        yield pa.record_batch([ids, values, texts], schema=SCHEMA)


def process_mib(server: Server) -> str:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    peak, now = (int(re.search(name + r":\s+(\d+) kB", status).group(1)) >> 10 for name in ("VmHWM", "VmRSS"))
    return f"process {now} MiB, {peak} MiB at most"


def send(server: Server, first: int, count: int, failed: list) -> None:
    try:
        with adbc.connect(server.uri) as connection, connection.cursor() as cursor:
            reader = pa.RecordBatchReader.from_batches(SCHEMA, batches(first, count))
            cursor.adbc_ingest("t", reader, mode="create_append")
    except Exception as error:  # noqa: BLE001
        failed.append(error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--gigabytes", type=float, default=10.0, help="of one stream")
    parser.add_argument("--streams", type=int, default=1, help="at once")
    options = parser.parse_args()
    one = next(batches(0, 1)).nbytes
    count = max(1, int(options.gigabytes * 1e9 / one))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        server = Server(options.binary.resolve(), Path(folder).resolve(), settings=SETTINGS).start()
        print(f"idle: {process_mib(server)}")
        started, failed = time.monotonic(), []
        threads = [
            threading.Thread(target=send, args=(server, number * count * ROWS, count, failed))
            for number in range(options.streams)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - started
        total = options.streams * count * one
        print(f"{options.streams} x {count * one / 1e9:.2f} GB in {seconds:.1f} s "
              f"({total / 1e6 / seconds:.0f} MB/s), {len(failed)} refused: {process_mib(server)}")
        for error in failed:
            print(f"  refused: {error}")
        with adbc.connect(server.uri) as connection, connection.cursor() as cursor:
            found = adbc.rows(connection, "SELECT count(*), sum(id) FROM t")
            started, read = time.monotonic(), 0
            cursor.execute("SELECT * FROM t")
            for batch in cursor.fetch_record_batch():
                read += batch.num_rows
        seconds = time.monotonic() - started
        print(f"select * of {read} rows in {seconds:.1f} s: {process_mib(server)}")
        rows = options.streams * count * ROWS
        right = bool(failed) or found == [(rows, rows * (rows - 1) // 2)] and read == rows
        print("every row is there" if right else f"WRONG: {found}, {read} of {rows} rows")
        server.stop()
        return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
