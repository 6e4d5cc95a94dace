"""What tools ask before they show anything: catalogs, tables, types, server info; and sessions."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc, flightsql
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight, basic

FLIGHT = flightsql.FLIGHT


@pytest.fixture
def tables(flight, schema) -> str:
    """A schema with three tables whose names are patterns of each other."""
    flight.execute(f"CREATE TABLE {schema}.a_b (id BIGINT NOT NULL, price DECIMAL(10, 2), note VARCHAR)")
    flight.execute(f"CREATE TABLE {schema}.axb (other INTEGER)")
    flight.execute(f"CREATE TABLE {schema}.b (at TIMESTAMP)")
    return schema


def names(answer: pa.Table) -> list[str]:
    return answer["table_name"].to_pylist()


def test_catalogs_and_schemas(flight, tables):
    assert flight.command("CommandGetCatalogs").to_pylist() == [{"catalog_name": "default"}]
    schemas = flight.command("CommandGetDbSchemas")["db_schema_name"].to_pylist()
    assert {"main", "information_schema", tables} <= set(schemas)
    assert schemas == sorted(schemas)
    one = flight.command("CommandGetDbSchemas", db_schema_filter_pattern=tables)
    assert one.to_pylist() == [{"catalog_name": "default", "db_schema_name": tables}]
    assert flight.command("CommandGetDbSchemas", catalog="").num_rows == 0


def test_tables_and_their_filters(flight, tables):
    def ask(**filters):
        return flight.command("CommandGetTables", db_schema_filter_pattern=tables, **filters)

    assert sorted(names(ask())) == ["a_b", "axb", "b"]
    assert ask().schema.names == ["catalog_name", "db_schema_name", "table_name", "table_type"]
    # `_` is a pattern; the name that is exactly so comes first, as clients read one row.
    assert names(ask(table_name_filter_pattern="a_b")) == ["a_b", "axb"]
    assert names(ask(table_name_filter_pattern="a\\_b")) == ["a_b"]
    assert sorted(names(ask(table_name_filter_pattern="a%"))) == ["a_b", "axb"]
    assert ask(table_types=["NOTHING"]).num_rows == 0
    kinds = flight.command("CommandGetTableTypes")["table_type"].to_pylist()
    assert set(ask()["table_type"].to_pylist()) <= set(kinds)


def test_table_schemas(flight, tables):
    answer = flight.command(
        "CommandGetTables",
        db_schema_filter_pattern=tables,
        table_name_filter_pattern="a\\_b",
        include_schema=True,
    )
    schema = pa.ipc.read_schema(pa.py_buffer(answer["table_schema"][0].as_py()))
    assert schema.names == ["id", "price", "note"]
    assert schema.types == [pa.int64(), pa.decimal128(10, 2), pa.string()]
    assert [field.nullable for field in schema] == [False, True, True]
    price = schema.field("price").metadata
    assert price[b"ARROW:FLIGHT:SQL:PRECISION"] == b"10"
    assert price[b"ARROW:FLIGHT:SQL:SCALE"] == b"2"


def test_infos_and_streams_of_metadata_agree(flight, tables):
    commands = {
        "CommandGetCatalogs": {},
        "CommandGetDbSchemas": {},
        "CommandGetTables": {"include_schema": True},
        "CommandGetTableTypes": {},
        "CommandGetSqlInfo": {},
        "CommandGetXdbcTypeInfo": {},
        "CommandGetPrimaryKeys": {"table": "a_b"},
        "CommandGetExportedKeys": {"table": "a_b"},
        "CommandGetImportedKeys": {"table": "a_b"},
        "CommandGetCrossReference": {"pk_table": "a_b", "fk_table": "b"},
    }
    for name, fields in commands.items():
        info = flight.info(flightsql.command(name, **fields))
        reader = flight.client.do_get(info.endpoints[0].ticket, flight.options())
        assert info.schema.equals(reader.schema), name
        reader.read_all()


def test_sql_info(flight):
    def ask(*ids):
        answer = flight.command("CommandGetSqlInfo", info=ids)
        return dict(zip(answer["info_name"].to_pylist(), answer["value"].to_pylist()))

    everything = ask()
    assert set(range(0, 10)) | set(range(500, 577)) <= set(everything)
    assert max(everything) <= 576, "JDBC's list of ids ends there, and it fails on others"
    assert everything[0] == "Quiver"
    assert everything[3] is False, "not read-only"
    assert everything[8] == 2, "transactions with savepoints"
    assert everything[504] == '"', "the quote character"
    assert ask(0, 8) == {0: everything[0], 8: 2}
    # Union child 3 is the 32-bit integer: the driver looks at the child, not at the value.
    answer = flight.command("CommandGetSqlInfo", info=[8])
    assert answer["value"].chunk(0).type_codes.to_pylist() == [3]


def test_xdbc_type_info(flight):
    everything = flight.command("CommandGetXdbcTypeInfo")
    types = everything["type_name"].to_pylist()
    assert {"BIGINT", "VARCHAR", "DOUBLE", "BOOLEAN"} <= {name.upper() for name in types}
    assert everything["data_type"].to_pylist() == sorted(everything["data_type"].to_pylist())


def test_adbc_metadata(connection, flight, tables):
    objects = connection.adbc_get_objects(depth="columns", db_schema_filter=tables)
    (catalog,) = objects.read_all().to_pylist()
    (schema,) = [s for s in catalog["catalog_db_schemas"] if s["db_schema_name"] == tables]
    columns = {
        table["table_name"]: [c["column_name"] for c in table["table_columns"]]
        for table in schema["db_schema_tables"]
    }
    assert columns == {"a_b": ["id", "price", "note"], "axb": ["other"], "b": ["at"]}
    found = connection.adbc_get_table_schema("a_b", db_schema_filter=tables)
    assert found.names == ["id", "price", "note"]
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Quiver"
    assert "table" in {kind.lower() for kind in connection.adbc_get_table_types()}


def test_information_schema(flight, tables):
    columns = flight.rows(
        "SELECT table_name, column_name, is_nullable FROM information_schema.columns "
        f"WHERE table_schema = '{tables}' AND table_name = 'a_b' ORDER BY ordinal_position"
    )
    assert columns == [("a_b", "id", "NO"), ("a_b", "price", "YES"), ("a_b", "note", "YES")]
    assert flight.scalar(
        f"SELECT count(*) FROM information_schema.schemata WHERE schema_name = '{tables}'"
    ) == 1


def test_system_views(flight, tables):
    flight.put((tables, "b2"), numbered(0, 100), [("x-create", "true")])
    flight.query("CALL system.flush()")
    where = f"WHERE schema_name = '{tables}' AND table_name = 'b2'"
    (segment,) = flight.query(f"SELECT * FROM system.segments {where}").to_pylist()
    assert segment["record_count"] == 100 and segment["file_size_bytes"] > 0
    snapshots = flight.query("SELECT * FROM system.snapshots ORDER BY snapshot_id").to_pylist()
    ids = [snapshot["snapshot_id"] for snapshot in snapshots]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    times = [snapshot["snapshot_time"] for snapshot in snapshots]
    assert times == sorted(set(times)), "each later than the one before"
    assert flight.query("SELECT * FROM system.wal").num_rows >= 0
    queries = flight.query("SELECT * FROM system.queries").to_pylist()
    assert any("system.snapshots" in str(query) for query in queries)


def test_passwords_are_not_recorded(flight, server, name):
    user = name + "_user"
    flight.execute(f"CREATE USER {user} PASSWORD 'hunter2 hunter2'")
    assert "hunter2" not in str(flight.query("SELECT * FROM system.queries").to_pylist())
    assert "hunter2" not in server.log(since_start=False)
    with Flight(server.uri, user, "hunter2 hunter2") as client:
        assert client.scalar("SELECT 1") == 1
    flight.execute(f"DROP USER {user}")
    with pytest.raises(CLIENT_ERRORS) as caught:
        Flight(server.uri, user, "hunter2 hunter2")
    assert_refused(caught.value, "UNAUTHENTICATED")


# Sessions.


def set_options(flight: Flight, **values: str | None) -> dict[str, int]:
    """SetSessionOptions; the errors by name. None erases."""
    request = FLIGHT["SetSessionOptionsRequest"]()
    for key, value in values.items():
        entry = request.session_options.add(key=key)
        entry.value.SetInParent()
        if value is not None:
            entry.value.string_value = value
    (body,) = flight.action("SetSessionOptions", request.SerializeToString())
    result = FLIGHT["SetSessionOptionsResult"].FromString(body)
    return {entry.key: entry.value.value for entry in result.errors}


def get_options(flight: Flight) -> dict[str, str]:
    (body,) = flight.action("GetSessionOptions")
    result = FLIGHT["GetSessionOptionsResult"].FromString(body)
    return {entry.key: entry.value.string_value for entry in result.session_options}


def test_session_schema(server, tables):
    with Flight(server.uri) as client:
        assert set_options(client, schema=tables) == {}
        assert client.query("SELECT * FROM a_b").schema.names == ["id", "price", "note"]
        assert get_options(client)["schema"] == tables
        with Flight(server.uri) as other:
            with pytest.raises(CLIENT_ERRORS) as caught:
                other.query("SELECT * FROM a_b")
            assert_refused(caught.value, "NOT_FOUND")
        assert set_options(client, schema=None) == {}
        with pytest.raises(CLIENT_ERRORS):
            client.query("SELECT * FROM a_b")


def test_session_options_that_do_not_exist(server):
    with Flight(server.uri) as client:
        errors = set_options(client, colour="blue", schema="no_such_schema", catalog="default")
        assert errors == {"colour": 1, "schema": 2}, "1 is INVALID_NAME, 2 is INVALID_VALUE"


def test_closing_a_session(server, tables):
    with Flight(server.uri) as client:
        set_options(client, schema=tables)
        (body,) = client.action("CloseSession")
        assert FLIGHT["CloseSessionResult"].FromString(body).status in (1, 2)
        with pytest.raises(CLIENT_ERRORS):
            client.query("SELECT * FROM a_b")


def test_adbc_current_schema(server, tables):
    with adbc.connect(server.uri) as connection:
        connection.adbc_current_db_schema = tables
        assert adbc.query(connection, "SELECT * FROM a_b").num_rows == 0
        assert connection.adbc_current_db_schema == tables
        assert connection.adbc_current_catalog == "default"
        adbc.ingest(connection, "mine", numbered(0, 5))
        assert adbc.scalar(connection, f"SELECT count(*) FROM {tables}.mine") == 5


# Logging in.


def test_handshake_and_basic_on_every_call(server):
    for login in (True, False):
        with Flight(server.uri, login=login) as client:
            assert client.scalar("SELECT 1") == 1
    with Flight(server.uri, "admin@default") as client:
        assert client.scalar("SELECT 1") == 1


def test_basic_answers_with_a_token(server):
    """A call without a session gets a token in the answer, and the token works."""
    with Flight(server.uri, login=False) as client:
        client.query("SELECT 1")
        client.info(b"SELECT 1")
        token = client.response_header("authorization")
    assert token.startswith("Bearer ")
    with fl.FlightClient(server.uri) as client:
        options = fl.FlightCallOptions(headers=[(b"authorization", token.encode())])
        info = client.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT 1"), options)
        assert len(info.endpoints) == 1


def test_unpadded_base64(server):
    """Go clients leave out the padding."""
    padded = basic("admin@default", "quiver")
    value = padded.rstrip("=")
    assert value != padded
    with fl.FlightClient(server.uri) as client:
        options = fl.FlightCallOptions(headers=[(b"authorization", value.encode())])
        client.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT 1"), options)


def test_basic_on_every_call_is_not_slow(server):
    """A verified password is remembered for a while: hashing it on each call would take seconds."""
    with Flight(server.uri, login=False) as client:
        client.scalar("SELECT 1")
        started = time.monotonic()
        for _ in range(20):
            client.scalar("SELECT 1")
        assert time.monotonic() - started < 10


def test_changing_a_password(server, flight, name):
    user = name + "_user"
    flight.execute(f"CREATE USER {user} PASSWORD 'first secret'")
    flight.execute(f"ALTER USER {user} PASSWORD 'second secret'")
    with pytest.raises(CLIENT_ERRORS) as caught:
        Flight(server.uri, user, "first secret")
    assert_refused(caught.value, "UNAUTHENTICATED")
    with Flight(server.uri, user, "second secret") as client:
        assert client.scalar("SELECT 1") == 1
