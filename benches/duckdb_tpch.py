"""The 22 queries in DuckDB in process, on Parquet files: `duckdb_tpch.py FOLDER QUERIES ROUNDS`."""

import json
import sys
import time
from pathlib import Path

import duckdb

if __name__ == "__main__":
    folder, queries, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    connection = duckdb.connect()
    for path in sorted(folder.glob("*.parquet")):
        connection.execute(f"CREATE VIEW {path.stem} AS SELECT * FROM '{path}'")
    text = "\n".join(line for line in queries.read_text().splitlines() if not line.startswith("--"))
    each = {}
    for number, sql in enumerate((sql.strip() for sql in text.split(";") if sql.strip()), 1):
        taken = []
        for _ in range(rounds):
            started = time.perf_counter()
            connection.execute(sql).fetchall()
            taken.append(time.perf_counter() - started)
        each[number] = min(taken)
    print(json.dumps({"version": duckdb.__version__, "each": each}))
