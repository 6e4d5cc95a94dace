"""The process behind `duck.Duck`: calls come by stdin, answers go to stdout, both pickled."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from pathlib import Path

import duckdb
import pyarrow as pa


def extension(name: str) -> Path:
    """The file that the package of an extension installed."""
    spec = importlib.util.find_spec("duckdb_extension_" + name)
    folder = Path(spec.submodule_search_locations[0])
    (found,) = folder.glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension")
    return found


class Worker:
    def __init__(self):
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET threads = 1")
        self.observer = self.connection.cursor()
        self.observer.execute("SET TimeZone = 'UTC'")
        self.extensions_loaded = False

    def execute(self, sql: str) -> int | None:
        rows = self.connection.execute(sql).fetchall()
        return rows[0][0] if rows and isinstance(rows[0][0], int) else None

    def query(self, sql: str) -> pa.Table:
        return self.connection.execute(sql).to_arrow_table()

    def observe(self, sql: str) -> pa.Table:
        return self.observer.execute(sql).to_arrow_table()

    def insert(self, table: str, rows: pa.Table) -> int:
        self.connection.register("incoming", rows)
        changed = self.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        self.connection.unregister("incoming")
        return changed

    def attach(self, catalog: str, options: str) -> None:
        if not self.extensions_loaded:
            for name in ("sqlite_scanner", "ducklake"):
                self.connection.execute(f"LOAD '{extension(name)}'")
            self.extensions_loaded = True
        self.connection.execute(f"ATTACH 'ducklake:sqlite:{catalog}' AS lake ({options})")
        self.connection.execute("USE lake")

    def detach(self) -> None:
        self.connection.execute("USE memory")
        self.connection.execute("DETACH lake")


def main() -> None:
    worker = Worker()
    while True:
        try:
            name, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, getattr(worker, name)(*arguments))
        except (duckdb.Error, pa.ArrowException) as error:
            answer = (False, f"{type(error).__name__}: {error}")
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
