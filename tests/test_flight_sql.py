"""Flight SQL as stock clients use it: statements, prepared statements, tickets, cancelling."""

from __future__ import annotations

import threading
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc, flightsql
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.raw import Raw


@pytest.fixture
def table(flight, name) -> str:
    flight.execute(f"CREATE TABLE {name} (id BIGINT NOT NULL, payload VARCHAR)")
    flight.put(name, numbered(0, 100))
    return name


# Statements.


def test_select_by_command_by_path_and_by_sql(flight, table):
    assert flight.command("CommandStatementQuery", query=f"SELECT * FROM {table}").num_rows == 100
    assert flight.read(flight.info((table,))).num_rows == 100
    assert flight.query(f"SELECT * FROM {table}").num_rows == 100


def test_info_and_stream_have_the_same_schema(flight, table):
    """Nullability too: the stock driver refuses a result whose schemas differ."""
    statements = [
        f"SELECT * FROM {table}",
        f"SELECT min(id), max(payload), count(*), avg(id) FROM {table}",
        f"SELECT id + 1 AS next, payload || 'x' AS longer, NULL AS nothing FROM {table} WHERE id < 0",
        "SELECT 1 AS one, 'x' AS x, DATE '2020-01-01' AS d, [1, 2] AS list",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM system.queries",
        "VALUES (1, 'a'), (2, NULL)",
        "SHOW TABLES",
        f"DESCRIBE {table}",
        f"EXPLAIN SELECT * FROM {table}",
    ]
    for statement in statements:
        info = flight.info(statement.encode())
        got = flight.client.do_get(info.endpoints[0].ticket, flight.options())
        assert info.schema.equals(got.schema), statement
        got.read_all()


def test_no_view_types_on_the_wire(flight, table):
    """JDBC drivers before 19 cannot read them."""
    got = flight.query(f"SELECT payload, upper(payload) AS u, md5(payload) AS h FROM {table}")
    assert {str(kind) for kind in got.schema.types} == {"string"}


def test_statements_without_rows_have_no_endpoint(flight, name):
    """What changes something is done in GetFlightInfo, once, and counted there."""
    created = flight.info(f"CREATE TABLE {name} (a BIGINT)".encode())
    assert not created.endpoints and len(created.schema) == 0
    inserted = flight.info(f"INSERT INTO {name} VALUES (1), (2), (3)".encode())
    assert not inserted.endpoints and inserted.total_records == 3
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 3


def test_update_command(flight, table):
    insert = f"INSERT INTO {table} VALUES (1000, 'x'), (1001, NULL)"
    assert flight.update("CommandStatementUpdate", query=insert) == 2
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 102


def test_get_schema_executes_nothing(flight, table):
    options = flight.options()
    for statement in (f"SELECT * FROM {table}", f"SELECT count(*) AS n FROM {table}"):
        command = flightsql.command("CommandStatementQuery", query=statement)
        result = flight.client.get_schema(fl.FlightDescriptor.for_command(command), options)
        assert result.schema.equals(flight.info(command).schema)
    path = fl.FlightDescriptor.for_path(table)
    assert flight.client.get_schema(path, options).schema.names == ["id", "payload"]
    insert = flightsql.command("CommandStatementQuery", query=f"INSERT INTO {table} VALUES (1, 'x')")
    flight.client.get_schema(fl.FlightDescriptor.for_command(insert), options)
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 100


def test_zero_rows_keep_their_schema(flight, connection, table):
    statement = f"SELECT * FROM {table} WHERE id < 0"
    assert flight.query(statement).schema.names == ["id", "payload"]
    assert adbc.query(connection, statement).schema.names == ["id", "payload"]


def test_a_large_result_comes_in_moderate_messages(flight, name):
    rows = 300_000
    flight.put(name, numbered(0, rows), [("x-create", "true")])
    info = flight.info(f"SELECT * FROM {name}".encode())
    reader = flight.client.do_get(info.endpoints[0].ticket, flight.options())
    sizes = [chunk.data.nbytes for chunk in reader]
    assert sum(sizes) > 6_000_000
    assert max(sizes) < 4 << 20, "clients with gRPC's default limit take 4 MiB"
    assert sum(sizes) / len(sizes) > 256 << 10, "small messages cost throughput"


def test_explain_analyze_of_a_write_is_refused(flight, table):
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.query(f"EXPLAIN ANALYZE INSERT INTO {table} VALUES (1, 'x')")
    assert_refused(caught.value, "INVALID_ARGUMENT", "UNIMPLEMENTED")
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 100


def test_query_id_in_every_answer(flight, table):
    flight.info(f"SELECT * FROM {table}".encode())
    first = flight.response_header("x-query-id")
    with pytest.raises(CLIENT_ERRORS):
        flight.info(b"SELECT * FROM no_such_table")
    second = flight.response_header("x-query-id")
    assert first and second and first != second


# Prepared statements.


def test_prepared_query_with_parameters(connection, table):
    statement = f"SELECT id, payload FROM {table} WHERE id BETWEEN ? AND ? ORDER BY id"
    got = adbc.rows(connection, statement, (10, 12))
    assert got == [(n, f"row {n:012d}") for n in (10, 11, 12)]
    assert adbc.rows(connection, statement, (98, 200))[-1][0] == 99


def test_numbered_parameters(connection, table):
    statement = f"SELECT count(*) FROM {table} WHERE id = $2 OR id = $1 OR id = $2 + 1"
    assert adbc.scalar(connection, statement, (5, 10)) == 3


def test_parameters_of_several_types(connection):
    got = adbc.rows(connection, "SELECT ? AS a, ? AS b, ? AS c", (1, "two", 3.5))
    assert [str(value) for value in got[0]] == ["1", "two", "3.5"]


def test_a_query_gives_the_rows_of_each_row_of_parameters(connection, flight, table):
    values = pa.table({"first": [98, 5, 500, None, 7], "word": ["a", "b", "c", "d", None]})
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, $2 AS word FROM {table} WHERE id >= $1 AND id < $1 + 3 AND $2 IS NOT NULL", values)
        assert cursor.fetchall() == [(98, "a"), (99, "a"), (5, "b"), (6, "b"), (7, "b")]
        cursor.execute("SELECT ?, ?", values.slice(0, 0))
        assert cursor.fetchall() == [] and len(cursor.description) == 2
        # More than a stream has ahead, each of several batches.
        many = pa.table({"n": range(3000)})
        cursor.execute(f"SELECT id FROM {table}, (SELECT CAST(? AS BIGINT) AS n) WHERE id = n % 100", many)
        assert [id for (id,) in cursor.fetchall()] == [n % 100 for n in range(3000)]
        cursor.execute(f"INSERT INTO {table} VALUES (?, ?)", pa.table({"id": [7], "t": ["x"]}).slice(0, 0))
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 100
    with pytest.raises(CLIENT_ERRORS) as caught, connection.cursor() as cursor:
        cursor.execute("SELECT 10 / ?", pa.table({"n": [5, 2, 0]}))
        cursor.fetchall()
    assert_refused(caught.value, "INVALID_ARGUMENT")


def test_a_batch_of_parameters_inserts_each_row(connection, flight, table):
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} VALUES (?, ?)", [(1000, "a"), (1001, None), (1002, "c")]
        )
        assert cursor.rowcount in (3, -1)
    got = flight.rows(f"SELECT id, payload FROM {table} WHERE id >= 1000 ORDER BY id")
    assert got == [(1000, "a"), (1001, None), (1002, "c")]


def test_a_bad_row_in_a_batch_of_parameters_changes_nothing(connection, flight, table):
    with pytest.raises(CLIENT_ERRORS) as caught, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(1000, "a"), (None, "b")])
    assert_refused(caught.value, "INVALID_ARGUMENT")
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 100


def test_prepared_statement_says_what_it_is(flight, table):
    query = flight.prepare(f"SELECT id FROM {table} WHERE id = ?")
    assert query.HasField("is_update") and not query.is_update
    assert pa.ipc.read_schema(pa.py_buffer(query.dataset_schema)).names == ["id"]
    assert len(pa.ipc.read_schema(pa.py_buffer(query.parameter_schema))) == 1
    insert = flight.prepare(f"INSERT INTO {table} VALUES (1, 'x')")
    assert insert.HasField("is_update") and insert.is_update
    assert not insert.dataset_schema or not len(
        pa.ipc.read_schema(pa.py_buffer(insert.dataset_schema))
    )
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 100, "preparing executes nothing"
    for prepared in (query, insert):
        flight.close_prepared(prepared.prepared_statement_handle)


def test_a_prepared_statement_says_how_large_its_numbers_get(flight):
    """Spark reads it there and nowhere else."""
    sql = "SELECT CAST(1 AS DECIMAL(12, 3)) AS amount"
    prepared = pa.ipc.read_schema(pa.py_buffer(flight.prepare(sql).dataset_schema))
    described = flight.client.get_schema(fl.FlightDescriptor.for_command(sql), flight.options()).schema
    for schema in (prepared, described, flight.info(sql.encode()).schema):
        metadata = schema.field("amount").metadata
        assert metadata[b"ARROW:FLIGHT:SQL:PRECISION"] == b"12" and metadata[b"ARROW:FLIGHT:SQL:SCALE"] == b"3"


def test_large_parameters_count_once(connection):
    """Twelve megabytes in twelve columns of one message: far below what parameters may have."""
    texts = tuple("x" * 1_000_000 + str(n) for n in range(12))
    sums = " + ".join("length(?)" for _ in texts)
    [(total,)] = adbc.rows(connection, f"SELECT {sums}", texts)
    assert total == sum(len(text) for text in texts)


def test_a_procedure_may_be_called_as_an_update(flight, table):
    """JDBC's executeUpdate sends whatever it is given that way."""
    handle = flight.prepare("CALL system.flush()").prepared_statement_handle
    assert flight.update("CommandPreparedStatementUpdate", prepared_statement_handle=handle) == 0
    assert flight.update("CommandStatementUpdate", query="CALL system.flush()") == 0
    query = flight.prepare(f"SELECT id FROM {table}").prepared_statement_handle
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.update("CommandPreparedStatementUpdate", prepared_statement_handle=query)
    assert_refused(caught.value, "INVALID_ARGUMENT")


def test_prepared_update_without_parameters_runs_once(flight, table):
    """JDBC sends a batch without columns or rows: that means once, not never."""
    handle = flight.prepare(f"INSERT INTO {table} VALUES (1, 'x')").prepared_statement_handle
    assert flight.update("CommandPreparedStatementUpdate", prepared_statement_handle=handle) == 1
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 101


def test_binding_echoes_a_handle(flight, table):
    """A client that gets an answer without a handle goes on with an empty one."""
    handle = flight.prepare(f"SELECT id FROM {table} WHERE id < ?").prepared_statement_handle
    command = flightsql.command("CommandPreparedStatementQuery", prepared_statement_handle=handle)
    parameters = pa.table({"0": pa.array([7], pa.int64())})
    descriptor = fl.FlightDescriptor.for_command(command)
    writer, reader = flight.client.do_put(descriptor, parameters.schema, flight.options())
    with writer:
        writer.write_table(parameters)
        writer.done_writing()
        answer = reader.read()
    result = flightsql.SQL["DoPutPreparedStatementResult"].FromString(answer.to_pybytes())
    bound = result.prepared_statement_handle
    assert bound
    got = flight.command("CommandPreparedStatementQuery", prepared_statement_handle=bound)
    assert got.num_rows == 7


def test_a_closed_handle_is_gone(flight, table):
    handle = flight.prepare(f"SELECT id FROM {table}").prepared_statement_handle
    flight.close_prepared(handle)
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.command("CommandPreparedStatementQuery", prepared_statement_handle=handle)
    assert_refused(caught.value, "NOT_FOUND", "FAILED_PRECONDITION")


def test_prepared_statement_after_its_table_changed(flight, name):
    flight.execute(f"CREATE TABLE {name} (a BIGINT)")
    handle = flight.prepare(f"SELECT * FROM {name}").prepared_statement_handle
    flight.execute(f"DROP TABLE {name}")
    flight.execute(f"CREATE TABLE {name} (b VARCHAR, c DOUBLE)")
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.command("CommandPreparedStatementQuery", prepared_statement_handle=handle)
    assert_refused(caught.value, "FAILED_PRECONDITION")


# Tickets.


def test_a_ticket_is_redeemed_from_another_connection(server, flight, table):
    """By the same user, without any further headers: partitions are read by other processes."""
    ticket = flight.info(f"SELECT * FROM {table}".encode()).endpoints[0].ticket
    with Flight(server.uri) as other:
        assert other.redeem(ticket).num_rows == 100


def test_adbc_partitions(connection, server, table):
    with connection.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions(f"SELECT * FROM {table}")
    assert schema.names == ["id", "payload"]
    rows = 0
    for partition in partitions:
        with adbc.connect(server.uri) as other, other.cursor() as cursor:
            cursor.adbc_read_partition(partition)
            rows += cursor.fetch_arrow_table().num_rows
    assert rows == 100


def test_an_expired_ticket_says_so(make_server):
    server = make_server(settings={"QUIVER_SESSION__STATEMENT_TTL_MS": "1000"}).start()
    with Flight(server.uri) as client:
        ticket = client.info(b"SELECT 1 AS one").endpoints[0].ticket
        assert client.redeem(ticket).num_rows == 1
        time.sleep(2.5)
        with pytest.raises(CLIENT_ERRORS) as caught:
            client.redeem(ticket)
        assert_refused(caught.value, "FAILED_PRECONDITION", mentions="expired")
    assert server.stop() == 0


def test_a_ticket_does_not_outlive_a_restart_silently(make_server):
    """After a restart an old ticket either works or says that it does not; it never misleads."""
    server = make_server().start()
    with Flight(server.uri) as client:
        client.put("t", numbered(0, 10), [("x-create", "true")])
        ticket = client.info(b"SELECT * FROM t").endpoints[0].ticket
    server.restart()
    with Flight(server.uri) as client:
        try:
            assert client.redeem(ticket).num_rows == 10
        except CLIENT_ERRORS as error:
            assert_refused(error, "FAILED_PRECONDITION", "NOT_FOUND", "ABORTED")
    assert server.stop() == 0


def test_side_effects_happen_once_however_often_the_info_is_asked(flight, table):
    statement = f"INSERT INTO {table} VALUES (1, 'x')".encode()
    flight.info(statement)
    flight.client.get_schema(fl.FlightDescriptor.for_command(statement), flight.options())
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 101


# Cancelling.


def running(flight: Flight, text: str) -> list:
    return flight.rows(
        f"SELECT query_id FROM system.queries WHERE sql LIKE '%{text}%' AND state = 'running' "
        "AND sql NOT LIKE '%system.queries%'"
    )


@pytest.fixture
def slow_query(flight, name) -> str:
    """A query that takes far longer than any test waits."""
    flight.put(name, numbered(0, 30_000), [("x-create", "true")])
    return f"SELECT count(*) FROM {name} a, {name} b, {name} c WHERE a.id + b.id + c.id = -1"


def test_cancelling_a_stream_stops_its_query(server, flight, slow_query, name):
    with Flight(server.uri) as other:
        info = other.info(slow_query.encode())
        stream = other.client.do_get(info.endpoints[0].ticket, other.options())
        wait_until(lambda: running(flight, name), "the query is listed")
        stream.cancel()
        wait_until(lambda: not running(flight, name), "the query has ended")


def test_cancelling_through_adbc(server, flight, slow_query, name):
    with adbc.connect(server.uri) as connection, connection.cursor() as cursor:
        timer = threading.Timer(1.0, cursor.adbc_cancel)
        timer.start()
        with pytest.raises(CLIENT_ERRORS):
            cursor.execute(slow_query)
            cursor.fetchall()
        timer.join()
    wait_until(lambda: not running(flight, name), "the query has ended")


def test_a_query_past_its_deadline_stops(server, flight, slow_query, name):
    with adbc.connect(
        server.uri, **{"adbc.flight.sql.rpc.timeout_seconds.fetch": "1"}
    ) as connection:
        with pytest.raises(CLIENT_ERRORS):
            adbc.query(connection, slow_query)
    wait_until(lambda: not running(flight, name), "the query has ended")


def wait_until(condition, what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
