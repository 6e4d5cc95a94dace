"""Random tables: columns of many types, values that are hard to keep, and SQL over them that two
engines must answer alike.

Every expression here means the same in Quiver and in DuckDB; what the two define differently
(integer division, upper case of ß, …) is left out on purpose.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from random import Random

import pyarrow as pa

UTC = datetime.timezone.utc
NULL_SHARE = 0.15
EPOCH = datetime.datetime(1970, 1, 1)
TEXTS = (
    "",
    "a",
    "ab",
    "it's",
    '"quoted"',
    "back\\slash",
    "wörd",
    "日本語",
    "🦆 duck",
    "NULL",
    "null",
    "%_",
    "a\nb\tc",
    " padded ",
    "x" * 300,
    "\U0010ffff" * 40,
    "é" * 33,
    "-- no comment",
    "; DROP",
    "0",
    "nan",
)
DOUBLES = (
    0.0,
    -0.0,
    1.5,
    -1.5,
    0.1,
    float("nan"),
    float("inf"),
    float("-inf"),
    1e300,
    -1e300,
    5e-324,
    2.0**53,
    42.0,
)


@dataclass(frozen=True)
class Kind:
    """A column type: its names, its values, and what SQL can do with it."""

    name: str
    sql: str
    arrow: pa.DataType
    draw: Callable[[Random], object]
    literal: Callable[[object], str] | None = None  # None: rows of this type come by ingest only
    changes: tuple[str, ...] = ()
    duck: str | None = None  # DuckDB's name, where it is not the same
    aggregates: bool = True  # min and max mean the same in both

    @property
    def duck_sql(self) -> str:
        return self.duck or self.sql


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    default: str | None = None

    def draw(self, rng: Random) -> object:
        return None if rng.random() < NULL_SHARE else self.kind.draw(rng)

    def literal(self, value: object) -> str:
        return "NULL" if value is None else self.kind.literal(value)


@dataclass(frozen=True)
class Table:
    """A table with a column `id`, which the caller numbers, and columns of any kind."""

    name: str
    columns: tuple[Column, ...]
    id_required: bool = False

    def create(self, *, duck: bool = False) -> str:
        kinds = ((c.name, c.kind.duck_sql if duck else c.kind.sql) for c in self.columns)
        id_column = "id BIGINT NOT NULL" if self.id_required else "id BIGINT"
        return (
            f"CREATE TABLE {self.name} ({', '.join([id_column, *(f'{n} {k}' for n, k in kinds)])})"
        )

    def writable(self) -> list[Column]:
        """The columns that SQL can give values to."""
        return [column for column in self.columns if column.kind.literal]

    def has_nested(self) -> bool:
        return any(pa.types.is_nested(column.kind.arrow) for column in self.columns)

    def has_floats(self) -> bool:
        return any(pa.types.is_floating(column.kind.arrow) for column in self.columns)

    def rows(self, rng: Random, ids: list[int]) -> pa.Table:
        arrays = {"id": pa.array(ids, pa.int64())}
        for column in self.columns:
            arrays[column.name] = pa.array([column.draw(rng) for _ in ids], column.kind.arrow)
        return pa.table(arrays)


def integers(bits: int, signed: bool = True) -> Callable[[Random], int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def draw(rng: Random) -> int:
        return (
            rng.choice([low, high, max(low, -1), 0])
            if rng.random() < 0.1
            else rng.randint(max(low, -9), 20)
        )

    return draw


def text(rng: Random) -> str:
    return rng.choice(TEXTS) if rng.random() < 0.5 else f"text {rng.randrange(40)}"


def moment(rng: Random) -> datetime.datetime:
    if rng.random() < 0.1:
        return rng.choice(
            [datetime.datetime(1, 1, 2), datetime.datetime(9998, 12, 31, 23, 59, 59, 999999), EPOCH]
        )
    return EPOCH + datetime.timedelta(
        days=rng.randint(-30, 20_000), microseconds=rng.randrange(5) * 250_001
    )


def decimals(digits: int, scale: int) -> Callable[[Random], Decimal]:
    def draw(rng: Random) -> Decimal:
        largest = 10 ** (digits - 2) if rng.random() < 0.1 else 10 ** (scale + 1)
        return Decimal(rng.randint(-largest, largest)).scaleb(-scale)

    return draw


def quoted(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def cast_to(kind: str) -> Callable[[object], str]:
    return lambda value: f"CAST({quoted(value)} AS {kind})"


def typed(kind: str, suffix: str = "") -> Callable[[object], str]:
    """`DATE '2020-01-02'` and the like."""

    def literal(value: object) -> str:
        plain = value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value
        text_of = (
            plain.isoformat(sep=" ") if isinstance(plain, datetime.datetime) else plain.isoformat()
        )
        return f"{kind} '{text_of}{suffix}'"

    return literal


def integer_kind(name: str, sql: str, arrow: pa.DataType, bits: int, **more) -> Kind:
    signed = not name.startswith("u")
    changes = ("{c} % 50 + 1", "id % 7") if signed else ("{c} % 50 + 1",)
    return Kind(name, sql, arrow, integers(bits, signed), str, changes, **more)


POINT = pa.struct([("x", pa.int64()), ("y", pa.string())])
KINDS = (
    integer_kind("tiny", "TINYINT", pa.int8(), 8),
    integer_kind("small", "SMALLINT", pa.int16(), 16),
    integer_kind("normal", "INTEGER", pa.int32(), 32),
    integer_kind("big", "BIGINT", pa.int64(), 62),
    integer_kind("unsigned", "INTEGER UNSIGNED", pa.uint32(), 32, duck="UINTEGER"),
    Kind(
        "double",
        "DOUBLE",
        pa.float64(),
        lambda r: r.choice(DOUBLES),
        cast_to("DOUBLE"),
        ("{c} / 2", "{c} + 0.5"),
        aggregates=False,
    ),
    Kind(
        "real",
        "REAL",
        pa.float32(),
        lambda r: r.choice([0.0, -0.0, 1.5, float("nan"), -0.25, 1e30]),
        cast_to("REAL"),
        ("{c} / 2",),
        aggregates=False,
    ),
    Kind(
        "price",
        "DECIMAL(18,4)",
        pa.decimal128(18, 4),
        decimals(18, 4),
        cast_to("DECIMAL(18,4)"),
        ("{c} + 1.5", "-{c}"),
    ),
    Kind(
        "wide",
        "DECIMAL(38,10)",
        pa.decimal128(38, 10),
        decimals(38, 10),
        cast_to("DECIMAL(38,10)"),
        ("-{c}",),
    ),
    Kind(
        "text",
        "VARCHAR",
        pa.string(),
        text,
        quoted,
        ("{c} || '+'", "substr({c}, 1, 3)", "replace({c}, 'a', 'ä')"),
    ),
    Kind("flag", "BOOLEAN", pa.bool_(), lambda r: r.random() < 0.5, str, ("NOT {c}",)),
    Kind(
        "day",
        "DATE",
        pa.date32(),
        lambda r: moment(r).date(),
        typed("DATE"),
        ("CAST({c} + INTERVAL '1 day' AS DATE)",),
    ),
    Kind("hour", "TIME", pa.time64("us"), lambda r: moment(r).time(), typed("TIME")),
    Kind(
        "local",
        "TIMESTAMP",
        pa.timestamp("us"),
        moment,
        typed("TIMESTAMP"),
        ("{c} + INTERVAL '1 hour'",),
    ),
    Kind(
        "instant",
        "TIMESTAMPTZ",
        pa.timestamp("us", "UTC"),
        lambda r: moment(r).replace(tzinfo=UTC),
        typed("TIMESTAMPTZ", "+00"),
        ("{c} + INTERVAL '1 hour'",),
    ),
    Kind(
        "blob",
        "BYTEA",
        pa.binary(),
        lambda r: bytes(r.randrange(256) for _ in range(r.randrange(4))),
        aggregates=False,
    ),
    Kind(
        "list",
        "BIGINT[]",
        pa.list_(pa.int64()),
        lambda r: r.choice([[], [1], [None, 2], [3, 4, 5]]),
        aggregates=False,
    ),
    Kind(
        "point",
        "STRUCT<x BIGINT, y VARCHAR>",
        POINT,
        duck="STRUCT(x BIGINT, y VARCHAR)",
        aggregates=False,
        draw=lambda r: r.choice(
            [{"x": 1, "y": "a"}, {"x": None, "y": None}, {"x": 2, "y": "it's"}]
        ),
    ),
)


def table(rng: Random, name: str) -> Table:
    kinds = rng.sample(KINDS, rng.randint(1, 6))
    columns = tuple(Column(f"c_{kind.name}", kind) for kind in kinds)
    return Table(name, columns, id_required=rng.random() < 0.3)


def predicate(rng: Random, of: Table, ids: int) -> str:
    """A condition over the columns of a table whose ids are below `ids`."""
    shape = rng.random()
    if shape < 0.05:
        return "TRUE"
    if shape < 0.1:
        return "id < 0"
    if shape < 0.2:
        return f"NOT ({condition(rng, of, ids)})"
    if shape < 0.4:
        word = rng.choice(["AND", "OR"])
        return f"({condition(rng, of, ids)}) {word} ({id_condition(rng, ids)})"
    return condition(rng, of, ids)


def condition(rng: Random, of: Table, ids: int) -> str:
    if rng.random() < 0.4:
        return id_condition(rng, ids)
    column = rng.choice(of.columns)
    if not column.kind.literal or rng.random() < 0.2:
        return f"{column.name} IS {rng.choice(['', 'NOT '])}NULL"
    values = [column.literal(column.kind.draw(rng)) for _ in range(3)]
    if column.kind.name == "flag":
        return rng.choice([column.name, f"NOT {column.name}", f"{column.name} = {values[0]}"])
    return rng.choice(
        [
            f"{column.name} {rng.choice(['=', '<>', '<', '<=', '>', '>='])} {values[0]}",
            f"{column.name} BETWEEN {values[0]} AND {values[1]}",
            f"{column.name} IN ({', '.join(values)})",
            f"{column.name} NOT IN ({', '.join(values[:2])})",
            f"{column.name} IN ({values[0]}, NULL)",
        ]
    )


def id_condition(rng: Random, ids: int) -> str:
    first = rng.randrange(ids + 1)
    return rng.choice(
        [
            f"id % {rng.randint(2, 9)} = {rng.randrange(3)}",
            f"id BETWEEN {first} AND {first + rng.randrange(40)}",
            f"id IN ({', '.join(str(rng.randrange(ids + 1)) for _ in range(rng.randint(1, 8)))})",
            f"id > {first}",
            f"id = {first}",
        ]
    )


def assignments(rng: Random, of: Table, prefix: str = "") -> str:
    """`SET` of some columns to constants and expressions; "" where SQL can set none."""
    columns = of.writable()
    chosen = rng.sample(columns, min(len(columns), rng.randint(1, 3)))
    return ", ".join(f"{column.name} = {new_value(rng, column, prefix)}" for column in chosen)


def new_value(rng: Random, column: Column, prefix: str = "") -> str:
    if column.kind.changes and rng.random() < 0.6:
        return rng.choice(column.kind.changes).format(c=prefix + column.name)
    value = column.draw(rng)
    # DuckDB's UPDATE keeps a value that equals the new one: a zero would keep its sign.
    return column.literal(value or None if isinstance(value, float) else value)


def values(rng: Random, of: Table, ids: list[int]) -> str:
    """The rows of a `VALUES`, in the order of `id` and the writable columns."""
    return ", ".join(
        f"({', '.join([str(n), *(c.literal(c.draw(rng)) for c in of.writable())])})" for n in ids
    )
