"""Every Arrow type through ingest, memtable, crash, segment and each client: equal in the canonical type, or refused by name."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from dataclasses import dataclass
from decimal import Decimal as D
from pathlib import Path

import pyarrow as pa
import pytest

from quiver_testing import adbc
from quiver_testing.errors import CLIENT_ERRORS
from quiver_testing.flight import Flight
from quiver_testing.java import java, jdbc_driver, jdbc_url
from quiver_testing.server import NO_TIMED_FLUSH

VALUES = Path(__file__).with_name("java") / "Values.java"
LONG = "longer than the twelve bytes that a view holds itself"
LIST = pa.list_(pa.int64())
NESTED = pa.list_(pa.struct([("m", pa.map_(pa.string(), pa.list_(pa.float64())))]))


@dataclass
class Kept:
    """A type that is kept: as which one, and what JDBC shows of the values (a third one is NULL)."""

    values: pa.Array
    canonical: pa.DataType
    jdbc: str


@dataclass
class Refused:
    """A type that is not kept, and the word by which the refusal names it."""

    values: pa.Array
    named: str


def of(data_type: pa.DataType, *values) -> pa.Array:
    return pa.array([*values, None], data_type)


def kept(data_type: pa.DataType, values, jdbc: str, canonical: pa.DataType | None = None) -> Kept:
    return Kept(of(data_type, *values), canonical or data_type, jdbc)


def integers():
    for bits in (8, 16, 32, 64):
        name = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}[bits]
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        yield f"int{bits}", kept(getattr(pa, f"int{bits}")(), (low, high), f"{name} {low} {high}")
        # JDBC has no unsigned numbers: the driver shows the same bits.
        yield f"uint{bits}", kept(getattr(pa, f"uint{bits}")(), (0, 2**bits - 1), f"{name} 0 -1")


TIMES = (dt.time(0, 0, 0), dt.time(23, 59, 59))
STAMPS = {"s": "23:59:59.0", "ms": "23:59:59.999", "us": "23:59:59.999999", "ns": "23:59:59.999999999"}
ZONED = pa.timestamp("us", "UTC")


def stamps():
    for unit, before in STAMPS.items():
        shown = f"1970-01-01 00:00:00.0 1969-12-31 {before}"
        yield f"timestamp[{unit}]", kept(pa.timestamp(unit), (0, -1), f"TIMESTAMP {shown}")
        if unit != "ns":
            zoned = pa.timestamp(unit, "UTC")
            yield f"timestamp[{unit}, UTC]", kept(zoned, (0, -1), f"TIMESTAMP_WITH_TIMEZONE {shown}", ZONED)


TYPES: dict[str, Kept | Refused] = {
    "bool": kept(pa.bool_(), (True, False), "BOOLEAN true false"),
    **dict(integers()),
    "float16": kept(pa.float16(), (0.5, math.inf), "FLOAT 0.5 Infinity", pa.float32()),
    "float32": kept(pa.float32(), (1.5, math.nan), "FLOAT 1.5 NaN"),
    "float64": kept(pa.float64(), (5e-324, -math.inf), "DOUBLE 4.9E-324 -Infinity"),
    "decimal32": kept(pa.decimal32(5, 2), (D("123.45"), D("-0.01")), "DECIMAL 123.45 -0.01", pa.decimal128(5, 2)),
    "decimal64": kept(pa.decimal64(12, 3), (D("1.234"), D("-9.999")), "DECIMAL 1.234 -9.999", pa.decimal128(12, 3)),
    "decimal128": kept(
        pa.decimal128(38, 10), (D("1234567890123456789012345678.0123456789"), D("-1.0000000000")),
        "DECIMAL 1234567890123456789012345678.0123456789 -1.0000000000",
    ),
    "decimal128 of hundreds": kept(
        pa.decimal128(5, -2), (D("1200"), D("-100")), "DECIMAL 1200 -100", pa.decimal128(7, 0)
    ),
    "decimal256 of 30 digits": kept(
        pa.decimal256(30, 2), (D("1.25"), D("-2.00")), "DECIMAL 1.25 -2.00", pa.decimal128(30, 2)
    ),
    "decimal256 of 50 digits": Refused(of(pa.decimal256(50, 2), D("1.25")), "Decimal256(50, 2)"),
    "string": kept(pa.string(), ("é", ""), "VARCHAR é "),
    "large_string": kept(pa.large_string(), ("é", ""), "VARCHAR é ", pa.string()),
    "string_view": kept(pa.string_view(), (LONG, "x"), f"VARCHAR {LONG} x", pa.string()),
    "binary": kept(pa.binary(), (b"\0\xff", b"x"), "VARBINARY 00ff 78"),
    "large_binary": kept(pa.large_binary(), (b"\0\xff", b"x"), "VARBINARY 00ff 78", pa.binary()),
    "binary_view": kept(pa.binary_view(), (b"\0" * 14, b"x"), f"VARBINARY {'00' * 14} 78", pa.binary()),
    "fixed_size_binary": kept(pa.binary(3), (b"abc", b"\0\0\0"), "VARBINARY 616263 000000", pa.binary()),
    "date32": kept(pa.date32(), (dt.date(1, 1, 1), dt.date(9999, 12, 31)), "DATE 0001-01-01 9999-12-31"),
    "date64": kept(
        pa.date64(), (dt.date(1969, 12, 31), dt.date(2026, 1, 1)),
        "TIMESTAMP 1969-12-31 00:00:00.0 2026-01-01 00:00:00.0", pa.timestamp("ms"),
    ),
    "time32[s]": kept(pa.time32("s"), TIMES, "TIME 00:00:00 23:59:59", pa.time64("us")),
    "time32[ms]": kept(pa.time32("ms"), TIMES, "TIME 00:00:00 23:59:59", pa.time64("us")),
    "time64[us]": kept(pa.time64("us"), TIMES, "TIME 00:00:00 23:59:59"),
    "time64[ns] of whole us": kept(pa.time64("ns"), (0, 1000), "TIME 00:00:00 00:00:00", pa.time64("us")),
    "time64[ns]": Refused(of(pa.time64("ns"), 1), "Time64(µs) cannot keep"),
    **dict(stamps()),
    "timestamp[ns, UTC] of whole us": kept(
        pa.timestamp("ns", "UTC"), (0, -1000),
        "TIMESTAMP_WITH_TIMEZONE 1970-01-01 00:00:00.0 1969-12-31 23:59:59.999999", ZONED,
    ),
    "timestamp[ns, UTC]": Refused(of(pa.timestamp("ns", "UTC"), 1), 'Timestamp(µs, "UTC") cannot keep'),
    "timestamp of an offset": kept(
        pa.timestamp("us", "+05:30"), (0, -1),
        "TIMESTAMP_WITH_TIMEZONE 1970-01-01 00:00:00.0 1969-12-31 23:59:59.999999",
    ),
    **{f"duration[{unit}]": Refused(of(pa.duration(unit), 1), "Duration") for unit in STAMPS},
    "interval": Refused(of(pa.month_day_nano_interval(), (1, 2, 3)), "INTERVAL"),
    "interval in a struct": Refused(
        of(pa.struct([("a", pa.month_day_nano_interval())]), {"a": (1, 2, 3)}), "INTERVAL"
    ),
    "list": kept(LIST, ([1, None], []), "ARRAY [1,null] []"),
    "large_list": kept(pa.large_list(pa.int64()), ([1, None], []), "ARRAY [1,null] []", LIST),
    "fixed_size_list": kept(pa.list_(pa.int64(), 2), ([1, None], [2, 3]), "ARRAY [1,null] [2,3]", LIST),
    "list_view": kept(pa.list_view(pa.int64()), ([1, None], []), "ARRAY [1,null] []", LIST),
    "large_list_view": kept(pa.large_list_view(pa.int64()), ([1, None], []), "ARRAY [1,null] []", LIST),
    "struct": kept(
        pa.struct([("a", pa.int64()), ("b", pa.string())]), ({"a": 1, "b": "x"}, {"a": None, "b": None}),
        'JAVA_OBJECT {"a":1,"b":"x"} {}',
    ),
    "map": kept(pa.map_(pa.string(), pa.int64()), ([("k", 1)], []), 'JAVA_OBJECT {"k":1} {}'),
    "list of structs of maps of lists": kept(
        NESTED, ([{"m": [("k", [1.5])]}], []), 'ARRAY [{"m":[{"key":"k","value":[1.5]}]}] []'
    ),
    "dictionary": Kept(of(pa.string(), "a", "b").dictionary_encode(), pa.string(), "VARCHAR a b"),
    "dictionary of integers": Kept(of(pa.int64(), 1, 2).dictionary_encode(), pa.int64(), "BIGINT 1 2"),
    "run_end_encoded": Kept(
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3], pa.int32()), pa.array(["a", "b", None])),
        pa.string(), "VARCHAR a b",
    ),
    "uuid": Kept(
        pa.ExtensionArray.from_storage(pa.uuid(), of(pa.binary(16), uuid.UUID(int=5).bytes, b"\xff" * 16)),
        pa.binary(16), f"BINARY {'0' * 31}5 {'f' * 32}",
    ),
    "json": Kept(
        pa.ExtensionArray.from_storage(pa.json_(), of(pa.string(), '{"a":1}', "[]")),
        pa.string(), 'VARCHAR {"a":1} []',
    ),
    "bool8": Kept(
        pa.ExtensionArray.from_storage(pa.bool8(), of(pa.int8(), 1, 0)), pa.int8(), "TINYINT 1 0"
    ),
    "null": Refused(pa.nulls(2), "Null"),
    "list of null": Refused(of(pa.list_(pa.null()), [None]), "Null"),
    "struct without fields": Refused(of(pa.struct([]), {}), "Struct()"),
    "dense_union": Refused(
        pa.UnionArray.from_dense(
            pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["x"])]
        ), "Union",
    ),
    "sparse_union": Refused(
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["x", "y"])]), "Union"
    ),
}
KEPT = {name: case for name, case in TYPES.items() if isinstance(case, Kept)}
TABLES = {name: f"v_{number}" for number, name in enumerate(KEPT)}
STAGES = ("memtable", "crash", "segment")


def with_ids(values: pa.Array) -> pa.Table:
    return pa.table({"id": pa.array(range(len(values)), pa.int64()), "v": values})


@pytest.fixture(scope="module")
def read(servers):
    """What each client reads of each type, at each stage of a row's life."""
    server = servers(settings=NO_TIMED_FLUSH).start()
    found = {}
    with Flight(server.uri) as flight:
        for name, case in KEPT.items():
            flight.put(TABLES[name], with_ids(case.values), [("x-create", "true")])
    for stage in STAGES:
        if stage == "crash":
            server.kill9()
            server.start()
        with Flight(server.uri) as flight, adbc.connect(server.uri) as connection:
            if stage == "segment":
                flight.execute("CALL system.flush()")
            for name, table in TABLES.items():
                sql = f"SELECT v FROM {table} ORDER BY id"
                found[stage, "pyarrow", name] = flight.query(sql)
                found[stage, "adbc", name] = adbc.query(connection, sql)
        done = java(
            jdbc_driver(), VALUES, jdbc_url(server), server.user, server.password, *TABLES.values(),
            options=["-Duser.timezone=UTC"],
        )
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            table, *cells = line.split("\t")
            found[stage, "jdbc", table] = cells
    server.close()
    return found


@pytest.mark.parametrize("client", ["pyarrow", "adbc"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", KEPT)
def test_values_come_back_equal_in_their_canonical_type(name, stage, client, read):
    case, rows = KEPT[name], read[stage, client, name]
    assert rows.schema.field("v").type == case.canonical
    assert plain(rows["v"].combine_chunks()) == plain(canonical(case))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", KEPT)
def test_jdbc_shows_them(name, stage, read):
    assert " ".join(read[stage, "jdbc", TABLES[name]]) == f"{KEPT[name].jdbc} null"


@pytest.mark.parametrize("name", KEPT)
def test_adbc_ingests_them(name, server, flight, connection):
    case, table = KEPT[name], f"{TABLES[name]}_adbc"
    assert adbc.ingest(connection, table, with_ids(case.values), mode="replace") == 3
    rows = flight.query(f"SELECT v FROM {table} ORDER BY id")
    assert rows.schema.field("v").type == case.canonical
    assert plain(rows["v"].combine_chunks()) == plain(canonical(case))


@pytest.mark.parametrize("name", [name for name, case in TYPES.items() if isinstance(case, Refused)])
def test_what_cannot_be_kept_is_refused_by_name(name, flight):
    table = f"refused_{list(TYPES).index(name)}"
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.put(table, with_ids(TYPES[name].values), [("x-create", "true")])
    message = str(caught.value)
    assert TYPES[name].named in message and ("'v'" in message or "'v.item'" in message or "'a'" in message)
    with pytest.raises(CLIENT_ERRORS, match="not found"):
        flight.query(f"SELECT * FROM {table}")


def canonical(case: Kept) -> pa.Array:
    values = case.values
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if isinstance(values, pa.RunEndEncodedArray):
        values = pa.array(values.to_pylist(), case.canonical)
    if pa.types.is_date64(values.type):
        values = values.cast(pa.timestamp("ms"))
    return pa.array(values.to_pylist(), case.canonical) if values.type != case.canonical else values


def plain(values: pa.Array) -> list:
    """Values that compare: NaN is one."""
    return ["NaN" if isinstance(value, float) and math.isnan(value) else value for value in values.to_pylist()]
