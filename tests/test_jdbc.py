"""JDBC tools: the metadata that they walk through, and every question of DatabaseMetaData."""

from __future__ import annotations

from pathlib import Path

import pytest
from quiver_testing.flight import Flight
from quiver_testing.java import java, jdbc_driver, jdbc_url

WALK = Path(__file__).with_name("java") / "MetadataWalk.java"
TABLES = 40


@pytest.fixture(scope="module")
def walked(servers):
    """The lines that the walk prints, by kind, over tables in two schemas."""
    server = servers().start()
    with Flight(server.uri) as flight:
        flight.execute("CREATE SCHEMA side")
        for number in range(TABLES):
            flight.execute(f"CREATE TABLE walk_{number} (id BIGINT NOT NULL, name VARCHAR, price DECIMAL(10, 2))")
        flight.execute("CREATE TABLE side.walk_0 (id BIGINT)")
    done = java(jdbc_driver(), WALK, jdbc_url(server), server.user, server.password, "walk_7")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {"walk": {}, "asked": {}, "failed": {}}
    for line in done.stdout.splitlines():
        kind, name, answer, *_ = line.split("\t")
        lines[kind][name] = answer
    server.close()
    return lines


def test_the_tree_of_a_tool(walked):
    rows = {name: int(count) for name, count in walked["walk"].items()}
    assert rows["catalogs"] == 1
    assert rows["tables of main"] == TABLES
    assert rows["tables"] > TABLES + 1, "system views too"
    assert rows["columns of one"] == 3
    assert rows["columns of all"] == 3 * TABLES
    assert rows["primary keys"] == rows["imported keys"] == rows["cross reference"] == 0


def test_every_question_is_answered(walked):
    assert walked["failed"] == {}
    asked = walked["asked"]
    assert len(asked) > 100
    for question, answer in {
        "getDatabaseProductName": "Quiver",
        "getIdentifierQuoteString": '"',
        "supportsTransactions": "true",
        "supportsSavepoints": "true",
        "supportsCatalogsInDataManipulation": "true",
        "supportsBatchUpdates": "true",
        "isReadOnly": "false",
    }.items():
        assert asked[question] == answer, question
