"""DuckDB with its ducklake extension, reading a tenant's catalog as any other engine would.

Always in a process of its own and read-only: two SQLite libraries in one process (Python's own and
DuckDB's) drop each other's locks, and a second writer would fight the server for the catalog.
"""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyarrow as pa

# Reads {"catalog", "statements"} from stdin, writes one Arrow IPC stream per statement, each with
# its length before it.
SCRIPT = r"""
import importlib.util, io, json, pathlib, struct, sys
import duckdb, pyarrow as pa

def extension(name):
    spec = importlib.util.find_spec("duckdb_extension_" + name)
    folder = pathlib.Path(spec.submodule_search_locations[0])
    (found,) = folder.glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension")
    return found

request = json.load(sys.stdin)
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
for name in ("sqlite_scanner", "ducklake"):
    connection.execute(f"LOAD '{extension(name)}'")
connection.execute(f"ATTACH 'ducklake:sqlite:{request['catalog']}' AS lake (READ_ONLY)")
connection.execute("USE lake")
for statement in request["statements"]:
    table = connection.execute(statement).to_arrow_table()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    sys.stdout.buffer.write(struct.pack("<Q", sink.tell()))
    sys.stdout.buffer.write(sink.getvalue())
"""


def catalog_rows(catalog: Path, sql: str) -> list[tuple]:
    """What the tables of the catalog say, asked of SQLite itself."""
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def read(catalog: Path, *statements: str) -> list[pa.Table]:
    """What DuckDB answers to each statement over the attached catalog."""
    request = json.dumps({"catalog": str(catalog), "statements": statements})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=request.encode(), capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    tables, rest = [], io.BytesIO(done.stdout)
    while length := rest.read(8):
        data = rest.read(int.from_bytes(length, "little"))
        tables.append(pa.ipc.open_stream(data).read_all())
    assert len(tables) == len(statements)
    return tables


def scalar(catalog: Path, statement: str):
    (table,) = read(catalog, statement)
    return table.column(0)[0].as_py()
