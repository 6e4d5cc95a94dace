"""Named SQL queries, and DuckDB's answers to them.

In a file of queries, `-- name: q01` starts one and `-- order: 1, 3` names its sort columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

FOLDER = Path(__file__).resolve().parents[1] / "queries"


@dataclass(frozen=True)
class Query:
    name: str
    sql: str
    ordered_by: tuple[int, ...]  # positions from 0 of the columns that fix the order

    def qualified(self, tables, schema: str) -> str:
        """The text with each table after FROM, JOIN or a comma of a FROM list in `schema`."""
        names = "|".join(tables)
        return re.sub(rf"(?<![\w.'])({names})(?![\w.'(])", rf"{schema}.\1", self.sql)


def load(name: str) -> list[Query]:
    found = []
    for part in re.split(r"^-- name: ", (FOLDER / name).read_text(), flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        order = re.search(r"^-- order: (.*)$", body, flags=re.M)
        positions = tuple(int(p) - 1 for p in order[1].split(",")) if order else ()
        sql = re.sub(r"^--.*\n", "", body, flags=re.M).strip().rstrip(";")
        found.append(Query(title.strip(), sql, positions))
    return found


def duckdb_answers(files: dict[str, Path]):
    """For a fixture: a function from SQL to DuckDB's answer, over Parquet files as tables."""
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        for table, path in files.items():
            database.execute(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
        yield lambda sql: database.execute(sql).to_arrow_table()
