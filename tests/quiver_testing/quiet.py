"""Fixtures of tests that say themselves when something is flushed, compacted or tidied: import them by
name."""

from __future__ import annotations

import pytest

from quiver_testing.duck import Duck
from quiver_testing.flight import Flight
from quiver_testing.server import NO_BACKGROUND, Server


@pytest.fixture
def server(make_server) -> Server:
    """Where nothing happens unless a test asks for it."""
    return make_server(settings=NO_BACKGROUND).start()


@pytest.fixture
def client(server):
    with Flight(server.uri) as client:
        yield client


@pytest.fixture(scope="module")
def duck():
    with Duck() as duck:
        yield duck


def flush(client: Flight) -> int:
    """The snapshot that has everything that is committed."""
    return client.query("CALL system.flush()").column("snapshot_id")[0].as_py()
