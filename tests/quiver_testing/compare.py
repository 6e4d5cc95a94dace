"""Equality of two Arrow tables as values: what two engines must agree on, whatever types they pick."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

import pyarrow as pa

RELATIVE = 1e-9
ABSOLUTE = 1e-9


def assert_same(ours: pa.Table, theirs: pa.Table, ordered_by: tuple[int, ...] = ()) -> None:
    """Asserts that both hold the same rows; and, for the columns named by position in
    `ordered_by`, that those follow in the same order (rows that tie there may be in any order)."""
    assert ours.num_columns == theirs.num_columns, (ours.schema, theirs.schema)
    assert ours.num_rows == theirs.num_rows, f"{ours.num_rows} rows, expected {theirs.num_rows}"
    scales = tuple(scale_of(ours.schema.field(i).type) for i in range(ours.num_columns))
    left, right = python_rows(ours), python_rows(theirs)
    if ordered_by:
        for number, (a, b) in enumerate(zip(left, right)):
            keys = [(a[i], b[i], scales[i]) for i in ordered_by]
            assert all(equal(x, y, s) for x, y, s in keys), f"row {number} out of order: {a} / {b}"
    for a, b in zip(sorted(left, key=sort_key), sorted(right, key=sort_key)):
        for x, y, scale in zip(a, b, scales):
            assert equal(x, y, scale), f"{x!r} is not {y!r}\nours:     {a}\nexpected: {b}"


def python_rows(table: pa.Table) -> list[tuple]:
    columns = [[plain(value) for value in column.to_pylist()] for column in table.columns]
    return list(zip(*columns))


def plain(value):
    """Nested and temporal values as comparable plain ones; time zones become UTC."""
    if isinstance(value, datetime.datetime):
        value = value.astimezone(datetime.timezone.utc) if value.tzinfo else value
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        return tuple((key, plain(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(plain(inner) for inner in value)
    return value


def scale_of(kind: pa.DataType) -> int | None:
    return kind.scale if pa.types.is_decimal(kind) else None


def equal(ours, theirs, scale: int | None = None) -> bool:
    """Numbers up to rounding: to our last decimal place if ours is a decimal, else relatively."""
    if ours is None or theirs is None:
        return ours is theirs
    if isinstance(ours, (float, Decimal)) or isinstance(theirs, (float, Decimal)):
        if isinstance(ours, Decimal) and isinstance(theirs, Decimal) and ours == theirs:
            return True
        a, b = float(ours), float(theirs)
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        absolute = ABSOLUTE if scale is None else max(ABSOLUTE, 1.01 * 10.0**-scale)
        return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=absolute)
    return ours == theirs


def sort_key(row: tuple) -> tuple:
    """A total order that puts values equal up to rounding at the same place: exact columns first."""
    exact = tuple(rank(v) for v in row if not isinstance(v, (float, Decimal)))
    inexact = tuple(rank(v) for v in row if isinstance(v, (float, Decimal)))
    return exact, inexact


def rank(value) -> tuple:
    if value is None:
        return (0, 0)
    if isinstance(value, (bool, int, float, Decimal)):
        number = float(value)
        return (1, -math.inf if math.isnan(number) else round(number, 4))
    return (2, str(value))
