"""Fixtures: the binary, servers over temporary folders, and clients of the shared one."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quiver_testing import adbc, data
from quiver_testing.flight import Flight
from quiver_testing.s3 import S3Server
from quiver_testing.server import NO_TIMED_FLUSH, Server

ROOT = Path(__file__).resolve().parents[1]
KEEP = bool(os.environ.get("QUIVER_KEEP"))
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def binary() -> Path:
    """The debug binary: QUIVER_BIN, or built here with the same dependencies as the Rust tests."""
    if given := os.environ.get("QUIVER_BIN"):
        assert Path(given).is_file(), f"QUIVER_BIN={given} is no file"
        return Path(given)
    build = ["cargo", "build", "--workspace", "--all-targets", "--quiet"]
    subprocess.run(build, cwd=ROOT, check=True)
    about = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    output = subprocess.run(about, cwd=ROOT, check=True, capture_output=True).stdout
    return Path(json.loads(output)["target_directory"]) / "debug" / "quiver"


@pytest.fixture(scope="session")
def servers(binary, tmp_path_factory):
    """Makes servers and ends those that still run when the tests are over."""
    made: list[Server] = []

    def make(**options) -> Server:
        folder = tmp_path_factory.mktemp("server")
        server = Server(binary, folder, **options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()
        if KEEP:
            print(f"kept {server.folder}")
        else:
            shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def make_server(servers):
    """Servers of one test, gone with it."""
    made: list[Server] = []

    def make(**options) -> Server:
        server = servers(**options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()
        if not KEEP:
            shutil.rmtree(server.data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_server(servers):
    """One development server for the tests that need no server of their own."""
    server = servers(settings=NO_TIMED_FLUSH).start()
    yield server
    assert server.alive(), server.log()[-4000:]
    assert server.stop() == 0, server.log()[-4000:]


@pytest.fixture
def server(shared_server):
    """The shared server, which has to be alive before and after each test."""
    yield shared_server
    assert shared_server.alive(), shared_server.log()[-4000:]


@pytest.fixture
def flight(server):
    """pyarrow as the shared server's administrator."""
    with Flight(server.uri) as client:
        yield client


@pytest.fixture(scope="module")
def client(shared_server):
    """As `flight`, for all tests of a module: tables are loaded once and asked many times."""
    with Flight(shared_server.uri) as client:
        yield client


@pytest.fixture
def connection(server):
    """ADBC with autocommit, as the shared server's administrator."""
    with adbc.connect(server.uri) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A table name that no other test uses."""
    return f"t{next(_numbers):04d}"


@pytest.fixture
def schema(flight) -> str:
    """A new schema of the shared server."""
    fresh = f"s{next(_numbers):04d}"
    flight.execute(f"CREATE SCHEMA {fresh}")
    return fresh


@pytest.fixture(scope="session")
def s3_program() -> Path:
    """The binary of the S3 server: QUIVER_S3_SERVER, or installed here."""
    install = [sys.executable, str(ROOT / "tests" / "tools" / "s3_server.py")]
    environment = {"QUIVER_VENV": sys.prefix, **os.environ}
    done = subprocess.run(install, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def s3(s3_program, tmp_path_factory):
    """One S3 server for the tests that do not stop theirs."""
    server = S3Server(s3_program, tmp_path_factory.mktemp("s3"))
    with server:
        yield server
    if KEEP:
        print(f"kept {server.folder}")
    else:
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def bucket(s3) -> str:
    """A new bucket of the shared S3 server."""
    fresh = f"bucket{next(_numbers):04d}"
    s3.client().create_bucket(fresh)
    return fresh


@pytest.fixture(scope="session")
def tpch_files(tmp_path_factory) -> dict[str, Path]:
    return data.make_tpch(tmp_path_factory.mktemp("tpch"))


@pytest.fixture(scope="session")
def flights_tables():
    return data.load_flights()


@pytest.fixture(scope="session")
def flights_files(flights_tables, tmp_path_factory) -> dict[str, Path]:
    return data.write_parquet(flights_tables, tmp_path_factory.mktemp("flights"))
