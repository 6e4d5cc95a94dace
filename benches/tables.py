"""The data: TPC-H as tpchgen-cli makes it, once per scale factor."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TPCH_TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
BATCH_ROWS = 65_536


def make_tpch(folder: Path, scale: float, program: str) -> dict[str, Path]:
    """The eight tables as Parquet files; made once."""
    folder = folder / f"sf{scale:g}"
    files = {table: folder / f"{table}.parquet" for table in TPCH_TABLES}
    if not all(path.exists() for path in files.values()):
        command = [program, "parquet", "-s", f"{scale:g}", "-o", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    return files


def read_lineitem(path) -> pa.Table:
    """In memory, without string views, which not every client can send."""
    table = pq.read_table(path)
    columns = [
        column.cast(pa.string()) if pa.types.is_string_view(column.type) else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.schema.names).combine_chunks()


def for_postgres(table: pa.Table) -> pa.Table:
    """Its ADBC driver takes no decimals: floating point, which is less work for it, not more."""
    columns = [
        column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.schema.names)
