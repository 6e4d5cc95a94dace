"""The limits that are settings: each refuses or stops what is over it, says so, and lets all else be."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc, flightsql
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.flightsql import FLIGHT
from quiver_testing.raw import SERVICE, Raw, descriptor, flight_data


def endless(table: str) -> str:
    """More rows than any buffer between server and client holds, and than any test waits for."""
    return f"SELECT a.id FROM {table} a, {table} b"


ENDLESS = endless("t")
CREATE = [("x-create", "true")]


def wait_until(condition, what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def read_on(stream) -> None:
    """To the end or an error. Not by read_all(): at CANCELLED that one interrupts the whole test
    run, as if somebody had pressed Ctrl-C."""
    while True:
        try:
            stream.read_chunk()
        except StopIteration:
            return


def refused(action, *codes: str, mentions: str = "") -> None:
    with pytest.raises(CLIENT_ERRORS) as caught:
        action()
    assert_refused(caught.value, *codes, mentions=mentions)


def metric(server, name: str) -> int:
    """A number of /metrics; 0 while it is not listed."""
    status, text = server.get("/metrics")
    assert status == 200, text
    for line in text.splitlines():
        if line.startswith(f"quiver_{name} "):
            return int(float(line.split()[-1]))
    return 0


def running(client: Flight) -> int:
    return client.scalar(
        "SELECT count(*) FROM system.queries WHERE state = 'running' "
        "AND sql NOT LIKE '%system.queries%'"
    )


def limited(make_server, **settings):
    """A server with settings written as SECTION__KEY."""
    return make_server(settings={f"QUIVER_{k}": str(v) for k, v in settings.items()}).start()


def count(client: Flight, table: str) -> int:
    return client.scalar(f"SELECT count(*) FROM {table}")


# query.timeout_ms


@pytest.fixture(scope="module")
def hasty(servers):
    """A server that gives a statement a second and a half, with a table to keep it busy."""
    server = servers(settings={"QUIVER_QUERY__TIMEOUT_MS": "1500"}).start()
    with Flight(server.uri) as client:
        client.put("t", numbered(0, 30_000), CREATE)
        client.execute("CREATE TABLE goal (id BIGINT)")
    yield server
    assert server.stop() == 0, server.log()[-4000:]


@pytest.fixture
def hurried(hasty):
    with Flight(hasty.uri) as client:
        yield client
        wait_until(lambda: running(client) == 0, "nothing runs any more")
    wait_until(lambda: metric(hasty, "active_calls") == 0, "every call has ended")


TOO_ENDLESS = {"mentions": "query.timeout_ms = 1500"}


def test_a_query_that_takes_too_long_is_stopped(hurried):
    started = time.monotonic()
    refused(lambda: hurried.query(ENDLESS), "DEADLINE_EXCEEDED", **TOO_ENDLESS)
    assert time.monotonic() - started < 15
    assert hurried.scalar("SELECT 1 AS one") == 1


def test_the_time_until_the_last_row_counts(hurried):
    """The rows are there at once, but the client takes them slowly."""
    ticket = hurried.info(ENDLESS.encode()).endpoints[0].ticket

    def read():
        for _ in hurried.client.do_get(ticket, hurried.options()):
            time.sleep(0.2)

    refused(read, "DEADLINE_EXCEEDED", **TOO_ENDLESS)


@pytest.mark.parametrize("statement", [f"INSERT INTO goal {ENDLESS}", f"CREATE TABLE made AS {ENDLESS}"])
def test_a_write_that_takes_too_long_changes_nothing(hasty, hurried, statement):
    refused(lambda: hurried.execute(statement), "DEADLINE_EXCEEDED", **TOO_ENDLESS)
    by_update = lambda: hurried.update("CommandStatementUpdate", query=statement)  # noqa: E731
    refused(by_update, "DEADLINE_EXCEEDED", **TOO_ENDLESS)
    wait_until(lambda: metric(hasty, "uncommitted_bytes") == 0, "the memory of its rows is free")
    assert count(hurried, "goal") == 0
    refused(lambda: count(hurried, "made"), "NOT_FOUND", mentions="made")


def test_a_copy_that_takes_too_long_leaves_no_file(hurried, hasty):
    statement = f"COPY ({ENDLESS}) TO 'slow.parquet'"
    refused(lambda: hurried.execute(statement), "DEADLINE_EXCEEDED", **TOO_ENDLESS)
    files = hasty.data_dir / "tenants" / "default" / "files"
    wait_until(lambda: not list(files.iterdir()), "no file and no part of one is left")


def test_a_prepared_statement_that_takes_too_long_changes_nothing(hurried):
    sql = f"INSERT INTO goal {ENDLESS} WHERE a.id >= ?"
    handle = hurried.prepare(sql).prepared_statement_handle
    values = pa.table({"0": pa.array([0], pa.int64())})
    update = lambda: hurried.update(  # noqa: E731
        "CommandPreparedStatementUpdate", values, prepared_statement_handle=handle
    )
    refused(update, "DEADLINE_EXCEEDED", **TOO_ENDLESS)
    assert count(hurried, "goal") == 0


def test_a_transaction_outlives_its_statement_that_took_too_long(hurried):
    """What was done before it stays, nothing of the statement itself is committed."""
    hurried.execute("CREATE TABLE kept (id BIGINT)")
    transaction = hurried.begin()
    insert = {"query": "INSERT INTO kept VALUES (1), (2)", "transaction_id": transaction}
    assert hurried.update("CommandStatementUpdate", **insert) == 2
    slow = {"query": f"INSERT INTO kept {ENDLESS}", "transaction_id": transaction}
    update = lambda: hurried.update("CommandStatementUpdate", **slow)  # noqa: E731
    refused(update, "DEADLINE_EXCEEDED", **TOO_ENDLESS)
    more = {"query": "INSERT INTO kept SELECT id + 2 FROM kept", "transaction_id": transaction}
    assert hurried.update("CommandStatementUpdate", **more) == 2
    hurried.end(transaction, commit=True)
    assert hurried.rows("SELECT id FROM kept ORDER BY id") == [(1,), (2,), (3,), (4,)]


def test_an_upload_may_take_longer_than_a_statement(hasty, hurried):
    data = numbered(0, 50)

    def slowly():
        for message in flight_data(
            descriptor(path=("uploaded",)), data.schema, data.to_batches(max_chunksize=10)
        ):
            yield message
            time.sleep(0.5)

    with Raw(hasty.flight_port) as raw:
        raw.do_put(slowly(), metadata=[*raw.metadata, *CREATE])
    assert count(hurried, "uploaded") == 50


def test_the_deadline_of_a_call_ends_its_statement(server, flight, name):
    """The client's own: the server drops the work, and nothing of it takes effect."""
    flight.put(name, numbered(0, 30_000), CREATE)
    statement = f"INSERT INTO {name} SELECT id, 'slow' FROM ({endless(name)})".encode()
    with Raw(server.flight_port) as raw:
        request = descriptor(statement).SerializeToString()
        call = lambda: raw.unary("GetFlightInfo", request, "FlightInfo", timeout=1)  # noqa: E731
        with pytest.raises(CLIENT_ERRORS) as caught:
            call()
        assert_refused(caught.value, "DEADLINE_EXCEEDED")
    listed = (
        f"SELECT count(*) FROM system.queries WHERE state = 'running' AND sql LIKE '%{name}%' "
        "AND sql NOT LIKE '%system.queries%'"
    )
    wait_until(lambda: flight.scalar(listed) == 0, "the statement has ended")
    assert count(flight, name) == 30_000


# query.sql_bytes_max


@pytest.fixture(scope="module")
def terse(servers):
    server = servers(settings={"QUIVER_QUERY__SQL_BYTES_MAX": "1024"}).start()
    yield server
    assert server.stop() == 0, server.log()[-4000:]


LONG = "SELECT '" + "x" * 1024 + "' AS x"


@pytest.mark.parametrize("way", [
    lambda c: c.query(LONG),
    lambda c: c.redeem(LONG.encode()),
    lambda c: c.command("CommandStatementQuery", query=LONG),
    lambda c: c.redeem(flightsql.command("CommandStatementQuery", query=LONG)),
    lambda c: c.update("CommandStatementUpdate", query=LONG),
    lambda c: c.put(LONG.encode(), pa.table({})),
    lambda c: c.prepare(LONG),
    lambda c: c.client.get_schema(fl.FlightDescriptor.for_command(LONG.encode()), c.options()),
    lambda c: c.info(("x" * 1024,)),
], ids=["info", "ticket", "statement", "statement_ticket", "update", "put", "prepare", "schema",
        "path"])
def test_sql_that_is_too_long_is_refused(terse, way):
    with Flight(terse.uri) as client:
        refused(lambda: way(client), "INVALID_ARGUMENT", mentions="query.sql_bytes_max")


def test_sql_of_just_the_allowed_length_runs(terse):
    with Flight(terse.uri) as client:
        sql = "SELECT '" + "x" * 1011 + "' x"
        assert len(sql) == 1022
        assert len(client.scalar(sql)) == 1011


# server.calls_max


def test_a_call_too_many_is_refused(make_server):
    server = limited(make_server, SERVER__CALLS_MAX=2)
    with Flight(server.uri) as client, Raw(server.flight_port, password="wrong") as stranger:
        client.put("t", numbered(0, 30_000), CREATE)
        ticket = client.info(ENDLESS.encode()).endpoints[0].ticket
        readers = [client.client.do_get(ticket, client.options()) for _ in range(2)]
        wait_until(lambda: metric(server, "active_calls") == 2, "both streams are open")
        refused(lambda: client.query("SELECT 1"), "RESOURCE_EXHAUSTED", mentions="server.calls_max")
        assert int(client.response_header("x-retry-after-ms")) > 0
        assert client.response_header("x-query-id")
        request = descriptor(b"SELECT 1").SerializeToString()
        knock = lambda: stranger.unary("GetFlightInfo", request, "FlightInfo")  # noqa: E731
        # Strangers have places of their own: what they are told says nothing about the load.
        refused(knock, "UNAUTHENTICATED", mentions="")
        for path in ("/health", "/ready"):
            assert server.get(path)[0] == 200
        assert metric(server, 'rejected_total{reason="calls"}') == 1
        readers[0].cancel()
        wait_until(lambda: metric(server, "active_calls") == 1, "the cancelled stream has ended")
        assert client.scalar("SELECT 1 AS one") == 1
        refused(knock, "UNAUTHENTICATED", mentions="")
        readers[1].cancel()
    wait_until(lambda: metric(server, "active_calls") == 0, "every call has ended")
    assert server.stop() == 0


# Before the login


def test_nothing_of_a_call_is_read_before_its_login(server):
    """A hundred megabytes to somebody who may not send a byte, and a little to one who may log in."""
    large = b"x" * (100 << 20)
    with Raw(server.flight_port, password="wrong") as stranger:
        knock = lambda: stranger.unary("GetFlightInfo", large, "FlightInfo")  # noqa: E731
        # The first one makes what stays: memory to check passwords in, buffers of the connection.
        refused(knock, "UNAUTHENTICATED")
        before = resident_bytes(server)
        for _ in range(5):
            refused(knock, "UNAUTHENTICATED")
        assert resident_bytes(server) - before < 64 << 20
        payload = b"x" * (1 << 20)
        shake = stranger.channel.stream_stream(SERVICE + "Handshake")
        refused(lambda: list(shake(iter([payload]))), "INVALID_ARGUMENT", mentions="65536")
    with Raw(server.flight_port) as client:
        refused(lambda: client.unary("GetFlightInfo", large, "FlightInfo"), "INVALID_ARGUMENT",
                mentions="DoPut")


def resident_bytes(server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) << 10


def test_those_who_do_not_log_in_keep_nobody_out(make_server):
    """Sixty-four handshakes that say nothing are all that one address may have."""
    server = make_server().start()
    with Raw(server.flight_port) as stranger, Flight(server.uri) as client:
        silence = threading.Event()

        def say_nothing():
            silence.wait()
            yield b""

        shake = stranger.channel.stream_stream(SERVICE + "Handshake")
        waiting = [shake(say_nothing()) for _ in range(64)]
        time.sleep(1)
        refused(lambda: next(iter(shake(say_nothing()))), "RESOURCE_EXHAUSTED", mentions="logins")
        assert metric(server, "active_calls") == 0
        assert client.scalar("SELECT 1 AS one") == 1
        for call in waiting:
            call.cancel()
        silence.set()
        wait_until(lambda: logs_in(server), "there is room again")
    assert server.stop() == 0


def logs_in(server) -> bool:
    try:
        Flight(server.uri).close()
        return True
    except CLIENT_ERRORS:
        return False


def test_connections_beyond_the_limit_are_closed(make_server):
    server = limited(make_server, SERVER__CONNECTIONS_MAX=4)
    with Flight(server.uri) as one, Flight(server.uri) as two:
        assert one.scalar("SELECT 1 AS x") == two.scalar("SELECT 1 AS x") == 1
        idle = [socket.create_connection(("127.0.0.1", server.flight_port)) for _ in range(2)]
        wait_until(lambda: metric(server, "connections") == 4, "all places are taken")
        with socket.create_connection(("127.0.0.1", server.flight_port)) as late:
            late.settimeout(10)
            assert closed(late)
        assert one.scalar("SELECT 1 AS x") == 1
        assert metric(server, 'rejected_total{reason="connections"}') >= 1
        for connection in idle:
            connection.close()
        wait_until(lambda: metric(server, "connections") == 2, "their places are free")
        with Flight(server.uri) as three:
            assert three.scalar("SELECT 1 AS x") == 1
    assert server.stop() == 0


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


KILLED_CLIENT = """
import sys, time; sys.path.insert(0, sys.argv[1])
from quiver_testing.data import numbered
from quiver_testing.flight import Flight
client = Flight(sys.argv[2])
data = numbered(0, 10)
if sys.argv[3] == "read":
    import pyarrow.flight as fl
    stream = client.client.do_get(fl.Ticket(sys.argv[4].encode()), client.options())
    stream.read_chunk()
else:
    descriptor = __import__("pyarrow.flight").flight.FlightDescriptor.for_path("t")
    writer, _ = client.client.do_put(descriptor, data.schema, client.options())
    writer.write_table(data)
print("open", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_killed_client_gives_its_place_back(make_server, kind):
    server = limited(make_server, SERVER__CALLS_MAX=3)
    with Flight(server.uri) as client:
        client.put("t", numbered(0, 30_000), CREATE)
        for _ in range(4):
            script = [sys.executable, "-c", KILLED_CLIENT, str(Path(__file__).parent)]
            process = subprocess.Popen([*script, server.uri, kind, ENDLESS], stdout=subprocess.PIPE)
            assert process.stdout.readline() == b"open\n"
            # What the client has written may still be on its way.
            wait_until(lambda: metric(server, "active_calls") == 1, "its call has come")
            process.kill()
            process.communicate()
            wait_until(lambda: metric(server, "active_calls") == 0, "its call has ended")
        assert count(client, "t") == 30_000
    assert server.stop() == 0


# session.stream_idle_timeout_ms


@pytest.fixture(scope="module")
def impatient(servers):
    server = servers(settings={"QUIVER_SESSION__STREAM_IDLE_TIMEOUT_MS": "1500"}).start()
    with Flight(server.uri) as client:
        client.put("t", numbered(0, 30_000), CREATE)
    yield server
    wait_until(lambda: metric(server, "active_calls") == 0, "every call has ended")
    assert server.stop() == 0, server.log()[-4000:]


IDLE = "session.stream_idle_timeout_ms"


def test_a_stream_that_nobody_reads_is_cancelled(impatient):
    with Flight(impatient.uri) as client, Flight(impatient.uri) as other:
        stream = client.client.do_get(fl.Ticket(ENDLESS.encode()), client.options())
        stream.read_chunk()
        wait_until(lambda: running(other) == 1, "the query runs")
        wait_until(lambda: running(other) == 0, "the query was dropped while nobody read")
        wait_until(lambda: metric(impatient, "active_streams") == 0, "the stream has ended")
        wait_until(lambda: metric(impatient, "active_calls") == 0, "its place is free")

        refused(lambda: read_on(stream), "DEADLINE_EXCEEDED", mentions=IDLE)


def test_a_stream_that_is_read_slowly_goes_on(impatient):
    """Each pause is shorter than the limit, all of them together are longer."""
    with Flight(impatient.uri) as client:
        sql = "SELECT a.id, repeat('x', 1000) AS x FROM t a"
        stream = client.client.do_get(fl.Ticket(sql.encode()), client.options())
        rows, started = 0, time.monotonic()
        for chunk in stream:
            rows += chunk.data.num_rows
            time.sleep(0.15)
        assert rows == 30_000 and time.monotonic() - started > 1.5


def upload(table: str, batches: int = 5) -> list[bytes]:
    data = numbered(0, batches * 10)
    return flight_data(descriptor(path=(table,)), data.schema, data.to_batches(max_chunksize=10))


def test_an_upload_that_nobody_writes_to_is_cancelled(impatient):
    released = threading.Event()

    def stalled():
        yield from upload("stalled")
        released.wait(30)

    with Raw(impatient.flight_port) as raw, Flight(impatient.uri) as client:
        put = lambda: raw.do_put(stalled(), metadata=[*raw.metadata, *CREATE])  # noqa: E731
        refused(put, "DEADLINE_EXCEEDED", mentions=IDLE)
        released.set()
        refused(lambda: count(client, "stalled"), "NOT_FOUND", mentions="stalled")
        wait_until(lambda: metric(impatient, "uncommitted_bytes") == 0, "its memory is free")


def test_an_upload_that_is_slow_goes_on(impatient):
    def slowly():
        for message in upload("slow"):
            yield message
            time.sleep(0.4)

    with Raw(impatient.flight_port) as raw, Flight(impatient.uri) as client:
        raw.do_put(slowly(), metadata=[*raw.metadata, *CREATE])
        assert count(client, "slow") == 50


@pytest.mark.parametrize("method", ["GetFlightInfo", "DoGet", "DoPut"])
def test_a_call_without_its_message_keeps_no_place(impatient, method):
    """Not even a stranger's, who has not logged in."""
    released = threading.Event()

    def nothing():
        released.wait(30)
        yield from ()

    with Raw(impatient.flight_port) as raw:
        call = raw.channel.stream_stream(SERVICE + method)
        wait = lambda: list(call(nothing(), 30, raw.metadata))  # noqa: E731
        refused(wait, "DEADLINE_EXCEEDED", mentions=IDLE)
        released.set()


# session.tenant_transactions_max


def test_a_transaction_too_many_is_refused(make_server):
    server = limited(make_server, SESSION__TENANT_TRANSACTIONS_MAX=2)
    with Flight(server.uri) as client:
        client.execute("CREATE TENANT acme")
        client.execute("CREATE USER bob IN TENANT acme PASSWORD 'bob has a secret'")
        first, _second = client.begin(), client.begin()
        too_many = {"mentions": "session.tenant_transactions_max"}
        refused(client.begin, "RESOURCE_EXHAUSTED", **too_many)
        assert int(client.response_header("x-retry-after-ms")) > 0
        refused(lambda: client.execute("BEGIN"), "RESOURCE_EXHAUSTED", **too_many)
        # Statements by themselves are no open transactions, and other tenants have their own.
        assert client.execute("CREATE TABLE free (id BIGINT)") == 0
        assert client.execute("INSERT INTO free VALUES (1)") == 1
        with Flight(server.uri, "bob@acme", "bob has a secret") as other:
            other.begin()
        client.end(first, commit=False)
        client.begin()
    assert server.stop() == 0


# Tickets and prepared statements


def test_tickets_end_by_themselves(make_server):
    server = limited(make_server, SESSION__STATEMENT_TTL_MS=1000)
    with Flight(server.uri) as client:
        tickets = [client.info(b"SELECT 1 AS one").endpoints[0].ticket for _ in range(10)]
        assert metric(server, "tickets") == 10
        assert metric(server, "ticket_bytes") > 0
        wait_until(lambda: metric(server, "tickets") == 0, "they were swept")
        assert metric(server, "ticket_bytes") == 0
        refused(lambda: client.redeem(tickets[0]), "FAILED_PRECONDITION", mentions="expired")
    assert server.stop() == 0


def test_one_tenant_cannot_push_out_the_tickets_of_another(make_server):
    server = limited(make_server, SESSION__TENANT_STATEMENTS_MAX=3)
    with Flight(server.uri) as client:
        client.execute("CREATE TENANT acme")
        client.execute("CREATE USER bob IN TENANT acme PASSWORD 'bob has a secret'")
        with Flight(server.uri, "bob@acme", "bob has a secret") as other:
            theirs = other.info(b"SELECT 7 AS seven").endpoints[0].ticket
            info = lambda: client.info(b"SELECT 1 AS one").endpoints[0].ticket  # noqa: E731
            tickets = [info() for _ in range(3)]
            refused(info, "RESOURCE_EXHAUSTED", mentions="session.tenant_statements_max")
            assert other.redeem(theirs).num_rows == 1
            # One that was redeemed makes room; those that wait are still good.
            assert client.redeem(tickets[1]).num_rows == 1
            new = info()
            assert [client.redeem(t).num_rows for t in (tickets[0], tickets[2], new)] == [1, 1, 1]
            refused(lambda: client.redeem(tickets[1]), "FAILED_PRECONDITION", mentions="expired")
            # So a client that reads what it asks for never meets the limit.
            for _ in range(10):
                assert client.scalar("SELECT 1 AS one") == 1
    assert server.stop() == 0


def test_large_tickets_are_counted_by_their_bytes(make_server):
    server = limited(make_server, SESSION__TENANT_STATEMENT_BYTES_MAX=64 * 1024)
    with Flight(server.uri) as client:
        large = ("SELECT '" + "x" * 12_000 + "' AS x").encode()
        client.info(large)
        client.info(large)
        refused(
            lambda: client.info(large),
            "RESOURCE_EXHAUSTED", mentions="session.tenant_statement_bytes_max",
        )
        assert metric(server, "ticket_bytes") <= 64 * 1024
        assert client.scalar("SELECT 1 AS one") == 1
        # Values bound to a prepared statement count as well.
        handle = client.prepare("SELECT ? AS x").prepared_statement_handle
        bind = flightsql.command("CommandPreparedStatementQuery", prepared_statement_handle=handle)
        values = pa.table({"0": ["x" * 70_000]})
        refused(
            lambda: client.put(bind, values),
            "RESOURCE_EXHAUSTED", mentions="session.tenant_statement_bytes_max",
        )
    assert server.stop() == 0


def test_prepared_statements_are_bounded_and_end_when_idle(make_server):
    server = limited(
        make_server, SESSION__TENANT_STATEMENTS_MAX=3, SESSION__IDLE_TIMEOUT_MS=2000
    )
    with Flight(server.uri) as client:
        prepare = lambda: client.prepare("SELECT 1 AS one").prepared_statement_handle  # noqa: E731
        handles = [prepare() for _ in range(3)]
        refused(prepare, "RESOURCE_EXHAUSTED", mentions="session.tenant_statements_max")
        client.close_prepared(handles.pop())
        used = prepare()

        def use():
            return client.command("CommandPreparedStatementQuery", prepared_statement_handle=used)

        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            assert use().num_rows == 1
            time.sleep(0.2)
        gone = flightsql.command(
            "CommandPreparedStatementQuery", prepared_statement_handle=handles[0]
        )
        refused(lambda: client.info(gone), "NOT_FOUND", mentions="prepared statement")
        wait_until(lambda: metric(server, "prepared_statements") == 0, "idle ones were swept")
    assert server.stop() == 0


# A prepared statement as a ticket.


def test_a_prepared_query_is_a_ticket(flight, name):
    flight.put(name, numbered(0, 100), CREATE)
    handle = flight.prepare(f"SELECT id FROM {name} WHERE id < ?").prepared_statement_handle
    ticket = flightsql.command("CommandPreparedStatementQuery", prepared_statement_handle=handle)
    refused(lambda: flight.redeem(ticket), "INVALID_ARGUMENT", mentions="1 parameters")
    parameters = pa.table({"0": pa.array([7], pa.int64())})
    writer, reader = flight.client.do_put(
        fl.FlightDescriptor.for_command(ticket), parameters.schema, flight.options()
    )
    with writer:
        writer.write_table(parameters)
        writer.done_writing()
        reader.read()
    assert flight.redeem(ticket).num_rows == 7
    insert = flight.prepare(f"INSERT INTO {name} VALUES (1, 'x')").prepared_statement_handle
    write = flightsql.command("CommandPreparedStatementQuery", prepared_statement_handle=insert)
    refused(lambda: flight.redeem(write), "INVALID_ARGUMENT", mentions="GetFlightInfo")
    assert count(flight, name) == 100


# CancelFlightInfo and CancelQuery


CANCELLED, NOT_CANCELLABLE = 1, 3


def cancel_flight_info(client: Flight, info: fl.FlightInfo) -> int:
    request = FLIGHT["CancelFlightInfoRequest"](
        info=FLIGHT["FlightInfo"].FromString(info.serialize())
    )
    (result,) = client.action("CancelFlightInfo", request.SerializeToString())
    return FLIGHT["CancelFlightInfoResult"].FromString(result).status


def cancel_query(client: Flight, info: fl.FlightInfo) -> int:
    """The older action; its request has one field of bytes, its result one number."""
    request = FLIGHT["Ticket"](ticket=info.serialize()).SerializeToString()
    (result,) = client.action("CancelQuery", flightsql.pack("ActionCancelQueryRequest", request))
    assert b"ActionCancelQueryResult" in result
    return result[-1]


@pytest.mark.parametrize("cancel", [cancel_flight_info, cancel_query])
def test_a_running_query_is_cancelled_by_its_ticket(server, flight, name, cancel):
    flight.put(name, numbered(0, 30_000), CREATE)
    sql = endless(name)
    listed = f"SELECT count(*) FROM system.queries WHERE state = 'running' AND sql LIKE '%{name} b%'"
    listed += " AND sql NOT LIKE '%system.queries%'"
    with Flight(server.uri) as other:
        info = other.info(sql.encode())
        stream = other.client.do_get(info.endpoints[0].ticket, other.options())
        wait_until(lambda: flight.scalar(listed) == 1, "the query runs")
        assert cancel(flight, info) == CANCELLED
        refused(lambda: read_on(stream), "CANCELLED", mentions="cancelled by its user")
        wait_until(lambda: flight.scalar(listed) == 0, "the query has ended")
        assert cancel(flight, info) == CANCELLED
        ticket = info.endpoints[0].ticket
        refused(lambda: other.redeem(ticket), "FAILED_PRECONDITION", mentions="cancelled")


def test_what_is_done_cannot_be_cancelled(flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    info = flight.info(f"INSERT INTO {name} VALUES (1)".encode())
    assert cancel_flight_info(flight, info) == NOT_CANCELLABLE
    catalogs = flight.info(flightsql.command("CommandGetCatalogs"))
    assert cancel_flight_info(flight, catalogs) == NOT_CANCELLABLE
    for body in (b"\xff", b""):
        broken = lambda: flight.action("CancelFlightInfo", body)  # noqa: B023, E731
        refused(broken, "INVALID_ARGUMENT", mentions="CancelFlightInfo")


def test_nobody_cancels_the_query_of_another(make_server):
    server = make_server().start()
    with Flight(server.uri) as client:
        client.execute("CREATE TENANT acme")
        client.execute("CREATE USER bob IN TENANT acme PASSWORD 'bob has a secret'")
        client.execute("CREATE USER eve PASSWORD 'eve has a secret'")
        info = client.info(b"SELECT 1 AS one")
        for login, password in (("bob@acme", "bob has a secret"), ("eve", "eve has a secret")):
            with Flight(server.uri, login, password) as other:
                foreign = lambda: cancel_flight_info(other, info)  # noqa: B023, E731
                refused(foreign, "NOT_FOUND", mentions="no such ticket")
        assert client.read(info).num_rows == 1
    assert server.stop() == 0


def test_adbc_meets_the_limits_as_errors_of_its_own(hasty):
    with adbc.connect(hasty.uri) as connection:
        refused(lambda: adbc.query(connection, ENDLESS), "DEADLINE_EXCEEDED", **TOO_ENDLESS)
        assert adbc.scalar(connection, "SELECT 1 AS one") == 1


def test_a_query_of_many_rows_of_parameters_ends_with_its_client(make_server):
    """Rows without results wait for nothing by themselves: others must get their turn all the same."""
    server = make_server().start()
    with Flight(server.uri) as client:
        handle = client.prepare("SELECT 1 WHERE ? < 0").prepared_statement_handle
        query = flightsql.command("CommandPreparedStatementQuery", prepared_statement_handle=handle)
        values = pa.table({"v": range(200_000)})
        writer, reader = client.client.do_put(fl.FlightDescriptor.for_command(query), values.schema, client.options())
        with writer:
            writer.write_table(values)
            writer.done_writing()
            reader.read()
        tickets = [client.info(query).endpoints[0].ticket for _ in range(12)]
        for ticket in tickets:
            with pytest.raises(CLIENT_ERRORS):
                client.client.do_get(ticket, client.options(timeout=0.3)).read_all()
        begun = time.monotonic()
        assert client.scalar("SELECT 2") == 2
        assert time.monotonic() - begun < 10
