"""The fixtures that the driver's own tests want; what is published of these tests leaves them out.

They are made for two real servers, GizmoSQL and Dremio. Here both are Quiver. A pytest plugin: `-p driver_fixtures`.
"""

from __future__ import annotations

import os

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import pytest


@pytest.fixture(scope="session")
def dremio_uri() -> str:
    return os.environ["QUIVER_URI"]


@pytest.fixture(scope="session")
def dremio_user() -> str:
    return os.environ["QUIVER_USER"]


@pytest.fixture(scope="session")
def dremio_pass() -> str:
    return os.environ["QUIVER_PASSWORD"]


@pytest.fixture
def dremio(dremio_uri, dremio_user, dremio_pass):
    """A connection of the lower layer."""
    login = {"username": dremio_user, "password": dremio_pass}
    with adbc_driver_flightsql.connect(dremio_uri, db_kwargs=login) as database:
        with adbc_driver_manager.AdbcConnection(database) as connection:
            yield connection


@pytest.fixture
def dremio_dbapi(dremio_uri, dremio_user, dremio_pass):
    login = {"username": dremio_user, "password": dremio_pass}
    with adbc_driver_flightsql.dbapi.connect(dremio_uri, db_kwargs=login, autocommit=True) as connection:
        yield connection


@pytest.fixture
def gizmosql(dremio):
    return dremio


@pytest.fixture
def gizmosql_dbapi(dremio_dbapi):
    return dremio_dbapi
