"""DuckDB with its Quack extension, from packages instead of the network."""

from __future__ import annotations

import sysconfig
from pathlib import Path


def load_extensions(connection) -> None:
    """Server and client need both; without httpfs every request fails."""
    packages = Path(sysconfig.get_paths()["purelib"])
    for name in ("httpfs", "quack"):
        [file] = packages.glob(f"duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
        connection.execute(f"LOAD '{file}'")


def connect(port: int):
    import duckdb

    connection = duckdb.connect()
    load_extensions(connection)
    connection.execute(f"ATTACH 'quack:localhost:{port}' AS q (TOKEN 'benchmark_token')")
    return connection
