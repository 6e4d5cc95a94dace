"""DuckDB's Quack server over a database with lineitem: `quack_server.py PORT FILE`."""

import sys
import time

import duckdb

from quack import load_extensions

if __name__ == "__main__":
    port, parquet = sys.argv[1:]
    connection = duckdb.connect("quack.db")
    load_extensions(connection)
    connection.execute(f"CREATE TABLE lineitem AS SELECT * FROM '{parquet}'")
    connection.execute(f"CALL quack_serve('quack:localhost:{port}', token='benchmark_token')")
    while True:
        time.sleep(3600)
