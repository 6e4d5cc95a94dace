"""Rows as text that is equal exactly when the values are: -0.0 is not 0.0, NaN is NaN, an instant
is one whatever its zone. Their order does not count."""

from __future__ import annotations

import datetime

import pyarrow as pa

Rows = list[tuple[str, ...]]


def rows_of(table: pa.Table) -> Rows:
    """The rows, sorted."""
    columns = [[cell(value) for value in column.to_pylist()] for column in table.columns]
    return sorted(zip(*columns))


def cell(value: object) -> str:
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(cell, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {cell(inner)}' for name, inner in value.items())}}}"
    return repr(value)


def difference(ours: Rows, expected: Rows, shown: int = 5) -> str:
    """What one has and the other has not, for the message of a failure."""
    extra, missing = subtract(ours, expected), subtract(expected, ours)
    return (
        f"{len(ours)} rows instead of {len(expected)}; "
        f"{len(extra)} too many: {extra[:shown]}; {len(missing)} missing: {missing[:shown]}"
    )


def subtract(rows: Rows, taken: Rows) -> Rows:
    """The rows without those of `taken`, each as often as it is there."""
    counts: dict[tuple[str, ...], int] = {}
    for row in taken:
        counts[row] = counts.get(row, 0) + 1
    left = []
    for row in rows:
        if counts.get(row):
            counts[row] -= 1
        else:
            left.append(row)
    return left
