"""Joins of tables whose columns have the same names, and of subqueries that give names to other columns.

A filter that a join hands down is moved by the names of columns. Where a name means two of them, or another one
further down, a filter on the wrong column would leave out rows that are wanted: so small tables are joined at
random, over segments alone, and DuckDB answers the same questions."""

from __future__ import annotations

import random

import duckdb
import pyarrow as pa
import pytest

from quiver_testing import compare

SCHEMA = "same_names"
TABLES = ("r", "s", "t", "u")
SEEDS = range(250)


def made(table: str) -> pa.Table:
    chance, count = random.Random(table), 40

    def some(below: int):
        return [None if chance.random() < 0.05 else chance.randrange(below) for _ in range(count)]

    return pa.table({
        "id": pa.array(range(count), pa.int64()), "k": pa.array(some(60), pa.int64()),
        "v": pa.array(some(9), pa.int64()),
    })


@pytest.fixture(scope="module")
def expected():
    with duckdb.connect() as database:
        for table in TABLES:
            database.register(table, made(table))
        yield lambda sql: database.execute(sql).to_arrow_table()


@pytest.fixture(scope="module")
def loaded(client):
    client.execute(f"CREATE SCHEMA {SCHEMA}")
    for table in TABLES:
        client.put((SCHEMA, table), made(table), [("x-create", "true")])
    client.query("CALL system.flush()")
    return SCHEMA


class Question:
    """A join tree of random shape, with the relations below it."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)
        self.relations: list[str] = []

    def relation(self) -> tuple[str, list[str]]:
        table = f"{{schema}}.{self.chance.choice(TABLES)}"
        name = f"x{len(self.relations)}"
        self.relations.append(name)
        plain = f"SELECT id, k, v FROM {table}"
        shapes = {
            f"{table} AS {name}": 6,
            f"(SELECT k AS id, id AS k, v FROM {table}) AS {name}": 3,
            f"(SELECT id + 1 AS id, v AS k, k AS v FROM {table}) AS {name}": 2,
            f"({plain} UNION ALL SELECT k, id, v FROM {table}) AS {name}": 2,
            f"(SELECT v AS id, max(id) AS k, min(k) AS v FROM {table} GROUP BY v) AS {name}": 1,
            f"(SELECT k AS id, id AS k, v FROM {table} WHERE v < 7) AS {name}": 2,
        }
        (shape,) = self.chance.choices(list(shapes), list(shapes.values()))
        return shape, [name]

    def tree(self, leaves: int) -> tuple[str, list[str]]:
        if leaves == 1:
            return self.relation()
        left_leaves = self.chance.randrange(1, leaves)
        left, left_names = self.tree(left_leaves)
        right, right_names = self.tree(leaves - left_leaves)
        kind = self.chance.choices(("JOIN", "LEFT JOIN", "RIGHT JOIN"), (6, 1, 1))[0]

        def column(names):
            return f"{self.chance.choice(names)}.{self.chance.choice(('id', 'id', 'k', 'v'))}"

        on = f"{column(left_names)} = {column(right_names)}"
        names = left_names + right_names
        return f"({left} {kind} {right} ON {on})", names

    def sql(self) -> str:
        tree, names = self.tree(self.chance.randrange(2, 6))
        columns = [f"{name}.{column}" for name in names for column in ("id", "k", "v")]
        where = ""
        if self.chance.random() < 0.6:
            where = f" WHERE {self.chance.choice(columns)} < {self.chance.randrange(4, 40)}"
        if self.chance.random() < 0.25:
            # All columns: the same order and the same rows everywhere.
            keys = ", ".join(f"{column} DESC NULLS LAST" for column in self.chance.sample(columns, len(columns)))
            where += f" ORDER BY {keys} LIMIT {self.chance.randrange(1, 20)}"
        listed = ", ".join(f"{column} AS c{nth}" for nth, column in enumerate(columns))
        return f"SELECT {listed} FROM {tree}{where}"


def counted(table: pa.Table) -> list[tuple]:
    return sorted(zip(*(column.to_pylist() for column in table.columns)), key=repr)


@pytest.mark.parametrize("seed", SEEDS)
def test_same_names_agree_with_duckdb(seed, loaded, client, expected):
    sql = Question(seed).sql()
    found = client.query(sql.format(schema=loaded))
    assert counted(found) == counted(expected(sql.replace("{schema}.", ""))), sql


RENAMED = (
    "SELECT y.id, y.k FROM {schema}.r AS x JOIN (SELECT id AS k, k AS id FROM {schema}.s) AS y ON y.id = x.v",
    "SELECT y.id FROM {schema}.r AS x JOIN (SELECT id + 1 AS id, k FROM {schema}.s) AS y ON y.id = x.v",
    "WITH e AS (SELECT id, k FROM {schema}.s UNION ALL SELECT k, id FROM {schema}.s) "
    "SELECT e.k FROM {schema}.r AS x JOIN e ON e.id = x.v",
    "SELECT s.id AS a, r.id AS b, t.id AS c, u.id AS d FROM {schema}.s JOIN ({schema}.r JOIN {schema}.t "
    "ON r.v = t.id JOIN {schema}.u ON t.id = u.id) ON s.id = t.id WHERE s.k < 30",
    "SELECT r.k AS a, s.k AS b FROM {schema}.r JOIN {schema}.s ON r.id = s.id JOIN {schema}.t ON s.id = t.id "
    "ORDER BY s.k, r.k LIMIT 3",
)


@pytest.mark.parametrize("sql", RENAMED, ids=range(len(RENAMED)))
def test_names_of_other_columns(sql, loaded, client, expected):
    found = client.query(sql.format(schema=loaded))
    assert counted(found) == counted(expected(sql.replace("{schema}.", "")))
