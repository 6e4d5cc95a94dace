"""Numbers of several types in one expression: what they become, and that no digit is lost; beside DuckDB."""

from __future__ import annotations

import math
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from quiver_testing.flight import Flight

DOUBLES = [0.1, 1e-20, -1e-20, 0.0, 1e300, -2.5, 1 / 3, float("inf"), float("nan"), None]
DECIMALS = [Decimal("0.10"), Decimal("0.00"), Decimal("2.50"), Decimal("-7.25"), None]
# `x` is a double, `d` a decimal of two digits behind the point, `n` a number of rows.
MIXED = [
    "SELECT n FROM {t} WHERE x > 0.0 ORDER BY n",
    "SELECT n FROM {t} WHERE x = 0.1 ORDER BY n",
    "SELECT n FROM {t} WHERE x <> 0.1 ORDER BY n",
    "SELECT n FROM {t} WHERE 0.0 < x AND x < 1.5 ORDER BY n",
    "SELECT n FROM {t} WHERE x BETWEEN -0.5 AND 0.5 ORDER BY n",
    "SELECT n FROM {t} WHERE x NOT BETWEEN -0.5 AND 0.5 ORDER BY n",
    "SELECT n FROM {t} WHERE x IN (0.1, 2.5, -2.5) ORDER BY n",
    "SELECT n FROM {t} WHERE x NOT IN (0.1, 2.5) ORDER BY n",
    "SELECT n FROM {t} WHERE x > d ORDER BY n",
    "SELECT n FROM {t} WHERE x IS NOT DISTINCT FROM 0.1 ORDER BY n",
    "SELECT n FROM {t} WHERE d IN (SELECT x FROM {t}) ORDER BY n",
    "SELECT n FROM {t} WHERE x IN (SELECT d FROM {t} WHERE d IS NOT NULL) ORDER BY n",
    "SELECT n FROM {t} WHERE x > (SELECT max(d) FROM {t}) ORDER BY n",
    "SELECT n, CASE WHEN n < 3 THEN 0.5 ELSE x END FROM {t} ORDER BY n",
    "SELECT n, CASE x WHEN 0.1 THEN 'a' WHEN -2.5 THEN 'b' ELSE 'c' END FROM {t} ORDER BY n",
    "SELECT n, coalesce(x, 0.25) FROM {t} ORDER BY n",
    "SELECT n, coalesce(d, x) FROM {t} ORDER BY n",
    "SELECT n, nullif(x, 0.1) FROM {t} ORDER BY n",
    "SELECT n, x + 0.5, x * d FROM {t} ORDER BY n",
    "SELECT n, v FROM (SELECT n, x AS v FROM {t} UNION ALL SELECT n + 100, d FROM {t} UNION ALL SELECT 500, 0.125) ORDER BY n",
    "SELECT a.n, b.n FROM {t} a JOIN {t} b ON a.x = b.d ORDER BY 1, 2",
    "SELECT a.n, b.n FROM {t} a JOIN {t} b ON a.x < b.d AND a.n < 3 ORDER BY 1, 2",
    "SELECT v FROM (VALUES (0.1), (CAST(1e300 AS DOUBLE)), (2.5)) AS q(v) ORDER BY v",
    "SELECT max(v) FROM (SELECT x AS v FROM {t} WHERE x < 10.0 UNION ALL SELECT 0.7)",
]


@pytest.fixture(scope="module")
def numbers(shared_server):
    flight = Flight(shared_server.uri)
    rows = max(len(DOUBLES), len(DECIMALS))
    table = pa.table({
        "n": pa.array(range(rows), pa.int64()),
        "x": pa.array(DOUBLES + [None] * (rows - len(DOUBLES)), pa.float64()),
        "d": pa.array(DECIMALS + [None] * (rows - len(DECIMALS)), pa.decimal128(6, 2)),
    })
    flight.put("mixed_numbers", table, [("x-create", "true")])
    duck = duckdb.connect()
    # A table of its own: where DuckDB reads Arrow's memory, Arrow compares, and NaN is above nothing.
    duck.register("given", table)
    duck.execute("CREATE TABLE mixed_numbers AS SELECT * FROM given")
    yield flight, duck
    flight.execute("DROP TABLE mixed_numbers")
    flight.close()


def plain(rows):
    """Values that compare: decimals as floats, NaN as a word."""
    def value(cell):
        if isinstance(cell, (float, Decimal)):
            return "NaN" if math.isnan(cell) else float(cell)
        return cell
    return [tuple(value(cell) for cell in row) for row in rows]


@pytest.mark.parametrize("query", MIXED)
def test_doubles_and_decimals_agree_with_duckdb(query, numbers):
    flight, duck = numbers
    sql = query.format(t="mixed_numbers")
    found = flight.query(sql)
    found = plain(zip(*(column.to_pylist() for column in found.columns)))
    assert found == plain(duck.execute(sql).fetchall()), sql


@pytest.mark.parametrize("query, kind, value", [
    ("SELECT round(1.2345, 2) AS v", pa.decimal128(5, 2), Decimal("1.23")),
    ("SELECT round(d * 1.19, 1) AS v FROM mixed_numbers WHERE n = 2", None, Decimal("3.0")),
    ("SELECT round(1.25, NULL) AS v", None, None),
    ("SELECT 0.06 + 0.01 AS v", None, Decimal("0.07")),
])
def test_rounding_keeps_what_was_promised(query, kind, value, numbers):
    flight, _ = numbers
    found = flight.query(query)
    assert found.schema.equals(flight.info(query.encode()).schema)
    assert kind is None or found.schema.field(0).type == kind
    assert found["v"].to_pylist() == [value]


# Before types are settled, the columns of these have others than their rows.
PROMISED = [
    "SELECT CAST(1 AS INT) AS y UNION ALL SELECT CAST(2 AS BIGINT)",
    "SELECT CASE WHEN n > 3 THEN n ELSE 'small' END AS y FROM mixed_numbers ORDER BY n",
    "SELECT sum(n) + 1 * count(n) AS y FROM mixed_numbers",
    "SELECT n AS y FROM mixed_numbers UNION ALL SELECT 'text'",
    "SELECT NULL AS y UNION ALL SELECT n FROM mixed_numbers",
    "SELECT [n] AS y FROM mixed_numbers UNION ALL SELECT ['text']",
    "SELECT CASE WHEN n > 3 THEN 100.0 ELSE round((1.0 - d / 3) * 100, 2) END AS y FROM mixed_numbers ORDER BY n",
]


@pytest.mark.parametrize("query", PROMISED)
def test_rows_have_the_types_that_were_promised(query, numbers):
    flight, _ = numbers
    found = flight.query(query)
    assert found.num_rows > 0
    assert found.schema.equals(flight.info(query.encode()).schema)


def test_a_table_has_the_columns_that_are_declared(numbers, name):
    flight, _ = numbers
    flight.execute(
        f"CREATE TABLE {name} (id BIGINT NOT NULL, price DECIMAL(8, 2), raw BYTEA, tags TEXT[]) AS "
        "VALUES (1, 1, 'abc', ['a']), (2, 2.5, NULL, NULL)"
    )
    found = flight.query(f"SELECT * FROM {name} ORDER BY id")
    assert found.schema.types[:3] == [pa.int64(), pa.decimal128(8, 2), pa.binary()]
    assert found.to_pylist()[0] == {"id": 1, "price": Decimal("1.00"), "raw": b"abc", "tags": ["a"]}
    with pytest.raises(Exception, match="NOT NULL|non-null"):
        flight.execute(f"CREATE TABLE {name}_2 (id BIGINT NOT NULL) AS VALUES (1), (NULL)")
    with pytest.raises(Exception, match="1 values|columns"):
        flight.execute(f"CREATE TABLE {name}_2 (id BIGINT, more TEXT) AS VALUES (1)")


def test_lists_of_tables_meet_lists_of_queries(numbers, name):
    flight, _ = numbers
    flight.execute(f"CREATE TABLE {name} (id INT, tags BIGINT[]) AS VALUES (1, [1, 2]), (2, NULL)")
    for flushed in (False, True):
        if flushed:
            flight.execute("CALL system.flush()")
        rows = flight.query(
            f"SELECT array_concat(tags, [3]) AS a, array_repeat(tags, 2) AS b, "
            f"CASE WHEN id = 1 THEN tags ELSE [9] END AS c FROM {name} ORDER BY id"
        ).to_pylist()
        assert rows[0] == {"a": [1, 2, 3], "b": [[1, 2], [1, 2]], "c": [1, 2]}, flushed
        assert rows[1]["c"] == [9]


def test_a_field_of_a_column_of_an_alias(numbers):
    flight, _ = numbers
    sql = "SELECT q.s['a'] AS v FROM (SELECT {a: n} AS s FROM mixed_numbers) q WHERE q.s['a'] = 3"
    assert flight.query(sql)["v"].to_pylist() == [3]



# Each was wrong or refused once, where types are settled step by step: (query, rows).
SETTLED = [
    ("SELECT 1 WHERE CASE WHEN false THEN 1 ELSE 1e-20 END = 0.0", []),
    ("SELECT y FROM (SELECT 1 AS y UNION ALL SELECT 1e-20) q WHERE y = 0.0", []),
    ("SELECT y FROM (SELECT NULL AS y UNION ALL SELECT 0.00) q WHERE y = 1e-20", []),
    ("SELECT CAST(0 AS DECIMAL(3,1)) AS y UNION ALL SELECT 1e-20 UNION ALL SELECT 2e0 ORDER BY y",
     [(0.0,), (1e-20,), (2.0,)]),
    ("SELECT 1 WHERE 1e-20 > ALL (SELECT 0.0)", [(1,)]),
    ("SELECT 1 WHERE 1e-20 = ANY (SELECT 0.0)", []),
    ("SELECT v FROM (VALUES (CAST(2e0/3e0 AS DECIMAL(4,2))), (0.5)) q(v) ORDER BY v", [(0.5,), (0.67,)]),
    ("SELECT v[1] FROM (VALUES ([1e-20]), ([0.5])) q(v) ORDER BY 1", [(1e-20,), (0.5,)]),
    ("SELECT o.n FROM (SELECT n, coalesce(d, x) AS y FROM mixed_numbers WHERE n < 5) o "
     "WHERE EXISTS (SELECT 1 FROM mixed_numbers u WHERE u.d = o.y) ORDER BY 1", [(0,), (1,), (2,), (3,)]),
    ("WITH RECURSIVE c(k, y) AS (SELECT 0, coalesce(1.5, 1e0) UNION ALL SELECT k + 1, y FROM c "
     "WHERE k < 3 AND y > 0.1) SELECT k, y FROM c ORDER BY k", [(0, 1.5), (1, 1.5), (2, 1.5), (3, 1.5)]),
    ("SELECT 1 WHERE CAST(0.24933071444268662 AS DOUBLE) = 0.24933071444268662e0", [(1,)]),
]


@pytest.mark.parametrize("query, rows", SETTLED)
def test_types_settle_from_the_inside_out(query, rows, numbers):
    flight, _ = numbers
    found = flight.query(query)
    assert plain(zip(*(column.to_pylist() for column in found.columns))) == rows


# Into a table of one column of a type: (type, source, values).
INSERTED = [
    ("DECIMAL(10,2)", "VALUES (0.5), (1e0)", [0.5, 1.0]),
    ("DECIMAL(10,2)", "SELECT * FROM (VALUES (1e-20), (0.5)) q(v)", [0.0, 0.5]),
    ("INT", "SELECT CASE WHEN n < 3 THEN CAST(n AS INT) ELSE n END FROM mixed_numbers WHERE n < 5", [0, 1, 2, 3, 4]),
    ("BIGINT", "SELECT 1 UNION ALL SELECT '2'", [1, 2]),
    ("DECIMAL(20,2)", "SELECT d FROM mixed_numbers WHERE n < 2 UNION ALL SELECT 2e0", [0.0, 0.1, 2.0]),
    ("DOUBLE", "VALUES (0.24933071444268662), (0.1)", [0.1, 0.24933071444268662]),
    ("DOUBLE", "SELECT * FROM (VALUES (0.24933071444268662), (0.1)) q", [0.1, 0.24933071444268662]),
]


@pytest.mark.parametrize("kind, source, values", INSERTED)
def test_what_is_inserted_takes_the_type_of_its_column(kind, source, values, numbers, name):
    flight, _ = numbers
    flight.execute(f"CREATE TABLE {name} (v {kind})")
    assert flight.execute(f"INSERT INTO {name} {source}") == len(values)
    assert plain(flight.rows(f"SELECT v FROM {name} ORDER BY v")) == [(value,) for value in values]
    flight.execute(f"CREATE TABLE {name}_as (v {kind}) AS {source}")
    assert plain(flight.rows(f"SELECT v FROM {name}_as ORDER BY v")) == [(value,) for value in values]


def test_declared_columns_of_maps_and_of_repeated_names(numbers, name):
    flight, _ = numbers
    flight.execute(f"CREATE TABLE {name} (m MAP(VARCHAR, BIGINT)) AS SELECT MAP(['a'], [1])")
    assert flight.query(f"SELECT m FROM {name}")["m"].to_pylist() == [[("a", 1)]]
    flight.execute(f"CREATE TABLE {name}_2 (a INT, b INT) AS SELECT n, n FROM mixed_numbers WHERE n = 3")
    assert flight.rows(f"SELECT a, b FROM {name}_2") == [(3, 3)]
