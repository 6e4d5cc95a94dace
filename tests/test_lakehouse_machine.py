"""Random lives of a table store: ingests, INSERT, DELETE, UPDATE, MERGE, ALTER, transactions, flushes,
compaction, rollbacks, expiry, another writer, restarts and kills in any order, each also done to a model; after each step both show the same rows.
DuckDB reads the catalog after each flush, and at the end each snapshot again as it was.

QUIVER_MACHINE_SEEDS=17..18 replays a seed (the end is not included), 0..1000 looks for trouble;
QUIVER_MACHINE_STEPS is how many steps each has.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from quiver_testing import machine_operations as op
from quiver_testing.machine import World
from quiver_testing.server import NO_TIMED_FLUSH

FIRST, _, END = os.environ.get("QUIVER_MACHINE_SEEDS", "0..4").partition("..")
STEPS = int(os.environ.get("QUIVER_MACHINE_STEPS", "45"))

# Every third life, so that flushes fall between and into statements as well.
OFTEN_FLUSHED = {"QUIVER_WRITE_BUFFER__FLUSH_INTERVAL_MS": "50"}

Operation = Callable[[World], None]

# What may happen inside a transaction and outside of one, and how often.
CHANGES: dict[Operation, int] = {
    op.ingest: 14,
    op.ingest_new_table: 2,
    op.insert_values: 8,
    op.insert_select: 2,
    op.delete: 12,
    op.delete_using: 4,
    op.update: 12,
    op.update_ids: 2,
    op.update_from: 4,
    op.merge: 8,
    op.truncate: 2,
    op.create_table: 2,
    op.drop_table: 1,
}
# What a transaction does to tables only while it has not changed their rows.
ALTERATIONS: dict[Operation, int] = {op.ingest_new_columns: 4, op.alter_table: 5}


def transaction(world: World) -> None:
    """A few changes that are committed, rolled back, or lost with the server."""
    before = dict(world.tables)
    with world.transaction():
        for _ in range(world.rng.randint(1, 5)):
            draw(world, INSIDE)(world)
            world.check()
        if world.rng.random() < 0.1:
            world.restart(kill=world.rng.random() < 0.7)
            world.end_lost_transaction(before)


def savepoint(world: World) -> None:
    """Changes after a savepoint, kept or taken back."""
    place, before = world.savepoint(), dict(world.tables)
    for _ in range(world.rng.randint(1, 3)):
        draw(world, INSIDE)(world)
    world.check()
    world.end_savepoint(place, before, keep=world.rng.random() < 0.4)


INSIDE: dict[Operation, int] = {**CHANGES, savepoint: 10, op.flush_by_another: 6}
OPERATIONS: dict[Operation, int] = {
    **CHANGES,
    **ALTERATIONS,
    transaction: 14,
    op.flush: 12,
    op.compact: 5,
    op.roll_back: 4,
    op.expire: 2,
    op.restart: 1,
    op.kill: 2,
    op.kill_inside: 1,
    op.refused: 2,
    op.hold: 3,
    op.let_go: 3,
    op.travel: 4,
    op.duckdb_writes: 2,
}


def draw(world: World, operations: dict[Operation, int]) -> Operation:
    (chosen,) = world.rng.choices(list(operations), list(operations.values()))
    return chosen


@pytest.mark.parametrize("seed", range(int(FIRST), int(END)))
def test_a_random_life_keeps_to_its_model(make_server, seed):
    server = make_server(settings=OFTEN_FLUSHED if seed % 3 == 2 else NO_TIMED_FLUSH).start()
    world = World(server, seed)
    try:
        live(world)
    except Exception as error:
        story = "\n".join(f"  {event[:2000]}" for event in world.log)
        raise AssertionError(
            f"seed {seed}, after\n{story}\n{type(error).__name__}: {error}"
        ) from error
    finally:
        world.close()


def live(world: World) -> None:
    for _ in range(STEPS):
        draw(world, OPERATIONS)(world)
        world.check()
    world.let_go()
    world.flush()
    world.check()
    world.check_history()
    world.check_states()
    world.check_changes()
    world.restart(kill=False)
    world.check()
