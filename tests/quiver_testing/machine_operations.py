"""The steps of the machine, one function each.

A new operation is a function here and a line in a table of `test_lakehouse_machine.py`; what it
does to Quiver it also does to the model, through the world's methods.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random

import pyarrow as pa

from . import random_tables
from .machine import IDS, World
from .random_tables import Column, Table

ROWS_MAX = 1500
TABLES_MAX = 3


def ingest(world: World) -> None:
    """A DoPut: few rows or many, in one batch or several, some columns left out, in any order."""
    table = world.any_table()
    count = world.rng.choice([1, 3, 10, 10, 40, 40, 300])
    rows = table.rows(world.rng, world.ids(count))
    columns = ["id", *(c.name for c in table.columns if world.rng.random() < 0.9)]
    world.rng.shuffle(columns)
    per_batch = world.rng.choice([None, 1 + count // 3])
    world.ingest(table, disguised(world.rng, rows.select(columns)), rows_per_batch=per_batch)


def disguised(rng: Random, rows: pa.Table) -> pa.Table:
    """The same values in other Arrow types, which become the table's."""
    for position, field in enumerate(rows.schema):
        if pa.types.is_string(field.type) and rng.random() < 0.5:
            column = rows.column(position)
            other = rng.choice([column.dictionary_encode(), column.cast(pa.large_string())])
            rows = rows.set_column(position, field.name, other)
    return rows


def ingest_new_table(world: World) -> None:
    """An ingest that creates its table."""
    if len(world.tables) < TABLES_MAX:
        table = world.new_table()
        rows = table.rows(world.rng, world.ids(world.rng.randint(1, 30)))
        table = Table(table.name, table.columns)
        world.model.execute(table.create(duck=True))
        world.tables[table.name] = table
        world.ingest(table, rows, headers=[("x-create", "true")])


def insert_values(world: World) -> None:
    table = world.any_table()
    ids = world.ids(world.rng.randint(1, 6))
    columns = ", ".join(["id", *(column.name for column in table.writable())])
    rows = random_tables.values(world.rng, table, ids)
    world.statement(f"INSERT INTO {table.name} ({columns}) VALUES {rows}")


def insert_select(world: World) -> None:
    """Rows of a table once more, with other ids."""
    table = world.any_table()
    if world.duck.query(f"SELECT count(*) FROM {table.name}").column(0)[0].as_py() < ROWS_MAX // 2:
        columns = ", ".join(column.name for column in table.columns)
        rows = f"SELECT id + {world.rng.randrange(9)}, {columns} FROM {table.name}"
        condition = world.predicate(table)
        world.statement(f"INSERT INTO {table.name} (id, {columns}) {rows} WHERE {condition}")


def delete(world: World) -> None:
    table = world.any_table()
    condition = world.rng.choice(["", *[f" WHERE {world.predicate(table)}"] * 15])
    world.statement(f"DELETE FROM {table.name}{condition}")


def delete_using(world: World) -> None:
    """Rows that another table, or the same one, chooses."""
    table, other = world.any_table(), world.any_table()
    condition = world.predicate(other)
    if world.rng.random() < 0.5:
        chosen = f"id IN (SELECT id % 100 FROM {other.name} WHERE {condition})"
        world.statement(f"DELETE FROM {table.name} WHERE {chosen}")
    else:
        source = f"(SELECT id % 50 AS k FROM {other.name} WHERE {condition})"
        world.statement(
            f"DELETE FROM {table.name} USING {source} AS s WHERE {table.name}.id % 50 = s.k"
        )


def update(world: World) -> None:
    table = world.any_table()
    if changes := random_tables.assignments(world.rng, table):
        condition = world.rng.choice(["", *[f" WHERE {world.predicate(table)}"] * 10])
        world.statement(f"UPDATE {table.name} SET {changes}{condition}")


def update_ids(world: World) -> None:
    """Rows that move to other places of the table's range."""
    table = world.any_table()
    moved = world.rng.choice(
        ["id + 1", f"id * 7 % {IDS}", f"{IDS} - id", str(world.rng.randrange(IDS))]
    )
    world.statement(f"UPDATE {table.name} SET id = {moved} WHERE {world.predicate(table)}")


def update_from(world: World) -> None:
    """Each row takes what the source says about its id."""
    table = world.any_table()
    if changes := random_tables.assignments(world.rng, table, prefix=f"{table.name}."):
        rows = ", ".join(f"({n})" for n in some_ids(world))
        source = f"(VALUES {rows}) AS s(k)"
        condition = f"{table.name}.id = s.k"
        world.statement(f"UPDATE {table.name} SET {changes} FROM {source} WHERE {condition}")


def some_ids(world: World) -> list[int]:
    """Different ids, many of them in use."""
    return sorted({world.rng.randrange(IDS) for _ in range(world.rng.randint(1, 40))})


def merge(world: World) -> None:
    """A MERGE with any of its clauses, over constants or over another table's rows."""
    table = world.any_table()
    if world.rng.random() < 0.6:
        source = f"(VALUES {', '.join(f'({n}, {n % 3})' for n in some_ids(world))}) AS s(k, v)"
    else:
        other = world.any_table()
        condition = world.predicate(other)
        chosen = f"SELECT id, min(id % 3) FROM {other.name} WHERE {condition} GROUP BY id"
        source = f"({chosen}) AS s(k, v)"
    clauses = [clause for clause in merge_clauses(world, table) if world.rng.random() < 0.6]
    if clauses:
        world.statement(
            f"MERGE INTO {table.name} USING {source} ON {table.name}.id = s.k {' '.join(clauses)}"
        )


def merge_clauses(world: World, table: Table) -> list[str]:
    """One of each kind, in an order in which each can apply."""
    prefix = f"{table.name}."
    changes = random_tables.assignments(world.rng, table, prefix)
    more_changes = random_tables.assignments(world.rng, table, prefix)
    inserted = ", ".join(column.literal(column.draw(world.rng)) for column in table.writable())
    names = ", ".join(["id", *(column.name for column in table.writable())])
    new_row = (
        f"INSERT ({names}) VALUES ({', '.join(['s.k + 1', *([inserted] if inserted else [])])})"
    )
    remainder = f"{prefix}id % {world.rng.randint(2, 5)} = 0"
    clauses = [
        "WHEN MATCHED AND s.v = 0 THEN DELETE",
        f"WHEN MATCHED AND {remainder} THEN UPDATE SET {changes}" if changes else "",
        world.rng.choice(
            [
                f"WHEN MATCHED THEN UPDATE SET {more_changes}" if changes else "",
                "WHEN MATCHED THEN DELETE",
            ]
        ),
        "WHEN NOT MATCHED AND s.v = 1 THEN " + new_row,
        "WHEN NOT MATCHED THEN " + new_row,
        f"WHEN NOT MATCHED BY SOURCE AND {remainder} THEN DELETE",
        f"WHEN NOT MATCHED BY SOURCE AND {prefix}id % 7 = 1 THEN UPDATE SET {changes}"
        if changes
        else "",
    ]
    return [clause for clause in clauses if clause]


def truncate(world: World) -> None:
    """As in PostgreSQL, it does not say how many rows there were."""
    world.statement(f"TRUNCATE TABLE {world.any_table().name}", counted=False)


def ingest_new_columns(world: World) -> None:
    """An ingest that adds the columns that its table lacks."""
    table = world.any_table()
    added = [new_column(world, table) for _ in range(world.rng.randint(1, 2))]
    altered = replace(table, columns=(*table.columns, *dict.fromkeys(added)))
    world.tables[table.name] = altered
    rows = altered.rows(world.rng, world.ids(world.rng.randint(1, 30)))
    for column in altered.columns[len(table.columns) :]:
        world.model.execute(
            f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.kind.duck_sql}"
        )
    world.ingest(altered, rows, headers=[("x-quiver-add-columns", "true")])


def new_column(world: World, table: Table) -> Column:
    """One that the table has not, of any kind."""
    kind = world.rng.choice(random_tables.KINDS)
    taken = {column.name for column in table.columns}
    names = (f"n{number}_{kind.name}" for number in itertools.count())
    return Column(next(name for name in names if name not in taken), kind)


def alter_table(world: World) -> None:
    """A column comes, goes, or gets another name."""
    table = world.any_table()
    column = world.rng.choice(table.columns)
    others = tuple(other for other in table.columns if other != column)
    match world.rng.randrange(4):
        case 0 if others:
            world.alter(table, f"DROP COLUMN {column.name}", replace(table, columns=others))
        case 1:
            name = new_column(world, table).name
            columns = tuple(
                replace(other, name=name) if other == column else other for other in table.columns
            )
            altered = replace(table, columns=columns)
            world.alter(table, f"RENAME COLUMN {column.name} TO {name}", altered)
        case _:
            new = new_column(world, table)
            value = new.draw(world.rng) if new.kind.literal else None
            if value is not None:
                new = replace(new, default=new.literal(value))
            default = "" if value is None else f" DEFAULT {new.default}"
            world.alter(
                table,
                f"ADD COLUMN {new.name} {new.kind.sql}{default}",
                replace(table, columns=(*table.columns, new)),
                duck=f"ADD COLUMN {new.name} {new.kind.duck_sql}{default}",
            )


def roll_back(world: World) -> None:
    world.roll_back(world.any_table())


def expire(world: World) -> None:
    world.expire(world.rng.choice([1, 3, 10, 30]))


def create_table(world: World) -> None:
    if len(world.tables) < TABLES_MAX:
        world.create(world.new_table())


def drop_table(world: World) -> None:
    """Drops a table; its name may come back with other columns."""
    table = world.any_table()
    world.drop(table)
    if world.rng.random() < 0.5:
        columns = random_tables.table(world.rng, table.name).columns
        world.create(Table(table.name, columns))


def flush(world: World) -> None:
    world.flush()


def compact(world: World) -> None:
    """Writes segments anew, under the feet of whoever reads; nothing is to be seen of it."""
    world.say("compaction")
    world.outside.query("CALL system.compact()")


def flush_by_another(world: World) -> None:
    """Rows that a transaction has seen go from memory to files under its feet."""
    world.say("another client flushes")
    world.outside.query("CALL system.flush()")


def restart(world: World) -> None:
    world.restart(kill=False)


def kill(world: World) -> None:
    world.restart(kill=True)


def kill_inside(world: World) -> None:
    """SIGKILL at any moment of a statement that touches many rows."""
    table = world.any_table()
    condition = world.predicate(table)
    changes = random_tables.assignments(world.rng, table)
    sql = (
        f"UPDATE {table.name} SET {changes} WHERE {condition}"
        if changes
        else f"DELETE FROM {table.name} WHERE {condition}"
    )
    world.die_within(sql, table.name, world.rng.random() * 0.02)


def refused(world: World) -> None:
    """Statements that cannot be: they change nothing."""
    table = world.any_table()
    column = world.rng.choice(table.columns).name
    world.refused(f"UPDATE {table.name} SET no_such_column = 1", "INVALID_ARGUMENT", "NOT_FOUND")
    world.refused(f"UPDATE {table.name} SET {column} = NULL, {column} = NULL", "INVALID_ARGUMENT")
    world.refused("DELETE FROM no_such_table", "NOT_FOUND")
    if table.id_required and world.duck.query(f"SELECT * FROM {table.name} LIMIT 1").num_rows:
        world.refused(
            f"UPDATE {table.name} SET id = NULL", "INVALID_ARGUMENT", "FAILED_PRECONDITION"
        )


def hold(world: World) -> None:
    world.hold()


def let_go(world: World) -> None:
    world.let_go()


def travel(world: World) -> None:
    """A look at an earlier snapshot."""
    if world.snapshots:
        world.check_snapshot(world.rng.choice(sorted(world.snapshots)))


def duckdb_writes(world: World) -> None:
    """Another engine writes while the server is stopped: rows, and what keeps files in order.

    Not to tables of floats: DuckDB's Parquet files have one zero, of either sign.
    """
    names = [name for name, table in sorted(world.tables.items()) if not table.has_floats()]
    if names:
        table = world.tables[world.rng.choice(names)]
        with world.elsewhere("DATA_INLINING_ROW_LIMIT 0") as run:
            # What DuckDB 1.5.5 keeps of nested values, it cannot always read itself.
            if world.rng.random() < 0.5 and not table.has_nested():
                run("CALL lake.set_option('data_inlining_row_limit', 15)")
            for _ in range(world.rng.randint(1, 4)):
                run(duckdb_statement(world, table))


def duckdb_statement(world: World, table: Table) -> str:
    condition = world.predicate(table)
    changes = random_tables.assignments(world.rng, table)
    columns = ", ".join(["id", *(column.name for column in table.writable())])
    rows = random_tables.values(world.rng, table, world.ids(world.rng.randint(1, 20)))
    return world.rng.choice(
        [
            f"INSERT INTO {table.name} ({columns}) VALUES {rows}",
            f"DELETE FROM {table.name} WHERE {condition}",
            f"UPDATE {table.name} SET {changes or 'id = id + 1'} WHERE {condition}",
            f"MERGE INTO {table.name} USING (VALUES (7), (8)) AS s(k) ON {table.name}.id = s.k "
            "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.k)",
            f"CALL ducklake_merge_adjacent_files('lake', '{table.name}')",
            f"CALL ducklake_flush_inlined_data('lake', table_name => '{table.name}')",
            f"CALL ducklake_rewrite_data_files('lake', '{table.name}', delete_threshold => 0.1)",
        ]
    )
