"""Substrait plans written field by field, for what no producer would write.

A message is made of `(field number, value)` pairs: an int becomes a varint, a float a double, text, bytes and messages
go as they are. Field numbers are those of Substrait 0.85.
"""

from __future__ import annotations

import struct

ORDERS = {"id": "i64", "customer_id": "i64", "amount": "fp64", "status": "string", "placed": "date"}
TYPES = {"bool": 1, "i8": 2, "i32": 5, "i64": 7, "fp64": 11, "string": 12, "date": 16}
LITERALS = {bool: 1, int: 7, float: 11, str: 12}
ROOT = (4, b"")


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def m(*fields: tuple[int, object]) -> bytes:
    """A message."""
    out = b""
    for number, value in fields:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif isinstance(value, float):
            out += varint(number << 3 | 1) + struct.pack("<d", value)
        else:
            out += varint(number << 3) + varint(int(value))
    return out


# Expressions.


def lit(value) -> bytes:
    return m((1, m((LITERALS[type(value)], value))))


def literal(number: int, value) -> bytes:
    """A constant of any kind."""
    return m((1, m((number, value))))


def col(position: int, root=ROOT) -> bytes:
    reference = m((1, m((2, m((1, position))))))
    return m((2, reference + m(root)))


def outer(position: int, steps: int = 1) -> bytes:
    return col(position, (5, m((1, steps))))


def call(name: str, *arguments: bytes, options: bytes = b"") -> bytes:
    """A scalar function; its anchor is made of its name."""
    values = [(4, m((3, argument))) for argument in arguments]
    return m((3, m((1, anchor(name)), *values) + options))


def parameter(position: int, kind: str) -> bytes:
    return m((14, m((1, type_of(kind)), (2, position))))


def type_of(kind: str) -> bytes:
    return m((TYPES[kind], m((2, 1))))


def cast(value: bytes, kind: bytes) -> bytes:
    return m((11, m((1, kind), (2, value))))


def scalar_subquery(rel: bytes) -> bytes:
    return m((12, m((1, m((1, rel))))))


def in_subquery(needle: bytes, rel: bytes) -> bytes:
    return m((12, m((2, m((1, needle), (2, rel))))))


def exists(rel: bytes) -> bytes:
    return m((12, m((3, m((1, 1), (2, rel))))))


# Relations.


def emit(positions: list[int]) -> tuple[int, bytes]:
    return (1, m((2, m((1, b"".join(varint(p) for p in positions))))))


def base_schema(columns: dict[str, str]) -> bytes:
    types = m(*[(1, type_of(kind)) for kind in columns.values()])
    return m(*[(1, name) for name in columns], (2, types))


def read(*names: str, columns: dict[str, str] | None = None, more: bytes = b"") -> bytes:
    table = m(*[(1, name) for name in names or ("orders",)])
    return m((1, m((2, base_schema(columns or ORDERS)), (7, table)) + more))


def values(*rows: list[bytes], columns: dict[str, str]) -> bytes:
    table = m(*[(2, m(*[(1, cell) for cell in row])) for row in rows])
    return m((1, m((2, base_schema(columns)), (5, table))))


def one_row() -> bytes:
    return values([lit(1)], columns={"a": "i64"})


def filtered(rel: bytes, condition: bytes) -> bytes:
    return m((2, m((2, rel), (3, condition))))


def project(rel: bytes, *expressions: bytes, output: list[int] | None = None) -> bytes:
    common = [] if output is None else [emit(output)]
    return m((7, m(*common, (2, rel), *[(3, expression) for expression in expressions])))


def join(left: bytes, right: bytes, on: bytes, kind: int = 1, more: bytes = b"") -> bytes:
    return m((6, m((2, left), (3, right), (4, on), (6, kind)) + more))


def cross(left: bytes, right: bytes) -> bytes:
    return m((12, m((2, left), (3, right))))


def fetch(rel: bytes, more: bytes = b"") -> bytes:
    return m((3, m((2, rel)) + more))


def sort(rel: bytes, key: bytes, direction: int = 1) -> bytes:
    return m((5, m((2, rel), (3, m((1, key), (2, direction))))))


def set_of(operation: int, *rels: bytes) -> bytes:
    return m((8, m(*[(2, rel) for rel in rels], (3, operation))))


def aggregate(rel: bytes, keys: list[bytes], measures: list[bytes], more: bytes = b"") -> bytes:
    keys = [(3, m(*[(1, key) for key in keys]))]
    return m((4, m((2, rel), *keys, *[(4, measure) for measure in measures]) + more))


def measure(name: str, *arguments: bytes, more: bytes = b"", condition: bytes | None = None) -> bytes:
    function = m((1, anchor(name)), *[(7, m((3, argument))) for argument in arguments]) + more
    return m((1, function), *([] if condition is None else [(2, condition)]))


# Plans.


_names: dict[str, int] = {}


def anchor(name: str) -> int:
    return _names.setdefault(name, len(_names))


def plan(rel: bytes, names: list[str] | int, more: bytes = b"", version: int | None = 85) -> bytes:
    """A plan with all functions that were named so far; `names` may be their number."""
    if isinstance(names, int):
        names = [f"c{n}" for n in range(names)]
    root = m((1, rel), *[(2, name) for name in names])
    functions = [(2, m((3, m((2, number), (3, name))))) for name, number in _names.items()]
    version_field = [] if version is None else [(6, m((2, version)))]
    return m(*functions, (3, m((2, root))), *version_field) + more
