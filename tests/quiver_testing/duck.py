"""A DuckDB that stays, in a process of its own: a model that runs the same statements, and another
engine over a tenant's catalog.

In a process of its own because two SQLite libraries in one process drop each other's locks; one
that stays because a machine of random steps asks it several times per step.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

WORKER = Path(__file__).with_name("duck_worker.py")


class DuckError(Exception):
    """What DuckDB said to a statement."""

    @property
    def unknown_table(self) -> bool:
        return str(self).startswith("CatalogException") and "does not exist" in str(self)


class Duck:
    """One DuckDB in memory; each call is a message to its process, answered before it returns."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Duck:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def execute(self, sql: str) -> int | None:
        """A statement; how many rows it changed, if it says so."""
        return self._call("execute", sql)

    def query(self, sql: str) -> pa.Table:
        return self._call("query", sql)

    def observe(self, sql: str) -> pa.Table:
        """As `query`, by a second connection: what is committed."""
        return self._call("observe", sql)

    def insert(self, table: str, rows: pa.Table) -> int:
        """Appends rows; columns go by name."""
        return self._call("insert", table, rows)

    def attach(self, catalog: Path, options: str = "READ_ONLY") -> None:
        """Opens a catalog as `lake` and makes it the place where tables are looked up."""
        self._call("attach", str(catalog), options)

    @contextmanager
    def attached(self, catalog: Path, options: str = "READ_ONLY") -> Iterator[None]:
        """The catalog is open as `lake` inside the block."""
        self.attach(catalog, options)
        try:
            yield
        finally:
            self.detach()

    def detach(self) -> None:
        """Closes the catalog, and with it all files of SQLite."""
        self._call("detach")

    def _call(self, name: str, *arguments):
        pickle.dump((name, arguments), self.process.stdin)
        self.process.stdin.flush()
        worked, answer = pickle.load(self.process.stdout)
        if not worked:
            raise DuckError(answer)
        return answer
