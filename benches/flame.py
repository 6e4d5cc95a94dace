"""A flame graph of what a server does during one work of the benchmark: `flame.py WORK BINARY OUT.svg`.

WORK is one of those below. Needs Linux's perf. The server is started with an empty folder, brought to where the work
begins, and sampled for a few seconds while the work is repeated. Wide is where the processor was; callers are below.
"""

from __future__ import annotations

import argparse
import html
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl

from bench import NO_TIMED_FLUSH, connect, load_tables, tpch_queries
from servers import Quiver, tool
from tables import BATCH_ROWS, make_tpch, read_lineitem

WIDTH, LINE, SMALLEST = 1200.0, 15, 0.002
HASH = re.compile(r"::h[0-9a-f]{16}$")


def insert_rows(server, cursor, files):
    """Single rows by pyarrow's DoPut, one connection."""
    client = fl.connect(server.uri)
    options = fl.FlightCallOptions(headers=[client.authenticate_basic_token("admin", "quiver")])
    row = pa.record_batch([pa.array([1], pa.int64()), pa.array(["one row"])], names=["id", "text"])
    cursor.execute("CREATE TABLE inserted (id BIGINT, text TEXT)")

    def put():
        writer, reader = client.do_put(fl.FlightDescriptor.for_path("inserted"), row.schema, options)
        writer.write_batch(row)
        writer.done_writing()
        reader.read()
        writer.close()
    return put


def select_one(server, cursor, files):
    """`SELECT 1`, prepared, by ADBC."""
    cursor.adbc_prepare("SELECT 1")
    return lambda: (cursor.execute("SELECT 1"), cursor.fetchall())


def point_read(server, cursor, files):
    """All rows of one order key by ADBC."""
    load_lineitem(cursor, files)
    return lambda: (cursor.execute("SELECT * FROM lineitem WHERE l_orderkey = 3000000"), cursor.fetch_arrow_table())


def select_all(server, cursor, files):
    """`SELECT *` of segments by ADBC."""
    load_lineitem(cursor, files)
    return lambda: (cursor.execute("SELECT * FROM lineitem"), all(True for _ in cursor.fetch_record_batch()))


def tpch(server, cursor, files):
    """The 22 queries of TPC-H."""
    load_lineitem(cursor, files)
    load_tables(cursor, files)
    return lambda: [(cursor.execute(sql), cursor.fetch_arrow_table()) for sql in tpch_queries()]


def ingest(server, cursor, files):
    """`lineitem` by ADBC until it is acknowledged, and then until it is in Parquet."""
    rows = read_lineitem(files["lineitem"])

    def load():
        cursor.execute("DROP TABLE IF EXISTS lineitem")
        cursor.adbc_ingest("lineitem", rows.to_reader(max_chunksize=BATCH_ROWS), mode="create")
        cursor.execute("CALL system.flush()")
        cursor.fetchall()
    return load


WORKS = {"insert": insert_rows, "select-one": select_one, "point-read": point_read, "select-all": select_all,
         "tpch": tpch, "ingest": ingest}


def load_lineitem(cursor, files) -> None:
    rows = read_lineitem(files["lineitem"])
    cursor.adbc_ingest("lineitem", rows.to_reader(max_chunksize=BATCH_ROWS), mode="create")
    cursor.execute("CALL system.flush()")
    cursor.fetchall()


def stacks(script):
    """Stacks of `perf script`, outermost first, each with the thread's name."""
    stack, thread = [], None
    for line in script:
        if not line.strip():
            if thread:
                yield [thread, *reversed(stack)]
            stack, thread = [], None
        elif not line[0].isspace():
            thread = line.split()[0]
        elif match := re.match(r"\s+[0-9a-f]+ (.*?)(\+0x[0-9a-f]+)? \(", line):
            name = HASH.sub("", match[1])
            if name != "[unknown]" and not name.startswith(("core::ops::function", "std::sys::backtrace")):
                stack.append(name)


def tree_of(all_stacks) -> dict:
    root = {"n": 0, "below": {}}
    for stack in all_stacks:
        root["n"] += 1
        node = root
        for name in stack:
            node = node["below"].setdefault(name, {"n": 0, "below": {}})
            node["n"] += 1
    return root


def draw(root: dict, title: str) -> str:
    shapes, deepest, total = [], 0, max(root["n"], 1)

    def place(name: str, node: dict, left: float, depth: int) -> None:
        nonlocal deepest
        width = node["n"] / total * WIDTH
        if node["n"] / total < SMALLEST:
            return
        deepest = max(deepest, depth)
        label = html.escape(name[:140])
        tint = 30 + sum(map(ord, name)) % 30
        short = html.escape((name.split("<")[0].rsplit("::", 1)[-1] or name)[: int(width / 6)])
        shapes.append((depth, f'<g><title>{label} {node["n"] / total:.1%}</title><rect x="{left:.1f}" y="Y" '
                       f'width="{width:.1f}" height="{LINE - 1}" fill="hsl({tint},75%,65%)"/>'
                       + (f'<text x="{left + 2:.1f}" y="T">{short}</text>' if width > 25 else "") + "</g>"))
        for child, below in sorted(node["below"].items()):
            place(child, below, left, depth + 1)
            left += below["n"] / total * WIDTH

    place(f"all: {root['n']} samples", root, 0, 0)
    height = (deepest + 3) * LINE
    body = [shape.replace('y="Y"', f'y="{height - (depth + 1) * LINE}"')
            .replace('y="T"', f'y="{height - depth * LINE - 4}"') for depth, shape in shapes]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height}" font-family="monospace" '
            f'font-size="10"><text x="4" y="12">{html.escape(title)}</text>{"".join(body)}</svg>\n')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("binary", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="where TPC-H files are kept")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--seconds", type=float, default=6)
    arguments = parser.parse_args()
    files = make_tpch(arguments.data, arguments.scale, tool("tpchgen-cli"))
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples"
        with Quiver(Path(folder), arguments.binary.resolve(), **NO_TIMED_FLUSH) as server:
            with connect(server) as connection, connection.cursor() as cursor:
                action = WORKS[arguments.work](server, cursor, files)
                action()
                record = ["perf", "record", "--output", str(samples), "--call-graph", "dwarf,8192", "--freq", "399"]
                perf = subprocess.Popen([*record, "--pid", str(server.process.pid)], stderr=subprocess.DEVNULL)
                time.sleep(0.5)
                end = time.monotonic() + arguments.seconds
                while time.monotonic() < end:
                    action()
                perf.send_signal(signal.SIGINT)
                perf.wait()
        show = ["perf", "script", "--input", str(samples), "--no-inline"]
        script = subprocess.run(show, capture_output=True, text=True, errors="replace")
    title = f"{WORKS[arguments.work].__doc__} Processor time of the server only."
    arguments.out.write_text(draw(tree_of(stacks(script.stdout.splitlines() + [""])), title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
