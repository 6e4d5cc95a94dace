"""Every Java example runs as printed, with the JDBC driver that Arrow publishes, and says what it should."""

from __future__ import annotations

from pathlib import Path

import pytest
from quiver_testing.java import JDBC_VERSION, java, jdbc_driver, jdbc_url

FOLDER = Path(__file__).resolve().parents[1] / "client-examples" / "java"
EXPECTED = {
    "JdbcExample.java": [
        "connected to Quiver", "customer 0: 71 invoices, 1412.90", "customer 1: 71 invoices, 1412.90", "refused: ",
    ],
    "MetadataExample.java": [
        "catalog default", "schema shop", "TABLE orders", "id BIGINT", "nullable: NO", "price DECIMAL(10, 2)",
    ],
    "CancelExample.java": ["cancelled: ", "timed out: ", "the connection still answers: 42"],
    "TypesExample.java": [
        "a_boolean: BOOLEAN", "true as Boolean", "a_decimal: DECIMAL", "3.25 as BigDecimal", "0102 as byte[]",
        "2026-01-02 as Date", "2026-01-02 03:04:05.678 as Timestamp", "a_timestamptz: TIMESTAMP_WITH_TIMEZONE",
        "[1,2,3]", '{"x":1,"y":"two"}', '{"k":1}', "a_null: INTEGER",
    ],
}


def test_every_example_is_tested():
    assert {path.name for path in FOLDER.glob("*.java")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, server):
    """Twice: an example that works once only is no example."""
    path = FOLDER / name
    text = path.read_text()
    assert len(text.splitlines()) < 150
    assert f"-cp flight-sql-jdbc-driver-{JDBC_VERSION}.jar" in text, "it says how it is run"
    for _ in range(2):
        done = java(jdbc_driver(), path, jdbc_url(server), server.user, server.password)
        assert done.returncode == 0, done.stdout + done.stderr
        for line in EXPECTED[name]:
            assert line in done.stdout, done.stdout
