"""Many files into one table by several workers at once: every row once, however often it is run.

A file is one upload, under a key made of its name, size and content: the server stores it once. So whatever
fails on the way, the same command again loads what is missing and nothing else. FOLDER holds Parquet or Arrow
files (.parquet, .arrow) with the same columns; without one the example makes its own.

    pip install pyarrow
    python bulk_loader_example.py grpc://127.0.0.1:50051 admin quiver [FOLDER] [--table T] [--workers N]
"""

import argparse
import base64
import concurrent.futures
import hashlib
import itertools
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as dataset
import pyarrow.flight as flight
import pyarrow.parquet as parquet

FORMATS = {".parquet": "parquet", ".arrow": "ipc"}
UNANSWERED = (flight.FlightUnavailableError, flight.FlightTimedOutError, flight.FlightInternalError)
ATTEMPTS = 10


class Headers(flight.ClientMiddlewareFactory):
    """What the server said beside its last answer: whether a file was a repetition, when to try again."""
    last: dict[str, str] = {}

    def start_call(self, info):
        self.last = last = {}

        class Listener(flight.ClientMiddleware):
            def received_headers(self, headers):
                last.update({name: values[-1] for name, values in headers.items()})

        return Listener()


class Connection(threading.local):
    """One per thread. The password goes with every call: a token could expire during a long load."""

    def __init__(self, uri: str, user: str, password: str):
        self.headers = Headers()
        self.client = flight.FlightClient(uri, middleware=[self.headers])
        self.login = (b"authorization", b"Basic " + base64.b64encode(f"{user}:{password}".encode()))

    def load(self, table: str, path: Path) -> tuple[int, int, bool]:
        """Rows and bytes of the file, and whether it was there already. Durable when this returns."""
        key = file_key(path)
        for attempt in itertools.count(1):
            try:
                return self.put(table, path, key)
            except pa.ArrowException as error:
                # Whatever is worth repeating comes with a time to wait, unless nobody answered.
                asked = self.headers.last.get("x-retry-after-ms")
                if attempt == ATTEMPTS or not (asked or isinstance(error, UNANSWERED)):
                    error.add_note(f"attempt {attempt} to load {path}")
                    raise
                pause = max(int(asked or 0) / 1000, min(0.1 * 2**attempt, 30))
                time.sleep(pause * random.uniform(1, 1.5))  # not all workers at the same moment

    def put(self, table: str, path: Path, key: bytes) -> tuple[int, int, bool]:
        data = dataset.dataset(path, format=FORMATS[path.suffix])
        options = flight.FlightCallOptions(headers=[self.login, (b"x-create", b"true"), (b"x-idempotency-key", key)])
        writer, answers = self.client.do_put(flight.FlightDescriptor.for_path(*table.split(".")), data.schema, options)
        rows = size = 0
        with writer:
            for batch in data.to_batches():
                writer.write_batch(batch)
                rows, size = rows + batch.num_rows, size + batch.nbytes
            writer.done_writing()
            if answers.read() is None:
                raise flight.FlightUnavailableError("no acknowledgement")
        return rows, size, self.headers.last.get("x-duplicate") == "true"

    def count(self, table: str) -> int:
        options = flight.FlightCallOptions(headers=[self.login])
        name = ".".join(f'"{part}"' for part in table.split("."))
        query = flight.FlightDescriptor.for_command(f"SELECT count(*) FROM {name}".encode())
        (endpoint,) = self.client.get_flight_info(query, options).endpoints
        return self.client.do_get(endpoint.ticket, options).read_all()[0][0].as_py()


def file_key(path: Path) -> bytes:
    head = f"{path.name}/{path.stat().st_size}/".encode(errors="surrogateescape")
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha256(head)).hexdigest().encode()


def load_folder(connection: Connection, folder: Path, table: str, workers: int) -> None:
    files = sorted(path for path in folder.iterdir() if path.suffix in FORMATS)
    if not files:
        sys.exit(f"no {' or '.join(FORMATS)} in {folder}")
    rows, size, stored, started = 0, 0, 0, time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(connection.load, table, path) for path in files]
        try:
            for done, job in enumerate(concurrent.futures.as_completed(jobs), 1):
                file_rows, file_size, repeated = job.result()
                rows, size = rows + file_rows, size + file_size
                stored += 0 if repeated else file_rows
                show(done, len(files), rows)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what is under way ends, nothing new begins
            raise
    seconds = time.monotonic() - started
    print(f"{stored} rows stored, {rows - stored} were there already")
    print(f"{rows / seconds:,.0f} rows/s, {size / seconds / 1e6:,.1f} MB/s")
    print(f"{rows} rows in the files, {connection.count(table)} in the table")


def show(done: int, files: int, rows: int) -> None:
    if sys.stderr.isatty():
        line = f"\r[{'#' * (40 * done // files):<40}] {done}/{files} files, {rows:,} rows"
        print(line, end="\n" * (done == files), file=sys.stderr, flush=True)


def make_files(folder: Path, rows: int = 20_000) -> Path:
    for number in range(20):
        ids = range(number * rows, (number + 1) * rows)
        data = pa.table({"id": ids, "sensor": [f"sensor {n % 997}" for n in ids], "value": [n / 8 for n in ids]})
        parquet.write_table(data, folder / f"part-{number:03}.parquet")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in [("uri", "grpc://127.0.0.1:50051"), ("user", "admin"), ("password", "quiver")]:
        parser.add_argument(name, nargs="?", default=default)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--table", default="bulk_loaded")
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    connection = Connection(given.uri, given.user, given.password)
    with tempfile.TemporaryDirectory() as own:
        folder = given.folder or make_files(Path(own))
        load_folder(connection, folder, given.table, given.workers)


if __name__ == "__main__":
    main()
