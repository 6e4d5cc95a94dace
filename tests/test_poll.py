"""PollFlightInfo: a statement that takes long, asked for again and again, cancelled, abandoned."""

from __future__ import annotations

import time

import grpc
import pytest

from quiver_testing import flightsql
from quiver_testing.flight import Flight
from quiver_testing.flightsql import FLIGHT
from quiver_testing.raw import Raw

ROWS = 3_000_000
CANCELLED = 1


@pytest.fixture
def table(flight, name) -> str:
    flight.execute(f"CREATE TABLE {name} (id BIGINT, digest VARCHAR)")
    return name


def slow_insert(table: str) -> str:
    """Takes some seconds, and changes something."""
    digest = "CAST(value AS VARCHAR)"
    for _ in range(8):
        digest = f"md5({digest})"
    return f"INSERT INTO {table} SELECT value, {digest} FROM range(0, {ROWS})"


def poll(raw: Raw, command: bytes):
    request = FLIGHT["FlightDescriptor"](type=2, cmd=command)
    return raw.unary("PollFlightInfo", request.SerializeToString(), "PollInfo")


def statement(sql: str) -> bytes:
    return flightsql.command("CommandStatementQuery", query=sql)


def is_running(answer) -> bool:
    return answer.HasField("flight_descriptor")


def to_its_end(raw: Raw, answer, seconds: float = 120):
    deadline = time.monotonic() + seconds
    while is_running(answer):
        assert time.monotonic() < deadline
        answer = poll(raw, answer.flight_descriptor.cmd)
    return answer


def refused(raw: Raw, command: bytes) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        poll(raw, command)
    return caught.value


def test_a_query_is_planned_at_once(server, flight, table):
    with Raw(server.flight_port) as raw:
        for command in (statement(f"SELECT * FROM {table}"), f"SELECT * FROM {table}".encode()):
            answer = poll(raw, command)
            assert len(answer.info.endpoint) == 1
            assert not is_running(answer)
            assert answer.progress == 1.0


def test_a_long_statement_is_asked_for_again(server, flight, table):
    command = statement(slow_insert(table))
    with Raw(server.flight_port) as raw:
        first = poll(raw, command)
        assert is_running(first), "the statement was to take longer than a poll"
        assert first.HasField("info") and not first.info.endpoint, "nothing to fetch yet"
        assert first.info.flight_descriptor.cmd == command
        assert flight.scalar(f"SELECT count(*) FROM {table}") == 0
        last = to_its_end(raw, first)
        assert last.info.total_records == ROWS
        # An answer that was lost is asked for again, by another connection too.
        again = poll(raw, first.flight_descriptor.cmd)
        assert again.info.total_records == ROWS and not is_running(again)
    with Raw(server.flight_port) as other:
        assert not is_running(poll(other, first.flight_descriptor.cmd))
    assert flight.scalar(f"SELECT count(*) FROM {table}") == ROWS, "it took effect once"


def test_a_mistake_is_told_by_the_first_poll(server, flight, table):
    with Raw(server.flight_port) as raw:
        error = refused(raw, statement(f"INSERT INTO {table} SELECT nothing"))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "nothing" in error.details()


def test_a_mistake_that_comes_late_is_told_by_a_later_poll(server, flight, table):
    sql = slow_insert(table).replace("SELECT value", f"SELECT 1 / (value - {ROWS - 1})")
    with Raw(server.flight_port) as raw:
        answer = poll(raw, statement(sql))
        assert is_running(answer)
        with pytest.raises(grpc.RpcError) as caught:
            to_its_end(raw, answer)
        assert "ivi" in caught.value.details()
        assert refused(raw, answer.flight_descriptor.cmd).details() == caught.value.details()
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 0


def test_progress_is_told(server, flight, table):
    """Of rows that are read from a table, how many are read is known."""
    source = f"{table}_source"
    flight.execute(f"CREATE TABLE {source} AS SELECT value FROM range(0, {ROWS})")
    flight.query("CALL system.flush()")
    told = []
    with Raw(server.flight_port) as raw:
        answer = poll(raw, statement(slow_insert(table).replace(f"range(0, {ROWS})", source)))
        while is_running(answer):
            if answer.HasField("progress"):
                told.append(answer.progress)
            answer = poll(raw, answer.flight_descriptor.cmd)
        assert answer.progress == 1.0
        assert answer.info.total_records == ROWS
    assert told and told == sorted(told), told
    assert 0 <= told[0] < told[-1] < 1 or len(told) == 1, told


def test_a_polled_statement_is_cancelled(server, flight, table):
    with Raw(server.flight_port) as raw:
        answer = poll(raw, statement(slow_insert(table)))
        assert is_running(answer)
        request = FLIGHT["CancelFlightInfoRequest"](info=answer.info)
        (result,) = flight.action("CancelFlightInfo", request.SerializeToString())
        assert FLIGHT["CancelFlightInfoResult"].FromString(result).status == CANCELLED
        error = refused(raw, answer.flight_descriptor.cmd)
        assert error.code() == grpc.StatusCode.CANCELLED
    assert flight.scalar(f"SELECT count(*) FROM {table}") == 0


def test_what_nobody_asks_for_is_stopped(make_server):
    server = make_server(settings={"QUIVER_SESSION__STATEMENT_TTL_MS": "1500"}).start()
    with Flight(server.uri) as flight, Raw(server.flight_port) as raw:
        flight.execute("CREATE TABLE t (id BIGINT, digest VARCHAR)")
        answer = poll(raw, statement(slow_insert("t").replace(str(ROWS), str(100 * ROWS))))
        assert is_running(answer)
        deadline = time.monotonic() + 60
        while flight.scalar("SELECT count(*) FROM system.queries WHERE state = 'running'") > 1:
            assert time.monotonic() < deadline, "it goes on for nobody"
            time.sleep(0.2)
        error = refused(raw, answer.flight_descriptor.cmd)
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert flight.scalar("SELECT count(*) FROM t") == 0


def test_nobody_polls_for_another(make_server):
    server = make_server().start()
    with Flight(server.uri) as flight, Raw(server.flight_port) as raw:
        flight.execute("CREATE TABLE t (id BIGINT, digest VARCHAR)")
        flight.execute("CREATE USER eve PASSWORD 'eve has a secret'")
        answer = poll(raw, statement(slow_insert("t")))
        assert is_running(answer)
        handle = answer.flight_descriptor.cmd
        with Raw(server.flight_port, "eve", "eve has a secret") as eve:
            assert refused(eve, handle).code() == grpc.StatusCode.NOT_FOUND
        forged = handle[:-1] + bytes([handle[-1] ^ 1])
        assert refused(raw, forged).code() == grpc.StatusCode.NOT_FOUND
        to_its_end(raw, answer)
