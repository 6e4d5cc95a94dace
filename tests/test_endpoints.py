"""Several endpoints of one query: together all rows, each again and again, whatever is changed meanwhile."""

from __future__ import annotations

import random
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc, flightsql
from quiver_testing.compare import assert_same
from quiver_testing.errors import assert_refused
from quiver_testing.flight import Flight
from quiver_testing.flightsql import FLIGHT
from quiver_testing.server import Server

HEADER = "x-quiver-endpoints"
FLUSH = "CALL system.flush()"
# More than a row group has, so that a segment can be shared out.
SEGMENT_ROWS = 600_000


def numbers(first: int, count: int) -> pa.Table:
    ids = pa.array(range(first, first + count), pa.int64())
    return pa.table({"id": ids, "half": pc.divide(pc.cast(ids, pa.float64()), 2.0), "parity": pc.bit_wise_and(ids, 1)})


def shared_out(client: Flight, sql: str, count: int = 4) -> fl.FlightInfo:
    return client.info(sql.encode(), [(HEADER, str(count))])


def ids(table: pa.Table) -> list[int]:
    return sorted(table.column("id").to_pylist())


@pytest.fixture
def table(flight, name) -> str:
    """Two large segments, a small one, and rows in memory."""
    for first, count in [(0, SEGMENT_ROWS), (SEGMENT_ROWS, SEGMENT_ROWS), (2 * SEGMENT_ROWS, 10)]:
        flight.put(name, numbers(first, count), [("x-create", "true")])
        flight.query(FLUSH)
    flight.put(name, numbers(2 * SEGMENT_ROWS + 10, 90), rows_per_batch=30)
    return name


ROWS = 2 * SEGMENT_ROWS + 100


def test_one_endpoint_unless_asked(flight, table):
    info = flight.info(f"SELECT * FROM {table}".encode())
    assert len(info.endpoints) == 1
    assert info.endpoints[0].expiration_time is None, "it reads anew each time"


@pytest.mark.parametrize("count", [2, 3, 5, 7, 64, 10_000])
def test_together_they_are_all_rows_once(flight, table, count):
    info = shared_out(flight, f"SELECT id, parity FROM {table}", count)
    assert 2 <= len(info.endpoints) <= min(count, 64)
    assert not info.ordered
    parts = [flight.redeem(endpoint.ticket) for endpoint in info.endpoints]
    assert sum(part.num_rows > 0 for part in parts) >= min(count, 5), "each has something to do"
    whole = pa.concat_tables(parts)
    assert whole.schema.equals(info.schema)
    assert ids(whole) == list(range(ROWS))
    if count == 2:
        least, most = sorted(part.num_rows for part in parts)
        assert least > most / 2, "about the same for each"


def test_random_queries_equal_the_same_from_one_endpoint(flight, table):
    draw = random.Random(20261122)
    columns = ["id", "half", "parity", "id + 1 AS next", "CASE WHEN parity = 1 THEN 'odd' END AS word"]
    for _ in range(25):
        wanted = ", ".join(draw.sample(columns, draw.randint(1, 4)))
        first = draw.randrange(ROWS)
        conditions = [
            f"id BETWEEN {first} AND {first + draw.randrange(ROWS)}", "parity = 0", f"half > {first // 2}",
            f"id % {draw.randint(2, 9)} = 1", f"id IN ({first}, {ROWS - 1}, -1)",
        ]
        where = " AND ".join(draw.sample(conditions, draw.randint(0, 2)))
        sql = f"SELECT {wanted} FROM {table}" + (f" WHERE {where}" if where else "")
        info = shared_out(flight, sql, draw.randint(2, 6))
        shares, whole = flight.read(info), flight.query(sql)
        assert shares.schema == whole.schema, sql
        order = [(name, "ascending") for name in whole.column_names]
        assert shares.sort_by(order).equals(whole.sort_by(order)), sql


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM {t} ORDER BY id", "SELECT * FROM {t} LIMIT 900000", "SELECT count(*) FROM {t}",
        "SELECT DISTINCT parity FROM {t}", "SELECT * FROM {t} a JOIN {t} b USING (id)", "SELECT id, random() FROM {t}",
        "SELECT id FROM {t} WHERE id IN (SELECT max(id) FROM {t})", "SELECT id FROM {t} UNION ALL SELECT id FROM {t}",
        "SELECT id, row_number() OVER (ORDER BY id) FROM {t}", "SELECT 1", "SELECT * FROM system.tables",
        "SELECT id FROM {t} WHERE id = -1",
    ],
)
def test_what_cannot_be_shared_out_has_one_endpoint(flight, table, query):
    assert len(shared_out(flight, query.format(t=table)).endpoints) == 1


def test_all_endpoints_are_of_one_moment(flight, table):
    """Fetched twice, late, after rows came, the table was flushed, and dropped."""
    info = shared_out(flight, f"SELECT id, now() AS at FROM {table} WHERE id >= 5")
    first = [flight.redeem(endpoint.ticket) for endpoint in info.endpoints]
    flight.put(table, numbers(ROWS, 1000))
    flight.query(FLUSH)
    flight.execute(f"DROP TABLE {table}")
    again = [flight.redeem(endpoint.ticket) for endpoint in info.endpoints]
    assert [ids(part) for part in again] == [ids(part) for part in first]
    whole = pa.concat_tables([*again])
    assert ids(whole) == list(range(5, ROWS))
    assert len(set(pa.concat_tables([*first, *again]).column("at").to_pylist())) == 1


def test_another_connection_of_the_user_fetches_them(server, flight, table):
    info = shared_out(flight, f"SELECT * FROM {table}")
    with Flight(server.uri) as other:
        assert ids(other.read(info)) == list(range(ROWS))
    with Flight(server.uri) as admin:
        admin.execute("CREATE USER endpoint_reader PASSWORD 'long enough 17'")
    with Flight(server.uri, "endpoint_reader", "long enough 17") as stranger:
        with pytest.raises(Exception) as caught:
            stranger.redeem(info.endpoints[0].ticket)
        assert_refused(caught.value, "NOT_FOUND")
        with pytest.raises(Exception) as caught:
            renew(stranger, info.endpoints[0])
        assert_refused(caught.value, "NOT_FOUND")


def test_a_transaction_shares_out_what_it_has_staged(flight, table):
    transaction = flight.begin()
    target = flightsql.ingest(table, "append", transaction_id=transaction)
    flight.put(target, numbers(ROWS, 500_000), rows_per_batch=50_000)
    command = flightsql.command("CommandStatementQuery", query=f"SELECT id FROM {table}", transaction_id=transaction)
    info = flight.info(command, [(HEADER, "16")])
    assert len(info.endpoints) == 16, "seven row groups, and rows in memory"
    flight.end(transaction, commit=False)
    assert ids(flight.read(info)) == list(range(ROWS + 500_000)), "as it was when they were asked for"
    assert flight.scalar(f"SELECT count(*) FROM {table}") == ROWS


def test_adbc_partitions(server, table):
    options = {"adbc.flight.sql.rpc.call_header.x-quiver-endpoints": "5"}
    with adbc.connect(server.uri, **options) as client, client.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions(f"SELECT * FROM {table} WHERE id >= ?", [7])
        assert len(partitions) == 5
        parts = []
        for partition in partitions:
            with adbc.connect(server.uri) as other, other.cursor() as reader:
                reader.adbc_read_partition(partition)
                parts.append(reader.fetch_arrow_table())
        assert ids(pa.concat_tables(parts)) == list(range(7, ROWS))
        # And as one result, which the driver fetches in parallel.
        cursor.execute(f"SELECT * FROM {table}")
        assert ids(cursor.fetch_arrow_table()) == list(range(ROWS))


def test_cancelled_endpoints_are_gone(flight, table):
    info = shared_out(flight, f"SELECT * FROM {table}")
    cancel(flight, info)
    for endpoint in info.endpoints:
        with pytest.raises(Exception) as caught:
            flight.redeem(endpoint.ticket)
        assert_refused(caught.value, "ABORTED", mentions="execute the statement again")


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", ""])
def test_a_header_without_meaning_is_refused(flight, table, value):
    with pytest.raises(Exception) as caught:
        flight.info(f"SELECT * FROM {table}".encode(), [(HEADER, value)])
    assert_refused(caught.value, "INVALID_ARGUMENT", mentions=HEADER)


def cancel(client: Flight, info: fl.FlightInfo) -> None:
    request = FLIGHT["CancelFlightInfoRequest"]()
    request.info.ParseFromString(info.serialize())
    client.action("CancelFlightInfo", request.SerializeToString())


def renew(client: Flight, endpoint: fl.FlightEndpoint) -> fl.FlightEndpoint:
    request = FLIGHT["RenewFlightEndpointRequest"]()
    request.endpoint.ParseFromString(endpoint.serialize())
    (answer,) = client.action("RenewFlightEndpoint", request.SerializeToString())
    return fl.FlightEndpoint.deserialize(answer)


def test_they_expire_unless_they_are_renewed(make_server):
    server: Server = make_server(settings={"QUIVER_SESSION__LEASE_TTL_MS": "3000"}).start()
    with Flight(server.uri) as client:
        client.put("t", numbers(0, SEGMENT_ROWS), [("x-create", "true")])
        client.query(FLUSH)
        info = shared_out(client, "SELECT id FROM t", 2)
        kept, lost = info.endpoints
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            renewed = renew(client, kept)
            assert renewed.expiration_time.as_py() > kept.expiration_time.as_py()
            kept = renewed
            time.sleep(0.5)
        # The ticket that was renewed, and the one that it was renewed with.
        rows = client.redeem(kept.ticket)
        assert rows.num_rows > 0 and rows.equals(client.redeem(info.endpoints[0].ticket))
        for call in (lambda: client.redeem(lost.ticket), lambda: renew(client, lost)):
            with pytest.raises(Exception) as caught:
                call()
            assert_refused(caught.value, "FAILED_PRECONDITION", mentions="expired")
        single = client.info(b"SELECT 1").endpoints[0]
        with pytest.raises(Exception) as caught:
            renew(client, single)
        assert_refused(caught.value, "FAILED_PRECONDITION", mentions="expiration time")


def test_a_restart_loses_them_and_says_so(make_server):
    server: Server = make_server(settings={"QUIVER_QUERY__ENDPOINTS_MAX": "3"}).start()
    with Flight(server.uri) as client:
        client.put("t", numbers(0, 2 * SEGMENT_ROWS), [("x-create", "true")])
        client.query(FLUSH)
        info = shared_out(client, "SELECT id FROM t", 50)
        assert len(info.endpoints) == 3
    server.stop()
    server.start()
    with Flight(server.uri) as client:
        with pytest.raises(Exception) as caught:
            client.redeem(info.endpoints[0].ticket)
        assert_refused(caught.value, "ABORTED", mentions="execute the statement again")


def test_rows_in_memory_beyond_the_room_for_tickets_are_not_held(make_server):
    server: Server = make_server(settings={"QUIVER_SESSION__TENANT_STATEMENT_BYTES_MAX": str(1 << 20)}).start()
    with Flight(server.uri) as client:
        client.put("t", numbers(0, 200_000), [("x-create", "true")], rows_per_batch=20_000)
        info = shared_out(client, "SELECT * FROM t", 4)
        assert len(info.endpoints) == 1
        assert client.read(info).num_rows == 200_000
        client.query(FLUSH)
        assert len(shared_out(client, "SELECT * FROM t", 4).endpoints) == 1, "one row group"
        assert_same(client.query("SELECT count(*) AS n FROM t"), pa.table({"n": [200_000]}))


def test_segments_of_a_transaction_are_not_held(make_server):
    """They go with it when it is rolled back; one endpoint reads them for as long as it is open."""
    sizes = {"BYTES_MAX": 64, "TENANT_BYTES_MAX": 32, "FLUSH_BYTES": 16}
    settings = {f"QUIVER_WRITE_BUFFER__{name}": str(mib << 20) for name, mib in sizes.items()}
    server: Server = make_server(settings=settings).start()
    with Flight(server.uri) as client:
        transaction = client.begin()
        client.put(flightsql.ingest("t", transaction_id=transaction), numbers(0, 2 * SEGMENT_ROWS))
        command = flightsql.command("CommandStatementQuery", query="SELECT id FROM t", transaction_id=transaction)
        info = client.info(command, [(HEADER, "4")])
        assert ids(client.read(info)) == list(range(2 * SEGMENT_ROWS))
        assert len(info.endpoints) == 1
        client.end(transaction, commit=True)
        assert len(shared_out(client, "SELECT id FROM t").endpoints) == 4
