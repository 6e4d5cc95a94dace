"""Two tenants with tables of the same name: each sees its own, the other's does not exist."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc, flightsql
from quiver_testing.errors import CLIENT_ERRORS, assert_refused, code_and_message
from quiver_testing.flight import Flight, basic

ROWS = {"acme": 10, "globex": 20}
MARKS = {"acme": "acmemark", "globex": "globexmark"}


@dataclass
class Tenant:
    """One tenant with its user, a connection of each kind, and what only it may see."""

    name: str
    user: str
    flight: Flight
    adbc: object

    @property
    def mark(self) -> str:
        return MARKS[self.name]

    @property
    def rows(self) -> int:
        return ROWS[self.name]


def secret(tenant: str) -> pa.Table:
    count = ROWS[tenant]
    return pa.table({
        "id": pa.array(range(count), pa.int64()),
        "owner": [MARKS[tenant]] * count,
    })


@pytest.fixture(scope="module")
def tenants(shared_server):
    """acme with alice, globex with bob; both have tables `secret` and a schema of their own."""
    with Flight(shared_server.uri) as admin:
        for tenant, user in (("acme", "alice"), ("globex", "bob")):
            admin.execute(f"CREATE TENANT {tenant}")
            admin.execute(f"CREATE USER {user} IN TENANT {tenant} PASSWORD '{user} has a secret'")
    made = {}
    for tenant, user in (("acme", "alice"), ("globex", "bob")):
        login, password = f"{user}@{tenant}", f"{user} has a secret"
        flight = Flight(shared_server.uri, login, password)
        connection = adbc.connect(shared_server.uri, login, password)
        made[tenant] = Tenant(tenant, login, flight, connection)
        flight.put("secret", secret(tenant), [("x-create", "true")])
        flight.execute(f"CREATE SCHEMA {MARKS[tenant]}_schema")
        flight.execute(f"CREATE TABLE {MARKS[tenant]}_table AS SELECT * FROM secret")
    yield made
    for tenant in made.values():
        tenant.adbc.close()
        tenant.flight.close()


@pytest.fixture(params=("acme", "globex"))
def pair(request, tenants) -> tuple[Tenant, Tenant]:
    """Each tenant once as `me` and once as `other`."""
    (other,) = set(tenants) - {request.param}
    return tenants[request.param], tenants[other]


def refused():
    return pytest.raises(CLIENT_ERRORS)


def assert_not_found(error, other: Tenant, sent: str = "") -> None:
    """And the message shows nothing of the other tenant that was not in the request itself."""
    message = assert_refused(error, "NOT_FOUND")
    assert other.mark not in message or other.mark in sent, message


# Each sees its own.


def test_query_sees_its_own(pair):
    me, _ = pair
    statement = "SELECT count(*), min(owner), max(owner) FROM secret"
    expected = [(me.rows, me.mark, me.mark)]
    assert me.flight.rows(statement) == expected
    assert adbc.rows(me.adbc, statement) == expected
    assert me.flight.command("CommandStatementQuery", query=statement).num_rows == 1


def test_own_catalog_name_qualifies(pair):
    me, _ = pair
    for name in (f"{me.name}.main.secret", "main.secret", "secret"):
        assert me.flight.scalar(f"SELECT count(*) FROM {name}") == me.rows


def test_prepared_statement_sees_its_own(pair):
    me, _ = pair
    handle = me.flight.prepare("SELECT owner FROM secret").prepared_statement_handle
    got = me.flight.command("CommandPreparedStatementQuery", prepared_statement_handle=handle)
    assert got["owner"].to_pylist() == [me.mark] * me.rows
    me.flight.close_prepared(handle)
    assert adbc.scalar(me.adbc, "SELECT count(*) FROM secret WHERE id >= ?", (1,)) == me.rows - 1


def test_path_sees_its_own(pair):
    me, _ = pair
    for path in (("secret",), ("main", "secret")):
        got = me.flight.read(me.flight.info(path))
        assert got.num_rows == me.rows
        assert set(got["owner"].to_pylist()) == {me.mark}


def test_ingest_goes_to_its_own(pair, name):
    me, other = pair
    assert adbc.ingest(me.adbc, name, secret(me.name), mode="create") == me.rows
    with refused() as caught:
        other.flight.query(f"SELECT * FROM {name}")
    assert_not_found(caught.value, me)
    assert other.flight.put(name, secret(other.name), [("x-create", "true")]) == other.rows
    assert me.flight.scalar(f"SELECT count(*) FROM {name}") == me.rows
    assert other.flight.scalar(f"SELECT count(*) FROM {name}") == other.rows


def test_metadata_lists_its_own(pair):
    me, other = pair
    catalogs = me.flight.command("CommandGetCatalogs")
    assert catalogs.to_pylist() == [{"catalog_name": me.name}]
    schemas = me.flight.command("CommandGetDbSchemas")
    assert set(schemas["catalog_name"].to_pylist()) == {me.name}
    assert f"{me.mark}_schema" in schemas["db_schema_name"].to_pylist()
    tables = me.flight.command("CommandGetTables", include_schema=True)
    assert set(tables["catalog_name"].to_pylist()) == {me.name}
    assert f"{me.mark}_table" in tables["table_name"].to_pylist()
    for answer in (schemas, tables):
        assert other.mark not in str(answer.to_pylist())
        assert other.name not in str(answer.to_pylist())


def test_metadata_of_the_other_is_empty(pair):
    me, other = pair
    assert me.flight.command("CommandGetDbSchemas", catalog=other.name).num_rows == 0
    assert me.flight.command("CommandGetTables", catalog=other.name).num_rows == 0
    pattern = f"%{other.mark}%"
    tables = me.flight.command("CommandGetTables", table_name_filter_pattern=pattern)
    assert tables.num_rows == 0


def test_adbc_objects_list_its_own(pair):
    me, other = pair
    objects = me.adbc.adbc_get_objects(depth="all").read_all().to_pylist()
    assert [entry["catalog_name"] for entry in objects] == [me.name]
    assert me.mark in str(objects) and other.mark not in str(objects)


def test_every_system_and_information_view_shows_its_own(pair):
    """Whatever views there are: nothing in any of them carries the other's name or mark."""
    me, other = pair
    other.flight.query(f"SELECT '{other.mark}' FROM secret")  # something for system.queries
    views = me.flight.rows(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_schema IN ('system', 'information_schema')"
    )
    assert {"queries", "snapshots", "segments", "wal"} <= {name for _, name in views}
    for schema, view in views:
        content = str(me.flight.query(f'SELECT * FROM {schema}."{view}"').to_pylist())
        assert other.mark not in content, f"{schema}.{view}"
        assert other.name not in content, f"{schema}.{view}"


def test_snapshots_and_flush_are_its_own(pair):
    me, other = pair
    before = other.flight.scalar("SELECT count(*) FROM system.snapshots")
    me.flight.put("secret", secret(me.name).slice(0, 0))
    me.flight.query("CALL system.flush()")
    assert other.flight.scalar("SELECT count(*) FROM system.snapshots") == before


# The other's does not exist.


@pytest.mark.parametrize("statement", [
    "SELECT * FROM {other}.main.secret",
    "SELECT * FROM {other}.system.queries",
    "SELECT * FROM {other}.information_schema.tables",
    "INSERT INTO {other}.main.secret VALUES (1, 'x')",
    "CREATE TABLE {other}.main.mine (a BIGINT)",
    "CREATE TABLE mine AS SELECT * FROM {other}.main.secret",
    "CREATE SCHEMA {other}.mine",
    "DROP TABLE {other}.main.secret",
    "DROP SCHEMA {other}.{other_mark}_schema",
    "SELECT * FROM secret WHERE id IN (SELECT id FROM {other}.main.secret)",
    "WITH x AS (SELECT * FROM {other}.main.secret) SELECT count(*) FROM x",
    "COPY {other}.main.secret TO 'stolen.csv'",
    "COPY {other}.main.secret FROM 'stolen.csv'",
    "EXPLAIN SELECT * FROM {other}.main.secret",
])
def test_qualified_name_of_the_other(pair, statement):
    """And the answer is the one for a tenant that does not exist: no oracle."""
    me, other = pair
    words = []
    for name in (other.name, "nosuch"):
        sent = statement.format(other=name, other_mark=other.mark)
        with refused() as caught:
            me.flight.query(sent)
        assert_not_found(caught.value, other, sent)
        code, message = code_and_message(caught.value)
        words.append((code, message.replace(f"{name}.", "*.").replace(f"{name} ", "* ")))
    assert words[0] == words[1]
    assert other.flight.scalar("SELECT count(*) FROM secret") == other.rows


def test_paths_of_the_other(pair):
    """A path has no place for a tenant; whatever stands there, it opens nothing."""
    me, other = pair
    for path in ((other.name, "main", "secret"), (other.name, "secret")):
        calls = [lambda: me.flight.info(path), lambda: me.flight.put(path, secret(me.name))]
        for call in calls:
            with refused() as caught:
                call()
            message = assert_refused(caught.value, "NOT_FOUND", "INVALID_ARGUMENT")
            assert other.mark not in message
    assert other.flight.scalar("SELECT count(*) FROM secret") == other.rows


def test_ingest_into_the_catalog_of_the_other(pair):
    me, other = pair
    command = flightsql.ingest("secret", "append", catalog=other.name)
    with refused() as caught:
        me.flight.put(command, secret(me.name))
    assert_not_found(caught.value, other)
    assert other.flight.scalar("SELECT count(*) FROM secret") == other.rows


def test_ticket_of_the_other(pair):
    me, other = pair
    ticket = other.flight.info(b"SELECT * FROM secret").endpoints[0].ticket
    with refused() as caught:
        me.flight.redeem(ticket)
    assert_not_found(caught.value, other)
    assert other.flight.redeem(ticket).num_rows == other.rows


def test_foreign_and_forged_tickets_answer_alike(pair):
    me, other = pair
    ticket = other.flight.info(b"SELECT * FROM secret").endpoints[0].ticket.ticket
    handle = flightsql.unpack(ticket, "TicketStatementQuery").statement_handle
    words = set()
    for candidate in (handle, b"\x07" * len(handle)):
        with refused() as caught:
            me.flight.redeem(flightsql.command("TicketStatementQuery", statement_handle=candidate))
        words.add(code_and_message(caught.value))
    assert len(words) == 1, words


def test_prepared_handle_of_the_other(pair):
    me, other = pair
    handle = other.flight.prepare("SELECT * FROM secret").prepared_statement_handle
    calls = [
        lambda: me.flight.command("CommandPreparedStatementQuery", prepared_statement_handle=handle),
        lambda: me.flight.update("CommandPreparedStatementUpdate", prepared_statement_handle=handle),
        lambda: me.flight.update(
            "CommandPreparedStatementQuery", pa.table({"0": [1]}), prepared_statement_handle=handle
        ),
    ]
    for call in calls:
        with refused() as caught:
            call()
        assert_not_found(caught.value, other)
    got = other.flight.command("CommandPreparedStatementQuery", prepared_statement_handle=handle)
    assert got.num_rows == other.rows
    other.flight.close_prepared(handle)


def test_transaction_of_the_other(pair):
    me, other = pair
    transaction = other.flight.begin()
    calls = [
        lambda: me.flight.command(
            "CommandStatementQuery", query="SELECT * FROM secret", transaction_id=transaction
        ),
        lambda: me.flight.update(
            "CommandStatementUpdate",
            query="INSERT INTO secret VALUES (1, 'x')",
            transaction_id=transaction,
        ),
        lambda: me.flight.put(
            flightsql.ingest("secret", "append", transaction_id=transaction), secret(me.name)
        ),
        lambda: me.flight.prepare("SELECT * FROM secret", transaction_id=transaction),
        lambda: me.flight.end(transaction, commit=True),
        lambda: me.flight.end(transaction, commit=False),
    ]
    for call in calls:
        with refused() as caught:
            call()
        assert_not_found(caught.value, other)
    other.flight.end(transaction, commit=False)


def test_session_catalog_of_the_other(pair, shared_server):
    """The option is refused, and the session stays where it was."""
    me, other = pair
    options = flightsql.FLIGHT["SetSessionOptionsRequest"]()
    options.session_options.add(key="catalog").value.string_value = other.name
    (body,) = me.flight.action("SetSessionOptions", options.SerializeToString())
    result = flightsql.FLIGHT["SetSessionOptionsResult"].FromString(body)
    assert [entry.key for entry in result.errors] == ["catalog"]
    assert me.flight.scalar("SELECT min(owner) FROM secret") == me.mark


def test_header_of_the_other_tenant(pair, shared_server):
    """x-tenant-id picks among one's own tenants; it opens no other."""
    me, other = pair
    with refused() as caught:
        me.flight.query("SELECT * FROM secret", headers=[("x-tenant-id", other.name)])
    assert_refused(caught.value, "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND")
    user, password = me.user.split("@")[0], f"{me.user.split('@')[0]} has a secret"
    with fl.FlightClient(shared_server.uri) as client:
        headers = [
            (b"authorization", basic(user, password).encode()),
            (b"x-tenant-id", other.name.encode()),
        ]
        with refused() as caught:
            client.get_flight_info(
                fl.FlightDescriptor.for_command(b"SELECT 1"), fl.FlightCallOptions(headers=headers)
            )
    assert_refused(caught.value, "UNAUTHENTICATED")


def test_header_of_the_own_tenant(pair, shared_server):
    """A bare user name with the tenant in x-tenant-id is the login `user@tenant`."""
    me, _ = pair
    user = me.user.split("@")[0]
    password = f"{user} has a secret"
    with Flight(
        shared_server.uri, user, password, login=False, headers=[("x-tenant-id", me.name)]
    ) as flight:
        assert flight.scalar("SELECT min(owner) FROM secret") == me.mark
    headers = {"x-tenant-id": me.name}
    with adbc.connect(shared_server.uri, user, password, headers=headers) as connection:
        assert adbc.scalar(connection, "SELECT min(owner) FROM secret") == me.mark


def test_files_of_the_other(pair):
    me, other = pair
    assert other.flight.execute(f"COPY secret TO '{other.mark}.parquet'") == other.rows
    for path in (
        f"{other.mark}.parquet",
        f"../../{other.name}/files/{other.mark}.parquet",
        f"../{other.name}/files/{other.mark}.parquet",
    ):
        with refused() as caught:
            me.flight.query(f"COPY secret FROM '{path}'")
        assert_refused(caught.value, "NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED")
    assert me.flight.scalar("SELECT count(*) FROM secret") == me.rows


def test_idempotency_keys_do_not_meet(pair, name):
    me, other = pair
    headers = [("x-idempotency-key", "the same key"), ("x-create", "true")]
    assert me.flight.put(name, secret(me.name), headers) == me.rows
    assert other.flight.put(name, secret(other.name), headers) == other.rows
    assert other.flight.scalar(f"SELECT count(*) FROM {name}") == other.rows


def test_administrator_of_the_node_has_no_right_on_the_data(tenants, shared_server):
    with Flight(shared_server.uri) as admin:
        for tenant in tenants.values():
            with refused() as caught:
                admin.query(f"SELECT * FROM {tenant.name}.main.secret")
            assert_not_found(caught.value, tenant)


@pytest.mark.parametrize("statement", [
    "CREATE TENANT mine",
    "DROP TENANT {other}",
    "CREATE USER eve IN TENANT {other} PASSWORD 'let me in please'",
])
def test_tenant_users_do_not_administer_the_node(pair, statement):
    me, other = pair
    with refused() as caught:
        me.flight.query(statement.format(other=other.name))
    assert_refused(caught.value, "PERMISSION_DENIED", "NOT_FOUND")
    assert other.flight.scalar("SELECT count(*) FROM secret") == other.rows


def test_metrics_do_not_name_tenants(tenants, shared_server):
    status, text = shared_server.get("/metrics")
    assert status == 200
    for tenant in tenants.values():
        assert tenant.name not in text and tenant.mark not in text


def test_names_of_tenants_do_not_clash_by_case(shared_server, tenants):
    with Flight(shared_server.uri) as admin:
        with refused() as caught:
            admin.execute("CREATE TENANT ACME")
        assert_refused(caught.value, "ALREADY_EXISTS")


def test_a_dropped_tenant_is_gone(shared_server):
    with Flight(shared_server.uri) as admin:
        admin.execute("CREATE TENANT brief")
        admin.execute("CREATE USER carol IN TENANT brief PASSWORD 'carol has a secret'")
        with Flight(shared_server.uri, "carol@brief", "carol has a secret") as carol:
            carol.put("secret", secret("acme"), [("x-create", "true")])
            admin.execute("DROP TENANT brief")
            with refused() as caught:
                carol.query("SELECT * FROM secret")
            assert_refused(caught.value, "UNAUTHENTICATED", "NOT_FOUND")
        # A tenant of the same name begins empty: ids and folders are never used again.
        admin.execute("CREATE TENANT brief")
        admin.execute("CREATE USER carol IN TENANT brief PASSWORD 'carol has another'")
    with Flight(shared_server.uri, "carol@brief", "carol has another") as carol:
        with refused() as caught:
            carol.query("SELECT * FROM secret")
        assert_refused(caught.value, "NOT_FOUND")
