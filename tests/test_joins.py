"""Joins and limits over segments, made up at random, answered as DuckDB answers them.

A join hands what it has found out to the scans below it, which leave out rows by that: a row too many left out
would be a wrong answer. So the tables have NULLs, keys that match rarely and keys that match often, and enough
rows for a filter to be tried, given up and tried again."""

from __future__ import annotations

import random

import duckdb
import pyarrow as pa
import pytest

from quiver_testing import compare

SCHEMA = "joined"
ROWS = {"large": 700_000, "middle": 20_000, "small": 300}
SEEDS = range(120)


def made(table: str) -> pa.Table:
    """`id` counts; `key` is a third of them at random; `part` has few values; `text` is one of a hundred."""
    count, chance = ROWS[table], random.Random(table)
    seldom = 1_000_000 if table == "large" else 200_000

    def some(value):
        return None if chance.random() < 0.05 else value

    return pa.table({
        "id": pa.array(range(count), pa.int64()),
        "key": pa.array([some(chance.randrange(seldom)) for _ in range(count)], pa.int64()),
        "part": pa.array([some(chance.randrange(50)) for _ in range(count)], pa.int32()),
        "text": pa.array([some(f"text {chance.randrange(100):02}") for _ in range(count)], pa.string()),
        "amount": pa.array([chance.randrange(-1000, 1000) for _ in range(count)], pa.int64()),
    })


@pytest.fixture(scope="module")
def expected():
    with duckdb.connect() as database:
        for table in ROWS:
            database.register(table, made(table))
        yield lambda sql: database.execute(sql).to_arrow_table()


@pytest.fixture(scope="module")
def loaded(client):
    client.execute(f"CREATE SCHEMA {SCHEMA}")
    for table in ROWS:
        rows = made(table)
        # In several segments, and a few rows in none.
        cuts = [0, rows.num_rows // 3, rows.num_rows - 50, rows.num_rows]
        for first, last in zip(cuts, cuts[1:]):
            client.put((SCHEMA, table), rows.slice(first, last - first), [("x-create", "true")])
            if last < rows.num_rows:
                client.query("CALL system.flush()")
    return SCHEMA


def in_schema(sql: str, schema: str) -> str:
    for table in ROWS:
        sql = sql.replace(f"FROM {table}", f"FROM {schema}.{table}").replace(f"JOIN {table}", f"JOIN {schema}.{table}")
    return sql


def condition(chance: random.Random, table: str) -> str:
    """On one table; from nearly nothing to nearly all."""
    return chance.choice([
        f"{table}.id % 1000 = {chance.randrange(1000)}",
        f"{table}.id < {chance.choice([10, 1000, 100_000])}",
        f"{table}.part = {chance.randrange(50)}",
        f"{table}.part IS NULL",
        f"{table}.text = 'text {chance.randrange(100):02}'",
        f"{table}.amount > {chance.randrange(-1000, 1000)}",
        f"{table}.text IN ('text 01', 'text 02', 'text 77')",
        "true",
    ])


def key(chance: random.Random) -> str:
    return chance.choice(["id", "id", "key", "key", "key"])


def query(seed: int) -> tuple[str, tuple[int, ...]]:
    """A statement, and the places of the columns that fix the order of its rows."""
    chance = random.Random(seed)
    left, right = chance.sample(list(ROWS), 2)
    on = f"{left}.{key(chance)} = {right}.{key(chance)}"
    where = f"{condition(chance, left)} AND {condition(chance, right)}"
    own = condition(chance, left)
    counted = f"count(*), sum({left}.amount), min({left}.id), max({left}.text)"
    third = next(table for table in ROWS if table not in (left, right))
    kind = chance.choice(["INNER", "LEFT", "RIGHT", "FULL"])
    forms = [
        (f"SELECT {counted}, count({right}.id) FROM {left} {kind} JOIN {right} ON {on} WHERE {own}", ()),
        (f"SELECT {counted} FROM {left} {kind} JOIN {right} ON {on} AND {condition(chance, right)}", ()),
        (f"SELECT {counted} FROM {left} JOIN {right} ON {on} WHERE {where}", ()),
        (f"SELECT {counted} FROM {left} WHERE EXISTS (SELECT 1 FROM {right} WHERE {on} AND {where})", ()),
        (f"SELECT {counted} FROM {left} WHERE NOT EXISTS (SELECT 1 FROM {right} WHERE {on}) AND {own}", ()),
        (f"SELECT {counted} FROM {left} WHERE key IN (SELECT key FROM {right} WHERE {condition(chance, right)})", ()),
        (f"SELECT {counted} FROM {left} WHERE key NOT IN (SELECT key FROM {right} WHERE key IS NOT NULL "
         f"AND {condition(chance, right)})", ()),
        (f"SELECT {counted}, count({third}.id) FROM {left} JOIN {right} ON {on} {kind} JOIN {third} "
         f"ON {right}.key = {third}.{key(chance)} WHERE {where}", ()),
        (f"SELECT {counted} FROM {left} JOIN (SELECT key, count(*) AS n, sum(amount) AS total FROM {right} GROUP BY key) "
         f"AS g ON {left}.{key(chance)} = g.key WHERE g.n > 0 AND {own}", ()),
        (f"SELECT {left}.part, {counted} FROM {left} JOIN {right} ON {on} WHERE {where} GROUP BY {left}.part", ()),
        (f"SELECT {left}.id, {left}.amount FROM {left} JOIN {right} ON {on} WHERE {where} "
         f"ORDER BY {left}.amount, {left}.id, {right}.id LIMIT 20", (1, 0)),
        (f"SELECT amount, id FROM {left} WHERE {own} ORDER BY amount DESC, id LIMIT {chance.choice([1, 10, 1000])}",
         (0, 1)),
        (f"SELECT text, id FROM {left} WHERE {own} ORDER BY text NULLS FIRST, id LIMIT 100", (0, 1)),
    ]
    return forms[seed % len(forms)]


# Recursive terms run anew with every step: what a join found out in one must not count in the next.
RECURSIVE = {
    "two joins": "SELECT large.id, depth + 1 FROM walk JOIN middle ON middle.part = walk.id % 50 AND middle.id < 400 "
                 "JOIN large ON large.id = middle.id * 3 + depth",
    "a semi join": "SELECT middle.id, depth + 1 FROM walk JOIN middle ON middle.id = walk.id * 2 + 1 "
                   "WHERE EXISTS (SELECT 1 FROM large WHERE large.id = middle.id AND large.amount > -900)",
    "an aggregate": "SELECT large.id, g.depth + 1 FROM (SELECT id, max(depth) AS depth FROM walk GROUP BY id) AS g "
                    "JOIN large ON large.id = g.id * 2 + 1",
    "an outer join": "SELECT coalesce(large.id, 0), depth + 1 FROM walk LEFT JOIN large ON large.id = walk.id * 2 + 1",
}


@pytest.mark.parametrize("step", RECURSIVE)
def test_recursion_over_joins_agrees_with_duckdb(step, loaded, client, expected):
    sql = (f"WITH RECURSIVE walk AS (SELECT id, 0 AS depth FROM small WHERE id < 40 UNION ALL "
           f"SELECT * FROM ({RECURSIVE[step]}) AS next (id, depth) WHERE depth < 6) "
           "SELECT depth, count(*), sum(id) FROM walk GROUP BY depth ORDER BY depth")
    theirs = expected(sql)
    assert theirs.num_rows > 2, "it goes on for a few steps"
    for _ in range(2):
        compare.assert_same(client.query(in_schema(sql, loaded)), theirs, (0,))


@pytest.mark.parametrize("seed", SEEDS)
def test_join_agrees_with_duckdb(seed, loaded, client, expected):
    sql, ordered_by = query(seed)
    theirs = expected(sql)
    # Once more with the plan that was kept.
    for _ in range(2):
        compare.assert_same(client.query(in_schema(sql, loaded)), theirs, ordered_by)
