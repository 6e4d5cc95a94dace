"""The stock ADBC driver as a client of Quiver."""

from __future__ import annotations

import adbc_driver_flightsql.dbapi as dbapi


def connect(uri: str, user="admin", password="quiver", *, autocommit=True, headers=None, **options):
    """A DB-API connection; `headers` go with every call."""
    kwargs = {"username": user, "password": password}
    for name, value in (headers or {}).items():
        kwargs["adbc.flight.sql.rpc.call_header." + name] = value
    kwargs.update(options)
    return dbapi.connect(uri, db_kwargs=kwargs, autocommit=autocommit)


def query(connection, sql: str, parameters=None):
    """The result as an Arrow table."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


def execute(connection, sql: str, parameters=None) -> int:
    """A statement without a result; how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.rowcount


def rows(connection, sql: str, parameters=None) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [tuple(row) for row in cursor.fetchall()]


def scalar(connection, sql: str, parameters=None):
    ((value,),) = rows(connection, sql, parameters)
    return value


def ingest(connection, table: str, data, mode="create", schema: str | None = None) -> int:
    with connection.cursor() as cursor:
        return cursor.adbc_ingest(table, data, mode=mode, db_schema_name=schema)
